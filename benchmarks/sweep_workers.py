"""Times a sweep of 24 settings in processes of our own and on a Dask cluster of as many: both have to find the same."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

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


def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/sweep_workers.py", description=__doc__)
    parser.add_argument("--pages", type=int, default=262_144, help="of load f (%(default)s)")
    parser.add_argument("--until", type=int, default=120_000, metavar="MS", help="virtual time of a run (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to store the results")
    options = parser.parse_args(argv)
    from distributed import LocalCluster

    workers = len(os.sched_getaffinity(0))
    own, own_s = timed(options.pages, options.until, workers=workers)
    made = LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=":0", worker_dashboard_address=":0", memory_limit=0
    )
    with made, cluster(made.scheduler_address) as executor:
        theirs, cluster_s = timed(options.pages, options.until, executor=executor)
    if own != theirs or own["done"] != 24:
        raise PksmError("the sweeps differ")
    overhead = cluster_s / own_s - 1
    print(f"24 settings x {options.pages:,} pages x {options.until / 1000:,g} s, {workers} workers, equal documents")
    print(f"processes of our own  {own_s:8.1f} s   (at most {MOST_S})")
    print(f"Dask on this machine  {cluster_s:8.1f} s   {overhead:+.1%} (at most {MOST_OVERHEAD:+.0%})")
    if options.json:
        facts = {"pages": options.pages, "until_ms": options.until, "workers": workers, "machine": system.machine()}
        options.json.write_text(json.dumps({**facts, "own_s": own_s, "cluster_s": cluster_s}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
