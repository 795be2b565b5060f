"""Address spaces: Mm, and the vmas of all of them as columns.

Which vma of a split keeps its identity, and which of two survives a merge, is what Linux 3.4 does: the order of an
anon_vma's vmas depends on it. Ranges are virtual page numbers, first .. end - 1.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import I64Array, U16Array, U32Array
from pksm.engine.memory import grown
from pksm.errors import UsageError
from pksm.hosts.machine.bound import Bound

if TYPE_CHECKING:
    from pksm.hosts.machine.machine import Machine
    from pksm.hosts.machine.rmap import Rmap


WRITABLE, LOCKED, MERGEABLE, GROWSDOWN, OPTED_OUT = (1 << bit for bit in range(5))  # vma flags
UNFIT_FOR_MERGING = GROWSDOWN
SAME_OBJECT = ~WRITABLE  # vmas that differ in nothing else may share an anon_vma

_COLUMNS = {
    "mm": np.int64,
    "root": np.int64,
    "start": np.int64,
    "end": np.int64,
    "pgoff": np.int64,
    "flags": np.uint16,
    "anon_vma": np.uint32,
    "born": np.int64,
    "copied": np.int64,
}


class Mm(Bound):
    """An address space. id: a number from 1; root: of its page tables; vmas: their ids by address; machine: its own."""

    def __init__(self, machine: Machine, id: int, root: int) -> None:
        self.machine, self.id, self.root = machine, id, root
        self.vmas: list[int] = []

    @property
    def alive(self) -> bool:
        return self.root != 0

    def __repr__(self) -> str:
        return f"<Mm {self.id}{'' if self.alive else ', exited'}>"


class Vmas:
    """All vmas, by id from 1. Columns: mm (id), root, start, end, pgoff (index of its first page), flags, anon_vma,
    born (a number that no other has or had), copied (copies on write of merged pages in it)."""

    mm: I64Array
    root: I64Array
    start: I64Array
    end: I64Array
    pgoff: I64Array
    flags: U16Array
    anon_vma: U32Array
    born: I64Array
    copied: I64Array

    def __init__(self, rmap: Rmap) -> None:
        for name, kind in _COLUMNS.items():
            setattr(self, name, np.zeros(64, kind))
        self._free = list(range(63, 0, -1))
        self._rmap = rmap
        self._last_born = 0

    def __len__(self) -> int:
        return len(self.start) - 1 - len(self._free)

    def _allocate(self) -> int:
        if not self._free:
            size = len(self.start)
            for name in _COLUMNS:
                setattr(self, name, grown(getattr(self, name), size * 2))
            self._free = list(range(size * 2 - 1, size - 1, -1))
        return self._free.pop()

    def add(self, mm: Mm, start: int, end: int, flags: int, pgoff: int | None = None) -> int:
        """Add a vma without an anon_vma, at the place that is free for it, and return its id."""
        vma = self._allocate()
        self.mm[vma], self.root[vma], self.start[vma], self.end[vma] = mm.id, mm.root, start, end
        self.pgoff[vma] = start if pgoff is None else pgoff
        self.flags[vma], self.anon_vma[vma] = flags, 0
        self._last_born += 1
        self.born[vma], self.copied[vma] = self._last_born, 0
        mm.vmas.insert(bisect_right(mm.vmas, start, key=self._start), vma)
        return vma

    def remove(self, mm: Mm, vma: int) -> None:
        """Take a vma away; its ptes are gone already."""
        del mm.vmas[self._place(mm, vma)]
        self._rmap.unlink([vma])
        self._free.append(vma)

    def remove_all(self, mm: Mm) -> None:
        """Take all vmas of an mm away."""
        self._rmap.unlink(mm.vmas)
        self._free.extend(reversed(mm.vmas))
        mm.vmas = []

    def _start(self, vma: int) -> int:
        start: int = self.start[vma]
        return start

    def _place(self, mm: Mm, vma: int) -> int:
        """Return where a vma is among those of its mm, of which there may be 100,000."""
        return bisect_left(mm.vmas, self._start(vma), key=self._start)

    def span(self, vma: int) -> tuple[int, int]:
        """Return (start, end) as ints."""
        return int(self.start[vma]), int(self.end[vma])

    def has(self, vma: int, flag: int) -> bool:
        return bool(self.flags[vma] & flag)

    # ---- which vmas lie where ----

    def over(self, mm: Mm, first: int, end: int) -> list[int]:
        """Return the ids of the vmas that overlap a range, by address."""
        i = bisect_right(mm.vmas, first, key=self._start)
        if i and self.end[mm.vmas[i - 1]] > first:
            i -= 1
        j = bisect_right(mm.vmas, end - 1, key=self._start)
        return mm.vmas[i:j]

    def below(self, mm: Mm, first: int) -> int:
        """Return the last vma that begins below a virtual page, 0 for none."""
        i = bisect_left(mm.vmas, first, key=self._start)
        return mm.vmas[i - 1] if i else 0

    def covering(self, mm: Mm, first: int, end: int, page_size: int, writable: bool = False) -> list[int]:
        """Return as `over`; UsageError unless all of the range is mapped (and writable)."""
        vmas, at = self.over(mm, first, end), first
        for vma in vmas:
            if self.start[vma] > at:
                break
            if writable:
                self._require_writable(mm, vma, at * page_size)
            at = int(self.end[vma])
        if at < end:
            raise UsageError(f"nothing is mapped at {at * page_size:#x} of mm {mm.id}")
        return vmas

    def _require_writable(self, mm: Mm, vma: int, address: int) -> None:
        if not self.has(vma, WRITABLE):
            raise UsageError(f"write to read-only memory at {address:#x} of mm {mm.id}")

    def spans(self, mm: Mm, pages: I64Array, page_size: int, writable: bool = False) -> list[tuple[int, slice]]:
        """Return [(vma, slice of pages)] for virtual pages (int64, ascending), by address.

        UsageError unless all are mapped (and writable).
        """
        spans, at = [], 0
        for vma in self.over(mm, int(pages[0]), int(pages[-1]) + 1):
            first, end = (int(i) for i in np.searchsorted(pages, self.span(vma)))
            if first > at:
                break
            if end > first:
                if writable:
                    self._require_writable(mm, vma, int(pages[first]) * page_size)
                spans.append((vma, slice(first, end)))
            at = end
        if at < len(pages):
            raise UsageError(f"nothing is mapped at {pages[at] * page_size:#x} of mm {mm.id}")
        return spans

    def neighbours(self, mm: Mm, vma: int) -> tuple[int, int]:
        """Return the vmas before and behind one, 0 for none."""
        i = self._place(mm, vma)
        return (mm.vmas[i - 1] if i else 0), (mm.vmas[i + 1] if i + 1 < len(mm.vmas) else 0)

    # ---- split and merge ----

    def split(self, mm: Mm, vma: int, at: int, new_below: bool) -> int:
        """Split a vma at a virtual page; the new one, which is returned, is the part below or above."""
        start, end = self.span(vma)
        above = int(self.pgoff[vma]) + at - start
        if new_below:
            self.start[vma], pgoff = at, int(self.pgoff[vma])
            self.pgoff[vma] = above
            new = self.add(mm, start, at, self.flags[vma], pgoff)
        else:
            self.end[vma] = at
            new = self.add(mm, at, end, self.flags[vma], above)
        self._share_anon_vma(new, vma)
        return new

    def _share_anon_vma(self, vma: int, other: int) -> None:
        """Let a vma without an anon_vma have that of another one, and all that the other is in the chain of."""
        if self.anon_vma[other] and not self.anon_vma[vma]:
            self._rmap.clone(vma, other)
            self.anon_vma[vma] = self.anon_vma[other]

    def set_flags(self, mm: Mm, first: int, end: int, flags: int) -> int:
        """Give a range within one vma other flags: merge it with neighbours that have them, or split the vma.

        Returns the vma that covers the range now. Mirrors the common part of mprotect_fixup, madvise_behavior and
        mlock_fixup.
        """
        (vma,) = self.over(mm, first, end)
        if self.flags[vma] == flags:
            return vma
        start, stop = self.span(vma)
        before = self.neighbours(mm, vma)[0]
        pgoff = int(self.pgoff[vma]) + first - start
        merged = self.merge(mm, vma if first > start else before, first, end, flags, self.anon_vma[vma], pgoff)
        if merged:
            self.flags[merged] = flags
            return merged
        if first != start:
            self.split(mm, vma, first, new_below=True)
        if end != stop:
            self.split(mm, vma, end, new_below=False)
        self.flags[vma] = flags
        return vma

    def merge(self, mm: Mm, before: int, first: int, end: int, flags: int, anon_vma: int, pgoff: int) -> int:
        """Let a neighbour that is equal take over a range (of another vma, or unmapped). Return it, or 0.

        before: the vma that the range lies in (not at its start) or behind, 0 if it is the first; flags, anon_vma,
        pgoff: what the range has, or shall have. Mirrors vma_merge.
        """
        i = self._place(mm, before) + 1 if before else 0
        behind = mm.vmas[i] if i < len(mm.vmas) else 0
        area = behind
        if behind and self.end[behind] == end:
            behind = mm.vmas[i + 1] if i + 1 < len(mm.vmas) else 0
        fits_behind = behind and self.start[behind] == end and self._can_merge(behind, flags, anon_vma)
        fits_behind = fits_behind and self.pgoff[behind] == pgoff + end - first
        if before and self.end[before] == first and self._can_merge(before, flags, anon_vma):
            start, stop = self.span(before)
            if int(self.pgoff[before]) + stop - start == pgoff:
                mine, others = self.anon_vma[before], self.anon_vma[behind] if fits_behind else 0
                both = fits_behind and (not mine or not others or mine == others)
                self._resize(mm, before, start, int(self.end[behind]) if both else end)
                return before
        if not fits_behind:
            return 0
        into = behind if before and self.end[before] > first else area
        self._resize(mm, into, first, int(self.end[behind]))
        return into

    def _can_merge(self, vma: int, flags: int, anon_vma: int) -> bool:
        if self.flags[vma] != flags:
            return False
        mine = self.anon_vma[vma]
        return mine == anon_vma or ((not mine or not anon_vma) and self._rmap.n_anon_vmas(vma) <= 1)

    def _resize(self, mm: Mm, vma: int, first: int, end: int) -> None:
        """Let a vma cover first .. end - 1: others within go, others that overlap are trimmed."""
        for other in self.over(mm, first, end):
            if other == vma:
                continue
            self._share_anon_vma(vma, other)
            start, stop = self.span(other)
            if first <= start and stop <= end:
                self.remove(mm, other)
            elif start < first:
                self.end[other] = first
            else:
                self._move_start(other, end)
            self._rmap.touch_chains_of(other)
        self._move_start(vma, first)
        self.end[vma] = end
        self._rmap.touch_chains_of(vma)

    def _move_start(self, vma: int, start: int) -> None:
        self.pgoff[vma] += start - self.start[vma]
        self.start[vma] = start

    # ---- anon_vmas ----

    def prepare_anon_vma(self, mm: Mm, vma: int) -> None:
        """Give a vma an anon_vma before its first page: a neighbour's if they could be merged but for protection.

        Mirrors anon_vma_prepare.
        """
        if self.anon_vma[vma]:
            return
        before, behind = self.neighbours(mm, vma)
        for lower, upper, other in ((vma, behind, behind), (before, vma, before)):
            if other and self._are_one_object(lower, upper) and self._rmap.n_anon_vmas(other) == 1:
                self._rmap.link(vma, int(self.anon_vma[other]))
                self.anon_vma[vma] = self.anon_vma[other]
                return
        self.anon_vma[vma] = self._rmap.new_anon_vma()
        self._rmap.link(vma, int(self.anon_vma[vma]))

    def _are_one_object(self, lower: int, upper: int) -> bool:
        """Two vmas are neighbours in address and index and differ in protection at most."""
        start, end = self.span(lower)
        return (
            end == self.start[upper]
            and int(self.pgoff[lower]) + end - start == self.pgoff[upper]
            and not (int(self.flags[lower]) ^ int(self.flags[upper])) & SAME_OBJECT
        )

    def check(self, mms: list[Mm]) -> None:
        """Raise AssertionError unless the vmas of all mms are in order and none is lost."""
        seen = []
        for mm in mms:
            end = 0
            for vma in mm.vmas:
                assert self.mm[vma] == mm.id and self.root[vma] == mm.root
                assert end <= self.start[vma] < self.end[vma], "vmas overlap, or are out of order"
                end = self.end[vma]
            seen.extend(mm.vmas)
        assert len(set(seen)) == len(seen) == len(self), "a vma is lost, or in two mms"
        assert not set(seen) & set(self._free)
