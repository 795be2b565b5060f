"""Measures what opting in profitable ranges alone saves, and spares ksmd: `python benchmarks/opted_ranges.py [FILE]`.

A Python fork server with four workers is started anew for each run. All of its memory opts in, or the profitable ranges
alone; then the kernel's ksmd scans it. Borrows ksmd (root). Writes JSON to FILE and prints a line.
"""

import argparse
import sys
from pathlib import Path
from statistics import median

from storing import store

from pksm.bench.run import machine
from pksm.linux.ksm import Borrowed

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.fork_server import merged

RANGES = ("all", "profitable")


def main(words: list[str]) -> int:
    """Measure, print and store; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", help="where the JSON goes")
    parser.add_argument("--runs", type=int, default=5, help="of each (default %(default)s)")
    given = parser.parse_args(words)
    with Borrowed() as borrowed:
        rounds = [{ranges: merged(borrowed, ranges) for ranges in RANGES} for _ in range(given.runs)]
    every = [{ranges: dict(zip(("saved", "scanned"), run[ranges], strict=True)) for ranges in RANGES} for run in rounds]
    parts = {
        what: round(median(run["profitable"][what] / run["all"][what] for run in every), 4)
        for what in ("saved", "scanned")
    }
    print(
        f"profitable ranges save {100 * parts['saved']:.1f} % of what all memory does (target 95) for "
        f"{100 * parts['scanned']:.1f} % of the scanning (target 50)"
    )
    if given.file:
        found: dict = {"command": "python benchmarks/opted_ranges.py", "machine": machine(), "runs": given.runs}
        found |= {"parts": parts, "every_run": every}
        store(given.file, found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
