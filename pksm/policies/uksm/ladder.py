"""The ladder: four rungs of slots, each with a quota of visits per batch, a stride, and a place to go on from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pksm.policies.uksm.slots import Slot


class Stretch(NamedTuple):
    """Visits of one slot in a row; ends: the pass over the slot is over, and it is judged."""

    slot: Slot
    visits: int
    ends: bool


@dataclass(eq=False)
class Rung:
    """Slots in order, with holes where some have left."""

    ratio: int = 0  # 1/10000 of a CPU
    cover_ms: int = 0
    slots: list[Slot | None] = field(default_factory=list)
    current: int = 0  # place of the slot that is visited
    offset: int = 0  # page of it that comes next, counted over all slots in strides
    step: int = 1
    quota: int = 0
    finished: bool = False
    begun: bool = False
    pages: int = 0
    n: int = 0

    def enter(self, slot: Slot, rung: int) -> None:
        """Take a slot in, in the first hole."""
        slot.rung = rung
        slot.place = self.slots.index(None) if self.n < len(self.slots) else len(self.slots)
        if slot.place == len(self.slots):
            self.slots.append(slot)
        else:
            self.slots[slot.place] = slot
        self.n += 1
        self.pages += slot.n

    def leave(self, slot: Slot) -> None:
        """Let a slot go; what comes behind it is visited next."""
        self.slots[slot.place] = None
        self.n -= 1
        self.pages -= slot.n
        if self.current == slot.place:
            self.offset = 0
        slot.rung = slot.place = -1

    def restart(self, random: np.random.Generator) -> None:
        """Go on from a random page within the first stride."""
        self.current, self.offset = 0, int(random.integers(self.step)) if self.step > 1 else 0
        self._settle()

    def _settle(self) -> bool:
        """Let current and offset be those of a slot that there is; False at the end of the rung."""
        while self.current < len(self.slots):
            slot = self.slots[self.current]
            if slot and self.offset < slot.n:
                return True
            self.offset -= slot.n if slot else 0
            self.current += 1
        return False

    def lap(self, at_second: bool, random: np.random.Generator) -> list[Stretch]:
        """Take visits off the quota, up to the end of the rung, and return them.

        Args:
            at_second: the next slot is entered at least one page on.
            random: of where the rung begins anew.
        """
        if not self.n or self.quota <= 0:
            return []
        if not self.begun or not self._settle():
            self.begun = True
            self.restart(random)
        stretches: list[Stretch] = []
        while self.quota > 0 and self.current < len(self.slots):
            slot = self.slots[self.current]
            if slot is None:
                self.current += 1
                continue
            whole = min(-(-(slot.n - self.offset) // self.step), slot.n - slot.cursor)
            visits = min(whole, self.quota)
            self.quota -= visits
            stretches.append(Stretch(slot, visits, visits == whole))
            self.offset += visits * self.step
            if visits < whole:
                return stretches
            rest = (slot.n - (self.offset - self.step)) % self.step
            self.offset = self.step - rest if rest or at_second else 0
            self.current += 1
            if not self._settle():
                break
        self.finished = True
        self.restart(random)
        return stretches
