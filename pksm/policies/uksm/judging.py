"""Judging slots: one whose pages merge moves up the ladder, one whose pages don't, or are written to, moves down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pksm.arrays import I64Array, Ids
from pksm.engine import native
from pksm.policies.uksm import governors
from pksm.policies.uksm.course import Course
from pksm.policies.uksm.ladder import Rung
from pksm.policies.uksm.slots import Slot, Slots
from pksm.policies.uksm.spec import UksmSettings
from pksm.policies.uksm.tables import Tables


class Judge:
    """Moves slots between rungs by the thresholds of the settings. page_ns: what a visit takes, of which strides are."""

    def __init__(self, slots: Slots, rungs: Sequence[Rung], tunables: UksmSettings, course: Course) -> None:
        self._slots, self._rungs, self.tunables, self._course = slots, rungs, tunables, course
        self._joined: list[tuple[Ids, int, int]] = []  # stable nodes, the slot that joined them, its stride

    def end_pass(self, slot: Slot, number: int, page_ns: int) -> None:
        """Move a slot whose pass is over to the rung that it deserves."""
        is_full = slot.cursor >= slot.n
        gain = self._gain(slot, slot.merged, slot.sampled)
        self._course.judged(slot, number, is_full, gain)
        if is_full:
            slot.cursor = 0
            slot.cycles += 1
        slot.sampled = slot.merged = slot.copied = 0
        if is_full and self.tunables.thrash_threshold:
            target = 0
        elif gain and gain >= self.tunables.abundant_threshold:
            target = min(number + 1, governors.RUNGS - 1)
        else:
            target = max(number - 1, 0)
        if target == number:
            self._rungs[number].advance(page_ns)
        else:
            self._move(slot, target, page_ns)

    def _gain(self, slot: Slot, merged: int, of: int) -> int:
        """Pages that merged and were not written to since, or per cent of them; 0 if too many were."""
        copied = slot.copied
        if merged and self.tunables.thrash_threshold and 100 * copied // merged > self.tunables.thrash_threshold:
            return 0
        gain = max(0, merged - copied)
        return gain if "judge-by-count" in self.tunables.quirks else 100 * gain // max(1, of)

    def _move(self, slot: Slot, target: int, page_ns: int) -> None:
        self._rungs[slot.rung].leave(slot, page_ns)
        self._rungs[target].enter([slot], page_ns)

    def join(self, kept: Ids, slot: Slot, step: int) -> None:
        """Take notice of pages of a slot that have joined stable nodes, in visits with this stride."""
        self._joined.append((kept, slot.number, step))

    def end_round(self, page_ns: int, tables: Tables) -> None:
        """Move slots up that enough pages of others have merged with, in the evaluation round that ends.

        One whose last visit has ended its permutation stays where it is.
        """
        be_merged = self._be_merged(tables)
        self._joined = []
        for slot in list(self._slots.by_key.values()):
            merged = int(be_merged[slot.number])
            if not merged:
                continue
            gain = self._gain(slot, merged, slot.n)
            slot.copied = 0
            is_rich = slot.cursor and gain and gain >= self.tunables.abundant_threshold
            if is_rich and slot.rung < governors.RUNGS - 1:
                self._move(slot, slot.rung + 1, page_ns)
        for rung in self._rungs:
            rung.finished = False

    def _be_merged(self, tables: Tables) -> I64Array:
        """Return by slot number how many pages of others joined a node that it shares, each with its stride.

        Every slot on the node counts them but the joining one and, by a slip of the kernel, the one that comes next.
        """
        counts = np.zeros(len(self._slots.mm), np.int64)
        if not self._joined:
            return counts
        kept = np.concatenate([ids for ids, _, _ in self._joined]).astype(np.int64)
        sizes = [len(ids) for ids, _, _ in self._joined]
        joining = kept << 32 | np.repeat([number for _, number, _ in self._joined], sizes)
        steps = np.repeat([step for _, _, step in self._joined], sizes)
        links = tables.items.link
        found = np.unique(kept)
        hanging = np.flatnonzero(np.isin(links, found[tables.items.flags[found] & native.STABLE != 0]))
        pairs = np.unique(links[hanging].astype(np.int64) << 32 | tables.column("slot")[hanging])
        nodes, begins = np.unique(pairs >> 32, return_index=True)
        if not len(pairs):
            return counts
        of_node = np.bincount(np.searchsorted(nodes, kept).clip(max=len(nodes) - 1), steps, len(nodes)).astype(np.int64)
        own = np.zeros(len(pairs), np.int64)
        places = np.searchsorted(pairs, joining).clip(max=len(pairs) - 1)
        known = pairs[places] == joining
        np.add.at(own, places[known], steps[known])
        before = np.append(0, own[:-1])
        before[begins] = 0
        gained = of_node[np.searchsorted(nodes, pairs >> 32)] - own - before
        np.add.at(counts, pairs & 0xFFFFFFFF, np.maximum(0, gained))
        return counts
