"""Plays what a kernel with UKSM was recorded doing, and keeps what comes out: `python benchmarks/uksm_truth.py [FILE]`.

The recordings are uksm-truth.jsonl, uksm-visits.jsonl.gz and uksm-batches.jsonl.gz in --folder. Kept are the counts of
`pksm truth`, by workloads and random traces, those in the kernel's own order of visits, and every number that differs,
with its note. Recordings of which a number differs without a note are played again with the model's CPU time dearer and
cheaper: a number that the kernel's lies within hangs on that. Writes JSON to FILE.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from storing import made_by, store

from pksm.policies.uksm import cpu
from pksm.validation import truth

UNSUPPORTED = 77
RECORDINGS, VISITS, BATCHES = "uksm-truth.jsonl", "uksm-visits.jsonl.gz", "uksm-batches.jsonl.gz"
OWN = "pksm truth uksm-truth.jsonl --json"
FED = "pksm truth uksm-truth.jsonl --visits uksm-visits.jsonl.gz --batches uksm-batches.jsonl.gz --json"
KINDS = {"W": "workloads", "F": "random traces"}  # by the first letter of their names
PRICES = "BATCH_NS", "NO_PAGE_NS", "PAGE_NS", "WORD_NS", "SEARCH_NS", "COMPARE_NS", "PASS_NS"
SCALES = 0.5, 0.7, 0.85, 1.2, 1.4, 2.0  # of all prices
COUNTS = ("numbers", "equal", "explained", "unexplained")


def counts_of(rows):
    """Return how many numbers there are, how many are equal, and how many of the others are explained."""
    equal = sum(row["kernel_value"] == row["ours"] for row in rows)
    explained = sum(row["kernel_value"] != row["ours"] and bool(row["note"]) for row in rows)
    return dict(zip(COUNTS, (len(rows), equal, explained, len(rows) - equal - explained), strict=True))


@contextmanager
def priced(scale):
    """Let everything cost so many times the CPU time of the model."""
    before = {name: getattr(cpu, name) for name in PRICES}
    try:
        for name, price in before.items():
            setattr(cpu, name, type(price)(price * scale))
        yield
    finally:
        for name, price in before.items():
            setattr(cpu, name, price)


def by_price(path, rows):
    """Return what the numbers of these rows are when CPU time is dearer or cheaper: each row with `least` and `most`."""
    names = {(row["kernel"], row["w"]) for row in rows}
    with open(path, encoding="utf-8") as lines, tempfile.NamedTemporaryFile("w", suffix=".jsonl") as some:
        for line in lines:
            one = json.loads(line)
            if (one["kernel"], one["w"]) in names:
                some.write(line)
        some.flush()
        found = {}
        for scale in SCALES:
            with priced(scale):
                for row in truth(traces=some.name, orders=0)["rows"]:
                    found.setdefault(_place(row), []).append(row["ours"])
    values = ([row["ours"], *found[_place(row)]] for row in rows)
    return [row | {"least": min(ours), "most": max(ours)} for row, ours in zip(rows, values, strict=True)]


def _place(row):
    return tuple(row[name] for name in ("kernel", "w", "phase", "counter"))


def kept(own, fed):
    """Return the document."""
    rows = own["rows"]
    kinds = {
        kind: {
            "recordings": len({(row["kernel"], row["w"]) for row in rows if row["w"].startswith(letter)}),
            **counts_of([row for row in rows if row["w"].startswith(letter)]),
        }
        for letter, kind in KINDS.items()
    }
    differing = [row for row in rows if row["kernel_value"] != row["ours"]]
    return made_by(
        "uksm_truth",
        own={
            "command": OWN,
            **{name: own[name] for name in COUNTS},
            "kinds": kinds,
            "by_counter": dict(Counter(row["counter"] for row in differing)),
            "readings": own["readings"],
            "differing": differing,
        },
        fed={
            "command": FED,
            **{name: fed[name] for name in COUNTS},
            "comparisons": fed["fed"],
            "differing": [row for row in fed["rows"] if row["kernel_value"] != row["ours"]],
        },
    )


def table(document):
    """Return the lines of two tables: what UKSM counts by itself, and in the kernel's order of visits."""
    own, fed = document["own"], document["fed"]
    lines = [f"`{own['command']}`:", "", f"| played by itself | recordings | {' | '.join(COUNTS)} |", "|---" * 6 + "|"]
    for kind, counts in own["kinds"].items():
        lines.append(f"| {kind} | {counts['recordings']} | {' | '.join(f'{counts[name]:,}' for name in COUNTS)} |")
    if found := own["by_price"]:
        within = [row for row in found if row["least"] <= row["kernel_value"] <= row["most"]]
        about = f"Of the {len(found)} unexplained numbers, {len(within)} lie within what comes out when CPU time costs "
        lines += ["", f"{about}{SCALES[0]:g} to {SCALES[-1]:g} times what the model says."]
    lines += ["", f"`{fed['command']}`:", "", "| in the kernel's order | compared | equal |", "|---|---|---|"]
    for what, (equal, n) in fed["comparisons"].items():
        lines.append(f"| {what} | {n:,} | {equal:,} |")
    return lines


def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/uksm_truth.py", description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", metavar="FILE", help="for the JSON")
    parser.add_argument("--folder", type=Path, default=Path(), help="of the recordings (default: this one)")
    parser.add_argument("--made", nargs=2, type=Path, metavar=("OWN", "FED"), help="documents of both, made before")
    given = parser.parse_args(argv)
    paths = [given.folder / name for name in (RECORDINGS, VISITS, BATCHES)]
    if missing := [str(path) for path in paths if not path.exists()]:
        print(f"benchmarks/uksm_truth.py: {missing[0]}: not there; name the folder with --folder", file=sys.stderr)
        return UNSUPPORTED
    recordings, visits, batches = map(str, paths)
    if given.made:
        own, fed = (json.loads(path.read_text(encoding="utf-8")) for path in given.made)
    else:
        own, fed = truth(traces=recordings), truth(traces=recordings, visits=visits, batches=batches)
    document = kept(own, fed)
    unknown = [row for row in document["own"]["differing"] if not row["note"]]
    document["own"]["by_price"] = by_price(recordings, unknown)
    print("\n".join(table(document)))
    store(given.file, document)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
