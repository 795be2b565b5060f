"""The intake of a scan: the page store that is being filled, each frame once or each mapping once."""

import contextlib
import mmap
from collections.abc import Hashable, Iterator

import numpy as np

from pksm.arrays import BoolArray, Pages, U32Array, U64Array
from pksm.engine.store import Store
from pksm.errors import PksmError
from pksm.extents import expand, page_runs
from pksm.linux import memory_limits
from pksm.scan.interrupts import Hold
from pksm.scan.same_bytes import SameBytes
from pksm.sources.base import Allocation, Known

VIEWS = ("frames", "mappings")
HOLE_PAGES = 1 << 9  # longer holes of a mapped file get no page numbers: these take more than another region does
MERGING_BYTES = 128  # that a page takes beside its own when it is merged and counted
FEWEST_LOOKED_AT = 32  # new pages, whether others have their bytes: for fewer it is not worth the while
UNCHECKED_BYTES = 1 << 18  # may be allocated before the next look at what memory there is
SPAN_BITS = np.uint64(23)  # of a frame's number, within its span
MOST_SPANS = 1 << 12  # 128 TiB of memory, if it lies close together
FEW_SPANS = 16  # are gone through faster than it is found out which of them there are
IN_SPAN = np.uint64((1 << 23) - 1)
_NO_PAGE = np.uint32(0xFFFFFFFF)
_NOTHING: tuple[U64Array, Pages] = np.empty(0, np.uint64), np.empty(0, np.uint32)


class Intake:
    """The store being filled, and the frames that are in it.

    Args:
        view: one of VIEWS.
        compact: live copies are made in a buffer that is used again, and only frames that are new come into the store.

    Attributes:
        born: runs (extents.PAGE_RUN) of the pages that are in, in order.
        frames_told: whether numbers of frames were known.
        views: of mapped files, where pages are that were not copied.
    """

    def __init__(self, store: Store, view: str, compact: bool, hold: Hold) -> None:
        self.store = store
        self.by_frame = view == "frames"
        self.born: list[np.ndarray] = []
        self.frames_told = False
        self.views: list[np.ndarray] = []
        self.hold = hold
        self._compact = compact and self.by_frame
        self._scratch, self._scratch_first = np.empty((0, store.page_size), np.uint8), 0  # a region of the store
        self._same_bytes = SameBytes(store)
        self._unchecked = 0  # bytes
        self._checked = -UNCHECKED_BYTES  # what merging was to take when memory for it was last looked for
        self._known: dict[Hashable, FrameBook] = {}  # by machine

    def allocate(self, n_pages: int) -> Allocation:
        """Give a source memory for copies of pages. ShortageError when it would leave too little to merge them."""
        spare = max(0, n_pages - len(self._scratch)) if self._compact else 0
        to_merge = MERGING_BYTES * (self.store.n_pages + n_pages)
        self._unchecked += (n_pages + spare) * self.store.page_size
        if self._unchecked > UNCHECKED_BYTES:
            memory_limits.require(self._unchecked + to_merge)
            self._unchecked = 0
        with self.hold():
            if not self._compact:
                first, array = self.store.allocate(n_pages)
                return Allocation(array, first)
            if len(self._scratch) < n_pages:
                self.close()
                self._scratch_first, self._scratch = self.store.allocate(n_pages)
            return Allocation(self._scratch[:n_pages], self._scratch_first)

    def close(self) -> None:
        """Let go of the buffer for copies."""
        if len(self._scratch):
            self.store.remove(self._scratch_first)
            self._scratch = self._scratch[:0]

    def known(self, machine: Hashable) -> Known | None:
        """Return what says which frames of a machine are in the store; None where frames are not known."""
        return self._known.setdefault(machine, FrameBook()).has if self.by_frame else None

    def add_copies(
        self,
        copies: Allocation,
        index: np.ndarray,
        frames: U64Array | None = None,
        exclusive: BoolArray | None = None,
        machine: Hashable = None,
        of_family: bool = False,
    ) -> np.ndarray:
        """Take the pages `index` of some copies; return the page number of each.

        index: int64; below 0 for a page without a copy, whose frame must be known.
        frames, exclusive: of those pages, or None where each is a page of its own; machine: whose frames they are.
        of_family: the source shares frames with one before it, so that what it has written may be what others have.
        Pages mapped once are new whatever their frame's number: it may have served another process before.

        Raises:
            PksmError: a page without a copy is of a frame that is not known.
        """
        fresh = np.ones(len(index), bool)
        owners = np.empty(len(index), np.uint32)
        if frames is not None and exclusive is not None:
            book = self._known.setdefault(machine, FrameBook())
            shared = np.flatnonzero(~exclusive)
            owners[shared], fresh[shared] = book.look_up(frames[shared])
            if (index[fresh] < 0).any():
                raise PksmError("a page was not copied, and its frame is not known")
        numbers = (index[fresh] + copies.first).astype(np.uint32)
        if self._compact:
            numbers = self._moved(copies, index[fresh], of_family)
        owners[fresh] = numbers
        if frames is not None:
            owners[shared] = book.enter(frames[shared], owners[shared], fresh[shared])
        self.born.append(page_runs(numbers))
        return owners

    def _moved(self, copies: Allocation, index: np.ndarray, of_family: bool) -> Pages:
        """Move pages out of the buffer for copies, but those whose bytes are in the store; return their numbers."""
        numbers = (index + copies.first).astype(np.uint32)
        looked_at = of_family and len(index) >= FEWEST_LOOKED_AT
        found = np.zeros(len(index), bool)
        if looked_at:
            found, twins = self._same_bytes.find(numbers)
            numbers[found] = twins
        first, array = self.store.allocate(len(index) - int(np.count_nonzero(found)))
        np.take(copies.array, index[~found], axis=0, out=array, mode="clip")
        numbers[~found] = np.arange(first, first + len(array), dtype=np.uint32)
        if looked_at:
            self._same_bytes.learn(first, array)
        return numbers

    def add_view(self, view: np.ndarray, runs: np.ndarray) -> np.ndarray:
        """Take the DATA runs of a mapped file; return the page number of each of their pages.

        ShortageError when there is not enough memory to merge them.
        """
        first, pages = runs["first"].astype(np.int64), runs["pages"].astype(np.int64)
        to_merge = MERGING_BYTES * (self.store.n_pages + int(pages.sum()))
        if to_merge - self._checked >= UNCHECKED_BYTES:
            memory_limits.require(to_merge)
            self._checked = to_merge
        flat, size = view.reshape(-1), self.store.page_size
        if len(runs) == 1:
            start, end = int(first[0]), int(first[0] + pages[0])
            number = self.store.add(flat[start * size : end * size])
            numbers = np.arange(number, number + end - start, dtype=np.uint32)
        else:
            ends = first + pages
            cuts = np.append(0, np.flatnonzero(first[1:] - ends[:-1] > HOLE_PAGES) + 1)
            lasts = np.append(cuts[1:], len(runs)) - 1
            offsets = [
                self.store.add(flat[start * size : end * size]) - start
                for start, end in zip(first[cuts].tolist(), ends[lasts].tolist(), strict=True)
            ]
            numbers = expand(first + np.repeat(offsets, lasts - cuts + 1), pages)
        self.born.append(page_runs(numbers))
        self.views.append(view)
        return numbers


