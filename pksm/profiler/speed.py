"""How long summing takes: hot and cold, in order and at random, beside what reading and comparing take.

CPU time of this thread, ns a page. Hot: a few pages again and again. Cold: much else was read before.
"""

import time
from functools import partial

import numpy as np

from pksm.engine import native
from pksm.engine.store import Store

HOT_PAGES, HOT_ROUNDS = 64, 32
REPEATS = 3
SPREAD_PAGES = 16384  # visited at random
EVICTING_BYTES = 96 << 20  # more than a cache holds


class Stopwatch:
    """Measures calls over pages of one subject."""

    def __init__(self, subject, seed=0):
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

    def evict(self):
        """Have other memory in the caches."""
        native.yardstick_read(self._others.view, self._other_pages)

    def measure(self, call):
        """Return {"hot": ns, "cold": ns, "random": ns} a page of call(pages)."""
        call(self.hot)
        return {
            "hot": min(self._ns(call, self.hot) for _ in range(REPEATS)),
            "cold": self._ns(call, self._subject.pages, cold=True),
            "random": self._ns(call, self.spread, cold=True),
        }

    def _ns(self, call, pages, cold=False):
        if cold:
            self.evict()
        began = time.thread_time_ns()
        call(pages)
        return (time.thread_time_ns() - began) / len(pages)

    def checksum(self, checksum):
        """Measure a checksum; return (ns as measure() does, the sums of all pages)."""
        kept = {}

        def call(pages):
            kept[len(pages)] = native.checksum_pages(self._view, checksum, pages, out=self._sums[: len(pages)])

        ns = self.measure(call)
        call(self._subject.pages)
        return ns, kept[len(self._subject.pages)]

    def yardsticks(self):
        """Measure what others are held against: {"read": ns, "memcmp": ns}. memcmp is of equal pages."""
        subject = self._subject
        read = self.measure(partial(native.yardstick_read, self._view))
        a, b = subject.copied, subject.row_pages
        order = np.random.Generator(np.random.PCG64(1)).permutation(len(a))
        few = slice(0, min(len(a), HOT_PAGES // 2))

        def compare(pairs):
            native.yardstick_memcmp(self._view, a[pairs], b[pairs])

        hot = np.tile(np.arange(len(a))[few], HOT_ROUNDS)
        compare(hot)
        memcmp = {
            "hot": min(self._ns(compare, hot) for _ in range(REPEATS)),
            "cold": self._ns(compare, np.arange(len(a)), cold=True),
            "random": self._ns(compare, order, cold=True),
        }
        return {"read": read, "memcmp": memcmp}


def as_columns(ns, page_size, read):
    """Return ns and GB/s as a strategy's row has them, with ratios to reading. A ns below the clock's step: None."""
    row = {}
    for where in ("hot", "cold", "random"):
        row[f"ns_{where}"] = ns[where]
        row[f"gb_s_{where}"] = page_size / ns[where] if ns[where] else None
        row[f"times_read_{where}"] = ns[where] / read[where] if read[where] else None
    return row
