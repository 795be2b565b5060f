"""pksm simulate: a workload in virtual time, and what a policy makes of its memory."""

import argparse
import os

from pksm.cli import exit_codes, options, output, pictures, playing, sandbox
from pksm.cli.interrupts import HeldInterrupts
from pksm.simulation.workloads import WORKLOADS

HELP = "play a workload, or real memory, on a simulated machine and see what merging does, in virtual time"
USAGE = "pksm simulate [OPTION...] WORKLOAD|TRACE|SCRIPT.py|TARGET... [--pid PID]... [--all] [-- COMMAND...]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

workloads:
{chr(10).join(f"  {name}  {text}" for name, text in WORKLOADS.items() if not name.startswith("truth:"))}
  truth:W  A workload that was recorded in kernels, such as truth:W2; pksm truth --list lists them.

A TARGET is what pksm scan takes: memory images, fingerprints, live processes. They are read once, and simulated as the
processes that they are, with the frames that they share where these are known (as root). Their pages do not change in
the simulation. In a recording of pksm record they do, as they did then.

examples:
  pksm simulate b --pages 2000 --policy pksmd:android-3.4   half unique pages, half pairs, merged as a published kernel does
  pksm simulate trace.jsonl --set sleep_millisecs=50        a trace: lines of JSON, one operation each
  pksm simulate script.py --json                            a workload in Python
  pksm simulate ram.img --pid 4711 --policy ksmd,pksmd      real memory: an image and a live process
  pksm simulate work.pksmrec --policy ksmd                  a recording of what was written to real memory
  pksm simulate fork-family --policy ksmd,pksmd             KSM and PKSM, side by side
  pksm simulate b --policy ksmd,pksmd --set ksmd.pages_to_scan=1000  the same, with a setting of one policy changed"""
TAKES_COMMAND = True
SAMPLE_MS = 100
PACES = IDEAL, _ = "ideal", "kernel"  # those of the simulation, which help does without


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to simulate")
    playing.add_what(what)
    what.add_argument("--frames", type=options.count, metavar="N",
                      help="page frames of the machine (default 131072, or what the workload needs)")  # fmt: skip
    what.add_argument("--until", type=options.milliseconds, metavar="TIME",
                      help="stop at this virtual time, such as 10s; a number without a unit is in ms "
                      "(default: when the workload ends)")  # fmt: skip
    what.add_argument("--pace", choices=PACES, default=IDEAL, metavar="PACE",
                      help="ideal: wake-ups take no time, and sleeps are as long as they are asked to be; kernel: wake-ups "
                      "take what their work costs, and sleeps end with a tick of the timer (default %(default)s)")  # fmt: skip
    how = options.policies_group(parser, "how to merge")
    options.add_policy(how, "policies to compare on the same memory, with commas between; may be repeated")
    out = parser.add_argument_group("what to print")
    out.add_argument("--sample", type=options.milliseconds, default=SAMPLE_MS, metavar="TIME",
                     help="virtual time between two samples of all counters; a number without a unit is in ms "
                     "(default %(default)s)")  # fmt: skip
    options.add_form(out, "pksm.simulate/1", "a line per sample and per reading")
    pictures.add_plot(out, "what is saved over virtual time")
    pictures.add_html(out)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Simulate and print; return the exit code."""
    if given.list:
        return playing.listed(given)
    from pksm.policies.registry import choose
    from pksm.simulation.prices import prices_here
    from pksm.simulation.run import Settings, simulate

    choices = choose(given.policy or "pksmd", given.set, given.seed)
    workload = playing.what(given, interrupts)
    played = workload if isinstance(workload, str) else None
    progress = output.Progress()

    def show(policy: str, now: int, wakes: int) -> None:
        progress.show(lambda: f"{policy}: {now / 1000:,.1f} s of virtual time, {wakes:,} wake-ups")

    named = played is None or played in WORKLOADS or played.endswith(".py")
    refused = len(choices) > 1 and played is not None and not os.path.isfile(played)  # before a pipe is waited for
    with pictures.made(given.plot, given.html) as draw:
        settings = Settings(
            workload=workload,
            pages=given.pages,
            frames=given.frames,
            seed=given.seed,
            until_ms=given.until,
            sample_ms=given.sample,
            pace=given.pace,
            opted_in_only=given.opted_in,
            prices=prices_here(),  # a worker cannot read what was measured
            between=given.between,
        )
        document = sandbox.with_file(
            None if named or refused else played,
            lambda opener, report: simulate(settings, choices, report, interrupts.hold, opener),
            show,
            interrupts,
        )
        for warning in document["warnings"]:
            output.remark(warning)
        draw(document)
    output.document(document, given)
    return exit_codes.of(document)
