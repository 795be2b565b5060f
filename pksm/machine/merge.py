"""Merging and its undoing: ptes that are made to point to another frame, to the zero page, or to frames of their own.

All or nothing for each page: if the reverse walk doesn't find every pte, the page is refused and left as it was.
"""

import numpy as np

from pksm import native
from pksm.errors import PageError
from pksm.machine import frames as flag
from pksm.machine.fault import birth_flags, drop_ptes, is_pksm_zero
from pksm.machine.rmap import Outcome, Walk
from pksm.machine.tables import DIRTY, PKSM_ZERO, PRESENT, WRITE, YOUNG, maps_frame, pte_of, value_of
from pksm.machine.thp import split_compound


class _Allowed:
    """Which of the pages may be merged: neither busy nor out of the walk's reach.

    mask: bool by page; walk: of those pages; slots and positions (in the allowed pages) of their ptes.
    """

    def __init__(self, machine, pages):
        split_compound(machine, pages)
        self.walk = Walk(machine, pages)
        unreachable = self.walk.outcome != Outcome.COMPLETE
        self.mask = ~(machine.frames.is_busy(pages) | unreachable)
        machine.frames.classes[pages[unreachable]] = native.WALK_FAILS


def merge(machine, pages, kpages):
    """Point every pte of pages[i] to kpages[i], read-only, and free pages[i]. kpages become KSM frames.

    pages: uint32, each once, none among the kpages. Returns a bool array of the refused, or None. Mirrors
    try_to_merge_with_pksm_page.
    """
    allowed = _Allowed(machine, pages)
    mask = allowed.mask
    mask[mask] = can_keep(machine, kpages[mask])
    _move_ptes(machine, allowed.walk, mask, kpages)
    return None if mask.all() else ~mask


def can_keep(machine, frames):
    """Make KSM frames of those that are none (they may repeat). Returns a bool array: which are KSM now."""
    kpages, which = np.unique(frames, return_inverse=True)
    return _make_kpages(machine, kpages)[which]


def _make_kpages(machine, kpages):
    """Make frames (each once) KSM ones, every pte read-only and clean; return which are."""
    table = machine.frames
    made = table.has(kpages, flag.KSM)
    plain = kpages[~made]
    if len(plain):
        allowed = _Allowed(machine, plain)
        made[~made] = allowed.mask
        walk, good = allowed.walk, plain[allowed.mask]
        slots = walk.slots[allowed.mask[walk.positions]]
        ptes = machine.tables.ptes[slots]
        dirty = value_of(ptes[(ptes & DIRTY) != 0])
        table.flags[dirty] |= flag.DIRTY
        machine.tables.ptes[slots] = ptes & ~(WRITE | DIRTY)
        machine.swap.forget(table, good[table.has(good, flag.SWAP_CACHE)])
        table.make_ksm(good, machine.sharers.n)
    return made


def _move_ptes(machine, walk, mask, kpages):
    """Let the ptes that a walk found, of frames in the mask, point to kpages (one a frame), and free the frames."""
    table, pages = machine.frames, walk.frames
    chosen = mask[walk.positions]
    slots, positions = walk.slots[chosen], walk.positions[chosen]
    machine.tables.ptes[slots] = pte_of(kpages[positions], PRESENT | YOUNG)
    table.add_ptes(kpages[positions])
    pages, kpages = pages[mask], kpages[mask]
    machine.sharers.append(kpages, table.anon_vma[pages], table.index[pages])
    machine.sharers.inherit(pages, kpages)
    np.add.at(table.merged, kpages, table.merged[pages] + np.int32(1))
    mlocked = table.has(pages, flag.MLOCKED)
    table.flags[kpages[mlocked]] |= flag.MLOCKED
    _release(machine, pages)


def _release(machine, pages):
    """Free pages all of whose ptes have been given away."""
    table = machine.frames
    table.flags[pages] &= 0xFF ^ flag.MLOCKED
    drop_ptes(machine, np.repeat(pages, table.mapcount[pages]))


def merge_zero(machine, pages):
    """Point every pte of pages to the zero page and free them; returns as merge. Mirrors try_to_merge_zero_page."""
    allowed = _Allowed(machine, pages)
    walk, mask = allowed.walk, allowed.mask
    slots = walk.slots[mask[walk.positions]]
    machine.tables.ptes[slots] = PKSM_ZERO | YOUNG
    machine.zero_ptes += len(slots)
    gone = pages[mask]
    machine.zero_frames += len(gone) + int(machine.frames.merged[gone].sum())
    _release(machine, gone)
    return None if mask.all() else ~mask


def anon_vmas(machine, pages):
    """Return the anon_vma of each frame; of a merged one whose own is dead, that of a page that shares it."""
    table = machine.frames
    dead = pages[~machine.rmap.is_alive(table.anon_vma[pages]) & table.has(pages, flag.KSM)]
    if len(dead):
        walk = Walk(machine, dead)
        table.anon_vma[dead[walk.positions]] = machine.vmas.anon_vma[walk.vma[walk.found]]
    return table.anon_vma[pages]


def split(machine, kpages):
    """Give every pte of KSM frames a frame of its own again. PksmError, and nothing done, if there are not enough."""
    if not machine.frames.has(kpages, flag.KSM).all():
        raise PageError("a page to split is not merged")
    walk = Walk(machine, kpages)
    _unshare(machine, walk.slots, walk.vma[walk.found], walk.page[walk.found])


def unmerge_slots(machine, slots, vmas, pages):
    """Give those of the ptes that point to a KSM frame or the merged zero page frames of their own.

    slots: int64, each once; vmas and pages (virtual): where each is.
    """
    ptes = machine.tables.ptes[slots]
    ksm = maps_frame(ptes)
    ksm[ksm] = machine.frames.has(value_of(ptes[ksm]), flag.KSM)
    chosen = np.flatnonzero(ksm | is_pksm_zero(ptes))
    _unshare(machine, slots[chosen], vmas[chosen], pages[chosen])


def _unshare(machine, slots, vmas, pages):
    """Give ptes private copies of what they point to. Mirrors break_cow."""
    if not len(slots):
        return
    table, columns = machine.frames, machine.vmas
    new = table.allocate(len(slots))
    ptes = machine.tables.ptes[slots]
    mapped = maps_frame(ptes)
    sources = value_of(ptes[mapped])
    for vma in np.unique(vmas).tolist():
        mine = vmas == vma
        index = pages[mine] + int(columns.pgoff[vma] - columns.start[vma])
        table.set_up(new[mine], columns.anon_vma[vma], index, birth_flags(columns, vma))
    table.copy(sources, new[mapped])
    table.clear(new[~mapped])
    machine.tables.ptes[slots] = pte_of(new, PRESENT | YOUNG | DIRTY)
    machine.lose_zero(len(slots) - len(sources))
    machine.born(new)
    drop_ptes(machine, sources)


def unmerge(machine, mms, first, end):
    """Give every pte of a range of these mms a frame of its own, if it is merged; PksmError if there are too few."""
    slots, vmas, pages = [], [], []
    for mm in mms:
        for vma in machine.vmas.over(mm, first, end):
            start, stop = machine.vmas.span(vma)
            places = machine.tables.existing(mm.root, max(first, start), min(end, stop))
            pages.append(places[0])
            slots.append(places[1])
            vmas.append(np.full(len(places[0]), vma))
    if slots:
        unmerge_slots(machine, np.concatenate(slots), np.concatenate(vmas), np.concatenate(pages))
