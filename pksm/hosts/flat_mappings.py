"""A FlatHost as mappings: one mm, whose virtual pages are the page numbers."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from pksm.arrays import BoolArray, I64Array, IntArray, Pages
from pksm.engine.native import ids_array
from pksm.protocols import NO_FRAME, Vmas

FLAT_MM = 1


class FlatMappings:
    """The part of a FlatHost that is a MappingHost."""

    pte_changes = 0  # counts frees and copies on write: all else that maps another frame has been merged

    @property
    def writes(self: Any) -> int | None:
        """0 if pages never change, None if they may: nobody counts."""
        return 0 if self.static else None

    def mergeable_mms(self: Any) -> list[int]:
        """Return the one mm there is."""
        return [FLAT_MM]

    def has_opted_in(self: Any, mm: int) -> bool:
        """Return True: all of it has."""
        return True

    def leave(self: Any, mm: int) -> None:
        """Do nothing: it never does."""

    def is_alive(self: Any, mm: int) -> bool:
        """Return True: it never exits."""
        return True

    def next_mapped(self: Any, mm: int, first: int, n: int) -> tuple[I64Array, Pages, bool]:
        """Return (virtual pages, frames, at_end) of up to n live pages from `first` on."""
        self._grow()
        frames = self.frame_of[first : first + n]
        if len(frames) == n and n and int(frames.max()) < NO_FRAME:  # as nearly always
            return np.arange(first, first + n), frames.copy(), False
        parts, missing = [np.empty(0, np.int64)], n
        while first < len(self.frame_of) and missing:
            part = self.frame_of[first : first + missing]
            parts.append(first + np.flatnonzero(part < NO_FRAME))
            first += len(part)
            missing -= len(parts[-1])
        pages = np.concatenate(parts)
        return pages, self.frame_of[pages], bool(missing)

    def frames_at(self: Any, mms: IntArray, virtual_pages: I64Array) -> Pages:
        """Return the frame of each page, NO_FRAME where there is none."""
        return np.minimum(self.frame_of[self._known(virtual_pages)], np.uint32(NO_FRAME))

    def merge_ptes(self: Any, mms: IntArray, virtual_pages: I64Array, pages: Pages, kpages: Pages) -> None:
        """Merge as merge does: pages have one pte each."""
        self.merge(self._frames_of(virtual_pages), kpages)

    def merge_zero_ptes(self: Any, mms: IntArray, virtual_pages: I64Array, pages: Pages) -> None:
        """Merge as merge_zero does."""
        self.merge_zero(self._frames_of(virtual_pages))

    def _frames_of(self: Any, virtual_pages: I64Array) -> Pages:
        """Return the frames of unmerged pages: their own, unless they have strayed."""
        pages = ids_array(virtual_pages)
        return self.frame_of[pages] if self._writers else pages

    def unmerge_opted_in(self: Any, mms: Iterable[int]) -> Iterator[int]:
        """Unmerge all there is: yields the one mm."""
        self.unmerge_all()
        yield FLAT_MM

    def zero_ptes_of(self: Any, mm: int) -> int:
        """Return how many pages are merged with the zero page."""
        return self._zero

    def drain(self: Any) -> None:
        """Do nothing: no page waits on its way to the LRU lists."""

    def private_vmas(self: Any) -> Vmas:
        """Return one vma over all pages; another one when there are more. Nobody counts copies."""
        self._grow()
        n = len(self.frame_of)
        one = np.ones(int(n > 0), np.int64)
        return Vmas(one * n, one * FLAT_MM, one * 0, one * n, one > 0, one * 0)

    def pages_at(self: Any, mms: IntArray, virtual_pages: I64Array) -> tuple[Pages, BoolArray]:
        """Return the frame of each page, ZERO_FRAME or NO_FRAME; all were born where they are."""
        return self.frame_of[self._known(virtual_pages)], np.ones(len(virtual_pages), bool)
