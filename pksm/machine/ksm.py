"""Memory as mappings, which is how KSM sees it: pte by pte, in opted-in vmas, mm by mm."""

import numpy as np

from pksm.errors import PageError
from pksm.machine import frames as flag
from pksm.machine.fault import drop_ptes
from pksm.machine.merge import can_keep, unmerge_slots
from pksm.machine.mm import LOCKED, MERGEABLE
from pksm.machine.tables import LEAF, PRESENT, YOUNG, maps_frame, pte_of, value_of
from pksm.machine.thp import split_compound

_LEAVES_AT_ONCE = 64


def next_mapped(machine, cursor, n):
    """Return (mms, virtual pages, frames, cursor): up to n ptes of opted-in memory behind the cursor, in order.

    cursor: (mm id, virtual page) to begin with; the one returned is (0, 0) when the end was met.
    """
    columns, missing = ([], [], []), n
    for mm_id in sorted(id for id in machine.mms if id >= cursor[0]):
        mm = machine.mms[mm_id]
        for vma in mm.vmas:
            first, end = machine.vmas.span(vma)
            if mm_id == cursor[0]:
                first = max(first, cursor[1])
            if first >= end or not machine.vmas.has(vma, MERGEABLE):
                continue
            for pages, frames in _mapped(machine, mm, first, end):
                pages, frames = pages[:missing], frames[:missing]
                for column, part in zip(columns, (np.full(len(pages), mm_id), pages, frames), strict=True):
                    column.append(part)
                missing -= len(pages)
                if not missing:
                    return *_joined(columns), (mm_id, int(pages[-1]) + 1)
    return *_joined(columns), (0, 0)


def _mapped(machine, mm, first, end):
    """Yield (virtual pages, frames) of the pages mapped in a range, a few leaves at a time."""
    numbers, leaves = machine.tables.leaves(mm.root, first, end)
    for start in range(0, len(leaves), _LEAVES_AT_ONCE):
        part = slice(start, start + _LEAVES_AT_ONCE)
        pages = (numbers[part, np.newaxis] * LEAF + np.arange(LEAF)).reshape(-1)
        ptes = machine.tables.ptes.reshape(-1, LEAF)[leaves[part]].reshape(-1)
        chosen = np.flatnonzero(maps_frame(ptes) & (pages >= first) & (pages < end))
        if len(chosen):
            yield pages[chosen], value_of(ptes[chosen])


def _joined(columns):
    kinds = (np.int64, np.int64, np.uint32)
    pairs = zip(columns, kinds, strict=True)
    return tuple(np.concatenate([*parts, np.empty(0, kind)]).astype(kind) for parts, kind in pairs)


def _locate(machine, mms, pages):
    """Return (slots, vmas) of virtual pages; PageError if an mm has exited or nothing is mapped there."""
    slots, vmas = np.empty(len(pages), np.int64), np.empty(len(pages), np.int64)
    for mm_id in np.unique(mms).tolist():
        mine = np.flatnonzero(mms == mm_id)
        mm = machine.mms.get(mm_id)
        if mm is None or not mm.vmas:
            raise PageError(f"mm {mm_id} has exited, or maps nothing")
        ids = np.array(mm.vmas)
        place = np.searchsorted(machine.vmas.start[ids], pages[mine], "right") - 1
        if (place < 0).any() or (pages[mine] >= machine.vmas.end[ids[place]]).any():
            raise PageError(f"a page of mm {mm_id} that is not mapped")
        vmas[mine] = ids[place]
        slots[mine] = machine.tables.slots(mm.root, pages[mine])
    return slots, vmas


def merge_ptes(machine, mms, pages, kpages):
    """Point these ptes to kpages, read-only, and no others; a frame is freed with its last pte.

    mms, pages (virtual), kpages: one each; PageError unless each pte maps a frame. Returns a bool array of the refused
    (busy, or a kpage that can't be kept), or None. Mirrors try_to_merge_one_page.
    """
    slots, vmas = _locate(machine, mms, pages)
    ptes = machine.tables.ptes[slots]
    if not maps_frame(ptes).all():
        raise PageError("a pte to merge maps no frame")
    table, frames = machine.frames, value_of(ptes)
    split_compound(machine, np.unique(frames))
    mask = ~table.is_busy(frames)
    mask[mask] = can_keep(machine, kpages[mask])
    moved = np.flatnonzero(mask & (frames != kpages))
    slots, vmas, pages, frames, targets = slots[moved], vmas[moved], pages[moved], frames[moved], kpages[moved]
    machine.tables.ptes[slots] = pte_of(targets, PRESENT | YOUNG)
    table.add_ptes(targets)
    columns = machine.vmas
    machine.sharers.append(targets, columns.anon_vma[vmas], pages - columns.start[vmas] + columns.pgoff[vmas])
    table.flags[targets[columns.flags[vmas] & LOCKED != 0]] |= flag.MLOCKED
    last, times = _last_and_times(frames)
    freed = table.mapcount[frames[last]] == times
    np.add.at(table.merged, targets[last[freed]], np.int32(1))
    machine.frames_merged(frames[last[freed]], targets[last[freed]])
    drop_ptes(machine, frames)
    return None if mask.all() else ~mask


def _last_and_times(frames):
    """Return where each frame stands last, and how often it is there."""
    _, first, times = np.unique(frames[::-1], return_index=True, return_counts=True)
    return len(frames) - 1 - first, times


def unmerge_ptes(machine, mms, pages):
    """Give these ptes frames of their own, if they point to a KSM frame or the merged zero page."""
    slots, vmas = _locate(machine, mms, pages)
    unmerge_slots(machine, slots, vmas, pages)
