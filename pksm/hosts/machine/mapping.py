"""What changes address spaces: fork and exit, mmap, munmap, mremap, protection, mlock.

Ranges are virtual page numbers, first .. end - 1, checked by the caller to be sound as numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import U32Array
from pksm.errors import UsageError
from pksm.hosts.machine import merge
from pksm.hosts.machine.fault import (
    frames_to_read,
    frames_to_write,
    is_pksm_zero,
    let_go,
    read_range,
    refresh_mlocked,
    write_range,
    zap,
)
from pksm.hosts.machine.frames import KSM, MLOCKED
from pksm.hosts.machine.mm import LOCKED, MERGEABLE, WRITABLE, Mm
from pksm.hosts.machine.page_tables import LEAF, LIMIT, SWAPPED, WRITE, maps_frame, value_of
from pksm.protocols import Saved

if TYPE_CHECKING:
    from pksm.hosts.machine.machine import Machine


def mmap(machine: Machine, mm: Mm, first: int | None, n: int, flags: int) -> int:
    """Map n pages at first, or (None) behind all others with a hole between. Returns the first page."""
    if first is None:
        top = int(machine.vmas.end[mm.vmas[-1]]) if mm.vmas else 0
        first = (top // LEAF + 1) * LEAF
        if first + n > LIMIT:
            raise UsageError(f"no room for {n} pages behind the last mapping of mm {mm.id}: give an address")
    end = first + n
    _require_free(machine, mm, first, end)
    if not machine.vmas.merge(mm, machine.vmas.below(mm, first), first, end, flags, 0, first):
        machine.vmas.add(mm, first, end, flags)
    return first


def _require_free(machine: Machine, mm: Mm, first: int, end: int) -> None:
    taken = machine.vmas.over(mm, first, end)
    if taken:
        at = max(first, int(machine.vmas.start[taken[0]])) * machine.page_size
        raise UsageError(f"the mapping would overlap another at {at:#x} of mm {mm.id}: unmap that first")


def munmap(machine: Machine, mm: Mm, first: int, end: int) -> None:
    """Unmap a range, holes allowed. The part of a split vma that keeps its identity is as in do_munmap."""
    vmas = machine.vmas
    for vma in vmas.over(mm, first, end):
        start, stop = vmas.span(vma)
        if start < first:
            vma = vmas.split(mm, vma, first, new_below=False)
        if end < stop:
            vmas.split(mm, vma, end, new_below=True)
    zap(machine, mm, first, end)
    for vma in vmas.over(mm, first, end):
        vmas.remove(mm, vma)
    machine.tables.release(mm.root, first, end)


def mremap(machine: Machine, mm: Mm, first: int, end: int, new_first: int | None, new_n: int) -> int:
    """Move a range within one vma, ptes and all, and shrink or lengthen it. new_first None: stay if there is room."""
    vmas = machine.vmas
    (vma, *others) = vmas.covering(mm, first, end, machine.page_size)
    if others:
        raise UsageError(f"mremap of pages of several mappings at {first * machine.page_size:#x} of mm {mm.id}")
    n = end - first
    if new_first is None:
        grown_end = first + new_n
        if new_n <= n or (end == vmas.end[vma] and not vmas.over(mm, end, grown_end) and grown_end <= LIMIT):
            if new_n < n:
                munmap(machine, mm, grown_end, end)
            elif new_n > n:
                vmas.end[vma] = grown_end
                machine.rmap.touch_chains_of(vma)
            return first
        new_first = (int(vmas.end[mm.vmas[-1]]) // LEAF + 1) * LEAF
        if new_first + new_n > LIMIT:
            raise UsageError(f"no room for {new_n} pages behind the last mapping of mm {mm.id}: give an address")
    _require_free(machine, mm, new_first, new_first + new_n)
    if vmas.has(vma, MERGEABLE):  # mirrors move_vma: pages are moved unmerged; this may find too few frames
        merge.unmerge(machine, [mm], first, first + min(n, new_n))
    if new_n < n:
        munmap(machine, mm, first + new_n, end)
        end = first + new_n
        (vma,) = vmas.over(mm, first, end)
    index = int(vmas.pgoff[vma]) + first - int(vmas.start[vma]) if vmas.anon_vma[vma] else new_first
    new = vmas.add(mm, new_first, new_first + new_n, vmas.flags[vma], index)
    if vmas.anon_vma[vma]:
        machine.rmap.clone(new, vma)
        vmas.anon_vma[new] = vmas.anon_vma[vma]
    machine.frames.pte_changes += 1
    for pages, slots in machine.tables.existing(mm.root, first, end):
        moved = machine.tables.ptes[slots]
        used = np.flatnonzero(moved)
        targets = machine.tables.make(mm.root, pages[used] + (new_first - first))
        machine.tables.ptes[targets] = moved[used]
        machine.tables.ptes[slots] = 0
        if machine.tables.turned is not None:
            machine.tables.turned += [targets, slots]
    munmap(machine, mm, first, end)
    return new_first


def change_flags(machine: Machine, mm: Mm, first: int, end: int, add: int = 0, remove: int = 0) -> None:
    """Change vma flags of a range; vmas are split, and merged again when they are equal."""
    for start, stop, flags in _parts(machine, mm, first, end):
        machine.vmas.set_flags(mm, start, stop, flags & ~remove | add)


def write_protect(machine: Machine, mm: Mm, first: int, end: int) -> None:
    """Make a range read-only. (The other way it takes no more than change_flags: faults do the rest.)"""
    change_flags(machine, mm, first, end, remove=WRITABLE)
    for _, slots in machine.tables.existing(mm.root, first, end):
        machine.tables.ptes[slots] &= ~WRITE


def mlock(machine: Machine, mm: Mm, first: int, end: int) -> None:
    """Fault all of a range in and keep it in memory."""
    let_go(machine, machine.new_pages)
    parts = _parts(machine, mm, first, end)
    needed = 0
    for start, stop, flags in parts:
        needed += (frames_to_write if flags & WRITABLE else frames_to_read)(machine, mm, start, stop)
    machine.frames.require(needed)
    change_flags(machine, mm, first, end, add=LOCKED)
    for start, stop, flags in parts:
        for _ in (write_range if flags & WRITABLE else read_range)(machine, mm, start, stop):
            pass
    machine.frames.flags[frames_in(machine, mm, first, end)] |= MLOCKED


def munlock(machine: Machine, mm: Mm, first: int, end: int) -> None:
    """Take the lock off a range; frames that other mlocked ranges map stay mlocked."""
    change_flags(machine, mm, first, end, remove=LOCKED)
    refresh_mlocked(machine, np.unique(frames_in(machine, mm, first, end)))


def _parts(machine: Machine, mm: Mm, first: int, end: int) -> list[tuple[int, int, int]]:
    """Return [(start, stop, flags)]: the parts of a range, by vma; UsageError if some of it lies in none."""
    parts = []
    for vma in machine.vmas.covering(mm, first, end, machine.page_size):
        start, stop = machine.vmas.span(vma)
        parts.append((max(first, start), min(end, stop), int(machine.vmas.flags[vma])))
    return parts


def frames_in(machine: Machine, mm: Mm, first: int, end: int) -> U32Array:
    """Return the frames that a range maps: uint32, by address; a frame may be there more than once."""
    parts = [np.empty(0, np.uint32)]
    for _, slots in machine.tables.existing(mm.root, first, end):
        ptes = machine.tables.ptes[slots]
        parts.append(value_of(ptes[maps_frame(ptes)]))
    return np.concatenate(parts)


def saved_by(machine: Machine, mms: list[Mm]) -> Saved:
    """Return what merging saves on these mms."""
    frames = np.concatenate([np.empty(0, np.uint32), *(frames_in(machine, mm, 0, LIMIT) for mm in mms)])
    merged = frames[machine.frames.has(frames, KSM) & (machine.frames.mapcount[frames] > 1)]
    shared, zero = len(np.unique(merged)), sum(machine.zero_ptes_of(mm.id) for mm in mms)
    return Saved(shared, len(merged) - shared, zero, len(frames) - len(merged))


def spawn(machine: Machine, salt: int = 0) -> Mm:
    """Return a new Mm."""
    machine.last_mm += 1
    mm = Mm(machine, machine.last_mm, machine.tables.new_root())
    machine.mms[mm.id] = mm
    machine.frames.set_salt(mm.id, salt)
    return mm


def fork(machine: Machine, mm: Mm) -> Mm:
    """Return a copy of an Mm that shares all its frames, write-protected on both sides.

    Every vma's copy joins the chains that its original is in, and gets an anon_vma for its own pages. A vma that was
    never written has no anon_vma and nothing to copy. Mirrors dup_mmap, anon_vma_fork and copy_page_range.
    """
    vmas, tables, rmap = machine.vmas, machine.tables, machine.rmap
    child = spawn(machine, int(machine.frames.salts[mm.id]))
    blank = []
    for vma in mm.vmas:
        start, end = vmas.span(vma)
        copy = vmas.add(child, start, end, int(vmas.flags[vma]) & ~LOCKED, int(vmas.pgoff[vma]))
        if vmas.anon_vma[vma]:
            rmap.clone(copy, vma)
            vmas.anon_vma[copy] = rmap.new_anon_vma(int(rmap.root[vmas.anon_vma[vma]]))
            rmap.link(copy, vmas.anon_vma[copy])
        else:
            blank.append((start, end))
    numbers, leaves = tables.leaves(mm.root)
    if not len(leaves):
        return child
    for _, slots in tables.existing(mm.root, 0, LIMIT):
        tables.ptes[slots] &= ~WRITE
    tables.copy(child.root, numbers, leaves)
    for start, end in blank:
        for _, slots in tables.existing(child.root, start, end):
            tables.point(slots, np.uint64(0))
    if blank:
        tables.release(child.root)
    for _, slots in tables.existing(child.root, 0, LIMIT):
        ptes = tables.ptes[slots]
        machine.frames.add_ptes(value_of(ptes[maps_frame(ptes)]))
        machine.swap.get(value_of(ptes[(ptes & SWAPPED) != 0]))
        machine.zero_ptes += int(np.count_nonzero(is_pksm_zero(ptes)))
    return child


def exit_mm(machine: Machine, mm: Mm) -> None:
    """End an Mm: everything it maps goes."""
    zap(machine, mm, 0, LIMIT)
    machine.vmas.remove_all(mm)
    machine.tables.release(mm.root)
    machine.tables.drop_root(mm.root)
    mm.root = 0
    del machine.mms[mm.id]
    machine.opted_in.pop(mm.id, None)
