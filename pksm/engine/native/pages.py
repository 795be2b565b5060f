"""Bytes: the page store as C sees it, and what is done to many pages at once."""

import numpy as np

from pksm.arrays import BoolArray, Buffer, I8Array, IdsLike, U8Array, U32Array, U64Array
from pksm.engine.native.door import U8, CData, borrow, borrow_writable, check, ffi, ids_array, lend, lib


class StoreView:
    """A pksm_store and the arrays it points to, alive together.

    sections: uint64 addresses, one for every 64 pages; n_pages in pages; page_size in bytes; salts: uint32 by page.
    """

    def __init__(self, sections: U64Array, n_pages: int, page_size: int, salts: U32Array | None = None) -> None:
        self._sections = np.ascontiguousarray(sections, np.uint64)
        if len(self._sections) * 64 < n_pages:
            raise ValueError(f"{len(self._sections)} sections hold fewer than {n_pages} pages")
        self.n_pages, self.page_size = n_pages, page_size
        self.c = ffi.new("pksm_store *")
        self.c.sections = borrow(self._sections, "uint64_t[]")
        self.c.n_pages, self.c.page_size = n_pages, page_size
        if salts is not None:
            if len(salts) < n_pages:
                raise ValueError(f"{len(salts)} salts for {n_pages} pages")
            self.c.salts = self._salts = borrow(salts, "uint32_t[]")

    def addresses(self, pages: IdsLike) -> U64Array:
        """Return where the bytes of the pages start: uint64."""
        numbers = ids_array(pages).astype(np.uint64)
        starts: U64Array = self._sections[numbers >> np.uint64(6)]
        return starts + (numbers & np.uint64(63)) * np.uint64(self.page_size)


def page_bytes(data: Buffer) -> CData:
    """Return the bytes of one page, anything contiguous with the buffer interface, as C takes them.

    ValueError unless they are as many as a page can have: a power of two from 8.
    """
    data = lend(U8, data)
    if len(data) < 8 or len(data) & (len(data) - 1):
        raise ValueError(f"{len(data)} bytes are not a page: give a power of two from 8")
    return data


def page_compare(a: Buffer, b: Buffer) -> tuple[int, int]:
    """Return (order, common): -1, 0 or 1 as memcmp, and the length in bytes of the common prefix."""
    a, b, common = page_bytes(a), page_bytes(b), ffi.new("size_t *")
    if len(a) != len(b):
        raise ValueError(f"pages of {len(a)} and {len(b)} bytes")
    return lib.pksm_page_compare(a, b, len(a), common), common[0]


def page_is_zero(data: Buffer) -> bool:
    """Return True if all bytes are zero."""
    data = page_bytes(data)
    return bool(lib.pksm_page_is_zero(data, len(data)))


def pages_are_zero(store: StoreView, pages: IdsLike) -> BoolArray:
    """Return a bool array: which of the pages are all zeros."""
    pages = ids_array(pages)
    zero = np.empty(len(pages), np.uint8)
    check(lib.pksm_pages_are_zero(store.c, borrow(pages, "uint32_t[]"), len(pages), borrow_writable(zero, "uint8_t[]")))
    return zero.view(bool)


def pages_compare(store: StoreView, a: IdsLike, b: IdsLike) -> I8Array:
    """Return an int8 array: the order of page a[i] and page b[i]."""
    a, b = ids_array(a), ids_array(b)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} pages against {len(b)}")
    order = np.empty(len(a), np.int8)
    check(
        lib.pksm_pages_compare(
            store.c, borrow(a, "uint32_t[]"), borrow(b, "uint32_t[]"), len(a), borrow_writable(order, "int8_t[]")
        )
    )
    return order


def pages_copy(store: StoreView, pages: IdsLike) -> U8Array:
    """Return the bytes of the pages: a uint8 array (n, page_size)."""
    pages = ids_array(pages)
    out = np.empty((len(pages), store.page_size), np.uint8)
    check(lib.pksm_pages_copy(store.c, borrow(pages, "uint32_t[]"), len(pages), borrow_writable(out, "uint8_t[]")))
    return out
