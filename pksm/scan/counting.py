"""Counting what was merged: in all, by source, and the largest groups of equal pages.

Everything is read off one column: the page whose frame holds a page's bytes. Linear in the pages, whatever the number
of sources: nothing is sorted, nothing is cleared between two of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pksm.arrays import BoolArray, Pages, U8Array, U32Array
from pksm.documents import FirstBytes, Group
from pksm.extents import PageList
from pksm.protocols import NO_FRAME, ZERO_FRAME
from pksm.scan.classify import looks, pages_at_once
from pksm.scan.gather import Gathered, Taken

AT_ONCE = 1 << 18  # pages that one numpy call looks at
SHOWN = 64  # bytes of a page, where they may be shown
UNTOLD = "not known"


@dataclass(frozen=True)
class Count:
    """mapped: pages as often as they are mapped; pages: each once; zero: of these, zero pages; distinct: contents."""

    mapped: int
    pages: int
    zero: int
    distinct: int

    @property
    def saving(self) -> int:
        """Pages that merging these saves."""
        return self.duplicates + self.zero

    @property
    def duplicates(self) -> int:
        """Pages that are not zero and have the content of another page."""
        return self.pages - self.distinct - max(0, self.zero - 1)


class Tally:
    """Counts over a settled set of pages.

    frame_of: uint32 by page number, as FlatHost has it, of the run that distinguished all contents. Pages without a frame
    were not reached and count nowhere.
    """

    def __init__(self, gathered: Gathered, frame_of: Pages) -> None:
        self._gathered, self._frame_of = gathered, frame_of
        self._contents = _Marks(len(frame_of))
        self._pages = _Marks(len(frame_of)) if gathered.frames_told else None

    def of_source(self, taken: Taken) -> Count:
        """Count one source alone."""
        return self.of_sources([taken])

    def of_sources(self, taken: Sequence[Taken]) -> Count:
        """Count several sources together, as if there were no others."""
        return self._count([one.mapped for one in taken], sum(one.zero for one in taken))

    @property
    def is_of_one(self) -> bool:
        """Whether there is one source, whose pages are all there are, each once: its count is the total."""
        gathered = self._gathered
        alone = len(gathered.taken) == 1 and not gathered.frames_told
        return alone and len(gathered.taken[0].mapped) == len(gathered.born)

    def total(self) -> Count:
        """Count all sources together: a frame or a content that several have counts once."""
        known_zero = sum(taken.zero for taken in self._gathered.taken)
        return self._count([self._gathered.born], known_zero)

    def _count(self, page_lists: Iterable[PageList], known_zero: int) -> Count:
        mapped = n_pages = zero = distinct = 0
        self._contents.start()
        if self._pages:
            self._pages.start()
        for chunk in (chunk for pages in page_lists for chunk in _chunks(pages)):
            frames = self._frame_of[chunk]
            reached = frames != NO_FRAME
            mapped += int(np.count_nonzero(reached))
            if self._pages:
                reached[reached] = self._pages.first_met(chunk[reached])
            frames = frames[reached]
            n_pages += len(frames)
            frames = frames[frames != ZERO_FRAME]
            zero += int(np.count_nonzero(reached)) - len(frames)
            distinct += int(np.count_nonzero(self._contents.first_met(frames)))
        zero += known_zero
        return Count(mapped + known_zero, n_pages + known_zero, zero, distinct + (zero > 0))

    def groups(self, top: int, say_looks: bool = True, show_bytes: bool = False) -> tuple[list[Group], int]:
        """Return the `top` largest groups of equal pages that are not zero, the largest first, and how many there are.

        Each is {pages, looks, where}; where is a list of {source, mapping, pages}: how often pages of the group are
        mapped there. say_looks: False where pages only stand for others. show_bytes: {offset, hex} besides, the first
        SHOWN bytes from the first that is not zero on.
        """
        kept, sizes, found = self._largest(top)
        looking: list[str] = []
        shown: list[FirstBytes] = []
        store, at_once = self._gathered.store, pages_at_once(self._gathered.store.page_size)
        for chunk in (kept[at : at + at_once] for at in range(0, len(kept), at_once)):
            pages = store.bytes_of(chunk)
            looking += looks(pages) if say_looks else [UNTOLD] * len(chunk)
            shown += _first_bytes(pages) if show_bytes else []
        groups: list[Group] = [
            {"pages": size, "looks": words, "where": []} for size, words in zip(sizes.tolist(), looking, strict=True)
        ]
        for taken in self._gathered.taken if groups else ():
            for (slot, name), count in self._places(taken, kept).items():
                groups[slot]["where"].append({"source": taken.name, "mapping": name, "pages": count})
        for group in groups:
            group["where"].sort(key=lambda place: -place["pages"])
        for group, first in zip(groups, shown, strict=False):
            group["bytes"] = first
        return groups, found

    def _largest(self, top: int) -> tuple[Pages, U32Array, int]:
        """The kept pages (uint32) of the largest groups, how many pages each has, and how many groups there are."""
        counts = np.zeros(len(self._frame_of), np.uint32)
        for chunk in _chunks(self._gathered.born):
            frames = self._frame_of[chunk]
            np.add.at(counts, frames[frames < NO_FRAME], np.uint32(1))
        kept = np.flatnonzero(counts > 1).astype(np.uint32)
        sizes, found = counts[kept], len(kept)
        if 0 < top < len(kept):
            enough = sizes >= np.partition(sizes, -top)[-top]
            kept, sizes = kept[enough], sizes[enough]
        order = np.lexsort((kept, -sizes.astype(np.int64)))[:top]
        return kept[order], sizes[order], found

    def _places(self, taken: Taken, kept: Pages) -> dict[tuple[int, str], int]:
        """{(position in kept, mapping name): pages} of one source."""
        names = list(dict.fromkeys(taken.names))
        numbers = {name: number for number, name in enumerate(names)}
        name_of = np.array([numbers[name] for name in taken.names], np.int64)
        order = np.argsort(kept)
        ordered = kept[order]
        places: dict[tuple[int, str], int] = {}
        start = 0
        for chunk in _chunks(taken.mapped):
            frames = self._frame_of[chunk]
            near = np.minimum(np.searchsorted(ordered, frames), len(ordered) - 1)
            hits = np.flatnonzero(ordered[near] == frames)
            segments = np.searchsorted(taken.starts, start + hits, "right") - 1
            keys = order[near[hits]] * len(names) + name_of[taken.segments[segments]]
            for key, pages in zip(*(column.tolist() for column in np.unique(keys, return_counts=True)), strict=True):
                slot, name = divmod(key, len(names))
                place = slot, names[name]
                places[place] = places.get(place, 0) + pages
            start += len(chunk)
        return places


class _Marks:
    """Which numbers were met in this round; a new round costs nothing."""

    def __init__(self, size: int) -> None:
        self._stamps = np.zeros(size, np.uint32)
        self._next = 1
        self._round = 1

    def start(self) -> None:
        """Begin a round: no number has been met in it."""
        self._round = self._next

    def first_met(self, numbers: U32Array) -> BoolArray:
        """Return a bool array: one True for each number that is new in this round, however often it is there."""
        if self._next + len(numbers) >= 1 << 32:
            self._stamps[:] = self._stamps >= self._round
            self._round, self._next = 1, 2
        new = self._stamps[numbers] < self._round
        stamps = np.arange(self._next, self._next + len(numbers), dtype=np.uint32)
        self._stamps[numbers[new]] = stamps[new]  # of equal numbers one stamp stays
        new[new] = self._stamps[numbers[new]] == stamps[new]
        self._next += len(numbers)
        return new


def _chunks(pages: PageList) -> Iterator[Pages]:
    """Yield the numbers of a PageList, AT_ONCE at a time."""
    return (pages.take(start, start + AT_ONCE) for start in range(0, len(pages), AT_ONCE))


def _first_bytes(pages: U8Array) -> list[FirstBytes]:
    """[{offset, hex}] of pages that are not zero."""
    starts = np.argmax(pages != 0, axis=1).tolist()
    return [
        {"offset": start, "hex": page[start : start + SHOWN].tobytes().hex()}
        for start, page in zip(starts, pages, strict=True)
    ]
