"""Times a FlatHost of ten million tracked pages under pksmd: births, frames_saved, and the free of a tenth of them;
measures what memory it takes besides contents.

Pages are 8 bytes, so that no time goes into their contents. Counts are checked against those of numpy's own.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from storing import store

from pksm import FlatHost, Pksmd, Store, preset
from pksm.errors import PksmError
from pksm.linux import system
from pksm.protocols import NO_FRAME

AT_ONCE = 1 << 20  # pages born at a time


def timed(work):
    """Return (what work() returns, seconds)."""
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def require(what, found, expected):
    if found != expected:
        raise PksmError(f"{what}: should be {expected}, found {found}")


def contents(n, seed):
    """Return a content id for each page, int64: three tenths are one of n / 20, the others are alone."""
    rng = np.random.default_rng(seed)
    ids = np.arange(n, dtype=np.int64) + n
    copies = rng.random(n) < 0.3
    ids[copies] = rng.integers(1, n // 20, int(copies.sum()))
    return ids


def saved(ids):
    return len(ids) - len(np.unique(ids))


def resident_bytes():
    """Return the anonymous memory that this process has in frames."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("RssAnon:"))


def memory(n, at_once, seed=0):
    """Return the bytes per page that engine and host have in frames at rest, of n pages born so many at once."""
    ids = contents(n, seed)
    expected = saved(ids)
    store = Store(8)
    first, rows = store.allocate(n)
    rows.view(np.int64).reshape(-1)[:] = ids
    pages = np.arange(first, first + n, dtype=np.uint32)
    before = resident_bytes()
    host = FlatHost(store)
    policy = Pksmd(host, preset("fixed").with_(pages_to_scan=65536))
    for start in range(0, n, at_once):
        host.add(pages[start : start + at_once])
        while not policy.at_rest:
            policy.wake()
    require("frames_saved", host.frames_saved, expected)
    return (resident_bytes() - before) / n


def measure(n, repeats, seed=0):
    """Return {row: seconds, the least}."""
    ids = contents(n, seed)
    store = Store(8)
    first, rows = store.allocate(n)
    rows.view(np.int64).reshape(-1)[:] = ids
    host = FlatHost(store)
    policy = Pksmd(host, preset("fixed").with_(pages_to_scan=65536))
    births = 0.0
    for start in range(first, first + n, AT_ONCE):
        pages = np.arange(start, min(first + n, start + AT_ONCE), dtype=np.uint32)
        births += timed(lambda pages=pages: host.add(pages))[1]
    while not policy.at_rest:
        policy.wake()
    results = {"births": births, "frames_saved": 1.0}
    for _ in range(repeats):
        found, took = timed(lambda: host.frames_saved)
        require("frames_saved", found, saved(ids))
        results["frames_saved"] = min(results["frames_saved"], took)
    rng = np.random.default_rng(seed + 1)
    for name in ("free of a tenth, scattered", "free of a tenth, in a row"):
        for _ in range(repeats):
            live = np.flatnonzero(host.frame_of < NO_FRAME).astype(np.uint32)
            middle = len(live) // 2
            gone = rng.choice(live, n // 10, replace=False) if "scattered" in name else live[middle : middle + n // 10]
            _, took = timed(lambda gone=gone: host.free(gone))
            results[name] = min(results.get(name, took), took)
            left = np.flatnonzero(host.frame_of != NO_FRAME)
            require("pages left", len(left), len(live) - len(gone))
            require("frames_saved then", host.frames_saved, saved(ids[left - first]))
            back = np.sort(gone)
            back = back[host._mapcount[back] == 0]  # frames that still serve others stay away
            host.add(back)
            while not policy.at_rest:
                policy.wake()
    policy.check()
    return results


def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/big_host.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=int, default=10_000_000, help="tracked (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="of which the quickest counts (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to store the results")
    options = parser.parse_args(argv)
    results = measure(options.pages, options.repeats)
    for name, seconds in results.items():
        print(f"{name:<28} {seconds * 1000:10.3f} ms")
    bytes_per_page = {}
    for name, at_once in (("all born at once", options.pages), ("a million at a time", AT_ONCE)):
        bytes_per_page[name] = memory(options.pages, at_once)
        print(f"{name:<28} {bytes_per_page[name]:10.1f} B per page")
    if options.json:
        document = {"pages": options.pages, "machine": system.machine(), "seconds": results}
        document["bytes_per_page"] = bytes_per_page
        store(options.json, document)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
