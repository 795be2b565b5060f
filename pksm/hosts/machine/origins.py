"""What merging saves, exactly: which frames there would be without it.

A pte that is moved to a kept page, or to the zero page, remembers whose it was: the id of its origin stands in the pte,
and forks copy it along. So without merging there would be a frame for each origin that some pte still names, and one
for each frame that has ptes of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import BoolArray, I64Array, Pages, U64Array
from pksm.hosts.machine.frames import KSM
from pksm.hosts.machine.page_tables import LEAF, LEAVES_AT_ONCE, ORIGIN, ORIGIN_SHIFT, maps_frame, value_of

if TYPE_CHECKING:
    from pksm.hosts.machine.frames import Frames
    from pksm.hosts.machine.page_tables import PageTables


N_IDS = 1 << 26  # that fit into a pte; 0 is none
_PTES_AT_ONCE = 16 * LEAVES_AT_ONCE * LEAF


class Origins:
    """Ids of frames whose ptes have been moved: their column `origin`, 0 while they have none. next: the next id."""

    def __init__(self, frames: Frames, tables: PageTables) -> None:
        self.next = 1
        self._frames, self._tables = frames, tables

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

    def saved(self) -> int:
        """Return how many frames more there would be without merging."""
        named, owners, mapped = self._seen()
        named[self._frames.origin[owners]] = False  # a frame that still has some of its ptes is there itself
        named[0] = False
        return int(np.count_nonzero(named)) - int(np.count_nonzero(mapped & ~owners))

    def _seen(self) -> tuple[BoolArray, BoolArray, BoolArray]:
        """Return (by id: named by a pte; by frame: has a pte of its own; by frame: has any)."""
        named = np.zeros(self.next, bool)
        owners, mapped = np.zeros_like(self._frames.classes, bool), np.zeros_like(self._frames.classes, bool)
        for ptes in self._blocks():
            ids = ptes & ORIGIN
            named[ids >> ORIGIN_SHIFT] = True
            of_frames = maps_frame(ptes)
            mapped[value_of(ptes[of_frames])] = True
            owners[value_of(ptes[of_frames & (ids == 0)])] = True
        return named, owners, mapped

    def _renumber(self) -> None:
        """Begin anew with the ids that something still names."""
        named, _, mapped = self._seen()
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

    def check(self, ptes: U64Array) -> None:
        """Raise AssertionError unless ids are sound, and ptes that were moved point to kept pages or the zero page."""
        ids = (ptes & ORIGIN) >> ORIGIN_SHIFT
        assert (ids < self.next).all() and (self._frames.origin < self.next).all(), "an origin that was never given"
        moved = value_of(ptes[(ids != 0) & maps_frame(ptes)])
        assert self._frames.has(moved, KSM).all(), "a pte was moved to a frame that is not merged"
