"""The reverse map: from frames to the ptes that point to them, for many frames at once.

A frame names an anon_vma and an index; the vmas in the anon_vma's chain that hold the index may have a pte of it. A KSM
frame has sharer records besides, one for each page that was merged into it, with the place where that page belonged.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import BoolArray, I64Array, IntArray, Pages, U8Array, U32Array
from pksm.engine.memory import grown
from pksm.hosts.machine import frames as frame_flags
from pksm.hosts.machine.mm import LOCKED, UNFIT_FOR_MERGING
from pksm.hosts.machine.page_tables import FRAME_MASK, LEAF, PRESENT, pte_of

if TYPE_CHECKING:
    from pksm.hosts.machine.frames import Frames
    from pksm.hosts.machine.machine import Machine
    from pksm.hosts.machine.mm import Mm, Vmas

_RECORDS_AT_ONCE = 1 << 16  # looked through by trim
_NOTES = 256  # arrays of what was touched


class Rmap:
    """anon_vmas, by id from 1, and their chains: which vmas each holds, in order of linking.

    references: int64 by anon_vma, those taken with get; root: where its line of forks begins (itself). An anon_vma
    lives while it has vmas or references; the others of its line hold one on the root.
    """

    def __init__(self) -> None:
        self.root = np.zeros(64, np.uint32)
        self.references = np.zeros(64, np.int64)
        self._n_vmas = np.zeros(64, np.int64)
        self._free = np.arange(63, 0, -1, dtype=np.uint32)
        self._edge_anon = np.zeros(64, np.uint32)  # edges, in order of linking
        self._edge_vma = np.zeros(64, np.uint32)
        self._n_edges = 0
        self._chains: tuple[I64Array, I64Array] | None = None
        self.watches = False  # whether anybody asks what was touched
        self._touched: list[U32Array] = []
        self._touched_pages: list[Pages] = []

    def touch(self, anon_vmas: IntArray) -> None:
        """Note that the reverse walks from these anon_vmas (an array) may go another way now."""
        if self.watches:
            self._note(self._touched, np.unique(anon_vmas))

    def touch_pages(self, frames: Pages) -> None:
        """Note that ptes of frames have gone or come, or that they belong to another anon_vma now."""
        if self.watches:
            self._note(self._touched_pages, frames)

    def _note(self, noted: list[U32Array], numbers: U32Array) -> None:
        """Add to what was touched; nobody may ask for long, so what comes twice is dropped now and then."""
        noted.append(numbers)
        if len(noted) > _NOTES:
            noted[:] = [np.unique(np.concatenate(noted))]

    def touch_born(self, anon_vma: int, frames: Pages) -> None:
        """Note pages' birth in an anon_vma: where there is but one vma, the walk finds them."""
        if self._n_vmas[anon_vma] > 1:
            self.touch_pages(frames)

    def take_touched(self) -> list[U32Array]:
        """Return (anon_vmas, frames) touched since the last call: uint32 both, frames may repeat."""
        taken = [np.concatenate([*parts, np.empty(0, np.uint32)]) for parts in (self._touched, self._touched_pages)]
        self._touched, self._touched_pages = [], []
        return [part.astype(np.uint32) for part in taken]

    def new_anon_vma(self, root: int = 0) -> int:
        """Return the id of a new anon_vma; root: of its line, 0 if it starts one."""
        if not len(self._free):
            size = len(self.root)
            for name in ("root", "references", "_n_vmas"):
                setattr(self, name, grown(getattr(self, name), size * 2))
            self._free = np.arange(size * 2 - 1, size - 1, -1, dtype=np.uint32)
            self._chains = None
        anon_vma, self._free = int(self._free[-1]), self._free[:-1]
        self.root[anon_vma] = root or anon_vma
        if root:
            self.references[root] += 1
        return anon_vma

    def is_alive(self, anon_vmas: IntArray) -> BoolArray:
        """Return a bool array: which are in use."""
        return (self._n_vmas[anon_vmas] > 0) | (self.references[anon_vmas] > 0)

    def get(self, anon_vmas: U32Array) -> None:
        """Take a reference on each (they may repeat)."""
        np.add.at(self.references, anon_vmas, np.int64(1))

    def put(self, anon_vmas: U32Array) -> None:
        """Drop references; those that nobody needs any more are freed."""
        np.subtract.at(self.references, anon_vmas, np.int64(1))
        self._free_unused(anon_vmas)

    def _free_unused(self, anon_vmas: U32Array) -> None:
        while len(anon_vmas):
            unused = np.unique(anon_vmas[~self.is_alive(anon_vmas)])
            self._free = np.concatenate((self._free, unused))
            anon_vmas = self.root[unused]
            anon_vmas = anon_vmas[anon_vmas != unused]
            self.root[unused] = 0
            np.subtract.at(self.references, anon_vmas, np.int64(1))

    # ---- chains ----

    def link(self, vma: int, anon_vmas: U32Array | int) -> None:
        """Append a vma to the chains of one anon_vma or more."""
        anon_vmas = np.atleast_1d(np.asarray(anon_vmas, np.uint32))
        end = self._n_edges + len(anon_vmas)
        if end > len(self._edge_anon):
            self._edge_anon, self._edge_vma = grown(self._edge_anon, end * 2), grown(self._edge_vma, end * 2)
        self._edge_anon[self._n_edges : end] = anon_vmas
        self._edge_vma[self._n_edges : end] = vma
        self._n_edges = end
        self._n_vmas[anon_vmas] += 1
        self._chains = None
        self.touch(anon_vmas)

    def clone(self, vma: int, other: int) -> None:
        """Append a vma to every chain that another one is in. Mirrors anon_vma_clone."""
        self.link(vma, self._anon_vmas_of(other))

    def unlink(self, vmas: list[int]) -> None:
        """Take vmas out of all chains."""
        anons, linked = self._edge_anon[: self._n_edges], self._edge_vma[: self._n_edges]
        gone = np.isin(linked, np.asarray(vmas, np.uint32))
        if not gone.any():
            return
        lost, kept = anons[gone], len(anons) - int(gone.sum())
        self._edge_anon[:kept], self._edge_vma[:kept] = anons[~gone], linked[~gone]
        self._n_edges = kept
        self._chains = None
        self.touch(lost)
        np.subtract.at(self._n_vmas, lost, np.int64(1))
        self._free_unused(np.unique(lost))

    def n_anon_vmas(self, vma: int) -> int:
        """Return how many chains a vma is in."""
        return len(self._anon_vmas_of(vma))

    def touch_chains_of(self, vma: int) -> None:
        """Note that a vma's range has changed."""
        if self.watches:
            self.touch(self._anon_vmas_of(vma))

    def _anon_vmas_of(self, vma: int) -> U32Array:
        return self._edge_anon[: self._n_edges][self._edge_vma[: self._n_edges] == vma]

    def chains(self) -> tuple[I64Array, I64Array]:
        """Return (vmas, starts): the chain of anon_vma a is vmas[starts[a] : starts[a + 1]], in order."""
        if self._chains is None:
            anons = self._edge_anon[: self._n_edges]
            vmas = self._edge_vma[: self._n_edges][np.argsort(anons, kind="stable")].astype(np.int64)
            starts = np.zeros(len(self.root) + 1, np.int64)
            np.cumsum(np.bincount(anons, minlength=len(self.root)), out=starts[1:])
            self._chains = vmas, starts
        return self._chains

    def check(self, vmas: Vmas, mms: list[Mm]) -> None:
        """Raise AssertionError unless chains and counts are what the vmas say, and nobody dead is linked."""
        anons, linked = self._edge_anon[: self._n_edges], self._edge_vma[: self._n_edges]
        pairs = anons.astype(np.uint64) << np.uint64(32) | linked
        assert len(np.unique(pairs)) == len(pairs), "a vma is twice in a chain"
        assert np.array_equal(np.bincount(anons, minlength=len(self.root)), self._n_vmas)
        alive = [vma for mm in mms for vma in mm.vmas]
        assert set(linked.tolist()) <= set(alive), "a vma that is gone is still in a chain"
        own = {(int(vmas.anon_vma[vma]), vma) for vma in alive if vmas.anon_vma[vma]}
        assert own <= set(zip(anons.tolist(), linked.tolist(), strict=True)), "a vma is not in its own anon_vma's chain"
        ids = np.arange(len(self.root))
        used = np.setdiff1d(ids[1:], self._free)
        assert len(used) + len(self._free) == len(ids) - 1
        assert self.is_alive(used).all() and not self.is_alive(self._free).any() and not self.is_alive(ids[:1]).any()
        lines = np.bincount(self.root[used[self.root[used] != used]], minlength=len(ids))
        assert (self.references >= lines).all(), "a root has fewer references than its line holds"


