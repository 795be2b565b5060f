"""Page tables: one arena of ptes in leaves of 512, found through directories of 512, three levels of them.

Directory 0 and leaf 0 are nil and stay empty: what is not there reads as a pte of zero. A mapping costs the leaves that
it touches. A pte is a uint64: flags and origin below, in the upper half the frame (or swap slot, or which zero page).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pksm.arrays import BoolArray, I64Array, IntArray, U32Array, U64Array
from pksm.engine.memory import grown

PRESENT, WRITE, DIRTY, YOUNG, SPECIAL, SWAPPED = (np.uint64(1 << bit) for bit in range(6))
VALUE = np.uint64(32)  # bits to shift
ORIGIN_SHIFT, ORIGIN = np.uint64(6), np.uint64((1 << 32) - (1 << 6))  # whose a moved pte was: see origins.py
KERNEL_ZERO, PKSM_ZERO = (PRESENT | SPECIAL | np.uint64(which) << VALUE for which in (0, 1))
FRAME_MASK = ~np.uint64((1 << 32) - 1) | PRESENT | SPECIAL  # what of a pte says which frame it points to
LEAF = 512  # ptes, and entries of a directory
LIMIT = 1 << 35  # virtual page numbers: 47 bits of address at 4 KiB
LEAVES_AT_ONCE = 16  # worked on at a time, so that what a batch takes besides does not grow with the range
_TOP_SHIFT, _MIDDLE_SHIFT, _LEAF_SHIFT = 27, 18, 9


def value_of(ptes: U64Array) -> U32Array:
    """Return the frames, or swap slots, of ptes: uint32."""
    return (ptes >> VALUE).astype(np.uint32)


def pte_of(values: IntArray, flags: U64Array | np.uint64) -> U64Array:
    """Return ptes with these frames or slots, and flags."""
    return (np.asarray(values).astype(np.uint64) << VALUE) | flags


def maps_frame(ptes: U64Array) -> BoolArray:
    """Return a bool array: which ptes point to a frame (zero pages are none)."""
    return (ptes & (PRESENT | SPECIAL)) == PRESENT


K = TypeVar("K", np.uint32, np.uint64)


class _Pool(Generic[K]):
    """Tables of 512 entries of one kind, with the free ones on a stack; table 0 is nil."""

    def __init__(self, kind: type[K]) -> None:
        self.entries: NDArray[K] = np.zeros(16 * LEAF, kind)
        self._free = np.arange(15, 0, -1, dtype=np.uint32)

    def allocate(self, n: int) -> U32Array:
        """Take n empty tables: uint32."""
        if n > len(self._free):
            size = len(self.entries) // LEAF
            bigger = max(size * 2, size + n)
            self.entries = grown(self.entries, bigger * LEAF)
            self._free = np.concatenate((np.arange(bigger - 1, size - 1, -1, dtype=np.uint32), self._free))
        taken = self._free[len(self._free) - n :][::-1]
        self._free = self._free[: len(self._free) - n]
        return taken

    def free(self, tables: IntArray) -> None:
        """Give empty tables back."""
        self._free = np.concatenate((self._free, tables[::-1]))

    def rows(self, tables: IntArray) -> NDArray[K]:
        """Return the entries of tables: (n, 512), a copy."""
        return self.entries.reshape(-1, LEAF)[tables]

    def n_used(self) -> int:
        return len(self.entries) // LEAF - 1 - len(self._free)

    def check(self, used: I64Array) -> None:
        """Raise AssertionError unless exactly the tables `used` are in use, each once, and the others are empty."""
        assert len(np.unique(used)) == len(used) == self.n_used(), "a table is lost or used twice"
        assert not len(np.intersect1d(used, self._free))
        assert not self.rows(self._free).any() and not self.rows(np.zeros(1, int)).any(), "a free table is not empty"


class Changes:
    """Ptes that have been pointed elsewhere, as they were and as they are.

    Args:
        most: how many are noted.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._before, self._after = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]

    def note(self, before: U64Array, after: U64Array) -> bool:
        """Note some; return False, once and for all, if they are too many."""
        self._most -= len(before)
        self._before.append(before)
        self._after.append(after)
        return self._most >= 0

    def take(self) -> tuple[U64Array, U64Array]:
        """Return (before, after) of all."""
        return np.concatenate(self._before), np.concatenate(self._after)


