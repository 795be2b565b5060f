"""pksm simulate: a workload in virtual time, and what a policy makes of its memory."""

import argparse
import os
from typing import TYPE_CHECKING

from pksm.cli import exit_codes, options, output, pictures, privileges, reading, sandbox
from pksm.cli.interrupts import HeldInterrupts
from pksm.cli.targets import Targets
from pksm.errors import UsageError
from pksm.simulation.workloads import WORKLOADS

if TYPE_CHECKING:
    from pksm.simulation import RealMemory

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
HEAD_BYTES = 4096
TRACES = (".jsonl", ".json")
CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\f\r")  # no text has them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to simulate")
    what.add_argument("workload", nargs="*", metavar="WORKLOAD|TRACE|SCRIPT.py|TARGET",
                      help="a workload by name (see above), a trace of JSON lines, a Python file that defines "
                      "workload(machine, sim), or memory images (any other file is one)")  # fmt: skip
    reading.add_live(what)
    what.add_argument("--opted-in", action="store_true",
                      help="let KSM merge only what processes have opted in (default: all, as if they had)")  # fmt: skip
    options.add_page_size(what)
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
    pictures.add_html(out)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Simulate and print; return the exit code."""
    if given.list:
        output.document(options.listing(workload=WORKLOADS, policy=options.policies()), given)
        return 0
    if not given.workload and not reading.is_live(given):
        raise UsageError("say what to simulate, for example: pksm simulate b (--list lists the workloads)")
    from pksm.policies.registry import choose
    from pksm.simulation.run import Settings, simulate

    choices = choose(given.policy or "pksmd", given.set, given.seed)
    played = _one_workload(given)
    progress = output.Progress()

    def show(policy: str, now: int, wakes: int) -> None:
        progress.show(lambda: f"{policy}: {now / 1000:,.1f} s of virtual time, {wakes:,} wake-ups")

    named = played is None or played in WORKLOADS or played.endswith(".py")
    refused = len(choices) > 1 and played is not None and not os.path.isfile(played)  # before a pipe is waited for
    with pictures.made(given.plot, given.html) as draw:
        settings = Settings(
            workload=_read(given, interrupts) if played is None else played,
            pages=given.pages,
            frames=given.frames,
            seed=given.seed,
            until_ms=given.until,
            sample_ms=given.sample,
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


def _one_workload(given: argparse.Namespace) -> str | None:
    """Return the workload, trace or script that was named; None if it was real memory. UsageError for both together."""
    playable = [name for name in given.workload if not _is_memory(name)]
    if not playable:
        return None
    if len(given.workload) > 1 or reading.is_live(given):
        raise UsageError(
            f"{playable[0]}: is played alone; beside memory images and processes there is only more memory"
        )
    if given.page_size is not None or given.opted_in:
        raise UsageError(f"{playable[0]}: is not real memory: leave out --page-size and --opted-in")
    return str(playable[0])


def _is_memory(name: str) -> bool:
    """Return whether a name is that of a memory image: a file that is not text of a trace. UsageError for a damaged recording."""
    if name in WORKLOADS or name.endswith(".py") or not os.path.isfile(name):
        return False
    from pksm.recording.reader import is_damaged, is_recording

    try:
        with open(name, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return False  # whoever plays it says why
    if is_recording(head):
        return False
    if is_damaged(name, head):
        raise UsageError(f"{name}: is a damaged recording: it does not begin as one")
    return _is_binary(head) or not (name.endswith(TRACES) or _begins_as_trace(head))


def _is_binary(head: bytes) -> bool:
    """Return whether a file that begins with these bytes is not text."""
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start < len(head) - 4 or len(head) < HEAD_BYTES  # a character may be cut off at the end
    return not CONTROLS.isdisjoint(head)


def _begins_as_trace(head: bytes) -> bool:
    """Return whether the first line that is not empty and no comment is a JSON object, or there is none."""
    lines = (line.strip() for line in head.split(b"\n"))
    return next((line for line in lines if line and not line.startswith(b"#")), b"{").startswith(b"{")


def _read(given: argparse.Namespace, interrupts: HeldInterrupts) -> "RealMemory":
    """Read what was named, as real memory."""
    from pksm.engine import native
    from pksm.scan import Interrupts
    from pksm.simulation import from_sources
    from pksm.sources import opened

    native.catch_bus_errors()
    with sandbox.for_files(bool(given.workload)) as box:
        targets = Targets(reading.names_of(given, given.workload), box)
        with opened(targets.openers, interrupts.hold) as (sources, errors):
            memory = from_sources(
                sources,
                page_size=given.page_size,
                threads=len(os.sched_getaffinity(0)),
                opted_in_only=given.opted_in,
                progress=output.Progress(),
                errors=errors,
                interrupts=Interrupts(interrupts.hold),
                reading=privileges.Reduced(reading.freezer(given, sources, targets.cgroups), given),
            )
    for warning in memory.warnings:
        output.remark(warning)
    return memory
