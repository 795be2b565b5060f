"""Pages that change their frame or lose it, and none of their bytes: swap_out and migrate, for merged pages too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import Pages, U32Array
from pksm.hosts.machine import frames as flag
from pksm.hosts.machine.fault import bury, drop_ptes, in_parts
from pksm.hosts.machine.page_tables import SWAPPED, VALUE, pte_of
from pksm.hosts.machine.rmap import Outcome, Walk
from pksm.hosts.machine.thp import split_compound

if TYPE_CHECKING:
    from pksm.hosts.machine.machine import Machine


def _movable(machine: Machine, frames: Pages, but: int = 0) -> U32Array:
    """Split compound pages, and return those of the frames (which may repeat) that may be moved, each once.

    Busy ones and those with the flags `but` stay.
    """
    frames = np.unique(frames)
    split_compound(machine, frames)
    return frames[~(machine.frames.is_busy(frames) | machine.frames.has(frames, but))]


def _unreachable(machine: Machine) -> int:
    """Flags of frames that the reverse walk finds no pte of."""
    return flag.KSM if machine.quirks.walks_nowhere else 0


def _walks(machine: Machine, frames: Pages) -> Iterator[Walk]:
    """Yield walks over the frames that can be reached, part by part."""
    for start, stop in in_parts(0, len(frames)):
        walk = Walk(machine, frames[start:stop])
        unreachable = walk.outcome == Outcome.INCOMPLETE
        yield Walk(machine, walk.frames[~unreachable]) if unreachable.any() else walk


def swap_out(machine: Machine, frames: Pages) -> int:
    """Write frames to swap and free them; busy and mlocked ones stay. Returns how many went. Mirrors try_to_unmap."""
    walks = _walks(machine, _movable(machine, frames, but=flag.MLOCKED | _unreachable(machine)))
    return sum(_swap_out(machine, walk) for walk in walks)


def _swap_out(machine: Machine, walk: Walk) -> int:
    frames, table, swap = walk.frames, machine.frames, machine.swap
    cached = table.has(frames, flag.SWAP_CACHE)
    slots = table.swap_slot[frames]
    slots[~cached] = swap.allocate(int(np.count_nonzero(~cached)))
    swap.write(slots[~cached], table.memory, frames[~cached])
    of_ptes = slots[walk.positions]
    swap.get(of_ptes)
    machine.tables.point(walk.slots, pte_of(of_ptes, SWAPPED))
    drop_ptes(machine, frames[walk.positions])
    return len(frames)


def migrate(machine: Machine, frames: Pages) -> int:
    """Move pages to other frames; busy ones stay. Returns how many moved. Mirrors migrate_pages.

    The policy learns of a birth and a death; one that works by mappings learns first where merged pages have gone. A
    merged page stays merged: its new frame is a KSM frame from the start.
    """
    movable = _movable(machine, frames, but=_unreachable(machine))
    machine.frames.require(len(movable))
    return sum(_migrate(machine, walk) for walk in _walks(machine, movable))


def _migrate(machine: Machine, walk: Walk) -> int:
    old, table = walk.frames, machine.frames
    new = table.allocate(len(old))
    table.copy(old, new)
    machine.swap.forget(table, old[table.has(old, flag.SWAP_CACHE)])
    ksm = table.has(old, flag.KSM)
    flags = machine.tables.ptes[walk.slots] & ((np.uint64(1) << VALUE) - np.uint64(1))
    machine.tables.point(walk.slots, pte_of(new[walk.positions], flags))
    if ksm.any():
        machine.sharers.rename(old[ksm], new[ksm])
        machine.policy.moved(old[ksm], new[ksm])
    table.take_over(old, new)
    machine.rmap.touch_pages(new)  # what was noted of the old ones holds for them
    machine.born(new)
    bury(machine, old)
    return len(old)
