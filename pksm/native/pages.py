"""Bytes: the page store as C sees it, checksum strategies, and what is done to many pages at once."""

import numpy as np

from pksm.native.door import borrow, borrow_writable, check, ffi, ids_array, lib

class StoreView:
    """A pksm_store and the arrays it points to, alive together.

    sections: uint64 addresses, one for every 64 pages; n_pages in pages; page_size in bytes.
    """

    def __init__(self, sections, n_pages, page_size):
        self._sections = np.ascontiguousarray(sections, np.uint64)
        if len(self._sections) * 64 < n_pages:
            raise ValueError(f"{len(self._sections)} sections hold fewer than {n_pages} pages")
        self.n_pages, self.page_size = n_pages, page_size
        self.c = ffi.new("pksm_store *")
        self.c.sections = borrow(self._sections, "uint64_t[]")
        self.c.n_pages, self.c.page_size = n_pages, page_size


class Checksum:
    """A checksum function of C with its state; ready for any call that sums pages.

    words: uint32 positions for strategies that sample, else None; run: words that are looked at from each of them on.
    """

    def __init__(self, name, words=None, run=1):
        strategy = _strategies()[name]
        self.name, self.width, self.run = name, strategy.width, run
        self.words = None if words is None else ids_array(words)
        if (self.words is not None) != bool(strategy.takes_sample):
            raise ValueError(f"strategy {name} {'needs' if strategy.takes_sample else 'takes no'} word positions")
        if run < 1 or (name == "partial" and len(self.words) != 1):
            raise ValueError(f"strategy {name} takes runs of one word at least, and partial one run")
        self.last_word = int(self.words.max()) + run - 1 if self.words is not None and self.words.size else 0
        self.c = ffi.new("pksm_checksum *")
        self.c.sum, self.c.many = strategy.sum, strategy.many
        if self.words is not None:
            self._sample = ffi.new("pksm_sample *")
            self._sample.n_words, self._sample.run = len(self.words), run
            self._sample.words = self._words = borrow(self.words, "uint32_t[]")
            self.c.state = self._sample

    def check_fits(self, page_size):
        """Raise ValueError if it looks at words behind the end of a page of page_size bytes."""
        if self.last_word * 4 + 4 > page_size:
            raise ValueError(f"a page of {page_size} bytes has no word {self.last_word}")

    def of(self, data):
        """Return the checksum (int) of one page given as bytes."""
        self.check_fits(len(data))
        return self.c.sum(borrow(data, "uint8_t[]"), len(data), self.c.state)


def _strategies():
    count = ffi.new("size_t *")
    table = lib.pksm_strategies(count)
    return {ffi.string(table[i].name).decode(): table[i] for i in range(count[0])}


def strategy_widths():
    """Return {name: bits} of every strategy in the core's table, the default first."""
    return {name: strategy.width for name, strategy in _strategies().items()}


def takes_sample(name):
    """Return True if the strategy looks at chosen words only."""
    return bool(_strategies()[name].takes_sample)


def page_compare(a, b):
    """Return (order, common): -1, 0 or 1 as memcmp, and the length in bytes of the common prefix."""
    if len(a) != len(b):
        raise ValueError(f"pages of {len(a)} and {len(b)} bytes")
    common = ffi.new("size_t *")
    return lib.pksm_page_compare(borrow(a, "uint8_t[]"), borrow(b, "uint8_t[]"), len(a), common), common[0]


def page_is_zero(data):
    """Return True if all bytes are zero."""
    return bool(lib.pksm_page_is_zero(borrow(data, "uint8_t[]"), len(data)))


def pages_are_zero(store, pages):
    """Return a bool array: which of the pages are all zeros."""
    pages = ids_array(pages)
    zero = np.empty(len(pages), np.uint8)
    check(lib.pksm_pages_are_zero(store.c, borrow(pages, "uint32_t[]"), len(pages), borrow_writable(zero, "uint8_t[]")))
    return zero.view(bool)


def pages_compare(store, a, b):
    """Return an int8 array: the order of page a[i] and page b[i]."""
    a, b = ids_array(a), ids_array(b)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} pages against {len(b)}")
    order = np.empty(len(a), np.int8)
    check(
        lib.pksm_pages_compare(store.c, borrow(a, "uint32_t[]"), borrow(b, "uint32_t[]"), len(a), borrow_writable(order, "int8_t[]"))
    )
    return order


def pages_copy(store, pages):
    """Return the bytes of the pages: a uint8 array (n, page_size)."""
    pages = ids_array(pages)
    out = np.empty((len(pages), store.page_size), np.uint8)
    check(lib.pksm_pages_copy(store.c, borrow(pages, "uint32_t[]"), len(pages), borrow_writable(out, "uint8_t[]")))
    return out


def checksum_pages(store, checksum, pages, out=None):
    """Return the checksums of the pages: a uint64 array (n,), in `out` if that is given."""
    checksum.check_fits(store.page_size)
    pages = ids_array(pages)
    sums = np.empty(len(pages), np.uint64) if out is None else out
    if sums.dtype != np.uint64 or len(sums) != len(pages):
        raise ValueError("out must be a uint64 array, one entry a page")
    check(
        lib.pksm_checksum_pages(
            store.c, checksum.c, borrow(pages, "uint32_t[]"), len(pages), borrow_writable(sums, "uint64_t[]")
        )
    )
    return sums
