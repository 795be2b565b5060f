"""pksm watch: what the kernel's KSM saves, drawn anew in a terminal, or line by line."""

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pksm.cli import options, output
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import UsageError

if TYPE_CHECKING:
    from pksm.advice.watched import Course
    from pksm.documents import WatchDocument

HELP = "watch what the kernel's KSM saves"
USAGE = "pksm watch [OPTION...]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

It shows what is saved now and what has changed since the look before: the CPU time of ksmd in percent of a core, pages
that it visited, merges that were undone because a page was written, full scans since the machine started. KSM is at rest
after two full scans that find nothing new: so many scans are left, and how long they take at the pace of now. With
--exact, all memory that has opted in is read, and the share that has been reached of what KSM can save is shown, of all
and of each process. It exceeds 100 % if more was merged since that reading, as when a process forks.

In a terminal it is a view with the processes that have the most merged pages, if the library Rich is installed (extra
cli). Otherwise each look is a line, and the processes come at the end, by Ctrl-C or after --duration.

examples:
  pksm watch                         each second, until Ctrl-C
  pksm watch --interval 10s --duration 1h
  pksm watch --exact 1m              with the share of what can be saved, counted every minute
  pksm watch --json                  a JSON document per line, pksm.watch/1, for collectors"""
INTERVAL_S = 1.0
LEAST_S = 0.001
UNKNOWN = (
    "what KSM can save is not known: no memory that has opted in can be read, or the frames of some are hidden from this "
    "user; run pksm as root"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    when = parser.add_argument_group("when to look")
    when.add_argument("--interval", type=options.seconds, default=INTERVAL_S, metavar="TIME",
                      help="time between two lines (default 1s)")  # fmt: skip
    when.add_argument("--duration", type=options.seconds, metavar="TIME",
                      help="stop after so long (default: Ctrl-C stops it)")  # fmt: skip
    when.add_argument("--exact", type=options.seconds, metavar="TIME",
                      help="read all that has opted in at first and again after this long, to know what KSM can save "
                      "(default: never)")  # fmt: skip
    out = parser.add_argument_group("what to print")
    forms = out.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print a JSON document (schema pksm.watch/1) per line")
    forms.add_argument("--csv", action="store_true", help="print CSV with a header line: a line per look")


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Watch until that is over; return the exit code."""
    from pksm.advice.watched import Course, of_processes
    from pksm.linux.ksm import files, watch
    from pksm.report import watch as report

    if given.interval < LEAST_S:
        raise UsageError("must be 1 ms at least", "interval")
    if given.exact is not None and given.exact < LEAST_S:
        raise UsageError("must be 1 ms at least", "exact")
    watching = watch.Watch()
    course = Course(watching.sample())
    if why := files.why_idle():
        output.remark(why)
    ends = None if given.duration is None else course.last.at_s + given.duration
    document, code, exact_at = None, 0, -math.inf
    with _shown(given) as (show, is_live):
        try:
            while ends is None or course.last.at_s < ends:
                if given.exact is not None and course.last.at_s >= exact_at:
                    exact_at = _look_exactly(course, exact_at < 0) + given.exact
                due = course.last.at_s + given.interval
                time.sleep(max(0.0, min(due, ends if ends is not None else due) - time.monotonic()))
                with interrupts.hold():
                    document = course.line(watching.sample(), watch.processes() if given.json or is_live else ())
                    show(document)
        except KeyboardInterrupt:
            if document is None:
                raise
            code = interrupts.last.exit_code if interrupts.last else 130
    if document and not (given.json or given.csv or is_live):
        document["processes"] = of_processes(watch.processes(), course.most)
        output.write("\n".join(report.processes(document)) + "\n" if document["processes"] else "")
    return code


def _look_exactly(course: "Course", is_first: bool) -> float:
    """Find out what KSM can save, or say at first that it is not known, and return the time."""
    from pksm.advice.watched import most

    course.most = most(len(os.sched_getaffinity(0)))
    if course.most is None and is_first:
        output.remark(UNKNOWN)
    return time.monotonic()


@contextmanager
def _shown(given: argparse.Namespace) -> Iterator[tuple[Callable[["WatchDocument"], None], bool]]:
    """Give a function that shows a document, and whether that is a view which stays on the terminal."""
    from pksm.report import watch as report
    from pksm.report import watch_live

    if not (given.json or given.csv) and output.is_terminal() and watch_live.is_there():
        with watch_live.view() as draw:
            yield draw, True
        return
    shown = 0

    def show(document: "WatchDocument") -> None:
        nonlocal shown
        if given.json:
            output.write(json.dumps(document) + "\n")
        elif given.csv:
            output.write(report.csv(document).split("\n", 1 if shown else 0)[-1])
        else:
            output.write(f"{report.HEAD}\n" * (not shown) + report.line(document) + "\n")
        shown += 1

    yield show, False