class FrameBook:
    """Page numbers by frame: a table for each span of frames that any known one lies in."""

    def __init__(self) -> None:
        self._spans: dict[int, np.ndarray] = {}  # entries are page numbers + 1, 0 for none
        self._last = _NOTHING

    def has(self, frames: U64Array) -> BoolArray:
        """Return which frames are known (bool)."""
        self._last = frames, self._pages_of(frames)
        return self._last[1] != _NO_PAGE

    def look_up(self, frames: U64Array) -> tuple[Pages, BoolArray]:
        """Return (pages, new): the page of each frame (uint32), and which are the first of a frame not yet known."""
        frames_then, pages = self._last  # mostly the same: those of a source that has asked before it copied
        if not np.array_equal(frames, frames_then):
            pages = self._pages_of(frames)
        self._last = _NOTHING
        new = np.zeros(len(frames), bool)
        unknown = np.flatnonzero(pages == _NO_PAGE)
        new[unknown[np.unique(frames[unknown], return_index=True)[1]]] = True
        return pages, new

    def enter(self, frames: U64Array, pages: Pages, new: BoolArray) -> Pages:
        """Learn the pages of the new frames, and return pages with theirs wherever such a frame comes again."""
        self._last = _NOTHING
        learnt, numbers = frames[new], pages[new] + np.uint32(1)
        for span, inside in self._by_span(learnt):
            if span not in self._spans:
                self._spans[span] = self._table()
            self._spans[span][learnt[inside] & IN_SPAN] = numbers[inside]
        again = (pages == _NO_PAGE) & ~new
        pages[again] = self._pages_of(frames[again])
        return pages

    def _table(self) -> U32Array:
        """Return an empty table. It costs the small pages that are touched: few frames may lie far apart."""
        if len(self._spans) == MOST_SPANS:
            raise PksmError("its frames lie further apart than those of any machine")
        try:
            memory = mmap.mmap(-1, 4 << int(SPAN_BITS))
        except OSError:
            raise MemoryError from None
        with contextlib.suppress(OSError):  # a kernel without huge pages
            memory.madvise(mmap.MADV_NOHUGEPAGE)
        return np.frombuffer(memory, np.uint32)

    def _pages_of(self, frames: U64Array) -> Pages:
        pages = np.full(len(frames), _NO_PAGE)
        for span, inside in self._by_span(frames):
            if span in self._spans:
                pages[inside] = self._spans[span][frames[inside] & IN_SPAN] - np.uint32(1)
        return pages

    @staticmethod
    def _by_span(frames: U64Array) -> Iterator[tuple[int, BoolArray | slice]]:
        """Yield each span that frames lie in, and which they are."""
        spans = frames >> SPAN_BITS
        low, high = (int(spans.min()), int(spans.max())) if len(spans) else (0, -1)
        if low == high:
            yield low, slice(None)
            return
        for span in range(low, high + 1) if high - low < FEW_SPANS else np.unique(spans).tolist():
            yield span, spans == np.uint64(span)
