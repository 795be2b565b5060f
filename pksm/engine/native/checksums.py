"""Checksum functions: those of the core's table, those of others by their address, and summing many pages at once."""

from typing import Protocol, TypeAlias

import numpy as np

from pksm.arrays import Buffer, IdsLike, Pages, U64Array
from pksm.engine.native.door import CData, borrow, borrow_writable, check, ffi, ids_array, lib
from pksm.engine.native.pages import StoreView, page_bytes


class Function:
    """A checksum function in C with its state; ready for any call that sums pages.

    name; width: bits; address, state: of the function (type pksm_checksum_fn) and of what it is called with, integers
    or cffi pointers. keep: whatever has to live as long.
    """

    def __init__(self, name: str, width: int, address: CData, state: CData = 0, keep: object = None) -> None:
        self.name, self.width, self._keep = name, width, keep
        self.c = ffi.new("pksm_checksum *")
        self.c.sum = ffi.cast("pksm_checksum_fn", address)
        self.c.state = ffi.cast("void *", state)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {self.width} bits>"

    def check_fits(self, page_size: int) -> None:
        """Raise ValueError if it can't sum pages of page_size bytes."""

    def of(self, data: Buffer) -> int:
        """Return the checksum (int) of one page given as bytes; ValueError for a size that no page has."""
        data = page_bytes(data)
        self.check_fits(len(data))
        return int(self.c.sum(data, len(data), self.c.state))


class Checksum(Function):
    """A strategy of the core's table.

    words: uint32 positions for strategies that sample, else None; run: words that are looked at from each of them on.
    """

    def __init__(self, name: str, words: IdsLike | None = None, run: int = 1) -> None:
        strategy = _strategies()[name]
        self.words, self.run = None if words is None else ids_array(words), run
        if (self.words is not None) != bool(strategy.takes_sample):
            raise ValueError(f"strategy {name} {'needs' if strategy.takes_sample else 'takes no'} word positions")
        if run < 1 or (name == "partial" and self.words is not None and len(self.words) != 1):
            raise ValueError(f"strategy {name} takes runs of one word at least, and partial one run")
        self.last_word = int(self.words.max()) + run - 1 if self.words is not None and self.words.size else 0
        state = ffi.NULL
        if self.words is not None:
            state = self._sample = ffi.new("pksm_sample *")
            state.n_words, state.run = len(self.words), run
            state.words = self._words = borrow(self.words, "uint32_t[]")
        super().__init__(name, strategy.width, strategy.sum, state)
        self.c.many = strategy.many

    def check_fits(self, page_size: int) -> None:
        """Raise ValueError if it looks at words behind the end of a page of page_size bytes."""
        if self.last_word * 4 + 4 > page_size:
            raise ValueError(f"a page of {page_size} bytes has no word {self.last_word}")


class Batched(Protocol):
    """A checksum that C can't call: it sums pages by itself, many at a time."""

    name: str
    width: int  # bits

    def of(self, data: Buffer) -> int:
        """Return the checksum of one page given as bytes."""

    def fill(self, store: StoreView, pages: Pages, out: U64Array) -> None:
        """Put the checksums of the pages (n,) into out (n,)."""


AnyChecksum: TypeAlias = Function | Batched


class Known(Function):
    """Sums that a checksum which C can't call has computed beforehand, as a function that C can call."""

    def __init__(self, batch: Batched) -> None:
        self._state, self._batch = ffi.new("pksm_known *"), batch
        super().__init__(batch.name, batch.width, ffi.addressof(lib, "pksm_known_sum"), self._state)

    def know(self, store: StoreView, pages: IdsLike) -> None:
        """Compute the checksums of these pages of a StoreView; only they are known then."""
        pages = np.unique(ids_array(pages))
        addresses = store.addresses(pages)
        order = np.argsort(addresses)
        self._addresses, self._sums = addresses[order], checksum_pages(store, self._batch, pages)[order]
        self._state.n = len(pages)
        self._state.addresses, self._state.sums = (
            borrow(array, "uint64_t[]") for array in (self._addresses, self._sums)
        )

    def of(self, data: Buffer) -> int:
        """Return the checksum (int) of one page given as bytes."""
        return self._batch.of(data)


def _strategies() -> dict[str, CData]:
    count = ffi.new("size_t *")
    table = lib.pksm_strategies(count)
    return {ffi.string(table[i].name).decode(): table[i] for i in range(count[0])}


def strategy_widths() -> dict[str, int]:
    """Return {name: bits} of every strategy in the core's table, the default first."""
    return {name: strategy.width for name, strategy in _strategies().items()}


def takes_sample(name: str) -> bool:
    """Return True if the strategy looks at chosen words only."""
    return bool(_strategies()[name].takes_sample)


def checksum_pages(store: StoreView, checksum: AnyChecksum, pages: IdsLike, out: U64Array | None = None) -> U64Array:
    """Return the checksums of the pages: a uint64 array (n,), in `out` if that is given."""
    pages = ids_array(pages)
    sums = np.empty(len(pages), np.uint64) if out is None else out
    if sums.dtype != np.uint64 or len(sums) != len(pages):
        raise ValueError("out must be a uint64 array, one entry a page")
    if not isinstance(checksum, Function):
        checksum.fill(store, pages, sums)
        return sums
    checksum.check_fits(store.page_size)
    check(
        lib.pksm_checksum_pages(
            store.c, checksum.c, borrow(pages, "uint32_t[]"), len(pages), borrow_writable(sums, "uint64_t[]")
        )
    )
    return sums


def keyed_sums(key: bytes, sums: U64Array) -> None:
    """Replace checksums of 128 bits by SipHash-2-4-128 of them, which nobody can compute without the key.

    Args:
        key: 16 bytes.
        sums: uint64 (n, 2). A row of zeros, which is a zero page, stays; no other becomes that.
    """
    if len(key) != 16:
        raise ValueError("a key has 16 bytes")
    if sums.dtype != np.uint64 or sums.ndim != 2 or sums.shape[1] != 2:
        raise ValueError("sums must be a uint64 array (n, 2)")
    words = np.frombuffer(key, "<u8")
    lib.pksm_keyed_sums(borrow(words, "uint64_t[]"), borrow_writable(sums, "uint64_t[]"), len(sums))
