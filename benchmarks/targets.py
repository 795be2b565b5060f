"""Measures what pksm must reach, and what it aims at, and says of each whether it does.

Each row stands beside a yardstick of the same minutes. The targets are meant for 1,048,576 pages and a machine that does
nothing else; all rows take about ten minutes, 8 GiB of memory and 4 GiB of files. Figures are medians; every answer is
checked. A `?` behind a verdict: the interval of the median encloses what must be reached.
"""

import argparse
import json
import sys
from pathlib import Path

import command_rows
import engine_rows
from findings import Findings
from one_line import one_line
from storing import store

from pksm.bench.run import busy, interference, machine
from pksm.cli.options import count
from pksm.errors import UsageError
from pksm.linux import cpu_times

TARGETS = {**engine_rows.TARGETS, **command_rows.TARGETS}


def measure(findings, pages, directory):
    """Measure all rows that are wanted, those that share memory one after the other."""
    engine_rows.merging(findings, pages)
    engine_rows.scanning(findings, max(64, pages >> 2))
    engine_rows.waking(findings, max(64, pages >> 2))
    engine_rows.growing(findings, pages)
    engine_rows.freeing(findings, pages)
    command_rows.starting(findings, directory)
    command_rows.scanning(findings, pages, directory)
    command_rows.simulating(findings, pages)


def wanted(text):
    """Return names of rows; "pksmd" is all of pksmd-a, pksmd-e and so on."""
    found = set()
    for name in text.split(","):
        names = {row for row in TARGETS if row == name or row.startswith(f"{name}-")}
        if not names:
            raise UsageError(f"unknown row {name!r}: choose from {', '.join(TARGETS)}")
        found |= names
    return found


def parse(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/targets.py", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--only", default=",".join(TARGETS), help="rows, with commas between (default: all)")
    parser.add_argument("--list", action="store_true", help="list the rows, and do nothing else")
    parser.add_argument("--pages", type=count, default=1 << 20, help="that all sizes follow from (%(default)s)")
    parser.add_argument("--repeats", type=count, default=5, help="runs of each row, for the median (%(default)s)")
    parser.add_argument(
        "--most-seconds", type=float, default=30, help="of a row of commands, for more runs (%(default)s)"
    )
    parser.add_argument("--directory", type=Path, help="where files to scan may lie (the system's temporary files)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also store what was found")
    parser.add_argument(
        "--update", action="store_true", help="with --only: rows of FILE that are not measured now stay"
    )
    options = parser.parse_args(argv)
    options.only = wanted(options.only)
    if options.pages < 64 or options.repeats < 1:
        raise UsageError("there must be 64 pages and one repeat at least")
    return options


def about(document):
    """Return what the table is of, in a few sentences."""
    machine = document["machine"]
    said = (
        f"Made by `{document['command']}` on {machine['cpu']} ({machine['cpu_level']}, {machine['cores']} cores), Linux "
        f"{machine['kernel']}. *Must* and *aim* are at most so much, of ratios with ≥ at least; the interval encloses "
        "the median. Targets in seconds are of a machine that reads a page in 130 ns; what this one took in the same "
        "minutes stands beside."
    )
    if document["interference"]["trust"] != "times":
        said += " The machine was busy meanwhile: ratios hold, times do not."
    return said


def table(document):
    """Return the lines of a table: what pksm is to reach, and what was measured."""
    lines = ["| | must | aim | measured | interval | | beside |", "|---|---|---|---|---|---|---|"]
    for row in document["findings"]:
        sign = "≥ " if row["more"] else ""
        bounds = ["" if row[name] is None else f"{sign}{row[name]:g}" for name in ("must", "aim")]
        value, low, high = (f"{row[name]:.3g}" for name in ("value", "low", "high"))
        cells = [row["what"], *bounds, f"{value} {row['unit']}", f"{low} to {high}", row["verdict"], row["remark"]]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


@one_line
def main(argv):
    options = parse(argv)
    if options.list:
        for name, target in TARGETS.items():
            print(f"{name:18} {target.what}")
        return 0
    where, before = machine(), cpu_times.now()
    print(", ".join(f"{name} {value}" for name, value in where.items()), flush=True)
    findings = Findings(TARGETS, options.only, options.repeats, options.most_seconds)
    measure(findings, options.pages, options.directory)
    meanwhile = interference(where, before, findings.ours_s)
    if options.json:
        rows = {finding.name: finding.as_dict() for finding in findings.found}
        if options.update:
            earlier = json.loads(options.json.read_text(encoding="utf-8"))["findings"]
            rows = {row["name"]: row for row in earlier} | rows
        document = {
            "command": " ".join(["python benchmarks/targets.py", *([] if options.update else argv)]),
            "pages": options.pages,
            "machine": where,
            "interference": meanwhile,
            "findings": [rows[name] for name in TARGETS if name in rows],
        }
        store(options.json, document)
    verdicts = [finding.verdict for finding in findings.found]
    short = sum(verdict.startswith("short") for verdict in verdicts)
    for line in busy(meanwhile, where["cores"]):
        print(line)
    print(
        f"{len(verdicts)} rows in {meanwhile['seconds']:.0f} s: {verdicts.count('aim')} at the aim, {short} short of what they must reach"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
