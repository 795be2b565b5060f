"""What a run of uksm leaves to chance, and to the clock: the order of visits, where rungs begin anew, the CPU time."""

from __future__ import annotations

from typing import Any

import numpy as np

from pksm.arrays import I64Array, U8Array, U32Array
from pksm.policies.uksm import cpu
from pksm.policies.uksm.slots import Slot, Slots


class Course:
    """Draws by a seed, and takes its CPU time from a model: a run is the same each time.

    A class that derives from this can take all of it from elsewhere, such as the log of a kernel, and see what happens.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.Generator(np.random.PCG64(seed))

    @property
    def state(self) -> dict[str, Any]:
        """Where the draws stand; it can be set, too."""
        return dict(self._random.bit_generator.state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._random.bit_generator.state = state

    def words(self, n: int) -> U32Array:
        """Return the order in which the hash takes the n words of a page."""
        return self._random.permutation(n).astype(np.uint32)

    def partners(self, slot: Slot, slots: Slots, n: int) -> I64Array:
        """Return the entries of slots that the next n of a slot are swapped with, in order: each or one behind it."""
        ahead = np.arange(slot.n - slot.cursor, slot.n - slot.cursor - n, -1)
        return slot.base + slot.cursor + np.arange(n) + (self._random.random(n) * ahead).astype(np.int64)

    def offset(self, number: int, step: int) -> int:
        """Return the page of its first stride that a rung begins with. number: of the rung."""
        return int(self._random.integers(step)) if step > 1 else 0

    def batch_ns(self, done: cpu.Done) -> int:
        """Return the ns of CPU that a batch took."""
        return cpu.batch_ns(done)

    def visited(self, slot: Slot, pages: I64Array, outs: U8Array) -> None:
        """Take notice of visits to pages of a slot, by number in it, and what came out."""

    def judged(self, slot: Slot, number: int, is_full: bool, gain: int) -> None:
        """Take notice of a slot whose pass is over, on rung `number`, before it moves."""
