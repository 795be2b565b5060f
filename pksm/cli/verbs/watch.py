"""pksm watch: what the kernel's KSM saves, line by line."""

import argparse
import json
import time

from pksm.cli import options, output
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import UsageError

HELP = "watch what the kernel's KSM saves, line by line"
USAGE = "pksm watch [OPTION...]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

Each line has what is saved now and what has changed since the line before: the CPU time of ksmd in percent of a core,
pages that it visited, merges that were undone because a page was written, full scans since the machine started. At the
end, by Ctrl-C or after --duration, come the processes with the most merged pages.

examples:
  pksm watch                         a line per second, until Ctrl-C
  pksm watch --interval 10s --duration 1h
  pksm watch --json                  a JSON document per line, pksm.watch/1, for collectors"""
INTERVAL_S = 1.0
LEAST_S = 0.001


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    when = parser.add_argument_group("when to look")
    when.add_argument("--interval", type=options.seconds, default=INTERVAL_S, metavar="TIME",
                      help="time between two lines (default 1s)")  # fmt: skip
    when.add_argument("--duration", type=options.seconds, metavar="TIME",
                      help="stop after so long (default: Ctrl-C stops it)")  # fmt: skip
    out = parser.add_argument_group("what to print")
    forms = out.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print a JSON document (schema pksm.watch/1) per line")
    forms.add_argument("--csv", action="store_true", help="print CSV with a header line: a line per look")


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Watch until that is over; return the exit code."""
    from pksm.advice.watched import of_processes, watched
    from pksm.linux.ksm import watch
    from pksm.report import watch as report

    if given.interval < LEAST_S:
        raise UsageError("must be 1 ms at least", "interval")
    watching = watch.Watch()
    before = watching.sample()
    ends = None if given.duration is None else before.at_s + given.duration
    document, is_first, code = None, True, 0
    try:
        while ends is None or before.at_s < ends:
            due = before.at_s + given.interval
            time.sleep(max(0.0, min(due, ends if ends is not None else due) - time.monotonic()))
            with interrupts.hold():
                now = watching.sample()
                document = watched(before, now, watch.processes() if given.json else ())
                before = now
                if given.json:
                    output.write(json.dumps(document) + "\n")
                elif given.csv:
                    output.write(report.csv(document).split("\n", 0 if is_first else 1)[-1])
                else:
                    output.write(f"{report.HEAD}\n" * is_first + report.line(document) + "\n")
                is_first = False
    except KeyboardInterrupt:
        if document is None:
            raise
        code = interrupts.last.exit_code if interrupts.last else 130
    if document and not (given.json or given.csv):
        document["processes"] = of_processes(watch.processes())
        output.write("\n".join(report.processes(document)) + "\n" if document["processes"] else "")
    return code
