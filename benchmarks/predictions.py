"""Shows predictions beside what the kernel's ksmd then did, as `pksm validate --predict --json` stores them, and which miss.

A figure is missed if the prediction is further from the kernel's median than is expected of it.
"""

import argparse
import json
import sys
from pathlib import Path

from pksm.report.text import seconds

# figure: (title, the most by which it may be missed)
FIGURES = {
    "saved": ("pages saved", 0.02),
    "reached_50_s": ("half after", 0.15),
    "reached_90_s": ("90 % after", 0.15),
    "cpu_s": ("CPU time", 0.20),
}
BY_SCANNED = 0.02


def miss(pair):
    """Return by which part of the kernel's median a prediction misses it."""
    return pair["ours"] / pair["kernel"] - 1


def is_missed(row, figure):
    """Return whether a figure of a row is further off than is expected."""
    return abs(miss(row[figure])) > FIGURES[figure][1]


def missed(document):
    """Return a line for each figure that is missed."""
    lines = [
        f"{row['workload']}, {row['setting']}: {title} {miss(row[figure]):+.1%}, not {most:.0%}"
        for row in document["rows"]
        for figure, (title, most) in FIGURES.items()
        if is_missed(row, figure)
    ]
    return lines + [
        f"{row['workload']}, {row['setting']}: saved by scanned {row['saved_by_scanned']:.1%}, not {BY_SCANNED:.0%}"
        for row in document["rows"]
        if row["saved_by_scanned"] > BY_SCANNED
    ]


def table(document):
    """Return the lines of a table: a row per program and setting, what is missed in bold."""
    head = ["program", "setting", *(title for title, _ in FIGURES.values()), "saved by scanned"]
    lines = [f"| {' | '.join(head)} |", "|---|---" + "|--:" * (len(head) - 2) + "|"]
    for row in document["rows"]:
        cells = [row["workload"], row["setting"]]
        for figure in FIGURES:
            ours = row[figure]["ours"]
            shown = f"{ours:,}" if figure == "saved" else seconds(ours)
            cell = f"{shown} ({100 * miss(row[figure]):+.1f} %)"
            cells.append(f"**{cell}**" if is_missed(row, figure) else cell)
        cells.append(f"{100 * row['saved_by_scanned']:.1f} %")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def about(document):
    """Return what the table is of, in a sentence or two."""
    skipped = "".join(f" {one['workload']} was left out: {one['reason']}." for one in document["skipped"])
    return (
        f"Made by `{document['command']}` on Linux {document['kernel']}; prices {document['prices']['source']}; medians of "
        f"{document['runs']} runs. In parentheses, by how much the prediction misses the kernel's median; in bold where "
        f"that is more than 15 % of a time, 20 % of CPU time, or 2 % of pages saved.{skipped}"
    )


def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/predictions.py", description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, metavar="FILE", help="what pksm validate --predict --json printed")
    document = json.loads(parser.parse_args(argv).file.read_text(encoding="utf-8"))
    print("\n".join(table(document)))
    lines = missed(document)
    print("\n".join(lines), file=sys.stderr)
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
