"""Reading memory for a recording: the pages of a source, each with the id of its content."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from pksm.arrays import AnyArray, BoolArray, I64Array, StructArray, U32Array, U64Array
from pksm.engine import native
from pksm.engine.checksums import strategies
from pksm.engine.store import Store
from pksm.extents import State, data_runs, expand, page_numbers
from pksm.linux.written import common, inside
from pksm.recording.contents import Contents
from pksm.recording.places import Ranges, places, stretch
from pksm.recording.sums import Sums
from pksm.sources import Source
from pksm.sources.base import Allocation, Region
from pksm.sources.live.process import ProcessSource

FIRST, SECOND = "xxh3-64", "xxh64"
SumsOf = Callable[[I64Array], U64Array]


@dataclass
class Snapshot:
    """The pages of an address space, sorted: their checksums, ids of contents, frames (0: not known), mapped once.

    changed: of pages that are those of the snapshot before, the places (sorted) of all that may differ; None: not known.
    """

    pages: U64Array
    sums: U64Array
    contents: U32Array
    frames: U64Array
    exclusive: BoolArray
    changed: I64Array | None = None
    _ranges: Ranges | None = None

    @property
    def ranges(self) -> Ranges:
        """The pages as ranges."""
        if self._ranges is None:
            self._ranges = Ranges.of(self.pages)
        return self._ranges

    @classmethod
    def empty(cls) -> "Snapshot":
        """Return that of a space with no pages."""
        numbers = np.empty(0, np.uint64)
        return cls(numbers, numbers, np.empty(0, np.uint32), numbers, np.empty(0, bool))

    def of(self, picked: AnyArray) -> "Snapshot":
        """Return some of the pages."""
        return Snapshot(
            self.pages[picked], self.sums[picked], self.contents[picked], self.frames[picked], self.exclusive[picked]
        )

    def with_parts(self, again: I64Array, new: "Snapshot", others: I64Array, rest: "Snapshot") -> "Snapshot":
        """Return the same pages with what is said of some of them, by their places: of `again`, that is only the contents."""
        sums, contents, frames, exclusive = self.sums.copy(), self.contents.copy(), self.frames, self.exclusive
        sums[again], contents[again] = new.sums, new.contents
        sums[others], contents[others] = rest.sums, rest.contents
        if not np.array_equal(frames[others], rest.frames):
            frames = frames.copy()
            frames[others] = rest.frames
        if not np.array_equal(exclusive[others], rest.exclusive):
            exclusive = exclusive.copy()
            exclusive[others] = rest.exclusive
        changed = np.sort(np.concatenate([again, others]))
        return Snapshot(self.pages, sums, contents, frames, exclusive, changed, self.ranges)


class Known(NamedTuple):
    """What is known of a process before it is read.

    Attributes:
        written: numbers of pages that were written (sorted).
        ranges: of resident pages of anonymous areas (numbers of starts and ends) of which all writes are known, and that
            lie in the frames in which they were, once mapped, if they have not just come; None: that is not known of any.
    """

    written: U64Array
    ranges: I64Array | None = None


NOTHING = Known(np.empty(0, np.uint64))


def joined(parts: Sequence[Snapshot]) -> Snapshot:
    """Return the pages of several snapshots, each once."""
    whole = Snapshot(
        np.concatenate([part.pages for part in parts]),
        np.concatenate([part.sums for part in parts]),
        np.concatenate([part.contents for part in parts]),
        np.concatenate([part.frames for part in parts]),
        np.concatenate([part.exclusive for part in parts]),
    )
    if (whole.pages[1:] > whole.pages[:-1]).all():
        return whole
    return whole.of(np.unique(whole.pages, return_index=True)[1])


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
        self._sums = Sums(self._store, self._first, self._second)
        self.contents = Contents(self._zero, self._second.of(bytes(page_size)))

    def read(self, source: Source, before: Snapshot, known: Known = NOTHING) -> Snapshot:
        """Return the pages that a source has now.

        Args:
            source: what is read.
            before: what it had; of what is still the same, the id stays.
            known: what is known of a process: only the rest is read.
        """
        if known.ranges is not None and isinstance(source, ProcessSource):
            found = self._changed(source, before, known.written, known.ranges)
            if found is not None:
                return found
        return self._all(source, before)

    def _changed(self, source: ProcessSource, before: Snapshot, written: U64Array, ranges: I64Array) -> Snapshot | None:
        """Return the pages that a process has, read where they were written or are not known; None if that will not do."""
        written = written[inside(written.astype(np.int64), ranges)]
        kept = common(before.ranges.ranges, ranges)
        at, found = before.ranges.places(written)
        if len(Ranges(kept)) + np.count_nonzero(~found) != len(Ranges(ranges)):
            return None  # a page has come that was not written
        others, again = before.ranges.left_by(kept), at[found]
        source.left_out = ranges * self.page_size
        try:
            rest = self._all(source, before.of(others))
        finally:
            source.left_out = None
        layout, old = source.layout, before.of(again)
        exclusive = np.zeros(len(written), bool)
        exclusive[found] = old.exclusive
        self._sums.compare_with(old.pages, old.sums)
        taken = source.take(written, exclusive, ~found, self._sums)
        if taken is None or source.layout != layout:
            return None
        self._count(len(written))
        taken.frames[found] = old.frames
        sums, second = self._sums.first, self._sums.second
        new = Snapshot(
            written,
            *self._ids(written, np.arange(len(written)), old, lambda numbers: sums[numbers], second),
            taken.frames,
            taken.exclusive,
        )
        if found.all() and np.array_equal(rest.pages, before.pages[others]):
            return before.with_parts(again, new, others, rest)
        stays = np.ones(len(before.pages), bool)
        stays[others] = stays[again] = False
        return joined([before.of(stays), new, rest])

    def _all(self, source: Source, before: Snapshot) -> Snapshot:
        """Return the pages that a source has now, all of which it is asked for."""
        parts = [Snapshot.empty()]
        if isinstance(source, ProcessSource):
            self._sums.compare_with(before.pages, before.sums)
            source.taker = self._sums
        for region in source.regions(self.page_size, self._allocate, self._count):
            parts.append(self._zeros(region.runs))
            data = data_runs(region.runs)
            if len(data):
                parts.append(self._taken(region, data, before))
        return joined(parts)

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
        if region.buffer is None:
            sums, second = self._sums.first, self._sums.second
            found = self._ids_of_read(pages, region.copied, index, before, lambda at: sums[at], second)
        else:
            found = self._ids_of_buffer(pages, region, index, before)
        known = region.frames is not None and region.exclusive is not None
        frames = region.frames[index] if region.frames is not None and known else np.zeros(len(pages), np.uint64)
        exclusive = region.exclusive[index] if region.exclusive is not None and known else np.ones(len(pages), bool)
        if region.looked_up is not None and known:
            old = ~region.looked_up[index]
            at = stretch(before.pages, pages[old]) or places(before.pages, pages[old])[0]
            frames[old], exclusive[old] = before.frames[at], before.exclusive[at]
        return Snapshot(pages, *found, frames, exclusive)

    def _ids_of_buffer(
        self, pages: U64Array, region: Region, index: I64Array, before: Snapshot
    ) -> tuple[U64Array, U32Array]:
        added = None
        if region.copies is not None:
            first = region.copies.first
        else:
            assert region.view is not None
            first = added = self._store.add(region.view.reshape(-1)[: (int(index.max()) + 1) * self.page_size])

        def sums(checksum: Any, at: I64Array) -> U64Array:
            return native.checksum_pages(self._store.view, checksum, (at + first).astype(np.uint32))

        try:
            first_sums, second_sums = partial(sums, self._first), partial(sums, self._second)
            return self._ids_of_read(pages, region.copied, index, before, first_sums, second_sums)
        finally:
            if added is not None:
                self._store.remove(added)

    def _ids_of_read(
        self,
        pages: U64Array,
        held: BoolArray | None,
        index: I64Array,
        before: Snapshot,
        first: SumsOf,
        second: SumsOf,
    ) -> tuple[U64Array, U32Array]:
        """Return the first checksums and the ids of pages of a region.

        Args:
            pages: their numbers.
            held: which pages of the region were read, one after the other; others are as they were. None: all.
            index: where each page is in the region.
            before: what there was.
            first, second: return the checksums of pages that were read, by their places among these.
        """
        if held is None:
            return self._ids(pages, index, before, first, second)
        read = held[index]
        whole = stretch(before.pages, pages)
        if whole is None:
            at = np.minimum(
                places(before.pages, pages)[0], max(0, len(before.pages) - 1)
            )  # of the read, whatever it is
            sums, contents = before.sums[at], before.contents[at]
        else:
            sums, contents = before.sums[whole].copy(), before.contents[whole].copy()
        numbers = np.cumsum(held)[index[read]] - 1
        sums[read], contents[read] = self._ids(pages[read], numbers, before, first, second)
        return sums, contents

    def _ids(
        self, pages: U64Array, numbers: I64Array, before: Snapshot, first: SumsOf, second: SumsOf
    ) -> tuple[U64Array, U32Array]:
        """Return the first checksum and the content id of pages that were read."""
        sums = first(numbers)
        at, found = places(before.pages, pages)
        same = found.copy()
        same[found] = before.sums[at[found]] == sums[found]
        contents = np.empty(len(pages), np.uint32)
        contents[same] = before.contents[at[same]]
        new = np.flatnonzero(~same)
        contents[new] = self.contents.ids(sums[new], second(numbers[new]))
        return sums, contents
