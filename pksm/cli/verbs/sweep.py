"""pksm sweep: every combination of settings simulated, and which of them nobody beats."""

import argparse

from pksm.cli import options, pictures, playing
from pksm.cli.interrupts import HeldInterrupts

HELP = "simulate every combination of settings, and show what each saves and costs"
USAGE = "pksm sweep [OPTION...] WORKLOAD|TRACE|SCRIPT.py|TARGET... --vary [POLICY.]NAME=VALUES... [-- COMMAND...]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

Each combination is simulated with each seed, for the same virtual time, in a process of its own. The table has the
median of each figure, CPU time by KSM's price list, and marks the rows that no other row of their policy beats; for
ksmd, the kernel's own advisor is one of them. pksm simulate --list lists the workloads; a TARGET is real memory, as
pksm simulate takes it: it is read once.

VALUES are values with commas between, or a range: 100:20000:log8 are eight values, each a like multiple of the one
before; 100:500:lin5 are five at even distances; 1:4 is every whole number.

examples:
  pksm sweep f --policy ksmd --vary pages_to_scan=100:20000:log8 --vary smart_scan=0,1 --seeds 5
  pksm sweep churn --policy ksmd,pksmd --vary ksmd.pages_to_scan=100,1000,5000 --vary pksmd.pages_to_scan=100,1000
  pksm sweep ram.img --pid 4711 --policy ksmd --vary pages_to_scan=100:20000:log8   real memory
  pksm sweep f --policy ksmd --vary pages_to_scan=100:20000:log24 --resume f.part --plot f.svg   goes on where it was ended"""
TAKES_COMMAND = True
UNTIL_MS = 120_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to simulate")
    playing.add_what(what)
    work = parser.add_argument_group("how to work")
    playing.add_runs(what, work, UNTIL_MS)
    how = parser.add_argument_group("how to merge", options.policies_about())
    options.add_policy(how, "policies to sweep, with commas between; may be repeated", "ksmd")
    how.add_argument("--vary", action="append", default=[], metavar="[POLICY.]NAME=VALUES",
                     help="a setting and its values, as above; POLICY may be left out if there is only one; may be "
                     "repeated: every combination is simulated")  # fmt: skip
    out = parser.add_argument_group("what to print")
    options.add_form(out, "pksm.sweep/1", "a line per combination of settings")
    pictures.add_plot(out, "what is saved, and how soon, over CPU time")
    pictures.add_html(out)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Sweep and print; return the exit code."""
    if given.list:
        return playing.listed(given)
    from pksm.simulation import sweep

    return playing.swept(
        given,
        interrupts,
        "simulating",
        UNTIL_MS,
        lambda workload, **how: sweep(workload, given.policy or "ksmd", given.vary, given.set, **how),
    )
