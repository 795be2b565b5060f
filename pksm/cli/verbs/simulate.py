"""pksm simulate: a workload in virtual time, and what a policy makes of its memory."""

import argparse

from pksm.cli import exit_codes, options, output
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import UsageError
from pksm.simulation.workloads import WORKLOADS

HELP = "play a workload on a simulated machine and see what merging does, in virtual time"
USAGE = "pksm simulate [OPTION...] WORKLOAD|TRACE|SCRIPT.py"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

workloads:
{chr(10).join(f"  {name:<11}  {text}" for name, text in WORKLOADS.items())}

examples:
  pksm simulate b --pages 2000 --policy pksmd:android-3.4   half unique pages, half pairs, as a kernel merges them
  pksm simulate trace.jsonl --set sleep_millisecs=50        what lines of JSON say, one operation each
  pksm simulate script.py --json                            def workload(machine, sim) of a Python file
  pksm simulate fork-family --policy ksmd,pksmd             KSM and PKSM, side by side
  pksm simulate b --policy ksmd,pksmd --set ksmd.pages_to_scan=1000"""
SAMPLE_MS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to simulate")
    what.add_argument("workload", nargs="?", metavar="WORKLOAD|TRACE|SCRIPT.py",
                      help="a workload by name (see above), a trace of JSON lines, or a Python file")  # fmt: skip
    options.add_workload(what, options.PAGES, "pages of a workload by name")
    what.add_argument("--frames", type=options.count, metavar="N",
                      help="frames of the machine (default 131072, or what the workload needs)")  # fmt: skip
    what.add_argument("--until", type=options.milliseconds, metavar="TIME",
                      help="virtual time to go to, no more and no less, such as 10s; without a unit: ms "
                      "(default: to the workload's end)")  # fmt: skip
    options.add_list(what, "the workloads and policies that there are")
    how = parser.add_argument_group("how to merge", options.policies_about())
    options.add_policy(how, "policies that get the same memory, side by side, with commas between; may be repeated")
    out = parser.add_argument_group("what to print")
    out.add_argument("--sample", type=options.milliseconds, default=SAMPLE_MS, metavar="TIME",
                     help="virtual time between two samples of all counters; without a unit: ms "
                     "(default %(default)s)")  # fmt: skip
    options.add_form(out, "pksm.simulate/1", "a line for each sample and each reading")


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Simulate and print; return the exit code."""
    if given.list:
        output.document(options.listing(workload=WORKLOADS, policy=options.policies()), given)
        return 0
    if given.workload is None:
        raise UsageError("say what to simulate, for example: pksm simulate b (--list lists the workloads)")
    from pksm.policies.registry import choose
    from pksm.simulation.run import Settings, simulate

    choices = choose(given.policy or "pksmd", given.set, given.seed)
    settings = Settings(
        workload=given.workload,
        pages=given.pages,
        frames=given.frames,
        seed=given.seed,
        until_ms=given.until,
        sample_ms=given.sample,
    )
    progress = output.Progress()

    def show(policy: str, now: int, wakes: int) -> None:
        progress.show(lambda: f"{policy}: {now / 1000:,.1f} s of virtual time, {wakes:,} wake-ups")

    document = simulate(settings, choices, show, interrupts.hold)
    for warning in document["warnings"]:
        output.remark(warning)
    output.document(document, given)
    return exit_codes.of(document)
