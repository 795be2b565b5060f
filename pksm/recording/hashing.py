"""Reading memory for a recording: the pages of a source, each with the id of its content."""

from dataclasses import dataclass

import numpy as np

from pksm.arrays import AnyArray, BoolArray, I64Array, StructArray, U32Array, U64Array
from pksm.engine import native
from pksm.engine.checksums import strategies
from pksm.engine.store import Store
from pksm.extents import State, data_runs, expand, page_numbers
from pksm.recording.contents import Contents
from pksm.sources import Source
from pksm.sources.base import Allocation, Region

FIRST, SECOND = "xxh3-64", "xxh64"


@dataclass
class Snapshot:
    """The pages of an address space, sorted: their checksums, ids of contents, frames (0: not known), mapped once."""

    pages: U64Array
    sums: U64Array
    contents: U32Array
    frames: U64Array
    exclusive: BoolArray

    @classmethod
    def empty(cls) -> "Snapshot":
        """Return that of a space with no pages."""
        numbers = np.empty(0, np.uint64)
        return cls(numbers, numbers, np.empty(0, np.uint32), numbers, np.empty(0, bool))

    def of(self, picked: AnyArray) -> "Snapshot":
        """Return some of the pages."""
        return Snapshot(*(column[picked] for column in vars(self).values()))


class Hasher:
    """Reads sources, and gives each content its id.

    Args:
        page_size: bytes.

    Attributes:
        pages_read: so far.
    """

    def __init__(self, page_size: int) -> None:
        self.page_size = page_size
        self.pages_read = 0
        self._store = Store(page_size)
        self._first, self._second = (strategies.make(name, page_size) for name in (FIRST, SECOND))
        self._scratch, self._scratch_first = np.empty((0, page_size), np.uint8), 0
        self._zero = self._first.of(bytes(page_size))
        self.contents = Contents(self._zero, self._second.of(bytes(page_size)))

    def read(self, source: Source, before: Snapshot) -> Snapshot:
        """Return the pages that a source has now. before: what it had; of what is still the same, the id stays."""
        parts = [Snapshot.empty()]
        for region in source.regions(self.page_size, self._allocate, self._count):
            parts.append(self._zeros(region.runs))
            data = data_runs(region.runs)
            if len(data):
                parts.append(self._taken(region, data, before))
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        whole = Snapshot(*(np.concatenate(column) for column in columns))
        if (whole.pages[1:] > whole.pages[:-1]).all():
            return whole
        return whole.of(np.unique(whole.pages, return_index=True)[1])

    def _allocate(self, n_pages: int) -> Allocation:
        if len(self._scratch) < n_pages:
            if len(self._scratch):
                self._store.remove(self._scratch_first)
            self._scratch_first, self._scratch = self._store.allocate(n_pages)
        return Allocation(self._scratch[:n_pages], self._scratch_first)

    def _count(self, n_pages: int) -> None:
        self.pages_read += n_pages

    def _zeros(self, runs: StructArray) -> Snapshot:
        """Return the pages of which only is known that they are zero."""
        zero = runs[runs["state"] == State.ZERO]
        pages = page_numbers(zero, self.page_size)
        n = len(pages)
        sums = np.full(n, self._zero, np.uint64)
        return Snapshot(pages, sums, np.zeros(n, np.uint32), np.zeros(n, np.uint64), np.ones(n, bool))

    def _taken(self, region: Region, data: StructArray, before: Snapshot) -> Snapshot:
        pages = page_numbers(data, self.page_size)
        index: I64Array = expand(data["first"].astype(np.int64), data["pages"].astype(np.int64)).astype(np.int64)
        added = None
        if region.copies is not None:
            first = region.copies.first
        else:
            assert region.view is not None
            first = added = self._store.add(region.view.reshape(-1)[: (int(index.max()) + 1) * self.page_size])
        try:
            if region.copied is None:
                sums, contents = self._ids(pages, (index + first).astype(np.uint32), before)
            else:
                sums, contents = self._ids_of_copied(pages, region.copied, index, first, before)
        finally:
            if added is not None:
                self._store.remove(added)
        known = region.frames is not None and region.exclusive is not None
        frames = region.frames[index] if region.frames is not None and known else np.zeros(len(pages), np.uint64)
        exclusive = region.exclusive[index] if region.exclusive is not None and known else np.ones(len(pages), bool)
        return Snapshot(pages, sums, contents, frames, exclusive)

    def _ids_of_copied(
        self, pages: U64Array, held: BoolArray, index: I64Array, first: int, before: Snapshot
    ) -> tuple[U64Array, U32Array]:
        """Do what _ids does where only the pages held were copied, one after the other: the others are as they were."""
        copied = held[index]
        at = np.minimum(places(before.pages, pages)[0], max(0, len(before.pages) - 1))  # of the copied, whatever it is
        sums, contents = before.sums[at], before.contents[at]
        numbers = (np.cumsum(held)[index[copied]] - 1 + first).astype(np.uint32)
        sums[copied], contents[copied] = self._ids(pages[copied], numbers, before)
        return sums, contents

    def _ids(self, pages: U64Array, numbers: U32Array, before: Snapshot) -> tuple[U64Array, U32Array]:
        """Return the first checksum and the content id of pages of the store."""
        sums = native.checksum_pages(self._store.view, self._first, numbers)
        at, found = places(before.pages, pages)
        same = found.copy()
        same[found] = before.sums[at[found]] == sums[found]
        contents = np.empty(len(pages), np.uint32)
        contents[same] = before.contents[at[same]]
        new = np.flatnonzero(~same)
        seconds = native.checksum_pages(self._store.view, self._second, numbers[new])
        contents[new] = self.contents.ids(sums[new], seconds)
        return sums, contents


def among(pages: U64Array, wanted: U64Array) -> BoolArray:
    """Return which of sorted pages are wanted: quick where few are."""
    at, found = places(pages, wanted)
    made = np.zeros(len(pages), bool)
    made[at[found]] = True
    return made


def places(pages: U64Array, wanted: U64Array) -> tuple[I64Array, BoolArray]:
    """Return where wanted pages are among sorted ones, and which of them are there."""
    first = int(np.searchsorted(pages, wanted[0])) if len(wanted) else 0
    if np.array_equal(pages[first : first + len(wanted)], wanted):  # as in most samples: the same as the last time
        return np.arange(first, first + len(wanted)), np.ones(len(wanted), bool)
    at = np.searchsorted(pages, wanted)
    found = at < len(pages)
    found[found] = pages[at[found]] == wanted[found]
    return at, found
