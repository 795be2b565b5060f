"""Compares the four policies at one price on workloads and on memory of live programs: `python benchmarks/compared.py`.

Each memory is simulated by `pksm compare`, which tunes every policy to the same share of a core; live programs are read
once they have settled. Writes JSON to FILE, what is saved over time included.
"""

import argparse
import json
import subprocess
import sys
import time
from bisect import bisect_right
from contextlib import contextmanager
from pathlib import Path

from one_line import one_line
from storing import made_by, store

from pksm.errors import PksmError
from pksm.validation.kernel.loads import LOADS

WORKLOADS = {"f": ("f", 8192), "churn": ("churn", 2048)}  # static contents; contents that change
LIVE = {
    "redis": "2 redis servers under requests",
    "fork-server": "a Python fork server and its workers",
    "guests": "3 QEMU guests that boot",
}
SETTLE_S = 8.0
UNTIL, LONGER = "30s", {"guests": "180s"}  # virtual time, and of memory that ksmd has not seen twice by then
SHARE = 0.05  # of the best saving; below that, ratios of what is saved say nothing
FIGURES = (
    *("cpu_percent", "saved_bytes", "mean_saved_bytes", "reached_50_s", "reached_90_s"),
    *("metadata_bytes", "copies", "pages_visited"),
)


def _family(pid):
    """Return a process and all that descend from it."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [pid, *(one for child in text.split() for one in _family(int(child)))]


@contextmanager
def started(name):
    """Start live programs, and give the options that name them."""
    with LOADS[name].start() as pids:
        time.sleep(SETTLE_S)
        yield [word for pid in pids for one in _family(pid) for word in ("--pid", str(one))]


def compare(words, at_cpu, until):
    """Return what `pksm compare` says of a memory."""
    options = ["--at-cpu", at_cpu, "--until", until, "--json", "--workers", "1"]
    command = [sys.executable, "-m", "pksm", "compare", *words, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise PksmError(f"pksm compare {' '.join(words)}: exit code {done.returncode}")
    return json.loads(done.stdout)


def row_of(name, document):
    """Return what is kept of a comparison."""
    policies = [
        {
            "policy": row["policy"],
            "settings": row["settings"],
            "outcome": tuning["outcome"],
            **{figure: row[figure] and row[figure]["median"] for figure in FIGURES},
            "curve": [[time_s, saved] for time_s, saved, *_ in row["curve"]],
        }
        for row, tuning in zip(document["rows"], document["tuning"], strict=True)
    ]
    return {"memory": name, "best_bytes": document["best_bytes"], "policies": policies}


def most_of(row, policy, rival):
    """Return the largest ratio of what two policies have saved at one moment, once the rival has saved a share."""
    curves = {one["policy"].partition(":")[0]: one["curve"] for one in row["policies"]}
    ours, theirs = curves[policy], curves[rival]
    times = [moment for moment, _ in ours]
    ratios = [
        ours[at - 1][1] / saved
        for moment, saved in theirs
        if saved >= SHARE * row["best_bytes"] and (at := bisect_right(times, moment))
    ]
    return max(ratios, default=None)


def table(document):
    """Return the lines of a table: a line per memory and policy."""
    lines = [
        "| memory | policy | tuned to | CPU | saved | on average | 50 % after | 90 % after | records | undone | visits |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["rows"]:
        for first, one in enumerate(row["policies"]):
            name, value = next(iter(one["settings"].items()))
            cells = [
                "" if first else f"{row['memory']}, for {row['until'].rstrip('s')} s",
                one["policy"].partition(":")[0],
                f"`{name}` {value:,}" + {"below": ", no more"}.get(one["outcome"], ""),
                f"{one['cpu_percent']:.2g} %",
                *(f"{one[key] / (1 << 20):.1f} MiB" for key in ("saved_bytes", "mean_saved_bytes")),
                *(
                    "-" if one[key] is None else f"{one[key]:{'.0f' if one[key] >= 100 else '.2g'}} s"
                    for key in ("reached_50_s", "reached_90_s")
                ),
                f"{one['metadata_bytes'] / (1 << 20):.2g} MiB",
                *(f"{one[key]:,.0f}" for key in ("copies", "pages_visited")),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def claims(document, timed):
    """Return the lines of a table: what the papers claim, and the same ratios here, from the least to the most.

    timed: the document of benchmarks/policies.py.
    """
    rows = [(row, {one["policy"].partition(":")[0]: one for one in row["policies"]}) for row in document["rows"]]
    static, dynamic = ([row for row, _ in rows if ("churn" in row["memory"]) == moves] for moves in (False, True))
    visits = {
        row["policy"].partition(":")[0]: row["visits"]
        for row in sorted(timed["rows"], key=lambda row: row["pages"])  # of the largest memory
    }
    fewer = 100 * (1 - visits["cksm"] / visits["ksmd"])
    ratios = [
        ("UKSM (FAST 2018): saved by the same CPU time in the same time, to a scan of every page; static memory",
         "up to 12.6 ×", [most_of(row, "uksm", "ksmd") for row in static]),
        ("the same, memory that changes", "up to 5 ×", [most_of(row, "uksm", "ksmd") for row in dynamic]),
        ("CKSM (IPDPS 2024): memory saved, to UKSM", "3.02 × on average",
         [one["cksm"]["mean_saved_bytes"] / one["uksm"]["mean_saved_bytes"] for _, one in rows]),
        ("CKSM: response, to KSM; here the time to 90 % of the best saving", "2.79 ×",
         [one["ksmd"]["reached_90_s"] / one["cksm"]["reached_90_s"] for _, one in rows
          if one["ksmd"]["reached_90_s"] and one["cksm"]["reached_90_s"]]),
    ]  # fmt: skip
    lines = ["| claim | theirs | here |", "|---|---|---|"]
    for what, theirs, found in ratios:
        known = sorted(one for one in found if one is not None)
        ends = [f"{one:,.3g} ×" for one in (known[0], known[-1])] if known else ["-"]
        lines.append(f"| {what} | {theirs} | {' to '.join(dict.fromkeys(ends))} |")
    lines.append(
        f"| CKSM: overhead of scanning; here visits until nothing merges, to KSM | up to 80.99 % less | {fewer:.0f} % less |"
    )
    return lines


@one_line
def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/compared.py", description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", metavar="FILE", help="for the JSON")
    parser.add_argument("--only", action="append", choices=[*WORKLOADS, *LIVE], help="of the memories (default: all)")
    parser.add_argument("--at-cpu", default="1%", help="share of a core (default: 1%%)")
    parser.add_argument("--until", help=f"virtual time (default: {UNTIL}; guests: {LONGER['guests']})")
    given = parser.parse_args(argv)
    rows = []
    for name in given.only or [*WORKLOADS, *LIVE]:
        until = given.until or LONGER.get(name, UNTIL)
        if name in WORKLOADS:
            workload, pages = WORKLOADS[name]
            text = f"{workload}, {pages:,} pages"
            rows.append(row_of(text, compare([workload, "--pages", str(pages)], given.at_cpu, until)))
        else:
            with started(name) as words:
                rows.append(row_of(LIVE[name], compare(words, given.at_cpu, until)))
        rows[-1]["until"] = until
        print("\n".join(table({"rows": rows[-1:]})[2:]), flush=True)
    store(given.file, made_by("compared", at_cpu=given.at_cpu, rows=rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
