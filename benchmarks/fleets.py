"""Times the count of a fleet of given size, on files of fingerprints that it makes; every answer is checked.

Files hold contents of trees of images, so that what they have in common is known: see pksm.fleet.tree_fleet.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pksm.errors import PksmError
from pksm.fleet import Settings, fleet, tree_fleet
from pksm.fleet.tally import tally
from pksm.linux import system
from pksm.parallel.cluster import cluster
from pksm.sources.fingerprints.layout import RECORD, below_of
from pksm.sources.fingerprints.writing import FingerprintWriter

SAMPLED_PAGES = 16_384


def write(path, contents, keep=1.0):
    """Write fingerprints of one VM with these contents, none of them zero; or a sample."""
    table = {
        "time": 0,
        "sources": [
            {"name": "vm", "kind": "raw", "mappings": ["ram"], "pages": len(contents), "zero_pages": 0, "zero": [0],
             "lost": 0, "out_of_reach": {}, "facts": {}, "warnings": []}
        ],
        "partial": False,
        "warnings": [],
    }  # fmt: skip
    below = below_of(keep)
    sums = np.sort(np.maximum(contents, 1))
    counts = np.ones(len(sums), np.uint32)
    if below:
        sums, counts = np.unique(sums[sums < np.uint64(below)], return_counts=True)
    records = np.zeros(len(sums), RECORD)
    records["sum"] = records["tail"] = sums
    records["count"] = counts
    with open(path, "wb") as file:
        writer = FingerprintWriter(file, 4096, table, len(records), below)
        writer.add(records)
        writer.finish()


def made(directory, vms, pages, keep=1.0):
    """Write a file for each VM, or a sample of it; return (paths, distinct contents, by numpy alone)."""
    paths, keys = [], []
    for number, contents in enumerate(tree_fleet(vms, pages, vms).contents):
        path = Path(directory, f"h{number:05d}.fp")
        write(path, contents, keep)
        paths.append(str(path))
        keys.append(contents)
    keys = np.sort(np.concatenate(keys))
    return paths, int((keys[1:] != keys[:-1]).sum()) + 1


def counted(paths, distinct, keep=1.0, **how):
    """Return (document, seconds)."""
    began = time.perf_counter()
    document = fleet(paths, Settings(keep=keep, **how))
    took = time.perf_counter() - began
    found = document["contents"]
    half = (found["high"] - found["low"]) / 2
    if abs(found["value"] - distinct) > 2 * half:  # the interval holds with 95 % only
        raise PksmError(f"{distinct} contents, found {found}")
    return document, took


def matrix(vms, pages):
    """Return the seconds that the overlap of so many VMs takes, checked against sets for some of them."""
    one = tree_fleet(vms, pages, vms)
    rows = one.rows
    groups = {level: np.arange(vms, dtype=np.uint32) for level in ("vm", "host")}
    began = time.perf_counter()
    found = tally(rows, groups, "vm")
    took = time.perf_counter() - began
    times = np.unique(rows["sum"], return_counts=True)
    base = set(times[0][times[1] > 256].tolist())
    sets = [set(contents.tolist()) - base for contents in one.contents[:20]]
    for a in range(20):
        for b in range(20):
            if found.overlap[a, b] != len(sets[a] & sets[b]):
                raise PksmError(f"VMs {a} and {b} have {len(sets[a] & sets[b])} in common")
    if not any(found.overlap[a, b] for a in range(20) for b in range(a)):
        raise PksmError("there is nothing in common to find")
    return took


def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/fleets.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--vms", type=int, default=100, help="counted exactly (%(default)s)")
    parser.add_argument("--pages", type=int, default=1_000_000, help="of each (%(default)s)")
    parser.add_argument("--many", type=int, default=10_000, help="files of which a sample is counted (%(default)s)")
    parser.add_argument("--units", type=int, default=1000, help="VMs of a matrix (%(default)s)")
    parser.add_argument("--directory", default=None, help="where to make the files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to store the results")
    options = parser.parse_args(argv)
    from distributed import LocalCluster

    workers = len(os.sched_getaffinity(0))
    results = {"workers": workers, "machine": system.machine()}
    with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
        paths, distinct = made(scratch, options.vms, options.pages)
        own, results["exact_s"] = counted(paths, distinct, workers=workers)
        results["records"] = options.vms * options.pages
        results["exact_mib"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
        print(
            f"{results['records']:,} records exactly: {results['exact_s']:.1f} s, {results['exact_mib']} MiB a process"
        )
        local = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0",
                             worker_dashboard_address=":0", memory_limit=0)  # fmt: skip
        with local, cluster(local.scheduler_address) as executor:
            theirs, results["cluster_s"] = counted(paths, distinct, executor=executor)
        if own != theirs:
            raise PksmError("the cluster found something else")
        print(f"on a Dask cluster of as many workers: {results['cluster_s']:.1f} s")
    with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
        paths, distinct = made(scratch, options.many, SAMPLED_PAGES, 1 / 64)
        _, results["sampled_s"] = counted(paths, distinct, 1 / 64, workers=workers)
        results["files"] = options.many
        print(f"{options.many:,} files, samples of 1/64 of {SAMPLED_PAGES:,} pages: {results['sampled_s']:.1f} s")
    results["matrix_s"] = matrix(options.units, 10_000)
    print(f"overlap of {options.units:,} VMs of 10,000 pages: {results['matrix_s']:.1f} s")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
