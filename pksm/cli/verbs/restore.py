"""pksm restore: the running kernel's KSM as it was before pksm apply."""

import argparse

from pksm.cli.interrupts import HeldInterrupts
from pksm.cli.verbs import apply
from pksm.errors import UsageError

HELP = "put back the settings of KSM that pksm apply has changed"
USAGE = "pksm restore --applied [OPTION...]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

Takes back all that was applied since this machine was started. If KSM did not run before, what it has merged gets
frames of its own again; that is refused if it would not fit into the memory that is available.

examples:
  pksm restore --applied --dry-run  show what would be put back
  pksm restore --applied            put it back"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to put back")
    what.add_argument("--applied", action="store_true", help="what pksm apply has set; it has to be asked for")
    apply.add_common(parser)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Put back, and print; return the exit code."""
    if not given.applied:
        raise UsageError("say what to put back: pksm restore --applied")
    from pksm.advice import applying

    with interrupts.hold():
        document = applying.restore(given.dry_run)
    return apply.show(document, given)
