"""The page store: bytes by page number.

Page numbers come in sections of 64, as the kernel's mem_section does it: the bytes of page p start at
`sections[p >> 6] + (p & 63) * page_size`. Every region starts on a section of its own, so regions need neither
alignment nor a place beside each other, and they are never moved.
"""

import bisect
import mmap
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Self

import numpy as np

from pksm.arrays import Buffer, Contents, IdsLike, IntArray, Pages, U8Array, U32Array, U64Array
from pksm.engine import memory, native
from pksm.engine.native.pages import StoreView
from pksm.engine.state import State, column, number
from pksm.errors import PageError, PksmError, ShortageError, UsageError
from pksm.saving import Saveable

SECTION_PAGES = 64
_MIX = 0x9E3779B97F4A7C15  # of a salt into a hash, as csrc/core.h does
MIN_PAGE_SIZE, MAX_PAGE_SIZE = 8, 2 << 20


class Store(Saveable):
    """Regions of memory as numbered pages.

    Args:
        page_size: bytes, a power of two from 8 (a content id is a page) to 2 MiB.
        real_page_size: bytes of the page that each stands for; None: it is that page.

    Raises:
        UsageError: another page size.
    """

    def __init__(self, page_size: int = 4096, real_page_size: int | None = None) -> None:
        if page_size & (page_size - 1) or not MIN_PAGE_SIZE <= page_size <= MAX_PAGE_SIZE:
            raise UsageError(
                f"page size {page_size} is not a power of two from {MIN_PAGE_SIZE} to {MAX_PAGE_SIZE}: try 4096"
            )
        self.page_size = page_size
        self.real_page_size = real_page_size or page_size
        self._sections: list[U64Array] = []  # one uint64 array a region
        self._buffers: list[U8Array] = []  # keeps the memory alive
        self._first: list[int] = []  # first page of each region
        self._pages: list[int] = []  # pages of each region
        self._n_sections = 0
        self._view: StoreView | None = None
        self._salts: U32Array | None = None  # by page number
        self._apart = False  # each has its own
        self._users: list[weakref.WeakMethod[Callable[[int, int], bool]]] = []
        self._removed: set[int] = set()  # regions
        self._nothing: U8Array | None = None  # a section of zeros, in place of removed ones

    def add_user(self, uses: Callable[[int, int], bool]) -> None:
        """Ask uses(first, end), a method of a host, before a region of pages first .. end - 1 is removed."""
        self._users.append(weakref.WeakMethod(uses))

    _closed = False

    def to_dict(self) -> dict[str, Any]:
        """Return {name: number} of what there is, a row of a table."""
        regions = len(self._first) - len(self._removed)
        return {"page_size": self.page_size, "regions": regions, "pages": sum(self._pages)}

    def __repr__(self) -> str:
        if self._closed:
            return "<Store: closed>"
        now = self.to_dict()
        return f"<Store: {now['pages']:,} pages of {self.page_size:,} bytes in {now['regions']} regions>"

    def __copy__(self) -> NoReturn:
        raise TypeError("a store holds addresses of memory, which a copy would share: take copy.deepcopy")

    def __getstate__(self) -> State:
        """Return all pages: a copy, or what comes out of a pickle, has memory of its own under the same numbers."""
        return {
            "page_size": self.page_size,
            "real_page_size": self.real_page_size,
            "first": list(self._first),
            "pages": list(self._pages),
            "removed": sorted(self._removed),
            "closed": self._closed,
            "n_pages": self.n_pages,
            "memory": np.concatenate([np.empty(0, np.uint8), *self._buffers]),
        }

    def __setstate__(self, state: State) -> None:
        self.__init__(state["page_size"], state["real_page_size"])  # type: ignore[misc]
        memory, start, end = column(state["memory"], np.uint8), 0, state["n_pages"]
        assert end < 1 << 32 and state["first"] == sorted(state["first"]), "regions overlap"
        for region, (first, pages) in enumerate(zip(state["first"], state["pages"], strict=True)):
            following = state["first"][region + 1] if region + 1 < len(state["first"]) else end
            removed = region in state["removed"]
            assert pages * self.page_size <= len(memory) - start and number(pages) <= following - first
            self._restore_region(
                number(first), pages, following - first, memory[start : start + pages * self.page_size]
            )
            start += pages * self.page_size
            if removed:
                self._removed.add(region)
        assert self.n_pages == end and start == len(memory), "pages are missing"
        self._closed = bool(state["closed"])

    def _restore_region(self, first: int, pages: int, room: int, contents: U8Array) -> None:
        """Add a region of page numbers first .. first + room - 1, whose first `pages` have these contents."""
        assert first == self.n_pages and room % SECTION_PAGES == 0, "a region begins elsewhere"
        if pages:
            assert room == -(-pages // SECTION_PAGES) * SECTION_PAGES, "a region has more room than it takes"
            _, array = self.allocate(pages)
            array.reshape(-1)[:] = contents
            return
        self._first.append(first)
        self._pages.append(0)
        self._buffers.append(np.empty(0, np.uint8))
        n_sections = room // SECTION_PAGES
        self._sections.append(np.full(n_sections, self._no_section(), np.uint64))
        self._n_sections += n_sections
        self._view = None

    def _no_section(self) -> int:
        """Return the address of a section of zeros, in place of removed ones."""
        if self._nothing is None:
            self._nothing = np.zeros(SECTION_PAGES * self.page_size, np.uint8)
        address: int = self._nothing.ctypes.data
        return address

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
            if self._apart:
                self._salts = np.arange(self.n_pages, dtype=np.uint32)
            elif self._salts is not None and len(self._salts) < self.n_pages:
                self._salts = memory.grown(self._salts, self.n_pages)
            self._view = native.StoreView(sections, self.n_pages, self.page_size, self._salts)
        return self._view

    def add(self, buffer: Buffer, writable: bool = False) -> int:
        """Add a region.

        Args:
            buffer: anything with the buffer interface, contiguous, a whole number of pages. It is not copied, and it
                is kept alive. For a mapped file (numpy.memmap, mmap) catch_bus_errors() is called: if the file
                shrinks, what reads its pages raises BusError.
            writable: insist that it can be written through.

        Returns:
            The number of its first page.

        Raises:
            UsageError: the buffer is not contiguous, not a whole number of pages, or read-only.
            PksmError: the store would have more than 2**32 pages.
        """
        if self._closed:
            raise UsageError("the store is closed")
        if isinstance(buffer, (np.memmap, mmap.mmap)):
            native.catch_bus_errors()
        if isinstance(buffer, np.ndarray):
            if not buffer.flags.c_contiguous:
                raise UsageError("a region's pages must lie one behind the other: copy the array first")
            data = buffer.reshape(-1).view(np.uint8)
        else:
            data = np.frombuffer(buffer, np.uint8)
        if data.size % self.page_size:
            raise UsageError(f"a region of {data.size} bytes is not a whole number of pages of {self.page_size} bytes")
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

    def remove(self, first: int) -> None:
        """Let go of a region: its buffer can be closed, and its page numbers are never given out again.

        Args:
            first: the number of its first page.

        Raises:
            UsageError: there is no such region, or a host uses pages of it still: free them first.
        """
        region = bisect.bisect_right(self._first, first) - 1
        if region < 0 or self._first[region] != first or region in self._removed:
            raise UsageError(f"no region begins at page {first}: give what add or allocate returned")
        end = first + self._pages[region]
        if any((uses := user()) is not None and uses(first, end) for user in self._users):
            raise UsageError(f"pages {first} to {end - 1} are in use by a host: free them first")
        self._forget(region)

    def close(self) -> None:
        """Let go of all regions, whoever used them; nothing can be read or added any more."""
        self._closed = True
        for region in range(len(self._first)):
            self._forget(region)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _forget(self, region: int) -> None:
        """Drop a region's buffer. C may be given its pages by mistake: it finds zeros there."""
        sections = self.view._sections.copy()
        start = self._first[region] // SECTION_PAGES
        sections[start : start + -(-self._pages[region] // SECTION_PAGES)] = self._no_section()
        self._sections, self._view = [sections], None
        self._pages[region] = 0
        self._removed.add(region)
        self._buffers[region] = np.empty(0, np.uint8)

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

    def salt(self, pages: IdsLike | slice, salts: IdsLike | int) -> None:
        """Let pages be equal only to pages of the same salt from now on. Those that were given none have 0.

        Zero pages are equal whatever their salts: the page that they merge with belongs to everybody.

        Args:
            pages: numbers that there are.
            salts: uint32, one for each, or one for all.
        """
        if self._apart:
            return
        if self._salts is None:
            self._salts = memory.zeros(self.n_pages, np.uint32)
            self._view = None
        elif len(self._salts) < self.n_pages:
            self._salts = memory.grown(self._salts, self.n_pages)
            self._view = None
        self._salts[pages] = salts

    def keep_apart(self) -> None:
        """Let no page be equal to another one from now on."""
        self._salts, self._view, self._apart = None, None, True

    def unsalt(self) -> None:
        """Let pages be equal whose bytes are."""
        if self._salts is not None or self._apart:
            self._salts, self._view, self._apart = None, None, False

    def salts_of(self, pages: IdsLike) -> U32Array:
        """Return the salt of each page."""
        found: U32Array = (
            np.zeros(len(native.ids_array(pages)), np.uint32) if self._salts is None else self._salts[pages]
        )
        return found

    def salted(self, pages: IdsLike, sums: U64Array, zero_sum: int) -> U64Array:
        """Return hashes of pages as those take them who sort by hashes alone: equal only for pages of one salt."""
        if self._salts is None:
            return sums
        mixed = sums ^ (self._salts[pages] * np.uint64(_MIX))
        return np.where(sums == zero_sum, sums, mixed)

    def bytes_of(self, pages: IdsLike) -> U8Array:
        """Return a copy of the pages' bytes: uint8 array (n, page_size)."""
        self.check_pages(pages)
        return native.pages_copy(self.view, pages)

    def write(self, pages: IdsLike, contents: U8Array | None) -> None:
        """Write pages, whoever they belong to: hosts do this.

        Args:
            pages: uint32 (n,), none twice.
            contents: uint8 (n, page_size), None for zeros.

        Raises:
            PageError: a page lies in no region.
            UsageError: a region is read-only.
        """
        pages = native.ids_array(pages)
        self.check_writable(pages)
        for region, at in self._by_region(pages):
            rows = self._buffers[region].reshape(-1, self.page_size)
            rows[pages[at] - np.uint32(self._first[region])] = 0 if contents is None else contents[at]

    def check_writable(self, pages: IdsLike) -> None:
        """Raise UsageError if one of the pages is in read-only memory, and PageError if it lies in no region."""
        pages = native.ids_array(pages)
        self.check_pages(pages)
        for region, _ in self._by_region(pages):
            if not self._buffers[region].flags.writeable:
                raise UsageError(f"page {self._first[region]} and those behind it lie in read-only memory")

    def _by_region(self, pages: Pages) -> Iterator[tuple[int, IntArray | slice]]:
        """Yield (region, places of the pages in it)."""
        if not len(pages):
            return
        of = np.searchsorted(np.array(self._first, np.int64), pages, "right") - 1
        low = int(of.min())
        if low == int(of.max()):
            yield low, slice(None)
            return
        for region in np.unique(of).tolist():
            yield region, np.flatnonzero(of == region)

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


def pages_given(contents: Contents, page_size: int) -> U8Array:
    """Return pages as they may be given, as a uint8 array (n, page_size).

    Args:
        contents: bytes, an array (n, page_size) of uint8, or where pages have 8 bytes a list of content ids below 2**64.

    Raises:
        UsageError: they are none of these.
    """
    if isinstance(contents, (bytes, bytearray, memoryview)):
        data = np.frombuffer(contents, np.uint8)
        if data.size % page_size:
            raise UsageError(f"{data.size} bytes are not a whole number of pages of {page_size} bytes")
        return data.reshape(-1, page_size)
    given = np.asarray(contents)
    if given.ndim == 1 and page_size == MIN_PAGE_SIZE and (not given.size or given.dtype.kind in "iu"):
        if given.size and given.dtype.kind == "i" and int(given.min()) < 0:
            raise UsageError("content ids are whole numbers from 0")
        return np.ascontiguousarray(given, np.uint64).view(np.uint8).reshape(-1, page_size)
    if given.dtype != np.uint8 or given.shape[1:] != (page_size,):
        raise UsageError(f"pages are a uint8 array (n, {page_size})")
    return given
