"""How long summing takes: hot and cold, in order and at random, beside what reading and comparing take.

CPU time of this thread, ns per page. Hot: a few pages again and again. Cold: much else was read before. Each is
measured several times: the median counts, and the least and the most are its interval.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from pksm.arrays import I64Array, IntArray
from pksm.engine import native
from pksm.engine.checksums.proof import not_a_function, require_function
from pksm.engine.store import Store

if TYPE_CHECKING:
    from pksm.profiler.subject import Subject


HOT_PAGES, HOT_ROUNDS = 64, 32
REPEATS = 5  # odd, so that the median is one of them
PLACES = ("hot", "cold", "random")
SPREAD_PAGES = 16384  # visited at random
EVICTING_BYTES = 96 << 20  # more than a cache holds


class Stopwatch:
    """Measures calls over pages of one subject."""

    def __init__(self, subject: Subject, seed: int = 0) -> None:
        self._subject, self._view = subject, subject.store.view
        pages = subject.pages
        hot = pages[: max(1, min(len(pages), HOT_PAGES * 4096 // subject.page_size))]
        self.hot = np.tile(hot, max(1, HOT_PAGES * HOT_ROUNDS // len(hot)))
        self.spread = np.random.Generator(np.random.PCG64(seed)).permutation(pages)[:SPREAD_PAGES]
        self._others = Store(4096)
        first, array = self._others.allocate(EVICTING_BYTES // 4096)
        array[:, 0] = 1  # touched
        self._other_pages = np.arange(first, first + len(array), dtype=np.uint32)
        self._sums = np.ones(max(len(pages), len(self.hot)), np.uint64)  # touched too

    def evict(self) -> None:
        """Have other memory in the caches."""
        native.yardstick_read(self._others.view, self._other_pages)

    def measure(self, call: Callable[[np.ndarray], object]) -> dict[str, list[float]]:
        """Return {place: ns per page of call(pages), REPEATS times} of PLACES."""
        call(self.hot)
        return {
            "hot": [self._ns(call, self.hot) for _ in range(REPEATS)],
            "cold": [self._ns(call, self._subject.pages, cold=True) for _ in range(REPEATS)],
            "random": [self._ns(call, self.spread, cold=True) for _ in range(REPEATS)],
        }

    def _ns(self, call: Callable[[Any], object], pages: IntArray, cold: bool = False) -> float:
        if cold:
            self.evict()
        began = time.thread_time_ns()
        call(pages)
        return (time.thread_time_ns() - began) / len(pages)

    def checksum(self, checksum: native.AnyChecksum) -> tuple[dict[str, list[float]], np.ndarray]:
        """Measure a checksum; return (ns as measure() does, the sums of all pages).

        Raises:
            PksmError: it gives different sums for the same page.
        """
        pages = self._subject.pages
        require_function(self._view, checksum, self.hot[:HOT_PAGES])

        def call(pages: np.ndarray) -> np.ndarray:
            return native.checksum_pages(self._view, checksum, pages, out=self._sums[: len(pages)])

        first = call(pages).copy()
        ns = self.measure(call)
        sums = call(pages)
        if (first != sums).any():
            raise not_a_function(checksum)
        return ns, sums

    def yardsticks(self) -> dict[str, dict[str, float]]:
        """Measure what others are held against: {"read": {place: ns}, "memcmp": {place: ns}}.

        memcmp is of equal pages.
        """
        subject = self._subject
        read = medians(self.measure(partial(native.yardstick_read, self._view)))
        a, b = subject.copied, subject.row_pages
        order = np.random.Generator(np.random.PCG64(1)).permutation(len(a))
        few = slice(0, min(len(a), HOT_PAGES // 2))

        def compare(pairs: I64Array) -> None:
            native.yardstick_memcmp(self._view, a[pairs], b[pairs])

        hot = np.tile(np.arange(len(a))[few], HOT_ROUNDS)
        compare(hot)
        memcmp = {
            "hot": [self._ns(compare, hot) for _ in range(REPEATS)],
            "cold": [self._ns(compare, np.arange(len(a)), cold=True) for _ in range(REPEATS)],
            "random": [self._ns(compare, order, cold=True) for _ in range(REPEATS)],
        }
        return {"read": read, "memcmp": medians(memcmp)}


def medians(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return {place: median}."""
    return {place: median(values) for place, values in samples.items()}


def interval(values: Sequence[float]) -> dict[str, Any]:
    """Return {low, high, repeats}: the least and the most of repeated measurements."""
    return {"low": min(values), "high": max(values), "repeats": len(values)}


def as_columns(
    samples: Mapping[str, Sequence[float]], page_size: int, read: Mapping[str, float], reads_all: bool
) -> dict[str, Any]:
    """Return ns and GB/s as a strategy's row has them, with ratios to reading and intervals.

    Args:
        samples: ns per page, measured repeatedly, by place.
        page_size: bytes.
        read: what reading takes, ns per page, by place.
        reads_all: the strategy reads all bytes, so it can't be quicker than reading: where it was measured to be, it is
            shown to take as long, and the place stands in `read_bound`.

    Returns:
        The columns; gb_s and times_read are None where the ns are below the clock's step.
    """
    row: dict[str, Any] = {"read_bound": [], "intervals": {}}
    for place in PLACES:
        values = list(samples[place])
        if reads_all and median(values) < read[place]:
            row["read_bound"].append(place)
            values = [max(value, read[place]) for value in values]
        ns = row[f"ns_{place}"] = median(values)
        row["intervals"][place] = interval(values)
        row[f"gb_s_{place}"] = page_size / ns if ns else None
        row[f"times_read_{place}"] = ns / read[place] if read[place] else None
    return row
