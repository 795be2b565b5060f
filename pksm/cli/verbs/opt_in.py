"""pksm opt-in: running processes whose memory the kernel's KSM may merge from now on."""

import argparse
from typing import TYPE_CHECKING

from pksm.cli import exit_codes, options, output
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import UsageError

if TYPE_CHECKING:
    from pksm.documents import OptInDocument

HELP = "let the kernel's KSM merge memory of running processes"
USAGE = "pksm opt-in [OPTION...] --pid PID..."
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

A process can opt in only by calls of its own, so pksm lets it make them: by ptrace, while it stands still, for less than
a millisecond as a rule, on x86-64 alone. No code is written to it, and it goes on as it was even if pksm is killed.
Processes that are stopped or traced, of 32 bits, with a seccomp filter or with a shadow stack are refused.

examples:
  pksm opt-in --pid 1234                                  all of its memory, now and later
  pksm opt-in --pid "$(pidof python3)" --ranges profitable  only where equal pages are now
  pksm opt-in --pid 1234 --ranges profitable --dry-run    show what would be done"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to opt in")
    options.add_pids(what)
    what.add_argument("--ranges", choices=["profitable", "all"], default="all",
                      help="profitable: only ranges with pages of which there are equals now, in these processes "
                      "(default all: of now and later)")  # fmt: skip
    add_common(parser)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Declare the options that opt-out has, too."""
    how = parser.add_argument_group("how")
    how.add_argument("--dry-run", action="store_true", help="change nothing: show what would be done")
    options.add_form(parser.add_argument_group("what to print"), "pksm.opt_in/1", "a line per process")


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Opt in, and print; return the exit code."""
    from pksm.advice.opting import opt

    check(given, "opt-in")
    progress = output.Progress()

    def read(pages: int) -> None:
        progress.show(lambda: f"read {pages:,} pages")

    return show(opt(given.pid, True, given.ranges, given.dry_run, read), given)


def check(given: argparse.Namespace, verb: str) -> None:
    """Refuse to work on nothing."""
    if not given.pid:
        raise UsageError(f"name a process: pksm {verb} --pid PID")


def show(document: "OptInDocument", given: argparse.Namespace) -> int:
    """Print what was done, and return the exit code."""
    for warning in document["warnings"]:
        output.remark(warning)
    output.document(document, given)
    return exit_codes.of(document)
