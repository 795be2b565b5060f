"""Times the count of a fleet of given size, on files of fingerprints that it makes; every answer is checked.

Files hold contents of trees of images, so that what they have in common is known: see pksm.fleet.tree_fleet.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
from storing import store

from pksm.errors import PksmError
from pksm.fleet import Settings, fleet, tree_contents, tree_fleet, tree_vm
from pksm.fleet.tally import tally
from pksm.linux import system
from pksm.parallel.cluster import cluster
from pksm.sources.fingerprints.layout import RECORD, below_of
from pksm.sources.fingerprints.writing import FingerprintWriter

KEEP = 1 / 64  # of contents, where a sample is counted


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


def made(directory, vms, pages):
    """Write a file for each VM; return (paths, {level: pages that merging saves within it}, by sorting alone)."""
    paths, every, within = [], np.empty(vms * pages, np.uint64), 0
    for vm in range(vms):
        own = every[vm * pages : (vm + 1) * pages]
        own[:] = np.sort(np.maximum(tree_vm(vm, pages), 1))
        within += distinct(own)
        paths.append(str(Path(directory, f"h{vm:05d}.fp")))
        write(paths[-1], own)
    every.sort()
    return paths, {"host": len(every) - within, "all": len(every) - distinct(every)}


def distinct(ordered):
    """Return how many different ones there are among sorted numbers."""
    return int((ordered[1:] != ordered[:-1]).sum()) + 1


def sampled(directory, vms, pages):
    """Write a sample of each VM; return paths."""
    paths = [str(Path(directory, f"h{vm:05d}.fp")) for vm in range(vms)]
    for vm, path in enumerate(paths):
        write(path, tree_vm(vm, pages), KEEP)
    return paths


def counted(paths, **how):
    """Return (document, seconds)."""
    began = time.perf_counter()
    document = fleet(paths, Settings(**how))
    return document, time.perf_counter() - began


def exact(results, scratch, vms, pages, rounds):
    """Count all contents, here and on a cluster in turn, and compare with what sorting finds."""
    from distributed import LocalCluster

    with ProcessPoolExecutor(1) as apart:  # what making the files takes is not what counting them does
        paths, saved = apart.submit(made, scratch, vms, pages).result()
    results |= {"records": vms * pages, "saved_pages": saved, "rounds": rounds}
    took, cpu, peak = ({"own": [], "cluster": []} for _ in range(3))
    workers = results["workers"]
    began = time.perf_counter()
    local = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0",
                         worker_dashboard_address=":0", memory_limit=0)  # fmt: skip
    with local, cluster(local.scheduler_address) as executor:
        results["cluster_start_s"] = time.perf_counter() - began
        for _ in range(rounds):
            for name, how in (("own", {"workers": workers}), ("cluster", {"executor": executor})):
                before = cpu_s(executor)
                document, seconds = counted(paths, **how)
                cpu[name].append(cpu_s(executor) - before)
                found = {one["within"]: one["saving_pages"]["value"] for one in document["partitions"]}
                if any(found[level] != pages_ for level, pages_ in saved.items()):
                    raise PksmError(f"{name}: {found}, and sorting finds {saved}")
                took[name].append(seconds)
                peak[name].append(document["peak_bytes"] >> 20)
                print(
                    f"{name}: {results['records']:,} records exactly: {seconds:.1f} s, {cpu[name][-1]:.1f} s of CPU, "
                    f"{peak[name][-1]} MiB in a process",
                    flush=True,
                )
    for name, of in (("exact", "own"), ("cluster", "cluster")):
        results |= {f"{name}_s": median(took[of]), f"{name}_cpu_s": median(cpu[of]), f"{name}_mib": max(peak[of])}


def cpu_s(executor=None):
    """Return the seconds of CPU that this process, the workers of a cluster, and what they have started have taken."""
    workers = executor.client.run(os.times).values() if executor else ()
    return sum(sum(times[:4]) for times in (os.times(), *workers))


def sample(results, scratch, files, pages):
    """Count samples of many files, and compare with the contents that a tree of images has."""
    paths = sampled(scratch, files, pages)
    before = cpu_s()
    document, results["sampled_s"] = counted(paths, keep=KEEP, workers=results["workers"])
    results["sampled_cpu_s"] = cpu_s() - before
    found, expected = document["contents"], tree_contents(files, pages)
    results["sampled_mib"] = document["peak_bytes"] >> 20
    results |= {"files": files, "sampled_pages": files * pages, "keep": KEEP, "contents": expected, "found": found}
    if abs(found["value"] - expected) > found["high"] - found["low"]:  # the interval holds with 95 % only
        raise PksmError(f"{expected} contents, found {found}")
    print(
        f"{files:,} files, samples of 1/{1 / KEEP:.0f} of {pages:,} pages: {results['sampled_s']:.1f} s, "
        f"{results['sampled_cpu_s']:.1f} s of CPU",
        flush=True,
    )


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
    parser.add_argument("--rounds", type=int, default=2, help="of these, whose median counts (%(default)s)")
    parser.add_argument("--many", type=int, default=10_000, help="files of which a sample is counted (%(default)s)")
    parser.add_argument("--many-pages", type=int, default=100_000, help="of each (%(default)s)")
    parser.add_argument("--units", type=int, default=1000, help="VMs of a matrix (%(default)s)")
    parser.add_argument("--only", choices=("exact", "sampled", "matrix"), help="measure this alone, and keep the rest")
    parser.add_argument("--directory", default=None, help="where to make the files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to store the results")
    options = parser.parse_args(argv)
    kept = options.only and options.json and options.json.exists()
    results = json.loads(options.json.read_text()) if kept else {}
    results |= {"workers": len(os.sched_getaffinity(0)), "machine": system.machine()}
    with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
        if options.only in (None, "exact"):
            exact(results, scratch, options.vms, options.pages, options.rounds)
    with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
        if options.only in (None, "sampled"):
            sample(results, scratch, options.many, options.many_pages)
    if options.only in (None, "matrix"):
        results["matrix_s"] = matrix(options.units, 10_000)
        print(f"overlap of {options.units:,} VMs of 10,000 pages: {results['matrix_s']:.1f} s")
    store(options.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
