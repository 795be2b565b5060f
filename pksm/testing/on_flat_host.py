"""A policy played on a flat host: births, deaths and writes of pages that are mapped once each."""

from collections.abc import Callable

import numpy as np

from pksm.arrays import BoolArray, I64Array, IntArray, Pages
from pksm.engine.store import Store
from pksm.hosts.flat import FlatHost
from pksm.protocols import ZERO_FRAME
from pksm.testing.play import CONTENTS, SIZE, Play, contents_of

PAGES = 96  # pages of the flat host
AT_ONCE = 23  # pages to which something happens


class _WatchedFlatHost(FlatHost):
    """Remembers which pages others were merged into: nobody may write to these."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.kept: set[int] = set()

    def merge(self, pages: Pages, kpages: Pages) -> None:
        super().merge(pages, kpages)
        self.kept.update(kpages.tolist())

    def merge_ptes(self, mms: IntArray, virtual_pages: I64Array, pages: Pages, kpages: Pages) -> None:
        super().merge_ptes(mms, virtual_pages, pages, kpages)
        self.kept.update(kpages.tolist())

    def keep(self, pages: Pages) -> None:
        super().keep(pages)
        self.kept.update(pages.tolist())


class OnFlatHost(Play):
    where = "a flat host"

    def make_host(self) -> _WatchedFlatHost:
        store = Store(SIZE)
        self.first, self.memory = store.allocate(PAGES)
        self.written = np.zeros((PAGES, SIZE), np.uint8)
        self.alive = np.zeros(PAGES, bool)
        return _WatchedFlatHost(store)

    def events(self) -> list[Callable[[], None]]:
        return [self.births, self.deaths, self.write, self.write_silently, self.copy_on_write]

    def _some(self, able: BoolArray) -> Pages:
        """Return some of the pages where able is set."""
        pages = np.flatnonzero(able)
        taken = self.rng.permutation(pages)[: self.rng.integers(1, AT_ONCE + 1)]
        return (taken + self.first).astype(np.uint32)

    def _put(self, pages: Pages) -> None:
        at = pages - self.first
        self.memory[at] = self.written[at] = contents_of(self.rng.integers(0, CONTENTS, len(pages)))

    @property
    def _frames(self) -> Pages:
        return self.host.frame_of[self.first : self.first + PAGES]

    @property
    def _unmerged(self) -> BoolArray:
        """Live pages with a frame of their own that is nobody else's."""
        able = np.zeros(PAGES, bool)
        if self.alive.any():
            pages = np.flatnonzero(self.alive)
            frames = self._frames
            able[pages] = frames[pages] == pages + self.first
            able[[page - self.first for page in self.host.kept]] = False
        return able

    def births(self) -> None:
        used = np.zeros(PAGES, bool)
        if self.alive.any():
            frames = self._frames[self.alive[: len(self._frames)]]
            used[frames[frames != ZERO_FRAME] - self.first] = True
        pages = self._some(~self.alive & ~used)
        self._put(pages)
        self.host.kept.difference_update(pages.tolist())
        self.host.add(pages)
        self.alive[pages - self.first] = True

    def deaths(self) -> None:
        pages = self._some(self.alive)
        self.host.free(pages)
        self.alive[pages - self.first] = False

    def write(self) -> None:
        pages = self._some(self._unmerged)
        self._put(pages)
        self.policy.written(pages)

    def write_silently(self) -> None:
        self._put(self._some(self._unmerged))

    def copy_on_write(self) -> None:
        merged = self.alive.copy()
        if merged.any():
            pages = np.flatnonzero(merged)
            merged[pages] = self._frames[pages] != pages + self.first
        self.host.split(self._some(merged))

    def check_reading(self, what: str) -> None:
        pages = np.flatnonzero(self.alive)
        if not len(pages):
            return
        frames = self._frames[pages]
        zero = frames == ZERO_FRAME
        read = np.where(zero[:, np.newaxis], np.uint8(0), self.memory[np.where(zero, 0, frames - self.first)])
        assert np.array_equal(read, self.written[pages]), f"{what}: somebody reads other bytes than were written"
        distinct = len(np.unique(self.written[pages], axis=0)) - zero.any()
        saved = self.host.frames_saved
        assert saved <= len(pages) - distinct, (
            f"{what}: {saved} frames saved of {len(pages)} pages, {distinct} distinct"
        )

    def everybody_leaves(self) -> None:
        self.host.free((np.flatnonzero(self.alive) + self.first).astype(np.uint32))
        self.alive[:] = False
