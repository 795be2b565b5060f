"""machine.check(): every count made again from the page tables, and every frame looked for through the reverse map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import I64Array, U64Array
from pksm.hosts.machine import frames as flag
from pksm.hosts.machine import reach
from pksm.hosts.machine.fault import is_pksm_zero
from pksm.hosts.machine.mm import WRITABLE
from pksm.hosts.machine.page_tables import LEAF, LIMIT, PRESENT, SPECIAL, SWAPPED, WRITE, maps_frame, value_of
from pksm.hosts.machine.rmap import Outcome, Walk

if TYPE_CHECKING:
    from pksm.hosts.machine.machine import Machine
    from pksm.hosts.machine.mm import Mm


def check(machine: Machine) -> None:
    """Raise AssertionError unless machine is what its page tables say."""
    mms, table = list(machine.mms.values()), machine.frames
    assert all(mm.alive for mm in mms)
    machine.store.check()
    machine.vmas.check(mms)
    machine.tables.check([mm.root for mm in mms])
    machine.rmap.check(machine.vmas, mms)

    mapped, swapped, zero = [np.empty(0, np.uint32)], [np.empty(0, np.uint32)], 0
    for mm in mms:
        for pages, slots in machine.tables.existing(mm.root, 0, LIMIT):
            ptes = machine.tables.ptes[slots]
            pages, ptes = pages[ptes != 0], ptes[ptes != 0]
            _check_ptes(machine, mm, pages, ptes)
            machine.origins.check(ptes)
            mapped.append(value_of(ptes[maps_frame(ptes)]))
            swapped.append(value_of(ptes[(ptes & SWAPPED) != 0]))
            zero += int(np.count_nonzero(is_pksm_zero(ptes)))
    size = len(table.count)
    machine.new_pages.check()
    machine.swap.check(np.bincount(np.concatenate(swapped), minlength=len(machine.swap.users)), table)
    in_cache = machine.swap.cached[machine.swap.is_cached(np.arange(len(machine.swap.users)))]
    frames = np.concatenate(mapped)
    assert (frames < size).all(), "a pte maps no frame"
    table.check(np.bincount(frames, minlength=size), in_cache)
    assert zero == machine.zero_ptes

    machine.origins.check_saved()
    reach.check(machine)
    alive = np.flatnonzero(table.mapcount).astype(np.uint32)
    walk = Walk(machine, alive)
    assert (walk.outcome != Outcome.INCOMPLETE).all(), "the reverse walk misses ptes"
    known = ~(table.has(alive, flag.KSM) & machine.quirks.walks_nowhere)
    mlocked = table.has(alive[known], flag.MLOCKED)
    assert np.array_equal(walk.locked()[known], mlocked), "mlocked is not what the vmas say"
    compound = np.flatnonzero(table.flags & flag.COMPOUND)
    heads = np.unique(compound // LEAF)
    assert len(compound) == LEAF * len(heads), "a part of a huge page"


def _check_ptes(machine: Machine, mm: Mm, pages: I64Array, ptes: U64Array) -> None:
    """The ptes (not empty) of one mm lie in vmas, and are writable only where a sole owner may write."""
    vmas, table = machine.vmas, machine.frames
    if not len(pages):
        return
    assert mm.vmas, "a pte without a vma"
    ids = np.array(mm.vmas)
    place = ids[np.maximum(np.searchsorted(vmas.start[ids], pages, "right") - 1, 0)]
    assert ((pages >= vmas.start[place]) & (pages < vmas.end[place])).all(), "a pte outside the vmas"
    present = (ptes & PRESENT) != 0
    assert (present != ((ptes & SWAPPED) != 0)).all(), "a pte is neither present nor swapped"
    writable = (ptes & WRITE) != 0
    assert (vmas.flags[place[writable]] & WRITABLE != 0).all() and not (ptes[writable] & SPECIAL).any()
    frames = value_of(ptes[writable])
    assert (table.mapcount[frames] == 1).all(), "a shared frame can be written"
    assert not table.has(frames, flag.KSM | flag.SWAP_CACHE).any(), "a merged frame can be written"
    anonymous = (vmas.anon_vma[place] != 0) | ((ptes & SPECIAL) != 0)
    assert anonymous.all(), "a frame in a vma without an anon_vma"
