"""Judging slots: one whose pages merge moves up the ladder, one whose pages don't, or are written to, moves down."""

from __future__ import annotations

from collections.abc import Sequence

from pksm.policies.uksm import governors
from pksm.policies.uksm.course import Course
from pksm.policies.uksm.ladder import Rung
from pksm.policies.uksm.slots import Slot, Slots
from pksm.policies.uksm.spec import UksmSettings


class Judge:
    """Moves slots between rungs by the thresholds of the settings. page_ns: what a visit takes, of which strides are."""

    def __init__(self, slots: Slots, rungs: Sequence[Rung], tunables: UksmSettings, course: Course) -> None:
        self._slots, self._rungs, self.tunables, self._course = slots, rungs, tunables, course

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

    def end_round(self, page_ns: int) -> None:
        """Move slots up that enough pages of others have merged with, in the evaluation round that ends."""
        be_merged = self._slots.be_merged
        for slot in list(self._slots.by_key.values()):
            merged = int(be_merged[slot.number])
            gain = self._gain(slot, merged, slot.n)
            if gain and gain >= self.tunables.abundant_threshold and slot.rung < governors.RUNGS - 1:
                self._move(slot, slot.rung + 1, page_ns)
        be_merged[:] = 0
        for rung in self._rungs:
            rung.finished = False
