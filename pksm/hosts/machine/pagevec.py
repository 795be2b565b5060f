"""The per-CPU list of pages on their way to the LRU lists: up to 14 wait there, each with a reference more.

No part of PKSM, but its counters show it: an mlocked page that has been merged away is munlocked, and so passes through
the list, where it may have to wait for others before it is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import Pages, U32Array

if TYPE_CHECKING:
    from pksm.hosts.machine.frames import Frames


SIZE = 14


class Pagevec:
    """Frames that wait: uint32, oldest first."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self.waiting = np.empty(0, np.uint32)

    def add(self, pages: Pages) -> U32Array:
        """Let frames wait; whenever the list is full all of it goes. Returns those whose wait is over."""
        waiting = np.concatenate((self.waiting, pages))
        gone = len(waiting) // SIZE * SIZE
        self._frames.count[pages] += 1
        return self._release(waiting[:gone], waiting[gone:])

    def drain(self) -> U32Array:
        """Let all go, and return them."""
        return self._release(self.waiting, self.waiting[:0])

    def _release(self, gone: U32Array, waiting: U32Array) -> U32Array:
        self.waiting = waiting
        self._frames.count[gone] -= 1
        return gone
