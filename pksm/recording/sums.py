"""Checksums of pages while they are read, window by window: what was read is in the cache still."""

from typing import Any

import numpy as np

from pksm.arrays import I64Array, U8Array, U32Array, U64Array
from pksm.engine import native
from pksm.engine.store import Store
from pksm.linux.proc.memory import READERS, WINDOW_BYTES
from pksm.recording.places import places


class Sums:
    """Two checksums of 64 bits of the pages that were read last; a pksm.linux.proc.memory.Taker.

    Args:
        store: gets the windows.
        first, second: the checksums.

    Attributes:
        first: uint64, one per page.
    """

    def __init__(self, store: Store, first: Any, second: Any) -> None:
        self.first = self._second = np.empty(0, np.uint64)
        self._store, self._checksums = store, (first, second)
        n_pages = WINDOW_BYTES // store.page_size
        self._windows: dict[int, U8Array] = dict(store.allocate(n_pages) for _ in range(READERS))
        self._free: list[int] = []
        self._numbers = np.arange(n_pages, dtype=np.uint32)
        self._before = self._before_sums = self._were = self.first
        self._are_new, self._view = np.empty(0, bool), store.view

    def compare_with(self, pages: U64Array, sums: U64Array) -> None:
        """Begin with an address space: the pages that it had (sorted), and their first checksums."""
        self._before, self._before_sums = pages, sums

    def begin(self, pages: U64Array) -> None:
        """Get ready for pages (sorted)."""
        self._free = list(self._windows)
        self.first, self._second = np.empty(len(pages), np.uint64), np.zeros(len(pages), np.uint64)
        at, found = places(self._before, pages)
        self._were = np.zeros(len(pages), np.uint64)
        self._were[found] = self._before_sums[at[found]]
        self._are_new, self._view = ~found, self._store.view

    def window(self, n_pages: int) -> tuple[int, U8Array]:
        """Return a number, and memory for so many pages."""
        number = self._free.pop()
        return number, self._windows[number][:n_pages]

    def take(self, head: int, end: int, number: int) -> None:
        """Take the pages head .. end - 1, which a window holds now."""
        first, second = self._checksums
        numbers: U32Array = self._numbers[: end - head] + np.uint32(number)
        sums = self.first[head:end] = native.checksum_pages(self._view, first, numbers)
        changed = np.flatnonzero((sums != self._were[head:end]) | self._are_new[head:end])
        if len(changed):
            self._second[head + changed] = native.checksum_pages(self._view, second, numbers[changed])
        self._free.append(number)

    def second(self, pages: I64Array) -> U64Array:
        """Return the second checksums of some pages whose first one is not what it was."""
        return self._second[pages]
