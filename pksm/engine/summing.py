"""Summing for a policy: what is summed before a batch is settled, and what a change of strength asks for.

settle sums by itself what a C function can sum; this module does what is better done, or can only be done, before.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from pksm.arrays import Ids, Pages, U32Array, U64Array
from pksm.engine import native
from pksm.engine.checksums.adaptive import Adaptive
from pksm.engine.cost import Cost
from pksm.engine.items import ItemTable
from pksm.engine.store import Store
from pksm.errors import BusError

PARALLEL_PAGES = 1024  # below this, handing pages to threads costs more than summing them
LEAD = 512  # pages that are summed ahead: what was read longer ago has left the caches when it is compared
MEASURED = 1024  # pages, and compares, that the cost of a strength is measured with
_NONE = np.empty(0, np.uint32)


class Summing:
    """How the pages of a store are summed.

    checksum: a native.Function or something with its of() and fill(); store: Store; cost: Cost, added to; threads:
    that sum pages; clock: ns, of the CPU time that `adaptive` goes by.
    """

    def __init__(
        self,
        checksum: native.AnyChecksum,
        store: Store,
        cost: Cost,
        threads: int = 1,
        clock: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        self.checksum, self._store, self._cost, self._threads, self._clock = checksum, store, cost, threads, clock
        self._in_c = isinstance(checksum, native.Function)
        self._period: tuple[int, int, int] | None = None  # (ms, pages visited, futile compares) when it began

    def pages(self, pages: Pages) -> U64Array:
        """Return the checksums of the pages, uint64."""
        self._cost.add(bytes_hashed=len(pages) * self._store.page_size)
        return native.checksum_pages(self._store.view, self.checksum, pages)

    def left_to_settle(self, ids: Ids, window: int) -> bool:
        """Return True if nothing is to be summed before these items (uint32) are settled, so many at a time."""
        return self._in_c and (window > 1 or self._few(ids))

    def _few(self, ids: Ids) -> bool:
        return self._threads == 1 or len(ids) < PARALLEL_PAGES

    @contextmanager
    def ahead(self, items: ItemTable, ids: Ids, window: int) -> Iterator[native.Ahead | None]:
        """Let other threads sum these items (uint32) while they are settled, if that is worth it."""
        if self._few(ids) or window == 1 or not isinstance(self.checksum, native.Function):
            yield None
            return
        unsummed = (items.flags[ids] & (native.INITCHECKSUM | native.DELLIST)) == native.INITCHECKSUM
        pages = np.where(unsummed, items.page[ids], np.uint32(native.NO_PAGE))
        ahead = native.Ahead(self._store.view, self.checksum, pages, LEAD)
        from concurrent.futures import ThreadPoolExecutor

        helpers = max(1, min(self._threads - 1, len(ids) // PARALLEL_PAGES))
        with ThreadPoolExecutor(helpers) as pool:
            try:
                jobs = [pool.submit(ahead.sum) for _ in range(helpers)]
            except RuntimeError:  # there is no thread to be had
                jobs = []
            try:
                yield ahead
            finally:
                ahead.stop()
        for job in jobs:
            job.result()

    def beforehand(self, items: ItemTable, ids: Ids, window: int) -> None:
        """Fill the checksum column of those items (uint32) that have none yet, if settle is not to do that."""
        if self.left_to_settle(ids, window):
            return
        ids = ids[(items.flags[ids] & (native.INITCHECKSUM | native.DELLIST)) == native.INITCHECKSUM]
        try:
            sums = self._in_threads(items.page[ids]) if self._in_c else self.pages(items.page[ids])
        except BusError:
            if self._in_c:
                return  # settle meets it in its place
            raise
        items.checksum[ids] = sums
        items.clear_flags(ids, native.INITCHECKSUM)

    def _in_threads(self, pages: Pages) -> U64Array:
        sums, view = np.empty(len(pages), np.uint64), self._store.view
        threads = min(self._threads, len(pages))
        parts = [len(pages) * part // threads for part in range(threads + 1)]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(threads) as pool:
            try:
                jobs = [
                    pool.submit(native.checksum_pages, view, self.checksum, pages[start:stop], sums[start:stop])
                    for start, stop in itertools.pairwise(parts)
                ]
            except RuntimeError:  # there is no thread to be had
                return self.pages(pages)
            for job in jobs:
                job.result()
        self._cost.add(bytes_hashed=len(pages) * self._store.page_size)
        return sums

    def outdated(self, items: ItemTable, ids: Ids) -> U32Array:
        """Return the unstable items (uint32) in the way of these whose pages have changed since they were summed.

        settle finds them by itself (rule `distrust`) where C can sum; without that, all that have a checksum of the
        batch are summed anew.
        """
        if self._in_c:
            return _NONE
        unstable = np.flatnonzero((items.flags & (native.UNSTABLE | native.DELLIST)) == native.UNSTABLE)
        unstable = unstable[np.isin(items.checksum[unstable], items.checksum[ids])].astype(np.uint32)
        alike = unstable[~np.isin(unstable, ids)]
        return alike[self.pages(items.page[alike]) != items.checksum[alike]]

    @property
    def threads(self) -> int:
        """Threads that sum pages."""
        return self._threads

    # ---- adaptive ----

    @property
    def adapts(self) -> bool:
        """Whether the checksum changes its strength."""
        return isinstance(self.checksum, Adaptive)

    def strength_changes(self, items: ItemTable, now_ms: int, period_ms: int) -> bool:
        """At the end of a period, choose the strength of the next one; return True if it is another one.

        A period is over after period_ms, or when as many pages have been visited as are unshared; one in which none
        was visited goes on, for it says nothing about compares.
        """
        if not isinstance(self.checksum, Adaptive) or not items.n_unstable + items.n_stable:
            return False
        now = now_ms, self._cost.pages_visited, self._cost.futile_compares
        if self._period is None:
            self._period = 0, 0, 0
        ms, visited, futile = (after - before for after, before in zip(now, self._period, strict=True))
        if not visited or (ms < period_ms and visited < items.n_unstable):
            return False
        self._period = now
        before = self.checksum.strength
        self.checksum.set_strength(self.checksum.next_strength(self._cost_ns(items, visited, futile)))
        return self.checksum.strength != before

    def _cost_ns(self, items: ItemTable, visited: int, futile: int) -> float:
        """What a page has cost: summing it, and the futile compares that its checksum led to."""
        trees = [native.tree_items(items.table, which)[: MEASURED + 1] for which in (native.UNSTABLE, native.STABLE)]
        ids = max(trees, key=len)
        pages, sums = items.page[ids], items.checksum[ids]
        began = self._clock()
        self.pages(pages)
        ns_to_sum = (self._clock() - began) / len(pages)
        if not futile:
            return ns_to_sum
        a, b = (pages[:-1], pages[1:]) if len(pages) > 1 else (pages, pages)
        alike = sums[:-1] == sums[1:]
        if alike.any():  # such pairs are what is compared in vain; neighbours stand for them where a tree has none
            a, b = a[alike], b[alike]
        began = self._clock()
        native.pages_compare(self._store.view, a, b)
        return ns_to_sum + futile / visited * (self._clock() - began) / len(a)

    def resum_stable(self, items: ItemTable, order: str) -> None:
        """Sum the items of the stable tree anew and sort them in again; those in the way of others are left out."""
        ids = native.tree_items(items.table, native.STABLE)
        sums = self.pages(items.page[ids])
        native.unlink(items.table, ids)
        items.checksum[ids] = sums
        native.relink(self._store.view, items.table, order, ids, self._cost.counts, native.STABLE)
        ms, visited, _ = self._period or (0, 0, 0)
        self._period = ms, visited, self._cost.futile_compares  # not those of a page that is visited
