"""Swap: slots with the bytes of pages, and the swap cache between them and the frames.

A slot lives while ptes name it. While some of a page's ptes are swapped in and others not, the slot remembers the
frame, so that all find the same one: the swap cache, which holds a reference on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import BoolArray, I64Array, Ids, IntArray, Pages, U8Array, U32Array
from pksm.engine.memory import zeros
from pksm.hosts.machine import frames as flag
from pksm.hosts.machine.content import blocks
from pksm.hosts.machine.mm import LOCKED, UNFIT_FOR_MERGING
from pksm.hosts.machine.page_tables import PRESENT, YOUNG, pte_of, value_of

if TYPE_CHECKING:
    from pksm.hosts.machine.frames import Frames
    from pksm.hosts.machine.machine import Machine


_NO_FRAME = np.uint32(0xFFFFFFFF)


class Swap:
    """Slots, as many as are needed. users: int32 by slot, ptes that name it; cached: uint32, its frame in the cache."""

    def __init__(self, page_size: int) -> None:
        self._memory = np.zeros((0, page_size), np.uint8)
        self.users = np.zeros(0, np.int32)
        self.cached = np.zeros(0, np.uint32)
        self._free = np.zeros(0, np.uint32)

    def __len__(self) -> int:
        return len(self.users) - len(self._free)

    def allocate(self, n: int) -> U32Array:
        """Take n slots without users: uint32."""
        if n > len(self._free):
            used, size = len(self.users), max(64, len(self.users) * 2, len(self.users) + n)
            memory = zeros((size, self._memory.shape[1]))
            memory[:used] = self._memory
            self._memory = memory
            self.users = np.concatenate((self.users, np.zeros(size - used, np.int32)))
            self.cached = np.concatenate((self.cached, np.full(size - used, _NO_FRAME)))
            self._free = np.concatenate((np.arange(size - 1, used - 1, -1, dtype=np.uint32), self._free))
        taken = self._free[len(self._free) - n :][::-1]
        self._free = self._free[: len(self._free) - n]
        return taken

    def write(self, slots: U32Array, memory: U8Array, frames: Pages) -> None:
        """Store the bytes of frames."""
        for part in blocks(len(frames), memory.shape[1]):
            self._memory[slots[part]] = memory[frames[part]]

    def read(self, slots: U32Array, memory: U8Array, frames: Pages) -> None:
        """Fetch bytes into frames."""
        for part in blocks(len(frames), memory.shape[1]):
            memory[frames[part]] = self._memory[slots[part]]

    def remember(self, frames: Frames, slots: U32Array, ids: Ids) -> None:
        """Put frames `ids` into the swap cache."""
        frames.flags[ids] |= flag.SWAP_CACHE
        frames.count[ids] += 1
        frames.swap_slot[ids] = slots
        self.cached[slots] = ids

    def forget(self, frames: Frames, ids: Ids) -> None:
        """Take frames `ids` out of the swap cache."""
        frames.flags[ids] &= 0xFF ^ flag.SWAP_CACHE
        frames.count[ids] -= 1
        self.cached[frames.swap_slot[ids]] = _NO_FRAME

    def get(self, slots: U32Array) -> None:
        """Count one pte more for each of the slots (which may repeat)."""
        np.add.at(self.users, slots, np.int32(1))

    def put(self, frames: Frames, slots: U32Array) -> None:
        """Count one pte less for each of the slots (which may repeat); those without any are freed."""
        np.subtract.at(self.users, slots, np.int32(1))
        unused = np.unique(slots[self.users[slots] == 0])
        cached = self.cached[unused]
        self.forget(frames, cached[cached != _NO_FRAME])
        self._free = np.concatenate((self._free, unused))

    def is_cached(self, slots: IntArray) -> BoolArray:
        """Return a bool array: which slots have a frame in the swap cache."""
        return self.cached[slots] != _NO_FRAME

    def check(self, users: I64Array, frames: Frames) -> None:
        """Raise AssertionError unless users (by slot, from the ptes) agree, and cached frames hold the bytes."""
        assert np.array_equal(users, self.users), "swap slots have other users than the ptes say"
        assert np.array_equal(np.sort(self._free), np.flatnonzero(self.users == 0)), "a slot is lost"
        cached = np.flatnonzero(self.cached != _NO_FRAME)
        assert (self.users[cached] > 0).all() and (frames.mapcount[self.cached[cached]] > 0).all()
        assert np.array_equal(frames.swap_slot[self.cached[cached]], cached)
        assert np.array_equal(self._memory[cached], frames.memory[self.cached[cached]])


def swap_in(machine: Machine, vma: int, pages: I64Array, slots: I64Array) -> None:
    """Bring swapped ptes of one vma back, read-only: pages are theirs, slots where they are.

    A slot that others still use keeps its frame in the swap cache, for relatives at the same index; anybody else gets a
    copy. Mirrors do_swap_page and ksm_might_need_to_copy.
    """
    table, vmas, swap = machine.frames, machine.vmas, machine.swap
    swapped = value_of(machine.tables.ptes[slots])
    anon_vma = vmas.anon_vma[vma]
    root = machine.rmap.root[anon_vma]
    index = pages + int(vmas.pgoff[vma] - vmas.start[vma])

    frames = swap.cached[swapped]
    shares = swap.is_cached(swapped)
    cached = frames[shares]
    shares[shares] = (machine.rmap.root[table.anon_vma[cached]] == root) & (table.index[cached] == index[shares])
    new = np.flatnonzero(~shares)
    of_new = swapped[new]
    frames[new] = born = table.allocate(len(new))
    swap.read(of_new, table.memory, born)
    # the first pte of a slot that others still use enters the cache, reachable by all of its line
    enters = ~swap.is_cached(of_new) & (swap.users[of_new] > 1)
    enters &= np.isin(np.arange(len(new)), np.unique(of_new, return_index=True)[1])
    mlocked = flag.MLOCKED if vmas.has(vma, LOCKED) else 0
    unfit = flag.UNFIT if vmas.has(vma, UNFIT_FOR_MERGING) else 0
    table.set_up(born, np.where(enters, root, anon_vma), index[new], mlocked | unfit, int(vmas.mm[vma]))
    swap.remember(table, of_new[enters], born[enters])
    machine.rmap.touch_pages(frames)
    shared = frames[shares]
    table.add_ptes(shared)
    table.flags[shared] |= mlocked
    machine.tables.point(slots, pte_of(frames, PRESENT | YOUNG))
    swap.put(table, swapped)
    machine.born(born)
