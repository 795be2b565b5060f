"""pksm opt-out: running processes whose memory the kernel's KSM may not merge any more."""

import argparse

from pksm.cli.interrupts import HeldInterrupts
from pksm.cli.options import add_pids
from pksm.cli.verbs import opt_in

HELP = "let the kernel's KSM merge no memory of running processes any more"
USAGE = "pksm opt-out [OPTION...] --pid PID..."
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

What was merged gets frames of its own again, so look first whether so much memory is free. It works as opt-in does, and
undoes what a process has opted in by itself, too.

examples:
  pksm opt-out --pid 1234            nothing of it is merged any more
  pksm opt-out --pid 1234 --dry-run  show what has opted in"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    add_pids(parser.add_argument_group("what to opt out"))
    opt_in.add_common(parser)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Opt out, and print; return the exit code."""
    from pksm.advice.opting import opt

    opt_in.check(given, "opt-out")
    return opt_in.show(opt(given.pid, wanted=False, dry_run=given.dry_run), given)
