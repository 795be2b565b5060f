"""What merging saves, exactly: which frames there would be without it.

A pte that is moved to a kept page, or to the zero page, remembers whose it was: the id of its origin stands in the pte,
and forks copy it along. So without merging there would be a frame for each origin that some pte still names, and one
for each frame that has ptes of its own.

All ptes are counted when somebody asks for the first time. From then on the page tables note which ptes change, and the
next answer follows from these, unless they are so many that counting again is as quick.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import I64Array, Pages, U32Array, U64Array
from pksm.hosts.machine.frames import KSM
from pksm.hosts.machine.page_tables import LEAF, LEAVES_AT_ONCE, ORIGIN, ORIGIN_SHIFT, Changes, maps_frame, value_of

if TYPE_CHECKING:
    from pksm.hosts.machine.frames import Frames
    from pksm.hosts.machine.page_tables import PageTables


N_IDS = 1 << 26  # that fit into a pte; 0 is none
_PTES_AT_ONCE = 16 * LEAVES_AT_ONCE * LEAF
_FOLLOWED = 8  # of so many ptes, one may change between two answers
_FEW = 1024


class _Counts:
    """What is saved, and what that follows from. By frame: its ptes (`mapped`), those among them without an origin
    (`own`), and the id of its own (`origin`). By id: the ptes that name it, and the frame whose id it is (-1: none)."""

    def __init__(self, blocks: Iterator[U64Array], origin: U32Array, n_ids: int) -> None:
        self._mapped, self._own = np.zeros(len(origin), np.int32), np.zeros(len(origin), np.int32)
        self._origin = np.zeros(len(origin), np.uint32)
        self._named, self._frame = np.zeros(n_ids, np.int32), np.full(n_ids, -1)
        for ptes in blocks:
            self._count(ptes, 1)
        frames = np.arange(len(origin))
        self._take_origins(frames, origin)
        self.saved = self._part_of(frames, np.arange(1, n_ids))

    def follow(self, before: U64Array, after: U64Array, besides: Pages, origin: U32Array, n_ids: int) -> None:
        """Take notice of ptes that have changed; besides: frames whose origin has, though their ptes have not."""
        if n_ids > len(self._named):
            more = max(n_ids - len(self._named), len(self._named) // 2)
            self._named = np.concatenate((self._named, np.zeros(more, np.int32)))
            self._frame = np.concatenate((self._frame, np.full(more, -1)))
        (old_frames, old_ids), (new_frames, new_ids) = _named_by(before), _named_by(after)
        frames = np.unique(np.concatenate((old_frames, new_frames, besides)))
        ids = np.unique(np.concatenate((old_ids, new_ids, self._origin[frames], origin[frames])))
        ids = ids[ids != 0]
        self.saved -= self._part_of(frames, ids)
        self._count(before, -1)
        self._count(after, 1)
        self._take_origins(frames, origin[frames])
        self.saved += self._part_of(frames, ids)

    def _count(self, ptes: U64Array, by: int) -> None:
        frames, ids = _named_by(ptes)
        np.add.at(self._mapped, frames, np.int32(by))
        np.add.at(self._own, frames[ids[maps_frame(ptes)] == 0], np.int32(by))
        np.add.at(self._named, ids, np.int32(by))

    def _take_origins(self, frames: I64Array | Pages, origin: U32Array) -> None:
        """Frames (each once) have these ids now, those that are mapped."""
        before = self._origin[frames]
        lost = before[self._frame[before] == frames]
        self._frame[lost] = -1
        self._origin[frames] = origin
        here = (origin != 0) & (self._mapped[frames] > 0)
        self._frame[origin[here]] = frames[here]

    def _part_of(self, frames: I64Array | Pages, ids: I64Array | U32Array) -> int:
        """Return what these frames and ids add to `saved`."""
        frame = self._frame[ids]
        itself = (frame >= 0) & (self._own[frame] > 0)  # it still has some of its ptes
        gone = int(np.count_nonzero((self._named[ids] > 0) & ~itself))
        return gone - int(np.count_nonzero((self._mapped[frames] > 0) & (self._own[frames] == 0)))


def _named_by(ptes: U64Array) -> tuple[U32Array, U32Array]:
    """Return the frames that those of the ptes point to that point to one, and the ids of all (0: none)."""
    return value_of(ptes[maps_frame(ptes)]), ((ptes & ORIGIN) >> ORIGIN_SHIFT).astype(np.uint32)


class Origins:
    """Ids of frames whose ptes have been moved: their column `origin`, 0 while they have none. next: the next id."""

    def __init__(self, frames: Frames, tables: PageTables) -> None:
        self.next = 1
        self._frames, self._tables = frames, tables
        self._counts: _Counts | None = None
        self._forgotten: list[Pages] = []

    def of_moved(self, slots: I64Array, frames: Pages) -> U64Array:
        """Return the bits that ptes keep when they are moved away from frames.

        slots: int64, of the ptes; frames: that each points to (they may repeat).
        """
        if self.next + len(slots) > N_IDS:
            self._renumber()
        origin, bits = self._frames.origin, self._tables.ptes[slots] & ORIGIN
        unmoved = bits == 0
        own = frames if unmoved.all() else frames[unmoved]
        ids = origin[own]
        if not ids.all():
            new = own[ids == 0]
            new = new[np.flatnonzero(np.diff(new.astype(np.int64), prepend=-1))]
            origin[new] = np.arange(self.next, self.next + len(new))  # of a frame that repeats the last is its id
            self.next += len(new)
            ids = origin[own]
        bits[unmoved] = ids.astype(np.uint64) << ORIGIN_SHIFT
        return bits

    def _blocks(self) -> Iterator[U64Array]:
        """Yield all ptes, views of the arena, part by part."""
        ptes = self._tables.ptes
        for start in range(0, len(ptes), _PTES_AT_ONCE):
            yield ptes[start : start + _PTES_AT_ONCE]

    def forget(self, frames: Pages) -> None:
        """Let frames have no id: ptes that were moved away would no longer be theirs."""
        self._frames.origin[frames] = 0
        if self._tables.changes:
            self._forgotten.append(frames)

    def saved(self) -> int:
        """Return how many frames more there would be without merging."""
        if self._counts and self._tables.changes:
            before, after = self._tables.changes.take()
            forgotten = np.concatenate((np.empty(0, np.uint32), *self._forgotten))
            self._counts.follow(before, after, forgotten, self._frames.origin, self.next)
        else:
            self._counts = self._counted()
        self._forgotten = []
        self._tables.changes = Changes(max(_FEW, len(self._tables.ptes) // _FOLLOWED))
        return self._counts.saved

    def _counted(self) -> _Counts:
        return _Counts(self._blocks(), self._frames.origin, self.next)

    def _renumber(self) -> None:
        """Begin anew with the ids that something still names."""
        self._tables.changes = None
        named, mapped = np.zeros(self.next, bool), np.zeros_like(self._frames.classes, bool)
        for ptes in self._blocks():
            frames, ids = _named_by(ptes)
            mapped[frames] = named[ids] = True
        origin = self._frames.origin
        origin[~mapped] = 0
        named[origin] = True
        named[0] = False
        to = np.zeros(self.next, np.uint64)
        to[named] = np.arange(1, 1 + np.count_nonzero(named))
        for ptes in self._blocks():
            ids = (ptes & ORIGIN) >> ORIGIN_SHIFT
            ptes &= ~ORIGIN
            ptes |= to[ids] << ORIGIN_SHIFT
        origin[:] = to[origin]
        self.next = 1 + int(np.count_nonzero(named))

    def check_saved(self) -> None:
        """Raise AssertionError unless what is kept up is what a count comes to."""
        assert self.saved() == self._counted().saved, "frames saved, as kept up, are not those counted"

    def check(self, ptes: U64Array) -> None:
        """Raise AssertionError unless ids are sound, and ptes that were moved point to kept pages or the zero page."""
        ids = (ptes & ORIGIN) >> ORIGIN_SHIFT
        assert (ids < self.next).all() and (self._frames.origin < self.next).all(), "an origin that was never given"
        moved = value_of(ptes[(ids != 0) & maps_frame(ptes)])
        assert self._frames.has(moved, KSM).all(), "a pte was moved to a frame that is not merged"
