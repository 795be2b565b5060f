"""How far the reverse walk of a merge gets, as the machine's quirks have it.

What a walk will do depends on vmas and ptes alone, so it is known before a batch is settled: it stands in a frame's
class, and is looked at anew where something has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import BoolArray, I64Array, Pages, U8Array
from pksm.engine import native
from pksm.hosts.machine import frames as flag
from pksm.hosts.machine.mm import UNFIT_FOR_MERGING
from pksm.hosts.machine.rmap import Outcome, Walk

if TYPE_CHECKING:
    from pksm.hosts.machine.frames import Frames
    from pksm.hosts.machine.machine import Machine


FRAMES_AT_ONCE = 8192


class Reach:
    """Walks over frames that are to be merged, or each to be kept as the first of a merge.

    walk: Walk whose `found` are the ptes that a merge moves. By frame, bool: succeeds, that is what the walk says at
    its end; begins, it reaches at least one pte; keeps, the frame can become a kept page.
    """

    def __init__(self, machine: Machine, frames: Pages) -> None:
        self.walk = walk = Walk(machine, frames)
        if machine.quirks.exact_walk:
            self.succeeds = self.begins = self.keeps = walk.outcome == Outcome.COMPLETE
            return
        fit = machine.vmas.flags[walk.vma] & UNFIT_FOR_MERGING == 0
        if machine.quirks.walk_stops:
            visited = np.flatnonzero(walk.holds | machine.quirks.walks_lists)
            fails, second = _stop_early(walk, visited, fit)
            self.begins = _any(walk.positions, walk)
            self.succeeds = self.begins & ~fails
        else:
            self.succeeds = walk.outcome == Outcome.COMPLETE
            walk.found = walk.found[fit[walk.found]]
            self.begins = _any(walk.positions, walk)
            second = _any(walk.position[walk.holds & fit & (_before(walk.maps & fit, walk.position, walk) > 0)], walk)
        self.keeps = self.succeeds & ~second if machine.quirks.one_mapping else self.succeeds

    def classes(self, machine: Machine) -> U8Array:
        """Return the class of each frame as far as the walk decides it: uint8, of native.FREE and the others."""
        classes = np.where(self.keeps, native.FREE, native.NOT_KPAGE).astype(np.uint8)
        classes[~self.succeeds] = native.WALK_FAILS
        if machine.quirks.leaks:
            partly = self.begins & ~self.succeeds
            moved = np.bincount(self.walk.positions, minlength=len(classes))
            classes[partly] = native.WALK_BREAKS
            classes[partly & (moved == machine.frames.mapcount[self.walk.frames])] = native.WALK_LOSES
        return classes


def _stop_early(walk: Walk, visited: I64Array, fit: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Let a walk over the steps `visited` end at the first that has no pte of the page or must be left alone.

    A vma that does not hold the index, or is not fit, ends it with the code so far; one that holds it and maps
    something else ends it with DROP. Returns, by frame, whether it ends with DROP, and whether the second vma holds the
    index, which is one too many for a page to be kept.
    """
    position = walk.position[visited]
    good = (walk.maps & fit)[visited]
    ended = _before(~good, position, walk) > 0
    walk.found = visited[good & ~ended]
    holds = (walk.holds & fit)[visited]
    fails = _any(position[~good & ~ended & holds], walk)
    second = _before(np.ones(len(position), bool), position, walk) == 1
    return fails, _any(position[second & holds], walk)


def _before(marked: BoolArray, position: I64Array, walk: Walk) -> I64Array:
    """Return for each step how many steps of the same frame before it are marked (bool); position: of each step."""
    count = np.concatenate((np.zeros(1, np.int64), np.cumsum(marked, dtype=np.int64)))
    return count[:-1] - count[np.searchsorted(position, np.arange(len(walk.frames)))][position]


def _any(positions: I64Array, walk: Walk) -> BoolArray:
    """Return a bool for each frame of a walk: its position is among these."""
    return np.bincount(positions, minlength=len(walk.frames)) > 0


def _walked(table: Frames, frames: Pages) -> BoolArray:
    """Which of the frames merging walks over: a bool for each."""
    return (table.flags[frames] & (flag.ANON | flag.KSM)) == flag.ANON


def refresh(machine: Machine) -> None:
    """Bring the classes of frames up to date where vmas, or ptes of their pages, have changed."""
    anon_vmas, frames = machine.rmap.take_touched()
    table = machine.frames
    if len(anon_vmas):
        stale = np.zeros(len(machine.rmap.root), bool)
        stale[anon_vmas] = True
        frames = np.concatenate((frames, np.flatnonzero(stale[table.anon_vma]).astype(np.uint32)))
    frames = np.unique(frames)
    frames = frames[_walked(table, frames)]
    for start in range(0, len(frames), FRAMES_AT_ONCE):
        part = frames[start : start + FRAMES_AT_ONCE]
        table.reach[part] = Reach(machine, part).classes(machine)
        table.reclassify(part)


def check(machine: Machine) -> None:
    """Raise AssertionError unless every frame's class is what a walk says now."""
    if machine.rmap.watches:
        refresh(machine)
        frames = np.arange(machine.frames.n, dtype=np.uint32)
        frames = frames[_walked(machine.frames, frames)]
        assert np.array_equal(machine.frames.reach[frames], Reach(machine, frames).classes(machine)), "outdated reach"
