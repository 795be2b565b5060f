"""Times the four policies on the realistic mix, from the birth of all pages until no counter moves:
`python benchmarks/policies.py [FILE]`.

Two times are taken: until the last counter but those of work has moved, and until the policy is at rest, for which it
visits pages again that will never merge. CPU time of one process, memory touched before; medians of several runs. Every
answer is checked: exactly the equal pages share a frame, as the load has them by construction. For that, ksmd merges
zero pages as the others do, and sets no limit to the sharers of a page. Writes JSON to FILE.
"""

import argparse
import gc
import json
import sys
import time
from statistics import median

from one_line import one_line
from storing import made_by, store

from pksm.bench.engine_jobs import BATCH, PERIOD_SECONDS, check_frames
from pksm.bench.yardsticks import Ground
from pksm.errors import PksmError
from pksm.hosts.flat import FlatHost
from pksm.policies.registry import choose_one

LOAD = "f"
SIZES = (1 << 18, 1 << 20)
REPEATS = 3
CHANGES = {
    "ksmd": {"pages_to_scan": BATCH, "use_zero_pages": 1, "max_page_sharing": 0},
    "pksmd": {"pages_to_scan": BATCH, "period_seconds": PERIOD_SECONDS},
    "uksm": {},
    "cksm": {},
}
MOST_WAKES = 10_000_000
AT_ONCE = 1000  # wake-ups, where one call can make several: at each one in which anything merges it returns


def results(policy):
    """What stays as it is once nothing merges any more."""
    return [count for name, count in policy.counters().items() if name not in policy.spec.work]


def run(ground, name):
    """Return one run's figures. PksmError unless the answer is right."""
    gc.collect()
    host = FlatHost(ground.store, static=True)
    policy = choose_one(name, CHANGES[name]).make(host)
    began = time.process_time()
    host.add(ground.pages)
    visits, wakes, last = 0, 0, results(policy)
    moved = began, 0
    while wakes == 0 or not policy.at_rest:
        more, looked_at = policy.wake_on(AT_ONCE) if name == "uksm" else (1, policy.wake())
        wakes += more
        visits += looked_at
        now = results(policy)
        if now != last:
            moved, last = (time.process_time(), visits), now
        if wakes > MOST_WAKES:
            raise PksmError(f"{name}: not at rest after {wakes:,} wake-ups")
    ended = time.process_time()
    saved = check_frames(ground.load, host.frame_of[ground.pages], ground.first)
    policy.check()
    return {
        "cpu_s": moved[0] - began,
        "visits": moved[1],
        "rest_cpu_s": ended - began,
        "rest_visits": visits,
        "wakes": wakes,
        "saved": saved,
    }


def measure(ground, name, repeats=REPEATS):
    """Return the row of a policy on this ground: medians, and what they come to per CPU second."""
    runs = [run(ground, name) for _ in range(repeats)]
    row = {"policy": choose_one(name).name, "pages": len(ground.pages)}
    row |= {figure: median(one[figure] for one in runs) for figure in runs[0]}
    if len({(one["visits"], one["rest_visits"], one["saved"]) for one in runs}) > 1:
        raise PksmError(f"{name}: runs differ in what they did")
    row["pages_per_cpu_s"] = row["pages"] / row["cpu_s"]
    row["visits_per_cpu_s"] = row["visits"] / row["cpu_s"]
    row["rest_pages_per_cpu_s"] = row["pages"] / row["rest_cpu_s"]
    row["rest_visits_per_cpu_s"] = row["rest_visits"] / row["rest_cpu_s"]
    return row


def about(document):
    """Return what the table is of, in a sentence or two."""
    of = document["machine"]
    return (
        f"Made by `{document['command']}` on {of['cpu']} ({of['cpu_level']}), one core: load {document['load']}, from the "
        f"birth of all pages; millions per CPU second, medians of {document['repeats']}. All end with exactly the equal "
        "pages in one frame."
    )


def table(document):
    """Return the lines of a table: pages and visits per CPU second until no counter moves, and until rest."""
    heads = ["policy", "pages", "saved", "until no counter moves: pages", "visits", "visits of a page"]
    heads += ["until it is at rest: pages", "visits", "visits of a page", "wake-ups"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in document["rows"]:
        cells = [row["policy"], f"{row['pages']:,}", f"{row['saved']:,}"]
        for until in ("", "rest_"):
            cells += [f"{row[until + figure] / 1e6:.3g}" for figure in ("pages_per_cpu_s", "visits_per_cpu_s")]
            cells.append(f"{row[until + 'visits'] / row['pages']:.1f}")
        cells.append(f"{row['wakes']:,}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


@one_line
def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/policies.py", description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", metavar="FILE", help="for the JSON")
    parser.add_argument("--pages", type=int, action="append", help=f"of the load (default: {SIZES})")
    parser.add_argument("--policy", action="append", choices=list(CHANGES), help="of the policies (default: all)")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    given = parser.parse_args(argv)
    rows = []
    for pages in given.pages or SIZES:
        ground = Ground(pages)
        ground.fill(LOAD)
        for name in given.policy or CHANGES:
            rows.append(measure(ground, name, given.repeats))
            print(json.dumps(rows[-1]), flush=True)
        ground.store.close()
    store(given.file, made_by("policies", load=LOAD, repeats=given.repeats, rows=rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
