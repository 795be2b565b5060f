"""Faults and the end of ptes: what a read or a write makes of a pte, and what becomes of a frame when a pte goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import BoolArray, I64Array, Pages, U32Array, U64Array
from pksm.hosts.machine import frames as flag
from pksm.hosts.machine.mm import LOCKED, UNFIT_FOR_MERGING
from pksm.hosts.machine.page_tables import (
    DIRTY,
    KERNEL_ZERO,
    LEAF,
    LEAVES_AT_ONCE,
    ORIGIN,
    PKSM_ZERO,
    PRESENT,
    SWAPPED,
    WRITE,
    YOUNG,
    maps_frame,
    pte_of,
    value_of,
)
from pksm.hosts.machine.rmap import Walk
from pksm.hosts.machine.swap import swap_in
from pksm.hosts.machine.thp import split_compound
from pksm.protocols import NO_FRAME, ZERO_FRAME

if TYPE_CHECKING:
    from pksm.hosts.machine.machine import Machine
    from pksm.hosts.machine.mm import Mm, Vmas
    from pksm.hosts.machine.pagevec import Pagevec


PAGES_AT_ONCE = LEAVES_AT_ONCE * LEAF
_ZERO_PTE = ~(YOUNG | DIRTY | ORIGIN)  # what of a zero page's pte says which it is


def is_pksm_zero(ptes: U64Array) -> BoolArray:
    """Return a bool array: which ptes point to the page that zero pages are merged with."""
    return (ptes & _ZERO_PTE) == PKSM_ZERO


def in_parts(first: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of first .. end - 1 in parts of PAGES_AT_ONCE."""
    for start in range(first, end, PAGES_AT_ONCE):
        yield start, min(end, start + PAGES_AT_ONCE)


def read_range(machine: Machine, mm: Mm, first: int, end: int) -> Iterator[tuple[int, U64Array]]:
    """Let a range be read, part by part: yield (offset of the part, its ptes). All can be, or nothing is done."""
    machine.vmas.covering(mm, first, end, machine.page_size)
    machine.frames.require(frames_to_read(machine, mm, first, end))
    for start, stop in in_parts(first, end):
        yield start - first, read_fault(machine, mm, np.arange(start, stop))


def write_range(machine: Machine, mm: Mm, first: int, end: int, whole: bool = False) -> Iterator[tuple[int, U32Array]]:
    """Let a range be written, part by part: yield (offset of the part, its frames). All can be, or nothing is done."""
    machine.vmas.covering(mm, first, end, machine.page_size, writable=True)
    machine.frames.require(frames_to_write(machine, mm, first, end))
    for start, stop in in_parts(first, end):
        yield start - first, write_fault(machine, mm, np.arange(start, stop), whole)


def frames_to_read(machine: Machine, mm: Mm, first: int, end: int) -> int:
    """How many new frames reading a range takes at most."""
    places = machine.tables.existing(mm.root, first, end)
    return sum(int(np.count_nonzero(machine.tables.ptes[slots] & SWAPPED)) for _, slots in places)


def frames_to_write(machine: Machine, mm: Mm, first: int, end: int) -> int:
    """How many new frames writing a range takes at most."""
    needed = end - first
    for _, slots in machine.tables.existing(mm.root, first, end):
        needed += frames_needed(machine, machine.tables.ptes[slots]) - len(slots)
    return needed


def read_fault(machine: Machine, mm: Mm, pages: I64Array) -> U64Array:
    """Let virtual pages (int64, ascending) be read: empty ptes get the kernel's zero page. Returns their ptes."""
    spans = machine.vmas.spans(mm, pages, machine.page_size)
    slots = machine.tables.make(mm.root, pages)
    ptes = machine.tables.ptes[slots]
    swapped = (ptes & SWAPPED) != 0
    for vma, part in spans if swapped.any() else ():
        back = np.flatnonzero(swapped[part]) + part.start
        swap_in(machine, vma, pages[back], slots[back])
    ptes = machine.tables.ptes[slots]
    ptes[ptes == 0] = KERNEL_ZERO
    ptes |= YOUNG
    machine.tables.ptes[slots] = ptes
    return ptes


