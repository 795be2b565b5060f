"""The ladder: four rungs of slots, each with a quota of visits per batch, a stride, and a place to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pksm.policies.uksm import governors
from pksm.policies.uksm.course import Course
from pksm.policies.uksm.slots import Slot

_UNSIGNED = (1 << 64) - 1  # a difference below zero is a large number


class Stretch(NamedTuple):
    """Visits of one slot in a row; ends: the pass over the slot is over, and it is judged."""

    slot: Slot
    visits: int
    ends: bool


@dataclass(eq=False)
class Rung:
    """Slots in order, with holes where some have left.

    course: where it begins anew; at_second: a slot that the last stride ends before is entered at its second page.
    """

    number: int
    course: Course
    at_second: bool = False
    ratio: int = 0  # 1/10000 of a CPU
    raw_ratio: int = 0  # the same, as far as a rung that begins anew knows it; 0: its stride is 1 then
    cover_ms: int = 0
    slots: list[Slot | None] = field(default_factory=list)
    current: int = 0  # place of the slot that is visited
    offset: int = 0  # page of it that is visited next, counted over all slots in strides
    step: int = 1
    quota: int = 0
    finished: bool = False
    pages: int = 0
    n: int = 0

    def enter(self, slots: Sequence[Slot], page_ns: int) -> None:
        """Take slots in, in the first holes; an empty rung begins with them."""
        for slot in slots:
            slot.rung = self.number
            slot.place = self.slots.index(None) if self.n < len(self.slots) else len(self.slots)
            if slot.place == len(self.slots):
                self.slots.append(slot)
            else:
                self.slots[slot.place] = slot
            self.n += 1
            self.pages += slot.n
        if slots and self.n == len(slots):
            self._begin(page_ns)

    def leave(self, slot: Slot, page_ns: int) -> None:
        """Let a slot go; what comes behind it is visited next."""
        if self.current == slot.place:
            self.advance(page_ns)
        self.slots[slot.place] = None
        self.n -= 1
        self.pages -= slot.n
        slot.rung = slot.place = -1
        if self.n and self.slots[self.current] is None:  # it was the first, and those behind it were passed over
            self.current = self._first()

    @property
    def left_of_pass(self) -> int:
        """Visits of the pass over the current slot that are left, its last one included."""
        slot = self.slots[self.current]
        assert slot is not None
        return min(max(1, -(-(slot.n - self.offset) // self.step)), slot.n - slot.cursor)

    def stretch(self) -> Stretch | None:
        """Take the next visits of one slot off the quota, and return them; None if there are none."""
        if not self.n or self.quota <= 0:
            return None
        slot = self.slots[self.current]
        assert slot is not None
        whole = self.left_of_pass
        visits = min(whole, self.quota)
        self.quota -= visits
        ends = visits == whole
        self.offset += (visits - ends) * self.step
        return Stretch(slot, visits, ends)

    def advance(self, page_ns: int) -> None:
        """Go on with a slot behind the current one; at the end of the rung its round is finished.

        Slots that end before the first stride in them does are passed over.
        """
        slot = self.slots[self.current]
        assert slot is not None
        for place in range(self.current + 1, len(self.slots)):
            behind = self.slots[place]
            if behind:
                rest = ((slot.n - self.offset) & _UNSIGNED) % self.step
                self.offset = self.step - rest if rest or self.at_second else 0
                slot = behind
                if self.offset < slot.n:
                    self.current = place
                    return
        self.finished = True
        self._begin(page_ns, anew=self.step > self.pages)

    def _begin(self, page_ns: int, anew: bool = True) -> None:
        """Begin with the first slot, on a random page within the first stride. anew: the stride is chosen anew."""
        if anew:
            self.step = 1
            if self.raw_ratio > 0:
                self.step = governors.stride(self.pages, self.cover_ms, self.raw_ratio, page_ns)
        self.current = self._first()
        self.offset = self.course.offset(self.number, self.step)

    def _first(self) -> int:
        return next(place for place, slot in enumerate(self.slots) if slot)
