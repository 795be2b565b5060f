"""Whose saving it is: how much each source and each mapping has of it, and which sources have contents in common.

Of n pages that are equal, n - 1 are saved; so each of them has (n - 1)/n of a page, and a zero page all of one. A frame
that is mapped several times is shared out among its mappings. All shares together are the saving.
"""

from collections.abc import Iterator
from typing import NotRequired, TypedDict

import numpy as np

from pksm.arrays import Pages
from pksm.documents import Family, MappingRow
from pksm.extents import PageList
from pksm.protocols import NO_FRAME, ZERO_FRAME
from pksm.scan.gather import Gathered, Taken
from pksm.scan.settings import Settings

MOST_SOURCES = 32  # that a matrix is made of: a content's sources are the bits of a word
AT_ONCE = 1 << 14  # pages that one numpy call looks at


class Shares:
    """Shares of a settled set of pages; gathered and frame_of are those of tally.Tally.

    of_source: pages saved, one float a source. by_mapping: {name: (pages, zero pages, pages that merge, share)}, frames
    counted as often as they are mapped, and zero pages without bytes among them.
    """

    def __init__(self, gathered: Gathered, frame_of: Pages) -> None:
        self._gathered, self._frame_of = gathered, frame_of
        self._sizes = np.zeros(len(frame_of), np.uint32)  # pages with each frame
        for pages in _chunks(gathered.born):
            frames = frame_of[pages]
            np.add.at(self._sizes, frames[frames < NO_FRAME], np.uint32(1))
        self._times = None
        if gathered.frames_told:
            self._times = np.zeros(len(frame_of), np.uint32)
            for taken in gathered.taken:
                for pages in _chunks(taken.mapped):
                    np.add.at(self._times, pages, np.uint32(1))
        self.of_source: list[float] = []
        self.by_mapping: dict[str, tuple[int, int, int, float]] = {}
        for taken in gathered.taken:
            self.of_source.append(self._share_out(taken))

    def matrix(self) -> list[list[int]] | None:
        """Return, for every two sources, the contents (not zero) that both have; None for one source or too many."""
        taken = self._gathered.taken
        if not 2 <= len(taken) <= MOST_SOURCES:
            return None
        having = np.zeros(len(self._frame_of), np.uint32)
        for bit, one in enumerate(taken):
            for pages in _chunks(one.mapped):
                frames = self._frame_of[pages]
                having[frames[frames < NO_FRAME]] |= np.uint32(1 << bit)
        sets, contents = np.unique(having[having > 0], return_counts=True)
        bits = (sets[:, None] >> np.arange(len(taken), dtype=np.uint32) & 1).astype(np.int64)
        return ((bits * contents[:, None]).T @ bits).tolist()

    def _share_out(self, taken: Taken) -> float:
        """Add a source's pages to their mappings and return its share."""
        names = list(dict.fromkeys(taken.names))
        numbers = {name: number for number, name in enumerate(names)}
        name_of = np.array([numbers[name] for name in taken.names], np.int64)
        sums, start = np.zeros((4, max(1, len(names)))), 0
        for pages in _chunks(taken.mapped):
            frames = self._frame_of[pages]
            reached = np.flatnonzero(frames != NO_FRAME)
            frames = frames[reached]
            zero = frames == ZERO_FRAME
            size = np.where(zero, 1, self._sizes[np.where(zero, 0, frames)])
            merges = zero | (size > 1)
            share = np.where(zero, 1.0, (size - 1) / size)
            if self._times is not None:
                share /= self._times[pages[reached]]
            first, last = np.searchsorted(taken.starts, (start, start + len(pages) - 1), "right") - 1
            if first == last:  # as nearly always: all are of one mapping
                counts = len(frames), np.count_nonzero(zero), np.count_nonzero(merges), share.sum()
                sums[:, name_of[taken.segments[first]]] += np.array(counts)
            else:
                segments = np.searchsorted(taken.starts, start + reached, "right") - 1
                name = name_of[taken.segments[segments]]
                for row, weights in enumerate((np.ones(len(name)), zero, merges, share)):
                    sums[row] += np.bincount(name, weights, len(names))
            start += len(pages)
        for row in range(len(sums)):
            np.add.at(sums[row], name_of, np.array(taken.zero_of, float))
        for text, (n_pages, n_zero, n_merging, saved) in zip(names, sums.T.tolist(), strict=False):
            if n_pages:
                pages_of, zero_of, merging_of, share_of = self.by_mapping.get(text, (0, 0, 0, 0.0))
                whole = pages_of + int(n_pages), zero_of + int(n_zero), merging_of + int(n_merging)
                self.by_mapping[text] = *whole, share_of + saved
        return float(sums[3].sum())


class Share(TypedDict):
    """A share as documents have it: bytes, which mappings that are merged are not."""

    share_bytes: int | None
    share_mappings: NotRequired[float]


def in_document(pages: float, settings: Settings) -> Share:
    """Return a share of that many pages, as documents have it."""
    if settings.view == "mappings":
        return {"share_bytes": None, "share_mappings": round(pages, 3)}
    return {"share_bytes": round(pages * settings.page_bytes)}


def largest_first(row: Family | MappingRow) -> float:
    """Return what rows of a document are sorted by."""
    return -(row["share_mappings"] if row["share_bytes"] is None else row["share_bytes"])


def _chunks(pages: PageList) -> Iterator[Pages]:
    """Yield the numbers of a PageList, AT_ONCE at a time."""
    return (pages.take(start, start + AT_ONCE) for start in range(0, len(pages), AT_ONCE))
