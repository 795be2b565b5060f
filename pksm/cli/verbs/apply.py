"""pksm apply: the running kernel's KSM as advice says."""

import argparse
from typing import TYPE_CHECKING

from pksm.cli import exit_codes, options, output, sandbox
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import PksmError, UsageError

if TYPE_CHECKING:
    from pksm.documents import ApplyDocument

HELP = "set the running kernel's KSM as pksm advise says"
USAGE = "pksm apply [OPTION...] ADVICE.json"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

Writes the settings of advice to /sys/kernel/mm/ksm, as root; they last until the next boot. What was there before is
kept under /var/lib/pksm, and only pksm restore --applied puts it back. If the kernel refuses a value, those before it
are taken back.

examples:
  pksm apply --dry-run advice.json  show what would be set; pksm advise --json has printed the file
  pksm apply advice.json            set it"""

UNDO = "pksm restore --applied"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to apply")
    what.add_argument("advice", nargs="?", metavar="ADVICE.json", help="what pksm advise --json has printed")
    add_common(parser)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Declare the options that restore has, too."""
    how = parser.add_argument_group("how")
    how.add_argument("--dry-run", action="store_true", help="change nothing: show what would be done")
    options.add_form(parser.add_argument_group("what to print"), "pksm.apply/1", "a line per setting")


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Apply, and print; return the exit code."""
    if given.advice is None:
        raise UsageError("name the advice, for example: pksm apply advice.json")
    from pksm.advice import applying
    from pksm.documents import stored

    stored.schemas()  # a worker can load no module
    try:
        advice = sandbox.with_file(
            given.advice, lambda opener, report: stored.load(given.advice, opener), lambda: None, interrupts
        )
    except OSError as error:
        raise PksmError(f"{given.advice}: cannot be read: {error.strerror}") from None
    if advice["schema"] != "pksm.advise/1":
        raise UsageError(f"{given.advice}: is not advice: pksm advise --json prints that")
    with interrupts.hold():
        document = applying.apply(advice, given.dry_run)
    return show(document, given, UNDO)


def show(document: "ApplyDocument", given: argparse.Namespace, undo: str = "") -> int:
    """Print what was done, and return the exit code."""
    for warning in document["warnings"]:
        output.remark(warning)
    output.document(document, given, undo=undo)
    return exit_codes.of(document)
