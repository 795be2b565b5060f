"""Frames that somebody holds: locked and pinned ones, which are busy and stay where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pksm.arrays import IdsLike, U32Array
from pksm.engine.exclusive import exclusive
from pksm.errors import UsageError
from pksm.hosts.machine import fault, mapping
from pksm.hosts.machine import frames as flag
from pksm.hosts.machine.border import known_frames

if TYPE_CHECKING:
    from pksm.hosts.machine.mm import Mm


class Holding:
    """The part of a Machine that takes references and gives them back."""

    @exclusive
    def lock_page(self: Any, mm: Mm, address: int, n: int = 1) -> U32Array:
        """Lock the frames that n pages map, and return them (uint32, each once, by address), for unlock_page.

        They stay where they are.
        """
        held = self._held(mm, address, n)
        held = held[np.sort(np.unique(held, return_index=True)[1])]
        if self.frames.has(held, flag.LOCKED).any():
            raise UsageError(f"a page at {address:#x} of mm {mm.id} is locked already")
        self.frames.flags[held] |= flag.LOCKED
        self._pin(held)
        return held

    @exclusive
    def unlock_page(self: Any, held: IdsLike) -> None:
        """Unlock frames."""
        held = np.unique(known_frames(self, held))
        if not self.frames.has(held, flag.LOCKED).all():
            raise UsageError("a frame to unlock is not locked")
        self.frames.flags[held] &= 0xFF ^ flag.LOCKED
        self.unpin(held)

    @exclusive
    def pin(self: Any, mm: Mm, address: int, n: int = 1) -> U32Array:
        """Take a reference on the frames that n pages map, and return them (uint32), for unpin."""
        held = self._held(mm, address, n)
        self._pin(held)
        return held

    @exclusive
    def unpin(self: Any, held: IdsLike) -> None:
        """Drop references that pin has taken; frames may repeat."""
        held = known_frames(self, held)
        table = self.frames
        once, times = np.unique(held, return_counts=True)
        holders = table.has(once, flag.SWAP_CACHE).astype(np.int32) + table.has(once, flag.LOCKED)
        if (table.count[once] - table.mapcount[once] - holders < times).any():
            raise UsageError("a frame to unpin is not pinned, or not that often")
        table.count[once] -= times.astype(np.int32)
        table.reclassify(once)
        fault.bury(self, once[table.count[once] == 0])

    def _held(self: Any, mm: Mm, address: int, n: int) -> U32Array:
        first, end = self._range(mm, address, n)
        self.vmas.covering(mm, first, end, self.page_size)
        held = mapping.frames_in(self, mm, first, end)
        if len(held) < n:
            raise UsageError(f"not every page of {n} at {address:#x} of mm {mm.id} has a frame: write to them first")
        return held

    def _pin(self: Any, held: U32Array) -> None:
        np.add.at(self.frames.count, held, np.int32(1))
        self.frames.reclassify(held)