class Sharers:
    """Where the pages belonged that were merged into KSM frames.

    Records in order of merging, by frame: anon_vma, index. A frame's are those from its first_sharer on, so freeing it
    costs nothing; void ones, and those through which no pte is found any more, are dropped when they are the most.
    """

    SLACK = 4096  # records below which trim does nothing

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._kpage, self._anon_vma = np.zeros(64, np.uint32), np.zeros(64, np.uint32)
        self._index = np.zeros(64, np.int64)
        self.n = 0  # the number of the next record
        self._due = self.SLACK  # records at which trim looks through them

    def _valid(self) -> I64Array:
        """The numbers of the records that count."""
        kpages = self._kpage[: self.n]
        later = np.arange(self.n) >= self._frames.first_sharer[kpages]
        return np.flatnonzero(later & self._frames.has(kpages, frame_flags.KSM))

    def append(self, kpages: Pages, anon_vmas: U32Array, indices: I64Array) -> None:
        """Record pages that are merged into KSM frames."""
        end = self.n + len(kpages)
        if end > len(self._kpage):
            self._compact()
            end = self.n + len(kpages)
            if end * 2 > len(self._kpage):
                for name in ("_kpage", "_anon_vma", "_index"):
                    setattr(self, name, grown(getattr(self, name), end * 2))
        self._kpage[self.n : end], self._anon_vma[self.n : end] = kpages, anon_vmas
        self._index[self.n : end] = indices
        self.n = end

    def inherit(self, pages: Pages, kpages: Pages) -> None:
        """Give the sharers of those of the pages that are KSM frames to kpages[i] as well."""
        ksm = np.flatnonzero(self._frames.has(pages, frame_flags.KSM))
        if len(ksm):
            positions, anon_vmas, indices = self.of(pages[ksm])
            self.append(kpages[ksm[positions]], anon_vmas, indices)

    def rename(self, old: Pages, new: Pages) -> None:
        """Hand the sharers of KSM frames `old` (each once) to frames `new`, which have their place now."""
        position = np.full(len(self._frames.flags), -1, np.int64)
        position[old] = np.arange(len(old))
        valid = self._valid()
        where = position[self._kpage[valid]]
        self._kpage[valid[where >= 0]] = new[where[where >= 0]]
        self._frames.first_sharer[new] = self._frames.first_sharer[old]

    def _compact(self) -> None:
        self._keep(self._valid())

    def _keep(self, valid: I64Array) -> None:
        """Drop all records but those of these numbers, ascending."""
        for column in (self._kpage, self._anon_vma, self._index):
            column[: len(valid)] = column[valid]
        ksm = np.flatnonzero(self._frames.flags & frame_flags.KSM)
        first = self._frames.first_sharer
        first[ksm] = np.searchsorted(valid, first[ksm])
        self.n = len(valid)

    def trim(self, machine: Machine) -> None:
        """Drop records that find no pte of their frame which an older one does not find, if they outnumber the ptes.

        Such a record will find none later either: a fork's pte is found through the record that finds its parent's.
        """
        if self.n <= self._due:
            return
        self._compact()
        self._due = 2 * self._frames.ksm_ptes + self.SLACK
        if self.n <= self._due:
            return
        seen = np.zeros(len(machine.tables.ptes), bool)
        kept = [np.empty(0, np.int64)]
        for start in range(0, self.n, _RECORDS_AT_ONCE):
            records = np.arange(start, min(start + _RECORDS_AT_ONCE, self.n))
            walk = Walk(machine, self._kpage[records], (self._anon_vma[records], self._index[records]))
            slots, positions = walk.slots, walk.positions
            kept.append(start + np.unique(positions[~seen[slots]]))
            seen[slots] = True
        self._keep(np.concatenate(kept))

    def of(self, frames: IntArray) -> tuple[I64Array, U32Array, I64Array]:
        """Return (positions in frames, anon_vmas, indices) of KSM frames' sharers, frame by frame, oldest first."""
        valid = self._valid()
        kpages = self._kpage[valid]
        order = np.argsort(kpages, kind="stable")
        valid, kpages = valid[order], kpages[order]
        starts, ends = np.searchsorted(kpages, frames), np.searchsorted(kpages, frames, "right")
        positions, records = expand(starts, ends - starts)
        records = valid[records]
        return positions, self._anon_vma[records], self._index[records]

    @property
    def nbytes(self) -> int:
        """Bytes of the records."""
        return self._kpage.nbytes + self._anon_vma.nbytes + self._index.nbytes


