"""vma slots: what is known of each vma, and the permutation in which its pages are visited.

A permutation is an array of entries, one per page, which is shuffled on while the cursor goes through it. The kernel
keeps it in pool pages of 512 entries, and forgets a whole one without items when the cursor has passed it: what had been
swapped into it is visited no more, and what is there again by itself is visited twice (quirk pool-loss).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pksm.arrays import U32Array
from pksm.engine.memory import grown

POOL_ENTRIES = 512


@dataclass(eq=False)
class Slot:
    """One vma. Counts are of this pass over it, if nothing else is said."""

    number: int  # its place in Slots' columns
    key: tuple[int, int, int]  # of the vma: born, first page, pages
    mm: int
    first: int  # virtual page
    n: int  # pages
    base: int  # of its entries
    rung: int = -1
    place: int = -1  # on its rung
    cursor: int = 0  # entries visited of this cycle
    sampled: int = 0
    merged: int = 0
    copied: int = 0
    copied_before: int = 0  # in all, when copies were last asked for
    scanned_in: int = 0  # the full scan in which it was last scanned fully
    cycles: int = 0  # whole ones since anything merged


class Slots:
    """All slots by the key of their vma, and the entries of all. permutation, item_at: uint32 by entry."""

    def __init__(self) -> None:
        self.by_key: dict[tuple[int, int, int], Slot] = {}
        self.permutation = np.zeros(64, np.uint32)
        self.item_at = np.zeros(64, np.uint32)
        self.mm = np.zeros(64, np.int64)  # by slot number, as the next
        self.first = np.zeros(64, np.int64)
        self._numbers = list(range(63, 0, -1))
        self._top = 0
        self._spare: dict[int, list[int]] = {}  # length: bases

    def add(self, key: tuple[int, int, int], mm: int, first: int, n: int) -> Slot:
        """Make a slot for a vma."""
        if not self._numbers:
            size = len(self.mm)
            self.mm, self.first = grown(self.mm, 2 * size), grown(self.first, 2 * size)
            self._numbers = list(range(2 * size - 1, size - 1, -1))
        slot = Slot(self._numbers.pop(), key, mm, first, n, self._take(n))
        self.by_key[key] = slot
        self.mm[slot.number], self.first[slot.number] = mm, first
        self.permutation[slot.base : slot.base + n] = np.arange(n)
        return slot

    @property
    def n_entries(self) -> int:
        """Entries that all slots have had at once."""
        return self._top

    def _take(self, n: int) -> int:
        if self._spare.get(n):
            return self._spare[n].pop()
        base, self._top = self._top, self._top + n
        if self._top > len(self.permutation):
            size = max(self._top, len(self.permutation) * 3 // 2)
            self.permutation, self.item_at = grown(self.permutation, size), grown(self.item_at, size)
        return base

    def remove(self, slot: Slot) -> U32Array:
        """Forget a slot, and return the items that it had."""
        part = slice(slot.base, slot.base + slot.n)
        items = self.item_at[part]
        items = items[items != 0]
        self.item_at[part] = 0
        del self.by_key[slot.key]
        self._numbers.append(slot.number)
        self._spare.setdefault(slot.n, []).append(slot.base)
        return items

    def forget_pools(self, slot: Slot, before: int) -> None:
        """Forget the pool pages without items that the cursor has passed since it stood at `before`."""
        end = slot.cursor // POOL_ENTRIES * POOL_ENTRIES
        first = before // POOL_ENTRIES * POOL_ENTRIES
        if end <= first:
            return
        starts = np.arange(first, end, POOL_ENTRIES)
        part = self.item_at[slot.base + first : slot.base + end] != 0
        held = np.add.reduceat(part, starts - first, dtype=np.int64)
        entries = np.repeat(held == 0, np.diff(np.append(starts, end)))
        places = np.flatnonzero(entries) + first
        self.permutation[slot.base + places] = places
