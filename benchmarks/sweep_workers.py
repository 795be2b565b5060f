"""Times a sweep of 24 settings in processes of our own and on a Dask cluster of as many, by turns: all find the same.

The profiler of Dask's workers is off: it looks at what they do 100 times a second, for a tenth of their time.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from statistics import median

from storing import store

from pksm.engine.cost import PRICES
from pksm.errors import PksmError
from pksm.linux import system
from pksm.parallel.cluster import cluster
from pksm.simulation import sweep

VARY = ["pages_to_scan=100:20000:log12", "smart_scan=0,1"]
MOST_S = 180  # for the sweep in processes of our own
MOST_OVERHEAD = 0.10


def timed(pages, until_ms, **how):
    """Return (document, seconds)."""
    began = time.perf_counter()
    document = sweep("f", "ksmd", VARY, pages=pages, until_ms=until_ms, prices=PRICES["6.18"], advisor=False, **how)
    return document, time.perf_counter() - began


def on_a_cluster(workers, *what):
    """Return timed() on a cluster of this machine."""
    import dask
    from distributed import LocalCluster

    with dask.config.set({"distributed.worker.profile.enabled": False}):
        made = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=":0",
            worker_dashboard_address=":0",
            memory_limit=0,
        )
    with made, cluster(made.scheduler_address) as executor:
        return timed(*what, executor=executor)


def table(document):
    """Return the lines of a table."""
    own, theirs = document["own_s"], document["cluster_s"]
    what = f"{document['settings']} settings, {document['pages']:,} pages, {document['until_ms'] / 1000:,g} virtual seconds"
    return [
        f"| a sweep of {what}, {document['workers']} workers | median of {len(document['own'])} | at most |",
        "|---|--:|--:|",
        f"| processes of our own | {own:.1f} s | {MOST_S} s |",
        f"| Dask on the same machine | {theirs:.1f} s ({100 * (theirs / own - 1):+.1f} %) | {100 * MOST_OVERHEAD:+.0f} % |",
    ]


def missed(document):
    """Return a line for each target that a stored result misses."""
    overhead = document["cluster_s"] / document["own_s"] - 1
    bounds = {
        f"{document['own_s']:.1f} s, not {MOST_S}": document["own_s"] <= MOST_S,
        f"{overhead:+.1%} on Dask, not {MOST_OVERHEAD:+.0%}": overhead <= MOST_OVERHEAD,
    }
    return [line for line, is_met in bounds.items() if not is_met]


def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/sweep_workers.py", description=__doc__)
    parser.add_argument("--pages", type=int, default=262_144, help="of load f (%(default)s)")
    parser.add_argument("--until", type=int, default=120_000, metavar="MS", help="virtual time of a run (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of both, for the medians (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to store the results")
    options = parser.parse_args(argv)
    workers = len(os.sched_getaffinity(0))
    what = options.pages, options.until
    own, theirs = [], []
    for _ in range(options.rounds):
        found, seconds = timed(*what, workers=workers)
        own.append(seconds)
        on_theirs, seconds = on_a_cluster(workers, *what)
        theirs.append(seconds)
        if found != on_theirs or found["done"] != 24:
            raise PksmError("the sweeps differ")
    own_s, cluster_s = median(own), median(theirs)
    print(f"24 settings x {options.pages:,} pages x {options.until / 1000:,g} s, {workers} workers, equal documents")
    print(f"processes of our own  {own_s:8.1f} s   (at most {MOST_S})")
    print(f"Dask on this machine  {cluster_s:8.1f} s   {cluster_s / own_s - 1:+.1%} (at most {MOST_OVERHEAD:+.0%})")
    if options.json:
        facts = {"settings": found["done"], "pages": options.pages, "until_ms": options.until, "workers": workers}
        facts["machine"] = system.machine()
        facts |= {"own_s": own_s, "cluster_s": cluster_s, "own": own, "cluster": theirs}
        store(options.json, facts)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
