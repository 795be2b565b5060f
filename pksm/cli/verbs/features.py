"""pksm features: what this build and this machine can do."""

import argparse
from typing import cast

from pksm import __version__
from pksm.cli import options, output, sandbox
from pksm.cli.interrupts import HeldInterrupts
from pksm.documents import FeaturesDocument, MachineAbilities
from pksm.documents.features import SandboxAbilities
from pksm.policies.pksmd import tunables

HELP = "show what this build and this machine can do"
USAGE = "pksm features [--json|--csv]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}: the checksums and policies there are, the formats of images it reads, and what
the kernel lets this user see of processes.

examples:
  pksm features         a table
  pksm features --json  the same for programs"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    options.add_form(parser.add_argument_group("what to print"), "pksm.features/1", "a line per fact")


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Look, print and return the exit code."""
    output.document(gather_facts(), given)
    return 0


def gather_facts() -> FeaturesDocument:
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
        "policies": options.policies(),
        "sources": _sources(),
        "machine": cast(MachineAbilities, system.abilities()),
        "sandbox": _sandbox(),
    }


def _sandbox() -> SandboxAbilities:
    from pksm.linux.sandbox import landlock, worker

    held = worker.tried()
    return {
        "on": sandbox.is_on(),
        "no_new_privs": held is not None and held.no_new_privs,
        "no_capabilities": held is not None and held.capabilities,
        "landlock": landlock.abi() if held is not None and held.landlock else None,
        "seccomp": held is not None and held.seccomp,
    }


def _sources() -> dict[str, str]:
    """Kinds of sources by name, with the first line of what their modules say of themselves."""
    from pksm import sources
    from pksm.sources.live import process

    return {**sources.formats(), "process": process.__doc__.partition("\n")[0]}
