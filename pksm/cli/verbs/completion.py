"""pksm completion: the script for a shell, and the names that it completes."""

import argparse
from collections.abc import Callable, Iterable

from pksm.cli import options, output
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import UsageError

HELP = "print the completion script of a shell"
USAGE = "pksm completion bash\n       pksm completion --values KIND"
DESCRIPTION = """Print the completion script of a shell, or the names of a kind, one per line, which it completes.

example:
  eval "$(pksm completion bash)"     in ~/.bashrc: also for pksm in a virtual environment"""
SHELLS = ("bash",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    parser.add_argument("shell", nargs="?", choices=SHELLS, metavar="SHELL", help="bash")
    parser.add_argument("--values", choices=tuple(KINDS), metavar="KIND", help=f"what to name: {', '.join(KINDS)}")


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Print the script or the names; return the exit code."""
    if (given.shell is None) == (given.values is None):
        raise UsageError("say what to print, for example: pksm completion bash")
    output.write(_script() if given.shell else "".join(f"{name}\n" for name in KINDS[given.values]()))
    return 0


def _script() -> str:
    from pksm.cli.bash import script

    return script()


def _policies() -> Iterable[str]:
    from pksm.policies import registry

    return registry.names()


def _settings() -> Iterable[str]:
    """Names of settings with those of their policies, and bare ones, which mean all policies that have them."""
    from pksm.policies import registry

    entries = [(name, setting) for name in registry.names() for setting in registry.spec(name).settings.entries()]
    bare = dict.fromkeys(setting for _, setting in entries)
    return [*(f"{setting}=" for setting in bare), *(f"{name}.{setting}=" for name, setting in entries)]


def _checksums() -> Iterable[str]:
    from pksm.engine.checksums import strategies

    return strategies.names()


def _workloads() -> Iterable[str]:
    from pksm.simulation.workloads import WORKLOADS

    return WORKLOADS


def _loads() -> Iterable[str]:
    from pksm.simulation.workloads import LOADS

    return LOADS


def _recorded() -> Iterable[str]:
    from pksm.simulation.workloads import RECORDED

    return RECORDED


def _validation() -> Iterable[str]:
    from pksm.validation.kernel.validate import WORKLOADS

    return WORKLOADS


def _pids() -> Iterable[str]:
    from pksm.linux.proc import processes

    return map(str, processes.all_pids())


KINDS: dict[str, Callable[[], Iterable[str]]] = {
    "policy": _policies,
    "preset": options.policies,
    "setting": _settings,
    "checksum": _checksums,
    "workload": _workloads,
    "load": _loads,
    "recorded": _recorded,
    "validation": _validation,
    "pid": _pids,
}
