"""Bytes that are in the store already: pages with equal contents share them, page for page, and stay pages of their own.

Forks write what their siblings write, so that most of their own frames have equal contents. Page numbers come in sections;
a section whose bytes are those of another one takes no memory.
"""

import itertools

import numpy as np

from pksm.arrays import BoolArray, Pages, U8Array, U64Array
from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.store import SECTION_PAGES, Store

SLOTS = 1 << 17
FEWEST = SECTION_PAGES // 8  # pages that are worth a section's numbers


class SameBytes:
    """Knows the bytes of pages that were copied into a store lately.

    Args:
        store: where the pages are.
        slots: contents that are remembered, each in the one that its sum leads to.
    """

    def __init__(self, store: Store, slots: int = SLOTS) -> None:
        self._store = store
        self._checksum = checksums.make("xxh3-64", store.page_size)
        self._slots = np.zeros(slots, np.uint32)  # page numbers + 1
        self._arrays: dict[int, U8Array] = {}  # the bytes of each section that pages were copied into

    def find(self, pages: Pages) -> tuple[BoolArray, Pages]:
        """Find pages whose bytes need no copy.

        Args:
            pages: of the store, uint32.

        Returns:
            (found: which of them, bool; the new page numbers of these, which stand for equal bytes).
        """
        found, numbers = np.zeros(len(pages), bool), np.zeros(len(pages), np.uint32)
        there = self._slots[self._slots_of(pages)]
        candidates = np.flatnonzero(there)
        twins = there[candidates] - np.uint32(1)
        equal = native.pages_compare(self._store.view, pages[candidates], twins) == 0
        twins, once = np.unique(
            twins[equal], return_index=True
        )  # one page a twin: a section has each of its pages once
        candidates = candidates[equal][once]
        sections = twins // SECTION_PAGES
        cuts = np.flatnonzero(sections[1:] != sections[:-1]) + 1
        for head, end in itertools.pairwise([0, *cuts.tolist(), len(sections)]):
            if end - head >= FEWEST:
                first = self._store.add(self._arrays[int(sections[head])])
                found[candidates[head:end]] = True
                numbers[candidates[head:end]] = twins[head:end] % SECTION_PAGES + first
        return found, numbers[found]

    def learn(self, first: int, array: U8Array) -> None:
        """Remember a region of the store that starts with page `first`; array: its bytes, uint8 (n, page size)."""
        if not len(array):
            return
        pages = np.arange(first, first + len(array), dtype=np.uint32)
        self._slots[self._slots_of(pages)] = pages + np.uint32(1)
        for at in range(0, len(array), SECTION_PAGES):
            self._arrays[(first + at) // SECTION_PAGES] = array[at : at + SECTION_PAGES]

    def _slots_of(self, pages: Pages) -> U64Array:
        return native.checksum_pages(self._store.view, self._checksum, pages) % np.uint64(len(self._slots))
