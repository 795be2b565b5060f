"""Memory as mappings, which is how KSM sees it: pte by pte, in opted-in vmas, mm by mm."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pksm.arrays import BoolArray, I64Array, IdsLike, IntArray, Pages, U32Array
from pksm.engine.exclusive import exclusive
from pksm.errors import PageError
from pksm.hosts.machine import frames as flag
from pksm.hosts.machine.border import known_frames
from pksm.hosts.machine.fault import drop_ptes, is_pksm_zero
from pksm.hosts.machine.merge import can_keep, require_to_unmerge, unmerge, unmerge_slots
from pksm.hosts.machine.mm import GROWSDOWN, LOCKED, MERGEABLE, OPTED_OUT
from pksm.hosts.machine.page_tables import LEAF, LIMIT, PKSM_ZERO, PRESENT, YOUNG, maps_frame, pte_of, value_of
from pksm.hosts.machine.thp import split_compound
from pksm.protocols import NO_FRAME, ZERO_FRAME, Vmas

if TYPE_CHECKING:
    from pksm.hosts.machine.machine import Machine
    from pksm.hosts.machine.mm import Mm


_LEAVES_AT_ONCE = 64
_NEAR = 4 * LEAF  # pages


def enter(machine: Machine, mm: Mm) -> None:
    """Note that an mm has opted-in memory, once it has; ksmd visits mms in this order. Mirrors ksm_enter."""
    if has_opted_in(machine, mm.id):
        machine.opted_in.setdefault(mm.id)


def enter_child(machine: Machine, mm: Mm, child: Mm) -> None:
    """Note a child of an mm that has entered, whatever has opted out meanwhile. Mirrors ksm_fork."""
    if mm.id in machine.opted_in:
        machine.opted_in.setdefault(child.id)


def has_opted_in(machine: Machine, mm_id: int) -> bool:
    """Return whether an mm, by its id, has opted-in memory."""
    mm = machine.mms.get(mm_id)
    return mm is not None and any(machine.vmas.has(vma, MERGEABLE) for vma in mm.vmas)


def next_mapped(machine: Machine, mm_id: int, first: int, n: int) -> tuple[I64Array, U32Array, bool]:
    """Return (virtual pages int64, frames uint32, at_end): up to n pages of an mm's opted-in memory from `first` on.

    at_end: nothing is mapped behind them. An mm that has exited is at its end.
    """
    pages, frames, missing = [np.empty(0, np.int64)], [np.empty(0, np.uint32)], n
    mm = machine.mms.get(mm_id)
    if mm is None:
        return pages[0], frames[0], True
    ends = machine.vmas.end
    for vma in mm.vmas[bisect_right(mm.vmas, first, key=lambda vma: int(ends[vma])) :]:
        start, end = machine.vmas.span(vma)
        if not machine.vmas.has(vma, MERGEABLE):
            continue
        if missing == n and n <= _NEAR:
            near = _near(machine, mm, max(first, start), end, n)
            if near is not None:
                return *near, False
        for some, theirs in _mapped(machine, mm, max(first, start), end, missing):
            if not missing:
                return np.concatenate(pages), np.concatenate(frames), False
            pages.append(some[:missing])
            frames.append(theirs[:missing])
            cut = len(some) > missing
            missing -= len(pages[-1])
            if cut:
                return np.concatenate(pages), np.concatenate(frames), False
    return np.concatenate(pages), np.concatenate(frames), True


def _near(machine: Machine, mm: Mm, first: int, end: int, n: int) -> tuple[I64Array, U32Array] | None:
    """Return the n virtual pages from `first` on and their frames if all are mapped, and another one: as mostly they are."""
    if first + n >= end:
        return None
    ptes = machine.tables.in_a_row(mm.root, first, n + 1)
    if not maps_frame(ptes).all():
        return None
    return np.arange(first, first + n), value_of(ptes[:n])


def _mapped(machine: Machine, mm: Mm, first: int, end: int, wanted: int) -> Iterator[tuple[I64Array, U32Array]]:
    """Yield (virtual pages, frames) of the pages mapped in a range, a few leaves at a time.

    wanted: about as many will be taken; what lies far behind them is not looked up.
    """
    n_leaves = wanted // LEAF + 2
    while first < end:
        stop = min(end, (first // LEAF + n_leaves) * LEAF)
        numbers, leaves = machine.tables.leaves(mm.root, first, stop)
        for start in range(0, len(leaves), _LEAVES_AT_ONCE):
            part = slice(start, start + _LEAVES_AT_ONCE)
            pages = (numbers[part, np.newaxis] * LEAF + np.arange(LEAF)).reshape(-1)
            ptes = machine.tables.ptes.reshape(-1, LEAF)[leaves[part]].reshape(-1)
            chosen = np.flatnonzero(maps_frame(ptes) & (pages >= first) & (pages < stop))
            if len(chosen):
                yield pages[chosen], value_of(ptes[chosen])
        first, n_leaves = stop, n_leaves * 2


def frames_at(machine: Machine, mms: IdsLike, pages: I64Array) -> U32Array:
    """Return the frame that each virtual page maps in opted-in memory, or NO_FRAME: uint32.

    NO_FRAME too where the mm has exited. Mirrors get_mergeable_page.
    """
    known, which = np.unique(mms, return_inverse=True)
    roots, open_ = np.zeros(len(known), np.int64), np.zeros(len(pages), bool)
    for number, mm_id in enumerate(known.tolist()):
        mm = machine.mms.get(mm_id)
        if mm is not None and mm.vmas:
            roots[number] = mm.root
            mine = np.flatnonzero(which == number)
            open_[mine] = machine.vmas.flags[_vmas_at(machine, mm, pages[mine])] & MERGEABLE != 0
    ptes = machine.tables.ptes[machine.tables.slots(roots[which], pages)]
    return np.where(open_ & maps_frame(ptes), value_of(ptes), np.uint32(NO_FRAME))


def pages_at(machine: Machine, mms: IntArray, pages: I64Array) -> tuple[U32Array, BoolArray]:
    """Return what virtual pages map (frames, ZERO_FRAME, NO_FRAME), and whether each frame's anon_vma is its vma's."""
    frames, own = np.full(len(pages), NO_FRAME, np.uint32), np.zeros(len(pages), bool)
    for mm_id in np.unique(mms).tolist():
        mm = machine.mms.get(mm_id)
        if mm is None or not mm.vmas:
            continue
        mine = np.flatnonzero(mms == mm_id)
        vmas = _vmas_at(machine, mm, pages[mine])
        ptes = machine.tables.ptes[machine.tables.slots(np.full(len(mine), mm.root), pages[mine])]
        mapped = maps_frame(ptes) & (vmas != 0)
        found = value_of(ptes)
        zero = ~mapped & (ptes & PRESENT != 0) & (vmas != 0)
        frames[mine] = np.where(mapped, found, np.where(zero, np.uint32(ZERO_FRAME), np.uint32(NO_FRAME)))
        own[mine[mapped]] = machine.frames.anon_vma[found[mapped]] == machine.vmas.anon_vma[vmas[mapped]]
    return frames, own


def vmas_of(machine: Machine) -> Vmas:
    """Return all vmas but stacks and those that have opted out."""
    columns = machine.vmas
    ids = np.array([vma for mm in machine.mms.values() for vma in mm.vmas], np.int64)
    ids = ids[columns.flags[ids] & (GROWSDOWN | OPTED_OUT) == 0]
    ids = ids[np.argsort(columns.born[ids], kind="stable")]
    first, n = columns.start[ids], columns.end[ids] - columns.start[ids]
    return Vmas(columns.born[ids], columns.mm[ids], first, n, columns.anon_vma[ids] != 0, columns.copied[ids])


def _vmas_at(machine: Machine, mm: Mm, pages: I64Array) -> I64Array:
    """Return the vma of an mm that holds each virtual page, 0 where there is none: int64."""
    ids = np.array([0, *mm.vmas])
    vmas = ids[np.searchsorted(machine.vmas.start[ids[1:]], pages, "right")]
    return np.where(pages < machine.vmas.end[vmas], vmas, 0)


def _locate(machine: Machine, mms: IntArray, pages: I64Array) -> tuple[I64Array, I64Array]:
    """Return (slots, vmas) of virtual pages; PageError if an mm has exited or nothing is mapped there."""
    slots, vmas = np.empty(len(pages), np.int64), np.empty(len(pages), np.int64)
    for mm_id in np.unique(mms).tolist():
        mine = np.flatnonzero(mms == mm_id)
        mm = machine.mms.get(mm_id)
        if mm is None or not mm.vmas:
            raise PageError(f"mm {mm_id} has exited, or maps nothing")
        vmas[mine] = _vmas_at(machine, mm, pages[mine])
        if not vmas[mine].all():
            raise PageError(f"a page of mm {mm_id} that is not mapped")
        slots[mine] = machine.tables.slots(mm.root, pages[mine])
    return slots, vmas


def _chosen(machine: Machine, mms: IntArray, pages: I64Array, frames: Pages) -> tuple[I64Array, I64Array, BoolArray]:
    """Return (slots, vmas, mask) of virtual pages; mask: those that still map these frames, and are not busy."""
    slots, vmas = _locate(machine, mms, pages)
    split_compound(machine, np.unique(frames))
    ptes = machine.tables.ptes[slots]
    return slots, vmas, maps_frame(ptes) & (value_of(ptes) == frames) & ~machine.frames.is_busy(frames)


def merge_ptes(machine: Machine, mms: IntArray, pages: I64Array, frames: Pages, kpages: Pages) -> BoolArray | None:
    """Point these ptes to kpages, read-only, and no others; a frame is freed with its last pte.

    mms, pages (virtual), frames (that they map), kpages: one each. Returns a bool array of the refused (busy, mapping
    another frame meanwhile, or a kpage that can't be kept), or None. Mirrors try_to_merge_one_page.
    """
    machine.sharers.trim(machine)
    slots, vmas, mask = _chosen(machine, mms, pages, frames)
    table = machine.frames
    mask[mask] = can_keep(machine, kpages[mask], stacks_too=True)
    moved = np.flatnonzero(mask & (frames != kpages))
    slots, vmas, pages, frames, targets = slots[moved], vmas[moved], pages[moved], frames[moved], kpages[moved]
    machine.tables.point(slots, pte_of(targets, PRESENT | YOUNG) | machine.origins.of_moved(slots, frames))
    table.add_ptes(targets)
    columns = machine.vmas
    machine.sharers.append(targets, columns.anon_vma[vmas], pages - columns.start[vmas] + columns.pgoff[vmas])
    table.flags[targets[columns.flags[vmas] & LOCKED != 0]] |= flag.MLOCKED
    _give_up(machine, frames, targets)
    return None if mask.all() else ~mask


def _give_up(machine: Machine, frames: Pages, targets: U32Array) -> None:
    """Take one pte from each of the frames (they may repeat), which has gone to a target; some lose their last."""
    _, first, times = np.unique(frames[::-1], return_index=True, return_counts=True)
    last = len(frames) - 1 - first
    freed = last[machine.frames.mapcount[frames[last]] == times]
    machine.frames_merged(frames[freed], targets[freed])
    drop_ptes(machine, frames)


def unmerge_ptes(machine: Machine, mms: I64Array, pages: I64Array) -> None:
    """Give these ptes frames of their own, if they point to a KSM frame or the merged zero page."""
    slots, vmas = _locate(machine, mms, pages)
    unmerge_slots(machine, slots, vmas, pages)


def merge_zero_ptes(machine: Machine, mms: IntArray, pages: I64Array, frames: Pages) -> BoolArray | None:
    """Point these ptes to the zero page, and no others; arguments and return as in merge_ptes."""
    slots, _, mask = _chosen(machine, mms, pages, frames)
    slots, frames = slots[mask], frames[mask]
    machine.tables.point(slots, PKSM_ZERO | YOUNG | machine.origins.of_moved(slots, frames))
    machine.zero_ptes += len(frames)
    _give_up(machine, frames, frames)
    return None if mask.all() else ~mask


def unmerge_opted_in(machine: Machine, mm_ids: Iterable[int]) -> Iterator[int]:
    """Unmerge the opted-in memory of these mms, one after the other: yields the id of each when it is done.

    A page that was merged while memory that has not opted in mapped it too stays merged there. PksmError, and nothing
    done, if there are too few frames. Mirrors unmerge_and_remove_all_rmap_items.
    """
    mm_ids = list(mm_ids)
    mms = {mm_id: machine.mms[mm_id] for mm_id in mm_ids if mm_id in machine.mms}
    require_to_unmerge(machine, mms.values(), 0, LIMIT, MERGEABLE)
    for mm_id in mm_ids:
        if mm_id in mms:
            unmerge(machine, [mms[mm_id]], 0, LIMIT, MERGEABLE)
        yield mm_id


def zero_ptes_of(machine: Machine, mm_id: int) -> int:
    """Return how many ptes of an mm point to the merged zero page."""
    if mm_id not in machine.mms:
        return 0
    places = machine.tables.existing(machine.mms[mm_id].root, 0, LIMIT)
    return sum(int(np.count_nonzero(is_pksm_zero(machine.tables.ptes[slots]))) for _, slots in places)


class Mappings:
    """The part of a Machine that is a MappingHost: mms by id, virtual page numbers."""

    def mergeable_mms(self: Any) -> list[int]:
        """Return the ids of the mms that have opted in and not left since, in the order in which they opted in."""
        return list(self.opted_in)

    def has_opted_in(self: Any, mm: int) -> bool:
        """Return whether an mm, by its id, has opted-in memory now."""
        return has_opted_in(self, mm)

    def leave(self: Any, mm: int) -> None:
        """Take an mm, by its id, off those that have opted in, until it does so again."""
        self.opted_in.pop(mm, None)

    def is_alive(self: Any, mm: int) -> bool:
        """Return whether an mm, by its id, has not exited."""
        return mm in self.mms

    def next_mapped(self: Any, mm: int, first: int, n: int) -> tuple[I64Array, U32Array, bool]:
        """Return (virtual pages, frames, at_end) of up to n pages of an mm's opted-in memory from `first` on.

        int64 and uint32, ascending; at_end: there are none behind them.
        """
        return next_mapped(self, mm, first, n)

    @property
    def writes(self: Any) -> int:
        """Times that bytes of mapped frames may have changed."""
        return self.frames.writes

    @property
    def pte_changes(self: Any) -> int:
        """A number that changes when a pte that mapped a frame no longer does, or memory opts in or out."""
        return self.frames.pte_changes

    def frames_at(self: Any, mms: IdsLike, virtual_pages: I64Array) -> U32Array:
        """Return the frame that each virtual page maps in opted-in memory, or NO_FRAME: uint32."""
        return frames_at(self, mms, virtual_pages)

    def private_vmas(self: Any) -> Vmas:
        """Return all vmas but stacks and those that have opted out, in order of birth."""
        return vmas_of(self)

    def pages_at(self: Any, mms: IntArray, virtual_pages: I64Array) -> tuple[U32Array, BoolArray]:
        """Return what these map: frames, ZERO_FRAME or NO_FRAME; and whether each frame was born in its vma."""
        return pages_at(self, mms, virtual_pages)

    @exclusive
    def merge_ptes(
        self: Any, mms: IdsLike, virtual_pages: IdsLike, pages: IdsLike, kpages: IdsLike
    ) -> BoolArray | None:
        """Let these ptes, which map the frames `pages`, point to kpages, and no others.

        Returns a bool array of the refused, or None.
        """
        pages, kpages = known_frames(self, pages), known_frames(self, kpages)
        refused = merge_ptes(self, np.asarray(mms), np.asarray(virtual_pages), pages, kpages)
        self.count_merges(pages, refused)
        if self.watch:
            self.watch.merged(pages, kpages, refused)
        return refused

    @exclusive
    def merge_zero_ptes(self: Any, mms: IdsLike, virtual_pages: IdsLike, pages: IdsLike) -> BoolArray | None:
        """Let these ptes, which map the frames `pages`, point to the zero page.

        Returns a bool array of the refused, or None.
        """
        pages = known_frames(self, pages)
        refused = merge_zero_ptes(self, np.asarray(mms), np.asarray(virtual_pages), pages)
        self.count_merges(pages, refused)
        if self.watch:
            self.watch.merged(pages, None, refused)
        return refused

    @exclusive
    def unmerge_ptes(self: Any, mms: IdsLike, pages: IdsLike) -> None:
        """Give those of these ptes that are merged frames of their own."""
        unmerge_ptes(self, np.asarray(mms), np.asarray(pages))

    def unmerge_opted_in(self: Any, mms: Iterable[int]) -> Iterator[int]:
        """Unmerge the opted-in memory of mms, by their ids: yields the id of each when it is done.

        PksmError, and nothing done, if there are too few frames.
        """
        return unmerge_opted_in(self, mms)

    def zero_ptes_of(self: Any, mm: int) -> int:
        """Return how many ptes of an mm, by its id, point to the merged zero page."""
        return zero_ptes_of(self, mm)
