"""Merging and its undoing: ptes that are made to point to another frame, to the zero page, or to frames of their own.

All or nothing for each page: if the reverse walk doesn't find every pte, the page is refused and left as it was.
"""

import numpy as np

from pksm import native
from pksm.errors import PageError
from pksm.machine import frames as flag
from pksm.machine.fault import birth_flags, bury, drop_ptes, in_parts, is_pksm_zero
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
    return _refused([_merge(machine, pages[start:stop], kpages[start:stop]) for start, stop in in_parts(0, len(pages))])


def _merge(machine, pages, kpages):
    """Merge a part; return which of the pages were."""
    allowed = _Allowed(machine, pages)
    mask = allowed.mask
    mask[mask] = can_keep(machine, kpages[mask])
    _move_ptes(machine, allowed.walk, mask, kpages)
    return mask


def _refused(masks):
    """The answer of a host: from masks of what was done, part by part."""
    return None if all(mask.all() for mask in masks) else ~np.concatenate(masks)


def can_keep(machine, frames):
    """Make KSM frames of those that are none (they may repeat): every pte read-only and clean.

    Returns a bool array: which are KSM now.
    """
    table = machine.frames
    made = table.has(frames, flag.KSM)
    if made.all():
        return made
    plain = np.unique(frames[~made])
    allowed = _Allowed(machine, plain)
    walk, good = allowed.walk, plain[allowed.mask]
    slots, _ = _chosen(walk, allowed.mask)
    ptes = machine.tables.ptes[slots]
    dirty = value_of(ptes[(ptes & DIRTY) != 0])
    table.flags[dirty] |= flag.DIRTY
    machine.tables.ptes[slots] = ptes & ~(WRITE | DIRTY)
    machine.swap.forget(table, good[table.has(good, flag.SWAP_CACHE)])
    table.make_ksm(good, machine.sharers.n)
    return table.has(frames, flag.KSM)


def _move_ptes(machine, walk, mask, kpages):
    """Let the ptes that a walk found, of frames in the mask, point to kpages (one a frame), and free the frames."""
    table, pages = machine.frames, walk.frames
    slots, positions = _chosen(walk, mask)
    machine.tables.ptes[slots] = pte_of(kpages[positions], PRESENT | YOUNG)
    table.add_ptes(kpages[positions])
    pages, kpages = pages[mask], kpages[mask]
    machine.sharers.append(kpages, table.anon_vma[pages], table.index[pages])
    machine.sharers.inherit(pages, kpages)
    np.add.at(table.merged, kpages, table.merged[pages] + np.int32(1))
    mlocked = table.has(pages, flag.MLOCKED)
    table.flags[kpages[mlocked]] |= flag.MLOCKED
    _release(machine, pages)


def _chosen(walk, mask):
    """Return (slots, positions) of the ptes that a walk found of the frames in a mask."""
    slots, positions = walk.slots, walk.positions
    if mask.all():
        return slots, positions
    chosen = mask[positions]
    return slots[chosen], positions[chosen]


def _release(machine, pages):
    """Free pages (each once, not busy) all of whose ptes have been given away."""
    table = machine.frames
    machine.swap.forget(table, pages[table.has(pages, flag.SWAP_CACHE)])
    table.give_up(pages)
    bury(machine, pages)


def merge_zero(machine, pages):
    """Point every pte of pages to the zero page and free them; returns as merge. Mirrors try_to_merge_zero_page."""
    return _refused([_merge_zero(machine, pages[start:stop]) for start, stop in in_parts(0, len(pages))])


def _merge_zero(machine, pages):
    """Merge a part; return which of the pages were."""
    allowed = _Allowed(machine, pages)
    slots, _ = _chosen(allowed.walk, allowed.mask)
    machine.tables.ptes[slots] = PKSM_ZERO | YOUNG
    machine.zero_ptes += len(slots)
    gone = pages[allowed.mask]
    machine.zero_frames += len(gone) + int(machine.frames.merged[gone].sum())
    _release(machine, gone)
    return allowed.mask


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
    machine.frames.require(int(machine.frames.mapcount[kpages].sum()))
    for start, stop in in_parts(0, len(kpages)):
        walk = Walk(machine, kpages[start:stop])
        _unshare(machine, walk.slots, walk.vma[walk.found], walk.page[walk.found])


def unmerge_slots(machine, slots, vmas, pages):
    """Give those of the ptes that point to a KSM frame or the merged zero page frames of their own.

    slots: int64, each once; vmas and pages (virtual): where each is.
    """
    chosen = _merged(machine, slots)
    _unshare(machine, slots[chosen], vmas[chosen], pages[chosen])


def _merged(machine, slots):
    """Return the positions of the ptes that point to a KSM frame or the merged zero page."""
    ptes = machine.tables.ptes[slots]
    ksm = maps_frame(ptes)
    ksm[ksm] = machine.frames.has(value_of(ptes[ksm]), flag.KSM)
    return np.flatnonzero(ksm | is_pksm_zero(ptes))


def unmerge(machine, mms, first, end):
    """Give every pte of a range of these mms a frame of its own, if it is merged; PksmError if there are too few."""
    machine.frames.require(sum(len(_merged(machine, slots)) for _, _, slots in _places(machine, mms, first, end)))
    for vma, pages, slots in _places(machine, mms, first, end):
        unmerge_slots(machine, slots, np.full(len(slots), vma), pages)


def _places(machine, mms, first, end):
    """Yield (vma, virtual pages, slots) of all ptes of a range of these mms, in parts of one vma each."""
    for mm in mms:
        for vma in machine.vmas.over(mm, first, end):
            start, stop = machine.vmas.span(vma)
            for pages, slots in machine.tables.existing(mm.root, max(first, start), min(end, stop)):
                yield vma, pages, slots


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
    machine.born(new, np.ones(len(new), bool))  # merged pages were tracked, and go on to be
    drop_ptes(machine, sources)
