"""Transparent huge pages: 512 frames in a row, born together, and split before anything is done to one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import Pages
from pksm.errors import UsageError
from pksm.hosts.machine import frames as flag
from pksm.hosts.machine.mm import GROWSDOWN, LOCKED
from pksm.hosts.machine.page_tables import DIRTY, LEAF, PRESENT, WRITE, YOUNG, pte_of

if TYPE_CHECKING:
    from pksm.hosts.machine.machine import Machine
    from pksm.hosts.machine.mm import Mm


def thp_fault(machine: Machine, mm: Mm, first: int) -> None:
    """Write-fault a whole leaf at once: a compound page of 512 frames, unknown to the policy. Mirrors
    do_huge_pmd_anonymous_page."""
    where = f"{first * machine.page_size:#x} of mm {mm.id}"
    if first % LEAF:
        raise UsageError(f"no huge page can begin at {where}: only at a multiple of {LEAF} pages")
    pages = np.arange(first, first + LEAF)
    spans = machine.vmas.spans(mm, pages, machine.page_size, writable=True)
    if len(spans) > 1 or machine.vmas.has(spans[0][0], GROWSDOWN):
        raise UsageError(f"no huge page fits at {where}: it needs one vma that is not a stack")
    slots = machine.tables.slots(mm.root, pages)
    if machine.tables.ptes[slots].any():
        raise UsageError(f"no huge page fits at {where}: something is mapped there already")
    frames, vma = machine.frames.allocate_compound(LEAF), spans[0][0]
    slots = machine.tables.make(mm.root, pages)
    machine.vmas.prepare_anon_vma(mm, vma)
    index = pages + int(machine.vmas.pgoff[vma] - machine.vmas.start[vma])
    flags = flag.COMPOUND | (flag.MLOCKED if machine.vmas.has(vma, LOCKED) else 0)
    machine.frames.set_up(frames, machine.vmas.anon_vma[vma], index, flags, mm.id)
    machine.rmap.touch_born(int(machine.vmas.anon_vma[vma]), frames)
    machine.frames.clear(frames)
    machine.tables.point(slots, pte_of(frames, PRESENT | WRITE | DIRTY | YOUNG))


def split_compound(machine: Machine, frames: Pages) -> None:
    """Make ordinary pages of all compound pages that any of the frames belongs to. Mirrors split_huge_page."""
    table = machine.frames
    heads = np.unique(frames[table.has(frames, flag.COMPOUND)] // LEAF)
    if not len(heads):
        return
    members = (heads[:, np.newaxis].astype(np.uint32) * np.uint32(LEAF) + np.arange(LEAF, dtype=np.uint32)).reshape(-1)
    table.flags[members] &= 0xFF ^ flag.COMPOUND
    machine.born(members[table.mapcount[members] > 0])
