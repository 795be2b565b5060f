"""pksm compare: policies on the same memory, each tuned to the same CPU time."""

import argparse
import math

from pksm.cli import options, pictures, playing
from pksm.cli.interrupts import HeldInterrupts

HELP = "simulate policies on the same memory, each tuned to the same CPU time"
USAGE = "pksm compare [OPTION...] WORKLOAD|TRACE|SCRIPT.py|TARGET... [--pid PID]... [--all] [-- COMMAND...]"
AT_CPU = 5.0
UNTIL_MS = 120_000
RUNS = 15  # at most: those of the rounds of simulation.at_cpu
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

Of each policy the setting that paces it is turned until it takes as much of a core as --at-cpu says, by one price list
for all: pages_to_scan of ksmd and pksmd, max_cpu_percentage of uksm, unmerge_pages_to_scan of cksm. One that is named in
--set stays as it is set. The table has what each policy then saves, how soon, and what is not like for like. Prices are
those of this machine if pksm validate --calibrate has measured them.

Up to {RUNS} simulations per policy find its setting, each of all pages for all of --until. At the defaults,
{options.PAGES:,} pages and {UNTIL_MS // 1000} s of virtual time, that can take more than ten minutes, as for fork-family: try
--pages 16384 --until 30s first. --resume keeps what was simulated.

examples:
  pksm compare f                                        all policies at 5 % of a core
  pksm compare churn --policy ksmd,uksm:uksm-fixed --at-cpu 1%
  pksm compare ram.img --at-cpu 20 --until 10m --html ram.html   memory of a guest, as a page
  pksm compare work.pksmrec --set ksmd.use_zero_pages=1   what was recorded, with KSM's zero pages on"""
TAKES_COMMAND = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to simulate")
    playing.add_what(what)
    work = parser.add_argument_group("how to work")
    playing.add_runs(what, work, UNTIL_MS)
    how = options.policies_group(parser, "how to merge")
    how.add_argument("--at-cpu", type=_percent, default=AT_CPU, metavar="PERCENT",
                     help=f"of one core that each policy is to take (default {AT_CPU:g}%%)")  # fmt: skip
    options.add_policy(how, "policies to compare, each once, with commas between; all: all that can be tuned", "all")
    out = parser.add_argument_group("what to print")
    options.add_form(out, "pksm.compare/1", "a line per policy")
    pictures.add_plot(out, "what each policy saves over virtual time")
    pictures.add_html(out)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Compare and print; return the exit code."""
    if given.list:
        return playing.listed(given)
    from pksm.simulation import compare_at_cpu

    return playing.swept(
        given,
        interrupts,
        "tuning",
        UNTIL_MS,
        lambda workload, **how: compare_at_cpu(workload, given.policy or "all", given.at_cpu, given.set, **how),
    )


def _percent(text: str) -> float:
    """Return a share of a core: 5, 5% or 0.5%."""
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage of one core: write 5 or 0.5%, 100 at most")
    return value
