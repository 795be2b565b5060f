"""pksm features: what this build and this machine can do."""

from pksm import __version__
from pksm.cli import output
from pksm.policies.pksmd import tunables

HELP = "tell what this build and this machine can do"
USAGE = "pksm features [--json|--csv]"
DESCRIPTION = f"{HELP[0].upper()}{HELP[1:]}."


def add_arguments(parser):
    """Declare the options of this verb."""
    form = parser.add_argument_group("what to print").add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as one JSON document (schema pksm.features/1)")
    form.add_argument("--csv", action="store_true", help="a line for each fact")


def run(options, interrupts):
    """Look, print and return the exit code."""
    output.document(gather_facts(), options)
    return 0


def gather_facts():
    """Return what there is, as a dict ready for json."""
    from pksm.engine import native
    from pksm.engine.checksums import strategies as checksums
    from pksm.linux import system

    return {
        "schema": "pksm.features/1",
        "version": __version__,
        "cpu_levels": native.cpu_levels(),
        "checksums": checksums.widths(),
        "default_checksum": checksums.DEFAULT,
        "orders": list(tunables.SETTINGS["order"].metadata["choices"]),
        "presets": list(tunables.PRESETS),
        "sources": _sources(),
        "machine": system.abilities(),
    }


def _sources():
    """Kinds of sources by name, with the first line of what their modules say of themselves."""
    from pksm import sources
    from pksm.sources.live import process

    return {**sources.formats(), "process": process.__doc__.partition("\n")[0]}
