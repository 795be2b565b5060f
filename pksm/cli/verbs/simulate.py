"""pksm simulate: a workload in virtual time, and what a policy makes of its memory."""

import argparse
import os

from pksm.cli import exit_codes, options, output, pictures, sandbox
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import UsageError
from pksm.simulation.workloads import WORKLOADS

HELP = "play a workload on a simulated machine and see what merging does, in virtual time"
USAGE = "pksm simulate [OPTION...] WORKLOAD|TRACE|SCRIPT.py"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

workloads:
{chr(10).join(f"  {name}  {text}" for name, text in WORKLOADS.items() if not name.startswith("truth:"))}
  truth:W  A workload that was recorded in kernels, such as truth:W2; pksm truth --list lists them.

examples:
  pksm simulate b --pages 2000 --policy pksmd:android-3.4   half unique pages, half pairs, merged as a published kernel does
  pksm simulate trace.jsonl --set sleep_millisecs=50        a trace: lines of JSON, one operation each
  pksm simulate script.py --json                            a workload in Python
  pksm simulate fork-family --policy ksmd,pksmd             KSM and PKSM, side by side
  pksm simulate b --policy ksmd,pksmd --set ksmd.pages_to_scan=1000  the same, with a setting of one policy changed"""
SAMPLE_MS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to simulate")
    what.add_argument("workload", nargs="?", metavar="WORKLOAD|TRACE|SCRIPT.py",
                      help="a workload by name (see above), a trace of JSON lines, or a Python file that defines "
                      "workload(machine, sim)")  # fmt: skip
    options.add_workload(what, options.PAGES, "pages of a workload that is named")
    what.add_argument("--frames", type=options.count, metavar="N",
                      help="page frames of the machine (default 131072, or what the workload needs)")  # fmt: skip
    what.add_argument("--until", type=options.milliseconds, metavar="TIME",
                      help="stop at this virtual time, such as 10s; a number without a unit is in ms "
                      "(default: when the workload ends)")  # fmt: skip
    options.add_list(what, "the workloads and policies")
    how = options.policies_group(parser, "how to merge")
    options.add_policy(how, "policies to compare on the same memory, with commas between; may be repeated")
    out = parser.add_argument_group("what to print")
    out.add_argument("--sample", type=options.milliseconds, default=SAMPLE_MS, metavar="TIME",
                     help="virtual time between two samples of all counters; a number without a unit is in ms "
                     "(default %(default)s)")  # fmt: skip
    options.add_form(out, "pksm.simulate/1", "a line per sample and per reading")
    pictures.add_plot(out, "what is saved over virtual time")


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

    named = given.workload in WORKLOADS or given.workload.endswith(".py")
    refused = len(choices) > 1 and not os.path.isfile(given.workload)  # before a pipe is waited for
    with pictures.plotted(given.plot) as draw:
        document = sandbox.with_file(
            None if named or refused else given.workload,
            lambda opener, report: simulate(settings, choices, report, interrupts.hold, opener),
            show,
            interrupts,
        )
        for warning in document["warnings"]:
            output.remark(warning)
        draw(document)
    output.document(document, given)
    return exit_codes.of(document)
