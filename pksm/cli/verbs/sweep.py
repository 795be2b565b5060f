"""pksm sweep: every combination of settings simulated, and which of them nobody beats."""

import argparse
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from pksm.cli import exit_codes, options, output, pictures, sandbox
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import UsageError
from pksm.simulation.workloads import WORKLOADS

HELP = "simulate every combination of settings, and show what each saves and costs"
USAGE = "pksm sweep [OPTION...] WORKLOAD|TRACE|SCRIPT.py --vary [POLICY.]NAME=VALUES..."
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

Each combination is simulated with each seed, for the same virtual time, in a process of its own. The table has the
median of each figure, CPU time by KSM's price list, and marks the rows that no other row of their policy beats; for
ksmd, the kernel's own advisor is one of them. pksm simulate --list lists the workloads.

VALUES are values with commas between, or a range: 100:20000:log8 are eight values, each a like multiple of the one
before; 100:500:lin5 are five at even distances; 1:4 is every whole number.

examples:
  pksm sweep f --policy ksmd --vary pages_to_scan=100:20000:log8 --vary smart_scan=0,1 --seeds 5
  pksm sweep churn --policy ksmd,pksmd --vary ksmd.pages_to_scan=100,1000,5000 --vary pksmd.pages_to_scan=100,1000
  pksm sweep f --policy ksmd --vary pages_to_scan=100:20000:log24 --resume f.part --plot f.svg   goes on where it was ended"""
SEEDS = 1
UNTIL_MS = 120_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to simulate")
    what.add_argument("workload", metavar="WORKLOAD|TRACE|SCRIPT.py",
                      help="a workload by name, a trace of JSON lines, or a Python file that defines "
                      "workload(machine, sim)")  # fmt: skip
    options.add_workload(what, options.PAGES, "pages of a workload that is named")
    what.add_argument("--seeds", type=options.count, default=SEEDS, metavar="N",
                      help="seeds to simulate with, from --seed on (default %(default)s)")  # fmt: skip
    what.add_argument("--until", type=options.milliseconds, default=UNTIL_MS, metavar="TIME",
                      help="virtual time that every run lasts, such as 10m; a number without a unit is in ms "
                      "(default 120s)")  # fmt: skip
    how = parser.add_argument_group("how to merge", options.policies_about())
    options.add_policy(how, "policies to sweep, with commas between; may be repeated", "ksmd")
    how.add_argument("--vary", action="append", default=[], metavar="[POLICY.]NAME=VALUES",
                     help="a setting and its values, as above; POLICY may be left out if there is only one; may be "
                     "repeated: every combination is simulated")  # fmt: skip
    work = parser.add_argument_group("how to work")
    work.add_argument("--workers", type=options.count, metavar="N",
                      help="processes side by side (default: one for each CPU, if memory allows)")  # fmt: skip
    work.add_argument("--resume", metavar="FILE",
                      help="keep the result of each run in FILE, and do not simulate again what is in it")  # fmt: skip
    out = parser.add_argument_group("what to print")
    options.add_form(out, "pksm.sweep/1", "a line per combination of settings")
    pictures.add_plot(out, "what is saved, and how soon, over CPU time")
    pictures.add_html(out)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Sweep and print; return the exit code."""
    from pksm.simulation import sweep

    progress = output.Progress()

    def show(done: int, total: int) -> None:
        progress.show(lambda: f"simulating: {done:,} of {total:,} runs")

    if given.workers == 0:
        raise UsageError("must be 1 at least", "workers")
    with pictures.made(given.plot, given.html) as draw:
        document = sweep(
            given.workload,
            given.policy or "ksmd",
            given.vary,
            given.set,
            seeds=given.seeds,
            until_ms=given.until,
            executor=_executor(given, interrupts),
            workers=given.workers,
            resume=given.resume,
            progress=show,
            hold=interrupts.hold,
            pages=given.pages,
            seed=given.seed,
        )
        for warning in document["warnings"]:
            output.remark(warning)
        draw(document)
    output.document(document, given)
    return exit_codes.of(document)


def _executor(given: argparse.Namespace, interrupts: HeldInterrupts) -> Executor | None:
    """Return who simulates: processes of ours, but a trace is read where it can do no harm, one run after the other."""
    name = given.workload
    is_trace = name not in WORKLOADS and not name.endswith(".py") and os.path.exists(name)
    return _InSandbox(name, interrupts) if is_trace and sandbox.is_on() else None


class _InSandbox(Executor):
    """Runs a task when it is submitted, in a worker that can do nothing but read the trace."""

    def __init__(self, path: str, interrupts: HeldInterrupts) -> None:
        if not os.path.isfile(path):
            raise UsageError(f"{path} is not a file, and can be read only once: save the trace to sweep over it")
        self._path, self._interrupts = path, interrupts

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Return the future of function(*arguments, opener): it is done."""
        future: Future[Any] = Future()
        future.set_result(
            sandbox.with_file(
                self._path,
                lambda opener, report: function(*arguments, opener),
                lambda *_: None,
                self._interrupts,
            )
        )
        return future
