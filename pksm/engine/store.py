"""The page store: whose bytes a page number names.

Page numbers come in sections of 64, as the kernel's mem_section does it: the bytes of page p start at
`sections[p >> 6] + (p & 63) * page_size`. Every region starts on a section of its own, so regions need neither
alignment nor a place beside each other, and they are never moved.
"""

import bisect
from typing import NoReturn

import numpy as np

from pksm.arrays import Buffer, IdsLike, U8Array, U64Array
from pksm.engine import memory, native
from pksm.engine.native.pages import StoreView
from pksm.errors import PageError, PksmError, ShortageError, UsageError

SECTION_PAGES = 64
MIN_PAGE_SIZE, MAX_PAGE_SIZE = 8, 2 << 20


class Store:
    """Regions of memory as numbered pages.

    Args:
        page_size: bytes, a power of two from 8 (a content id is a page) to 2 MiB.

    Raises:
        UsageError: another page size.
    """

    def __init__(self, page_size: int = 4096) -> None:
        if page_size & (page_size - 1) or not MIN_PAGE_SIZE <= page_size <= MAX_PAGE_SIZE:
            raise UsageError(
                f"page size {page_size} is not a power of two from {MIN_PAGE_SIZE} to {MAX_PAGE_SIZE}: try 4096"
            )
        self.page_size = page_size
        self._sections: list[U64Array] = []  # one uint64 array a region
        self._buffers: list[U8Array] = []  # keeps the memory alive
        self._first: list[int] = []  # first page of each region
        self._pages: list[int] = []  # pages of each region
        self._n_sections = 0
        self._view: StoreView | None = None

    def __getstate__(self) -> NoReturn:
        raise TypeError("a store holds addresses of memory: it can be neither copied nor pickled, but its pages can")

    @property
    def n_pages(self) -> int:
        """Page numbers given out: those of the regions and the rest of their last sections."""
        return self._n_sections * SECTION_PAGES

    @property
    def view(self) -> StoreView:
        """The store as the C core takes it."""
        if self._view is None:
            sections = np.concatenate(self._sections) if self._sections else np.empty(0, np.uint64)
            self._sections = [sections]
            self._view = native.StoreView(sections, self.n_pages, self.page_size)
        return self._view

    def add(self, buffer: Buffer, writable: bool = False) -> int:
        """Add a region.

        Args:
            buffer: anything with the buffer interface, contiguous, a whole number of pages. It is not copied, and it
                is kept alive.
            writable: insist that it can be written through.

        Returns:
            The number of its first page.

        Raises:
            UsageError: the buffer is not contiguous, not a whole number of pages, or read-only.
            PksmError: the store would have more than 2**32 pages.
        """
        if isinstance(buffer, np.ndarray):
            if not buffer.flags.c_contiguous:
                raise UsageError("a region's pages must lie one behind the other: copy the array first")
            data = buffer.reshape(-1).view(np.uint8)
        else:
            data = np.frombuffer(buffer, np.uint8)
        if data.size % self.page_size:
            raise UsageError(f"a region of {data.size} bytes is no whole number of pages of {self.page_size} bytes")
        if writable and not data.flags.writeable:
            raise UsageError("a region that shall be writable is read-only")
        first, pages = self.n_pages, data.size // self.page_size
        n_sections = -(-pages // SECTION_PAGES)
        if first + n_sections * SECTION_PAGES >= 1 << 32:
            raise PksmError("more than 2**32 pages: scan with a larger page size, or fewer targets at a time")
        step = SECTION_PAGES * self.page_size
        self._sections.append(np.uint64(data.ctypes.data) + np.arange(n_sections, dtype=np.uint64) * np.uint64(step))
        self._buffers.append(data)
        self._first.append(first)
        self._pages.append(pages)
        self._n_sections += n_sections
        self._view = None
        return first

    def allocate(self, n_pages: int) -> tuple[int, U8Array]:
        """Add a region of zeroed private memory, on huge pages where the kernel has them.

        Returns (first page, uint8 array (n_pages, page_size) to write into). ShortageError when the system does not
        give that much, ValueError for fewer than no pages.
        """
        if n_pages < 0:
            raise ValueError(f"{n_pages} pages to allocate: from 0")
        size = n_pages * self.page_size
        try:
            array = memory.zeros((n_pages, self.page_size))
        except MemoryError:
            raise ShortageError(f"{size >> 20} MiB of memory are not to be had: take less at a time") from None
        return self.add(array, writable=True), array

    def bytes_of(self, pages: IdsLike) -> U8Array:
        """Return a copy of the pages' bytes: uint8 array (n, page_size)."""
        self.check_pages(pages)
        return native.pages_copy(self.view, pages)

    def check_pages(self, pages: IdsLike) -> None:
        """Raise PageError unless each page number lies in a region (not behind its end)."""
        pages = native.ids_array(pages)
        if not len(pages):
            return
        low, high = int(pages.min()), int(pages.max())
        of_low = bisect.bisect_right(self._first, low) - 1
        if of_low >= 0 and high < self._first[of_low] + self._pages[of_low]:
            return  # all in one region, as is usual
        first, count = np.array(self._first, np.int64), np.array(self._pages, np.int64)
        region = np.searchsorted(first, pages, "right") - 1
        if not len(first) or (pages - first[region] >= count[region]).any():
            raise PageError(f"a page number outside the store's {int(count.sum())} pages")

    def check(self) -> None:
        """Raise AssertionError unless sections, regions and memory agree."""
        assert len(self.view._sections) == self._n_sections
        for first, pages, data in zip(self._first, self._pages, self._buffers, strict=True):
            assert first % SECTION_PAGES == 0
            assert data.size == pages * self.page_size
            if pages:
                assert self._sections[0][first // SECTION_PAGES] == data.ctypes.data
