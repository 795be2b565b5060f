"""Merging and its undoing: ptes that are made to point to another frame, to the zero page, or to frames of their own.

All or nothing for each page: if the reverse walk doesn't find every pte, the page is refused and left as it was. With
quirks it is as far as the walk goes (reach.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import BoolArray, I64Array, Pages, U32Array, U64Array
from pksm.engine import native
from pksm.errors import PageError
from pksm.hosts.machine import frames as flag
from pksm.hosts.machine.fault import birth_flags, bury, drop_ptes, in_parts, is_pksm_zero
from pksm.hosts.machine.page_tables import DIRTY, PKSM_ZERO, PRESENT, WRITE, YOUNG, maps_frame, pte_of, value_of
from pksm.hosts.machine.reach import Reach
from pksm.hosts.machine.rmap import Outcome, Walk
from pksm.hosts.machine.thp import split_compound

if TYPE_CHECKING:
    from pksm.hosts.machine.machine import Machine
    from pksm.hosts.machine.mm import Mm


class _Allowed:
    """Which of the pages may be merged: neither busy nor out of the walk's reach.

    to_keep: what is asked is whether they can become kept pages. stacks_too: where the walk finds all ptes, vmas that it
    must leave alone make no difference. mask: bool by page; moves: bool by page, those whose
    ptes within reach are to be moved, which is the same without quirks; walk: of these pages, its `found` the ptes
    within reach; begun: bool by page, the walk has come to a first pte.
    """

    def __init__(self, machine: Machine, pages: Pages, to_keep: bool = False, stacks_too: bool = False) -> None:
        split_compound(machine, pages)
        reach = Reach(machine, pages)
        self.walk, self._quirks = reach.walk, machine.quirks
        good = reach.keeps if to_keep else reach.succeeds
        if stacks_too:
            good = good | (self.walk.outcome == Outcome.UNFIT)
        self._free = ~machine.frames.is_busy(pages)
        self.mask, self.begun = self._free & good, self._free & reach.begins
        if machine.quirks.exact_walk:
            machine.frames.classes[pages[~good]] = machine.frames.reach[pages[~good]] = native.WALK_FAILS

    @property
    def moves(self) -> BoolArray:
        return self.mask | self.begun if self._quirks.leaks else self.mask


def merge(machine: Machine, pages: Pages, kpages: Pages) -> BoolArray | None:
    """Point every pte of pages[i] to kpages[i], read-only, and free pages[i]. kpages become KSM frames.

    pages: uint32, each once, none among the kpages. Returns a bool array of the refused, or None. Mirrors
    try_to_merge_with_pksm_page.
    """
    return _refused([_merge(machine, pages[start:stop], kpages[start:stop]) for start, stop in in_parts(0, len(pages))])


def _merge(machine: Machine, pages: Pages, kpages: Pages) -> BoolArray:
    """Merge a part; return which of the pages were."""
    machine.sharers.trim(machine)
    allowed = _Allowed(machine, pages)
    mask, moves = allowed.mask, allowed.moves
    moves[moves] = can_keep(machine, kpages[moves])
    _move_ptes(machine, allowed.walk, moves, kpages)
    return mask & moves


def _refused(masks: list[BoolArray]) -> BoolArray | None:
    """The answer of a host: from masks of what was done, part by part."""
    return None if all(mask.all() for mask in masks) else ~np.concatenate(masks)


def can_keep(machine: Machine, frames: Pages, stacks_too: bool = False) -> BoolArray:
    """Make KSM frames of those that are none (they may repeat): every pte read-only and clean.

    stacks_too: also of those in vmas that PKSM's walk leaves alone, as KSM does. Returns a bool array: which are KSM now. With the quirk half-made-kpage some are though they were refused.
    """
    table = machine.frames
    made = table.has(frames, flag.KSM)
    if made.all():
        return made
    plain = np.unique(frames[~made])
    allowed = _Allowed(machine, plain, to_keep=True, stacks_too=stacks_too)
    chosen = allowed.begun if machine.quirks.half_made else allowed.mask
    walk, good = allowed.walk, plain[chosen]
    slots, _ = _chosen(walk, chosen)
    ptes = machine.tables.ptes[slots]
    dirty = value_of(ptes[(ptes & DIRTY) != 0])
    table.flags[dirty] |= flag.DIRTY
    machine.tables.ptes[slots] = ptes & ~(WRITE | DIRTY)
    machine.swap.forget(table, good[table.has(good, flag.SWAP_CACHE)])
    table.make_ksm(good, machine.sharers.n)
    half = plain[chosen & ~allowed.mask]
    if len(half):
        table.reach[half] = native.WALK_FAILS
        table.reclassify(half)
    return table.has(frames, flag.KSM) & ~np.isin(frames, half)


def _move_ptes(machine: Machine, walk: Walk, mask: BoolArray, kpages: Pages) -> None:
    """Let the ptes that a walk found, of frames in the mask, point to kpages (one per frame), and free the frames."""
    table, pages = machine.frames, walk.frames
    slots, positions = _chosen(walk, mask)
    origins = machine.origins.of_moved(slots, pages[positions])
    machine.tables.point(slots, pte_of(kpages, PRESENT | YOUNG)[positions] | origins)
    counts = np.bincount(positions, minlength=len(pages))
    table.add_merged(kpages, counts.astype(np.int32))
    mlocked = mask & table.has(pages, flag.MLOCKED)
    table.flags[kpages[mlocked]] |= flag.MLOCKED
    machine.sharers.append(kpages[mask], table.anon_vma[pages[mask]], table.index[pages[mask]])
    if not machine.quirks.exact_walk:
        gone = mask & (counts == table.mapcount[pages])
        rest = mask & ~gone
        if rest.any():
            drop_ptes(machine, pages[positions[rest[positions]]])
        mask = gone
    pages, kpages = pages[mask], kpages[mask]
    machine.sharers.inherit(pages, kpages)
    _release(machine, pages)


def _chosen(walk: Walk, mask: BoolArray) -> tuple[I64Array, I64Array]:
    """Return (slots, positions) of the ptes that a walk found of the frames in a mask."""
    slots, positions = walk.slots, walk.positions
    if mask.all():
        return slots, positions
    chosen = mask[positions]
    return slots[chosen], positions[chosen]


def _release(machine: Machine, pages: Pages) -> None:
    """Free pages (each once, not busy) all of whose ptes have been given away."""
    table = machine.frames
    machine.swap.forget(table, pages[table.has(pages, flag.SWAP_CACHE)])
    mlocked = pages[table.has(pages, flag.MLOCKED)] if machine.pagevec else pages[:0]
    table.give_up(pages)
    if machine.pagevec is None or not len(mlocked):
        bury(machine, pages)
        return
    machine.rmap.touch_pages(mlocked)  # their last ptes are gone, and they wait
    freed = machine.pagevec.add(mlocked)
    table.reclassify(machine.pagevec.waiting)
    pages = np.union1d(pages, freed)
    bury(machine, pages[table.count[pages] == 0])


def merge_zero(machine: Machine, pages: Pages) -> BoolArray | None:
    """Point every pte of pages to the zero page and free them; returns as merge. Mirrors try_to_merge_zero_page."""
    return _refused([_merge_zero(machine, pages[start:stop]) for start, stop in in_parts(0, len(pages))])


def _merge_zero(machine: Machine, pages: Pages) -> BoolArray:
    """Merge a part; return which of the pages were."""
    table = machine.frames
    allowed = _Allowed(machine, pages)
    moves = allowed.moves
    slots, positions = _chosen(allowed.walk, moves)
    machine.tables.point(slots, PKSM_ZERO | YOUNG | machine.origins.of_moved(slots, pages[positions]))
    machine.zero_ptes += len(slots)
    if not machine.quirks.exact_walk:
        gone = moves & (np.bincount(positions, minlength=len(pages)) == table.mapcount[pages])
        drop_ptes(machine, pages[positions[~gone[positions]]])
        moves = gone
    _release(machine, pages[moves])
    return allowed.mask


def anon_vmas(machine: Machine, pages: Pages) -> U32Array:
    """Return the anon_vma of each frame; of a merged one whose own is dead, that of a page that shares it."""
    table = machine.frames
    dead = pages[~machine.rmap.is_alive(table.anon_vma[pages]) & table.has(pages, flag.KSM)]
    if len(dead):
        walk = Walk(machine, dead)
        table.anon_vma[dead[walk.positions]] = machine.vmas.anon_vma[walk.vma[walk.found]]
    return table.anon_vma[pages]


def is_sharer(machine: Machine, kpages: Pages, anon_vmas: U32Array) -> BoolArray:
    """Return whether anon_vmas[i] is that of KSM frame kpages[i], or a pte of it is found through it."""
    kept = np.unique(kpages)
    pairs = [_pairs(kept, machine.frames.anon_vma[kept])]
    for start, stop in in_parts(0, len(kept)):
        walk = Walk(machine, kept[start:stop])
        pairs.append(np.unique(_pairs(walk.frames[walk.positions], walk.anon_vma[walk.found])))
    return np.isin(_pairs(kpages, anon_vmas), np.concatenate(pairs))


def _pairs(frames: Pages, anon_vmas: U32Array) -> U64Array:
    return frames.astype(np.uint64) << np.uint64(32) | anon_vmas


def split(machine: Machine, kpages: Pages) -> None:
    """Give every pte of KSM frames a frame of its own again. PksmError, and nothing done, if there are not enough."""
    if not machine.frames.has(kpages, flag.KSM).all():
        raise PageError("a page to split is not merged")
    machine.frames.require(int(machine.frames.mapcount[kpages].sum()))
    for start, stop in in_parts(0, len(kpages)):
        walk = Walk(machine, kpages[start:stop])
        _unshare(machine, walk.slots, walk.vma[walk.found], walk.page[walk.found])


def unmerge_slots(machine: Machine, slots: I64Array, vmas: I64Array, pages: I64Array) -> None:
    """Give those of the ptes that point to a KSM frame or the merged zero page frames of their own.

    slots: int64, each once; vmas and pages (virtual): where each is.
    """
    chosen = _merged(machine, slots)
    _unshare(machine, slots[chosen], vmas[chosen], pages[chosen])


def _merged(machine: Machine, slots: I64Array) -> I64Array:
    """Return the positions of the ptes that point to a KSM frame or the merged zero page."""
    ptes = machine.tables.ptes[slots]
    ksm = maps_frame(ptes)
    ksm[ksm] = machine.frames.has(value_of(ptes[ksm]), flag.KSM)
    return np.flatnonzero(ksm | is_pksm_zero(ptes))


def require_to_unmerge(machine: Machine, mms: Iterable[Mm], first: int, end: int, flags: int = 0) -> None:
    """Raise PksmError unless there are enough frames for unmerge."""
    machine.frames.require(
        sum(len(_merged(machine, slots)) for _, _, slots in _places(machine, mms, first, end, flags))
    )


def unmerge(machine: Machine, mms: Iterable[Mm], first: int, end: int, flags: int = 0) -> None:
    """Give every pte of a range of these mms a frame of its own, if it is merged; PksmError if there are too few.

    flags: that a vma must have to be looked at.
    """
    require_to_unmerge(machine, mms, first, end, flags)
    for vma, pages, slots in _places(machine, mms, first, end, flags):
        unmerge_slots(machine, slots, np.full(len(slots), vma), pages)


def _places(
    machine: Machine, mms: Iterable[Mm], first: int, end: int, flags: int
) -> Iterator[tuple[int, I64Array, I64Array]]:
    """Yield (vma, virtual pages, slots) of all ptes of a range of these mms, in parts of one vma each."""
    for mm in mms:
        for vma in machine.vmas.over(mm, first, end):
            if machine.vmas.flags[vma] & flags != flags:
                continue
            start, stop = machine.vmas.span(vma)
            for pages, slots in machine.tables.existing(mm.root, max(first, start), min(end, stop)):
                yield vma, pages, slots


def _unshare(machine: Machine, slots: I64Array, vmas: I64Array, pages: I64Array) -> None:
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
        table.set_up(new[mine], columns.anon_vma[vma], index, birth_flags(columns, vma), int(columns.mm[vma]))
        machine.rmap.touch_born(int(columns.anon_vma[vma]), new[mine])
    table.copy(sources, new[mapped])
    table.clear(new[~mapped])
    machine.tables.point(slots, pte_of(new, PRESENT | YOUNG | DIRTY))
    machine.lose_zero(len(slots) - len(sources))
    machine.copies += len(slots)
    machine.born(new, np.ones(len(new), bool))  # merged pages were tracked, and go on to be
    drop_ptes(machine, sources)
    if machine.watch:
        machine.watch.unmerged(new)
