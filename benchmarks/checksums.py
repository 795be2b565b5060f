"""Checksums against their libraries, called from C, and against reading: `python benchmarks/checksums.py [FILE]`.

Each library function is plugged in by its address, so that both sides are called alike. All strategies are measured in
turn, several rounds, on pages of 4 KiB on huge pages; medians of CPU time. Writes JSON to FILE, prints a table, and
ends with 1 when a target is missed: a strategy slower than its twin, or the default with its zero test more than
1.3 times the read.
"""

import ctypes
import ctypes.util
import glob
import importlib.util
import os
import sys
import time
from statistics import median

import numpy as np
from storing import store

from pksm.bench.run import machine
from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.native.door import ffi
from pksm.linux import system
from pksm.profiler import speed
from pksm.profiler.subject import of_load

PAGES, ROUNDS = 65536, 5
MOST_TIMES_READ = 1.3
NOISE = 1.05  # of two medians of the same thing


def library(name, package=None):
    """Return the library as ctypes loads it, from the system or from beside a package; None if it is not here."""
    path = ctypes.util.find_library(name)
    if path is None and package and (spec := importlib.util.find_spec(package)):
        beside = os.path.join(os.path.dirname(os.path.dirname(spec.origin)), f"{package}.libs", f"lib{name}*.so*")
        path = next(iter(glob.glob(beside)), None)
    return ctypes.CDLL(path) if path else None


def plug_twins():
    """Register the libraries' functions; return {strategy: twin}."""
    # Their third argument is a seed where there is one: a null state is seed 0.
    functions = {"xxh32": ("XXH32", "xxhash"), "xxh64": ("XXH64", "xxhash"), "xxh3-64": ("XXH3_64bits", "xxhash"),
                 "crc32c": ("crc32c_value", "crc32c")}  # fmt: skip
    libraries = {"xxhash": library("xxhash"), "crc32c": library("crc32c", "google_crc32c")}
    twins = {}
    for strategy, (function, home) in functions.items():
        if libraries[home]:
            twins[strategy] = f"lib{home}.{function}"
            width = 64 if strategy.endswith("64") else 32
            checksums.register(twins[strategy], getattr(libraries[home], function), width=width)
    return twins


class Fused:
    """The default with its zero test in the same pass, as settle calls it: 64 pages at a time."""

    def __init__(self, subject):
        self._checksum = checksums.make(checksums.DEFAULT, subject.page_size)
        base = int(subject.store.view._sections[subject.pages[0] >> 6])
        self._at = np.uint64(base) + np.arange(len(subject.pages), dtype=np.uint64) * np.uint64(subject.page_size)
        self._first, self._page_size = int(subject.pages[0]), subject.page_size
        self._sums, self._zero = np.zeros(64, np.uint64), np.zeros(64, np.uint8)

    def __call__(self, pages):
        at, c = self._at[pages - np.uint32(self._first)], self._checksum.c
        addresses = ffi.cast("uint8_t **", ffi.from_buffer(at))
        sums, zero = ffi.from_buffer("uint64_t[]", self._sums), ffi.from_buffer("uint8_t[]", self._zero)
        for start in range(0, len(pages) - 63, 64):
            c.many(addresses + start, 64, self._page_size, c.state, sums, zero)


def measure():
    """Return the document: ns a page, hot, cold and at random, of every function, and the targets."""
    subject = of_load("a", PAGES)
    watch = speed.Stopwatch(subject)
    twins = plug_twins()
    calls = {"read": lambda pages: native.yardstick_read(subject.store.view, pages), "fused": Fused(subject)}
    made = {name: checksums.make(name, subject.page_size) for name in checksums.names() if name != "adaptive"}
    for name, checksum in made.items():
        calls[name] = lambda pages, checksum=checksum: native.checksum_pages(subject.store.view, checksum, pages)
    samples = {name: [] for name in calls}
    began = time.time()
    with system.pinned():
        for _ in range(ROUNDS):
            for name, call in calls.items():
                samples[name].append(speed.medians(watch.measure(call)))
    rows = {
        name: {where: median(sample[where] for sample in kept) for where in kept[0]} for name, kept in samples.items()
    }
    differ = [
        name for name, twin in twins.items()
        if (native.checksum_pages(subject.store.view, made[name], subject.pages[:100])
            != native.checksum_pages(subject.store.view, made[twin], subject.pages[:100])).any()
    ]  # fmt: skip
    return {
        "command": "python benchmarks/checksums.py",
        "machine": machine(),
        "pages": PAGES,
        "page_size": subject.page_size,
        "rounds": ROUNDS,
        "seconds": time.time() - began,
        "ns": rows,
        "twins": twins,
        "differ": differ,
        "times_read_fused_cold": rows["fused"]["cold"] / rows["read"]["cold"],
    }


def missed(document):
    """Return a line for each target that is missed."""
    ns, lines = document["ns"], [f"{name} gives other sums than its library" for name in document["differ"]]
    for name, twin in document["twins"].items():
        for where in ("hot", "cold"):
            if ns[name][where] > NOISE * ns[twin][where]:
                lines.append(f"{name} {where}: {ns[name][where]:.0f} ns a page, {twin} {ns[twin][where]:.0f}")
    if document["times_read_fused_cold"] > MOST_TIMES_READ:
        lines.append(f"the default with its zero test: {document['times_read_fused_cold']:.2f} x read")
    return lines


def about(document):
    """Return what the table is of, in a sentence."""
    machine = document["machine"]
    return (
        f"Made by `{document['command']}` on {machine['cpu']} ({machine['cpu_level']}): ns per page of 4096 bytes, medians of "
        f"{document['rounds']}; in parentheses the well-kept library."
    )


def table(document):
    """Return the lines of a table: strategies beside their libraries."""
    ns, twins = document["ns"], document["twins"]
    where = list(ns["read"])
    lines = [f"| | {' | '.join(where)} |", "|---" * (len(where) + 1) + "|"]
    for name in ns:
        if name in twins.values():
            continue
        theirs = ns.get(twins.get(name))
        cells = [f"{ns[name][one]:.0f}" + (f" ({theirs[one]:.0f})" if theirs else "") for one in where]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main(argv):
    document = measure()
    if argv:
        store(argv[0], document)
    for name, ns in document["ns"].items():
        print(f"{name:24}" + "".join(f"{where} {ns[where]:7.0f}  " for where in ns))
    for line in missed(document):
        print(f"missed: {line}")
    return 1 if missed(document) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
