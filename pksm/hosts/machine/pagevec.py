"""The per-CPU list of pages on their way to the LRU lists: up to 14 wait there, each with a reference more.

No part of PKSM, but its counters show it: an mlocked page that has been merged away is munlocked, and so passes through
the list, where it may have to wait for others before it is free. UKSM meets it on new pages (quirk pagevec): while one
waits it has a reference that no pte explains, and can't be merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import Pages, U32Array

if TYPE_CHECKING:
    from pksm.hosts.machine.frames import Frames


SIZE = 14


class Pagevec:
    """Frames that wait: uint32, oldest first. others: how many pages, of nobody on the machine, wait before them."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self.waiting = np.empty(0, np.uint32)
        self.others = 0

    def add(self, pages: Pages) -> U32Array:
        """Let frames wait; whenever the list is full all of it goes. Returns those whose wait is over."""
        waiting = np.concatenate((self.waiting, pages))
        full = (self.others + len(waiting)) // SIZE * SIZE
        self._frames.count[pages] += 1
        if not full:
            self.waiting = waiting
            return waiting[:0]
        return self._release(waiting[: full - self.others], waiting[full - self.others :])

    def drain(self) -> U32Array:
        """Let all go, and return them."""
        return self._release(self.waiting, self.waiting[:0])

    def _release(self, gone: U32Array, waiting: U32Array) -> U32Array:
        self.waiting, self.others = waiting, 0
        self._frames.count[gone] -= 1
        return gone

    def check(self) -> None:
        """Raise AssertionError unless fewer wait than there is room for, each with a reference that no pte has."""
        assert self.others + len(self.waiting) < SIZE, "the pagevec is full"
        assert len(np.unique(self.waiting)) == len(self.waiting), "a page waits twice"
        assert self._frames.is_busy(self.waiting).all(), "a page that waits is not busy"