def write_fault(machine: Machine, mm: Mm, pages: I64Array, whole: bool = False) -> U32Array:
    """Give virtual pages (int64, ascending) frames that may be written, and return these (uint32).

    whole: every byte is about to be written, so nobody needs the old ones. Mirrors do_anonymous_page and do_wp_page.
    """
    spans = machine.vmas.spans(mm, pages, machine.page_size, writable=True)
    machine.frames.writes += 1
    slots = machine.tables.make(mm.root, pages)
    frames = np.empty(len(pages), np.uint32)
    for vma, part in spans:
        frames[part] = _write_span(machine, mm, vma, pages[part], slots[part], whole)
    return frames


def _may_reuse(machine: Machine, frames: Pages) -> BoolArray:
    """Sole owners may write in place; a KSM frame is never written."""
    return (machine.frames.mapcount[frames] == 1) & ~machine.frames.has(frames, flag.KSM | flag.SWAP_CACHE)


def frames_needed(machine: Machine, ptes: U64Array) -> int:
    """How many new frames writing takes, given the ptes; one too many for each swapped page that others have too."""
    mapped = maps_frame(ptes)
    swapped = (ptes & SWAPPED) != 0
    protected = np.flatnonzero(mapped & ((ptes & WRITE) == 0))
    copies = len(protected) - int(np.count_nonzero(_may_reuse(machine, value_of(ptes[protected]))))
    shared = np.count_nonzero(machine.swap.users[value_of(ptes[swapped])] > 1)
    return copies + int(np.count_nonzero(~mapped)) + int(shared)


def _write_span(machine: Machine, mm: Mm, vma: int, pages: I64Array, slots: I64Array, whole: bool) -> U32Array:
    """write_fault within one vma."""
    vmas, tables, table = machine.vmas, machine.tables, machine.frames
    vmas.prepare_anon_vma(mm, vma)
    ptes = tables.ptes[slots]
    swapped = np.flatnonzero(ptes & SWAPPED)
    if len(swapped):
        swap_in(machine, vma, pages[swapped], slots[swapped])
        ptes = tables.ptes[slots]
    frames = value_of(ptes)
    mapped = maps_frame(ptes)
    is_fresh = ~mapped
    protected = np.flatnonzero(mapped & ((ptes & WRITE) == 0))
    if len(protected):
        reused = _may_reuse(machine, frames[protected])
        table.anon_vma[frames[protected[reused]]] = vmas.anon_vma[vma]
        machine.origins.forget(frames[protected[reused]])  # ptes that were moved away would have kept the old page
        machine.rmap.touch_pages(frames[protected[reused]])
        is_fresh[protected[~reused]] = True
    tables.ptes[slots] = ptes | (WRITE | DIRTY | YOUNG)
    fresh = np.flatnonzero(is_fresh)
    if not len(fresh):
        return frames
    new = table.allocate(len(fresh))
    index = pages[fresh] + int(vmas.pgoff[vma] - vmas.start[vma])
    table.set_up(new, vmas.anon_vma[vma], index, birth_flags(vmas, vma), mm.id)
    machine.rmap.touch_born(int(vmas.anon_vma[vma]), new)
    was_mapped, before = mapped[fresh], ptes[fresh]
    copied = frames[fresh[was_mapped]]
    if not whole:
        table.clear(new[~was_mapped])
        table.copy(copied, new[was_mapped])
    tables.point(slots[fresh], pte_of(new, PRESENT | WRITE | DIRTY | YOUNG))
    frames[fresh] = new
    zero = is_pksm_zero(before)
    zero_lost = int(np.count_nonzero(zero))
    machine.lose_zero(zero_lost)
    merged_lost = zero_lost + int(np.count_nonzero(table.has(copied, flag.KSM)))
    machine.copies += merged_lost
    vmas.copied[vma] += merged_lost
    old = _merged_before(machine, value_of(before), was_mapped, zero) if machine.watch else None
    machine.born(new, first_write=before == 0)
    if len(copied):
        drop_ptes(machine, copied, by_copy=True)
    if machine.watch and old is not None:
        machine.watch.copied(old[old != NO_FRAME], new[old != NO_FRAME])
    return frames


