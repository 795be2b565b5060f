"""pksm completion: the names that an option can take, for the shell to complete. For scripts: --help does not list it."""

from pksm.cli import output

HELP = ""  # hidden
USAGE = "pksm completion --values KIND"
DESCRIPTION = "Print the names of a kind, one per line."


def add_arguments(parser):
    """Declare the options of this verb."""
    parser.add_argument("--values", required=True, choices=tuple(KINDS), metavar="KIND",
                        help=f"what to name: {', '.join(KINDS)}")  # fmt: skip


def run(options, interrupts):
    """Print the names; return the exit code."""
    output.write("".join(f"{name}\n" for name in KINDS[options.values]()))
    return 0


def _policies():
    from pksm.policies import registry

    return registry.names()


def _presets():
    from pksm.policies import registry

    specs = map(registry.spec, registry.names())
    return [f"{spec.name}:{preset}" for spec in specs for preset in spec.presets if len(spec.presets) > 1]


def _settings():
    from pksm.policies import registry

    return [f"{name}.{setting}" for name in registry.names() for setting in registry.spec(name).settings.entries()]


def _checksums():
    from pksm.engine.checksums import strategies

    return strategies.names()


def _workloads():
    from pksm.simulation.workloads import WORKLOADS

    return WORKLOADS


KINDS = {
    "policy": _policies,
    "preset": _presets,
    "setting": _settings,
    "checksum": _checksums,
    "workload": _workloads,
}