class PageTables:
    """Page tables of all mms. An mm is named by its top directory (`root`), virtual pages by number.

    ptes: uint64, all of them; a pte's place in it is its slot. Don't keep it: growth reallocates. Flags alone may be
    written there; where a pte points is changed by `point`.
    changes: of where ptes point, since somebody began to note them; None: nobody does, or there were too many.
    turned: slots whose ptes point elsewhere since somebody has put a list there, some of them twice; None: nobody has.
    """

    def __init__(self) -> None:
        self._directories = _Pool(np.uint32)
        self._leaves = _Pool(np.uint64)
        self.changes: Changes | None = None
        self.turned: list[I64Array] | None = None

    @property
    def ptes(self) -> U64Array:
        return self._leaves.entries

    @property
    def n_leaves(self) -> int:
        """Leaves in use."""
        return self._leaves.n_used()

    @property
    def nbytes(self) -> int:
        """Bytes of leaves and directories in use."""
        return (self._leaves.n_used() * 8 + self._directories.n_used() * 4) * LEAF

    def point(self, slots: I64Array, ptes: U64Array | np.uint64) -> None:
        """Let ptes, each once, be these: what they point to, and whose they were, changes."""
        if self.changes:
            self._note(self.ptes[slots], np.broadcast_to(ptes, slots.shape))
        if self.turned is not None:
            self.turned.append(slots)
        self.ptes[slots] = ptes

    def _note(self, before: U64Array, after: U64Array) -> None:
        if self.changes and not self.changes.note(before, after):
            self.changes = None

    def new_root(self) -> int:
        """Return a new mm's empty page tables."""
        return int(self._directories.allocate(1)[0])

    def drop_root(self, root: int) -> None:
        """Free page tables that are empty (see release)."""
        self._directories.free(np.array([root], np.uint32))

    def slots(self, roots: I64Array | int, pages: I64Array) -> I64Array:
        """Return the slots of virtual pages (int64), in the nil leaf where there is no leaf. roots: one, or each's."""
        directory = self._directories.entries
        tables = directory[roots * LEAF + (pages >> _TOP_SHIFT)].astype(np.int64)
        tables = directory[tables * LEAF + ((pages >> _MIDDLE_SHIFT) & (LEAF - 1))].astype(np.int64)
        leaves = directory[tables * LEAF + ((pages >> _LEAF_SHIFT) & (LEAF - 1))].astype(np.int64)
        return leaves * LEAF + (pages & (LEAF - 1))

    def in_a_row(self, root: int, first: int, n: int) -> U64Array:
        """Return the ptes of a few virtual pages from `first` on: quicker than by slots."""
        directory, parts, end = self._directories.entries, [], first + n
        for leaf in range(first >> _LEAF_SHIFT, ((end - 1) >> _LEAF_SHIFT) + 1):
            table = int(directory[root * LEAF + (leaf >> 18)])
            table = int(directory[table * LEAF + ((leaf >> 9) & (LEAF - 1))])
            row = int(directory[table * LEAF + (leaf & (LEAF - 1))]) * LEAF
            low, high = max(first - leaf * LEAF, 0), min(end - leaf * LEAF, LEAF)
            parts.append(self.ptes[row + low : row + high])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def make(self, root: int, pages: I64Array) -> I64Array:
        """Give every one of the virtual pages (int64, ascending) a leaf and return their slots."""
        slots = self.slots(root, pages)
        missing = pages[slots < LEAF] >> _LEAF_SHIFT
        if not len(missing):
            return slots
        missing = missing[np.flatnonzero(np.diff(missing, prepend=-1))]
        tops = self._make_entries(np.full(len(missing), root, np.int64), missing >> 18, self._directories)
        middles = self._make_entries(tops, (missing >> 9) & (LEAF - 1), self._directories)
        self._make_entries(middles, missing & (LEAF - 1), self._leaves)
        return self.slots(root, pages)

    def _make_entries(self, tables: IntArray, entries: I64Array, pool: _Pool[Any]) -> I64Array:
        """Give entries[i] (ascending) of directories tables[i] a table of the pool where it has none; return them."""
        places = tables * LEAF + entries
        nil = places[self._directories.entries[places] == 0]
        nil = nil[np.flatnonzero(np.diff(nil, prepend=-1))]
        made = pool.allocate(len(nil))
        self._directories.entries[nil] = made  # after allocate, which may move the entries
        return self._directories.entries[places].astype(np.int64)

    def _levels(self, root: int, first: int, end: int) -> list[tuple[I64Array, I64Array]]:
        """Return, level by level, what lies in virtual pages first .. end - 1: (numbers, places in the directories)."""
        numbers, tables = np.zeros(1, np.int64), np.array([root], np.int64)
        levels: list[tuple[I64Array, I64Array]] = []
        for shift in (_TOP_SHIFT, _MIDDLE_SHIFT, _LEAF_SHIFT):
            rows, entries = np.nonzero(self._directories.rows(tables))
            children, places = numbers[rows] * LEAF + entries, tables[rows] * LEAF + entries
            inside = (children >= first >> shift) & (children <= (end - 1) >> shift)
            numbers, places = children[inside], places[inside]
            tables = self._directories.entries[places].astype(np.int64)
            levels.append((numbers, places))
        return levels

    def leaves(self, root: int, first: int = 0, end: int = LIMIT) -> tuple[I64Array, I64Array]:
        """Return (numbers, leaves) of the leaves that overlap virtual pages first .. end - 1, ascending; int64 both.

        A leaf's number is that of its first virtual page divided by 512.
        """
        numbers, places = self._levels(root, first, end)[-1]
        return numbers, self._directories.entries[places].astype(np.int64)

    def existing(self, root: int, first: int, end: int) -> Iterator[tuple[I64Array, I64Array]]:
        """Yield (virtual pages, slots) of all ptes of first .. end - 1 that have a leaf, a few leaves at a time.

        int64, ascending. What the directories say when it begins is what counts.
        """
        numbers, leaves = self.leaves(root, first, end)
        entries = np.arange(LEAF)
        for start in range(0, len(leaves), LEAVES_AT_ONCE):
            some = slice(start, start + LEAVES_AT_ONCE)
            pages = (numbers[some, np.newaxis] * LEAF + entries).reshape(-1)
            slots = (leaves[some, np.newaxis] * LEAF + entries).reshape(-1)
            part = slice(max(0, first - int(pages[0])), len(pages) - max(0, int(pages[-1]) + 1 - end))
            yield pages[part], slots[part]

    def release(self, root: int, first: int = 0, end: int = LIMIT) -> None:
        """Free the leaves of virtual pages first .. end - 1 that are empty, and directories that become so."""
        tops, middles, bottoms = self._levels(root, first, end)
        places = bottoms[1]
        leaves = self._directories.entries[places]
        empty = ~self._leaves.rows(leaves).any(axis=1)
        self._leaves.free(leaves[empty])
        self._directories.entries[places[empty]] = 0
        for _, places in (middles, tops):
            tables = self._directories.entries[places]
            empty = ~self._directories.rows(tables).any(axis=1)
            self._directories.free(tables[empty])
            self._directories.entries[places[empty]] = 0

    def copy(self, root: int, numbers: I64Array, leaves: I64Array) -> None:
        """Give another mm copies of leaves at the same virtual pages; numbers: of the leaves, none there yet."""
        self.make(root, numbers * LEAF)
        targets = self.slots(root, numbers * LEAF) // LEAF
        table = self._leaves.entries.reshape(-1, LEAF)
        table[targets] = table[leaves]
        if self.changes:
            ptes = table[leaves].reshape(-1)
            self._note(np.zeros_like(ptes), ptes)
        if self.turned is not None:
            self.turned.append((targets[:, np.newaxis] * LEAF + np.arange(LEAF)).reshape(-1))

    def check(self, roots: list[int]) -> None:
        """Raise AssertionError unless the mms of roots use every table that is not free, and each once."""
        directories, leaves = list(roots), []
        for root in roots:
            tops, middles, bottoms = self._levels(root, 0, LIMIT)
            directories.extend(self._directories.entries[tops[1]].tolist())
            directories.extend(self._directories.entries[middles[1]].tolist())
            leaves.extend(self._directories.entries[bottoms[1]].tolist())
        self._directories.check(np.array(directories, np.int64))
        self._leaves.check(np.array(leaves, np.int64))
