"""Measures the notes' own proposals against what was published: which births enter, when freed items go, how unshared
pages are looked at again.

python benchmarks/proposals.py [--pages N] writes benchmarks/results/choices.json
python benchmarks/proposals.py --table prints the stored figures as the table of docs/explanation/fidelity/proposals.md
"""

import argparse
import json
import sys
from pathlib import Path

from storing import store

ROOT = Path(__file__).resolve().parents[1]
STORED = ROOT / "benchmarks" / "results" / "choices.json"
WORKLOAD, REPEATS = "churn", 3
SAMPLE_MS = 5  # between wake-ups, too: there the del list is long
CHOICES = {
    "births": ("anonymous", "all"),
    "reclaim": ("del-list", "immediate"),
    "update": ("head", "rotate", "on-search"),
}
HEAD = (
    "| choice | saved, mean | saved, end | engine, most | items, mean "
    "| MiB hashed | visits | CPU ms | waited, 9 of 10 |"
)


def measure(changes, pages):
    """Return the figures of one run; cpu_ms is the best of REPEATS."""
    from pksm.policies.registry import choose
    from pksm.simulation.run import Settings, simulate

    settings = Settings(WORKLOAD, pages=pages, sample_ms=SAMPLE_MS)
    documents = [simulate(settings, choose("pksmd:fixed", changes)) for _ in range(REPEATS)]
    runs = [document["runs"][0] for document in documents]
    columns, rows = runs[0]["series"]["columns"], runs[0]["series"]["rows"]
    series = {name: [row[place] for row in rows] for place, name in enumerate(columns)}
    final = runs[0]["final"]
    assert all(run["final"]["counters"] == final["counters"] for run in runs)
    return {
        "frames_saved_mean": round(sum(series["frames_saved"]) / len(rows)),
        "frames_saved_end": final["counters"]["frames_saved"],
        "engine_bytes": final["engine_bytes"],
        "rmap_items_mean": round(sum(series["rmap_items"]) / len(rows)),
        "bytes_hashed": final["cost"]["bytes_hashed"],
        "pages_visited": final["cost"]["pages_visited"],
        "cpu_ms": round(1000 * min(_cpu_s(run) for run in runs), 1),
        "wait_ms_p90": final["merges"]["wait_ms"]["p90"],
    }


def _cpu_s(run):
    return sum(step["cpu_s"] for step in run["final"]["steps"].values())


def run(pages):
    """Measure every choice with all else as in preset `fixed`."""
    rows = [
        {"setting": name, "value": value, **measure({name: value}, pages)}
        for name, values in CHOICES.items()
        for value in values
    ]
    return {"workload": WORKLOAD, "pages": pages, "rows": rows}


def table(document):
    """Return the figures as lines of markdown."""
    lines = [HEAD, "|" + "---|" * (HEAD.count("|") - 1)]
    for row in document["rows"]:
        lines.append(
            f"| `{row['setting']}={row['value']}` | {row['frames_saved_mean']:,} | {row['frames_saved_end']:,} "
            f"| {row['engine_bytes'] >> 10:,} KiB | {row['rmap_items_mean']:,} | {row['bytes_hashed'] >> 20:,} "
            f"| {row['pages_visited']:,} | {row['cpu_ms']:,.0f} | {row['wait_ms_p90']:,} ms |"
        )
    return lines


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=16384, help="pages of the workload (default %(default)s)")
    parser.add_argument("--table", action="store_true", help="print the stored figures, measure nothing")
    parser.add_argument("--to", type=Path, default=STORED, help="where the figures go")
    options = parser.parse_args(argv)
    if not options.table:
        store(options.to, run(options.pages))
    print("\n".join(table(json.loads(options.to.read_text(encoding="utf-8")))))
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