def _merged_before(machine: Machine, frames: Pages, mapped: BoolArray, zero: BoolArray) -> U32Array:
    """Return the merged frames, or ZERO_FRAME, that pages mapped before they were written, else NO_FRAME."""
    old = np.full(len(frames), NO_FRAME, np.uint32)
    merged = mapped.copy()
    merged[mapped] = machine.frames.has(frames[mapped], flag.KSM)
    old[merged] = frames[merged]
    old[zero] = ZERO_FRAME
    return old


def birth_flags(vmas: Vmas, vma: int) -> int:
    """Return the frame flags of a page born in a vma."""
    return (flag.MLOCKED if vmas.has(vma, LOCKED) else 0) | (flag.UNFIT if vmas.has(vma, UNFIT_FOR_MERGING) else 0)


def zap(machine: Machine, mm: Mm, first: int, end: int) -> None:
    """Empty the ptes of virtual pages first .. end - 1; their leaves stay. Mirrors zap_page_range."""
    let_go(machine, machine.new_pages)
    for _, slots in machine.tables.existing(mm.root, first, end):
        zap_slots(machine, slots)


def zap_slots(machine: Machine, slots: I64Array) -> None:
    """Empty ptes. Mirrors zap_pte_range."""
    ptes = machine.tables.ptes[slots]
    machine.tables.point(slots, np.uint64(0))
    machine.lose_zero(int(np.count_nonzero(is_pksm_zero(ptes))))
    swapped = (ptes & SWAPPED) != 0
    if swapped.any():
        machine.swap.put(machine.frames, value_of(ptes[swapped]))
    drop_ptes(machine, value_of(ptes[maps_frame(ptes)]))


def drop_ptes(machine: Machine, frames: Pages, by_copy: bool = False) -> None:
    """One pte of each of the frames is gone (they may repeat). Those without any references are freed.

    by_copy: on account of a write to a shared page.
    """
    table = machine.frames
    machine.rmap.touch_pages(frames)
    unmapped = table.drop_ptes(frames, by_copy)
    states = table.flags[frames]
    if (states & (flag.MLOCKED | flag.COMPOUND | flag.SWAP_CACHE)).any():
        machine.swap.forget(table, unmapped[table.has(unmapped, flag.SWAP_CACHE)])
        compound = np.unique(frames[(states & flag.COMPOUND) != 0])
        split_compound(machine, compound)
        refresh_mlocked(machine, np.unique(frames[(states & flag.MLOCKED) != 0]))
    bury(machine, unmapped[table.count[unmapped] == 0])


def bury(machine: Machine, frames: Pages) -> None:
    """Free frames without references, and let the policy know."""
    if len(frames):
        machine.frames.free(frames)
        machine.policy.on_free(frames)


def let_wait(machine: Machine, pagevec: Pagevec, pages: Pages) -> None:
    """Let pages wait on their way to the LRU lists; those whose wait is over are busy no more, or free."""
    _settle_waiting(machine, pagevec.add(pages))
    machine.frames.reclassify(pagevec.waiting)


def let_go(machine: Machine, pagevec: Pagevec) -> None:
    """Let go of pages that wait. A kernel does so with new ones before it unmaps, and before it locks memory."""
    _settle_waiting(machine, pagevec.drain())


def _settle_waiting(machine: Machine, gone: U32Array) -> None:
    if not len(gone):
        return
    is_free = machine.frames.count[gone] == 0
    machine.frames.reclassify(gone[~is_free])
    bury(machine, gone[is_free])


def refresh_mlocked(machine: Machine, frames: Pages) -> None:
    """Frames (each once) are mlocked while one of their ptes lies in an mlocked vma."""
    table = machine.frames
    table.flags[frames] &= 0xFF ^ flag.MLOCKED
    if machine.quirks.walks_nowhere:
        frames = frames[~table.has(frames, flag.KSM)]
    table.flags[frames[Walk(machine, frames).locked()]] |= flag.MLOCKED