def expand(starts: I64Array, lengths: I64Array) -> tuple[I64Array, I64Array]:
    """Return (i, starts[i] + k) for every i and every k < lengths[i], in order; int64 both."""
    owners = np.repeat(np.arange(len(starts)), lengths)
    before = np.cumsum(lengths) - lengths
    return owners, np.arange(len(owners)) + (starts - before)[owners]


class Outcome(IntEnum):
    """How a reverse walk went for one frame."""

    COMPLETE = 0  # every pte was found
    UNFIT = 1  # every pte was found, some in vmas that merging must leave alone
    INCOMPLETE = 2  # ptes are missing


class Walk:
    """What a reverse walk met: one step for every vma of a chain, frame by frame, chain order kept.

    frames: those asked for; places: (anon_vma, index) to look for each at, in place of its own and its sharers'.
    By step: position (in frames), vma, holds (the vma holds the index), slot (of the pte, or
    of the nil leaf), maps (the pte there points to the frame). found: the numbers of the steps that map.
    """

    def __init__(self, machine: Machine, frames: Pages, places: tuple[U32Array, I64Array] | None = None) -> None:
        self._machine = machine
        self.frames = frames
        table = machine.frames
        position, self._may_repeat = np.arange(len(frames)), places is not None
        anon_vma, index = places or (table.anon_vma[frames], table.index[frames])
        ksm = np.flatnonzero(table.has(frames, frame_flags.KSM)) if places is None else ()
        if len(ksm):
            of_ksm, anon_vmas, indices = machine.sharers.of(frames[ksm])
            # a frame's own place first, then its sharers'
            order = np.argsort(np.concatenate((position, ksm[of_ksm])), kind="stable")
            position = np.concatenate((position, ksm[of_ksm]))[order]
            anon_vma, index = np.concatenate((anon_vma, anon_vmas))[order], np.concatenate((index, indices))[order]
            self._may_repeat = True
        chain, starts = machine.rmap.chains()
        if len(anon_vma) and (anon_vma == anon_vma[0]).all():  # one process and its forks: no need to look up each
            chain = chain[starts[anon_vma[0]] : starts[anon_vma[0] + 1]]
            place, self.vma = np.repeat(np.arange(len(index)), len(chain)), np.tile(chain, len(index))
            self._locate(index[:, np.newaxis], chain)
        else:
            place, link = expand(starts[anon_vma], starts[anon_vma + np.uint32(1)] - starts[anon_vma])
            self.vma = chain[link]
            self._locate(index[place], self.vma)
        self.position, self.anon_vma = position[place], anon_vma[place]
        ptes = machine.tables.ptes[self.slot]
        self.maps = (ptes & FRAME_MASK) == pte_of(frames, PRESENT)[self.position]
        self.found = np.flatnonzero(self.maps)
        if self._may_repeat:  # sharers of one line of forks lead to the same ptes
            _, first = np.unique(self.slot[self.found], return_index=True)
            self.found = self.found[np.sort(first)]

    def _locate(self, index: I64Array, vma: I64Array) -> None:
        """Set page, holds and slot of all steps: of an index, or a column of them, in a vma each, or a row of them."""
        vmas = self._machine.vmas
        start = vmas.start[vma]
        pages = index + (start - vmas.pgoff[vma])
        holds = (pages >= start) & (pages < vmas.end[vma])
        if holds.all():
            slots = self._machine.tables.slots(vmas.root[vma], pages)
        else:
            slots = self._machine.tables.slots(vmas.root[vma], np.where(holds, pages, 0))
            slots[~holds] &= LEAF - 1
        self.page, self.holds, self.slot = pages.ravel(), holds.ravel(), slots.ravel()

    @property
    def slots(self) -> I64Array:
        """The slots of all ptes found, each once: int64, frame by frame."""
        return self._of_found(self.slot)

    @property
    def positions(self) -> I64Array:
        """The position in frames of each pte found."""
        return self._of_found(self.position)

    def _of_found(self, column: I64Array) -> I64Array:
        return column if len(self.found) == len(column) else column[self.found]

    @property
    def outcome(self) -> U8Array:
        """An Outcome for each frame: uint8."""
        positions = self.positions
        n_found = np.bincount(positions, minlength=len(self.frames))
        outcome = np.zeros(len(self.frames), np.uint8)
        unfit = self._machine.vmas.flags[self._of_found(self.vma)] & UNFIT_FOR_MERGING != 0
        outcome[positions[unfit]] = Outcome.UNFIT
        outcome[n_found != self._machine.frames.mapcount[self.frames]] = Outcome.INCOMPLETE
        return outcome

    def locked(self) -> BoolArray:
        """Return a bool for each frame: a pte of it lies in an mlocked vma."""
        in_locked = self._machine.vmas.flags[self.vma[self.found]] & LOCKED != 0
        return np.bincount(self.positions[in_locked], minlength=len(self.frames)) > 0
