"""Yardsticks: what the engine's speed is held against, in C."""

from collections import deque
from itertools import repeat, starmap

import numpy as np

from pksm.arrays import IdsLike, StructArray, U8Array, U32Array
from pksm.engine.native.checksums import Function
from pksm.engine.native.door import borrow, borrow_writable, check, ffi, ids_array, lib
from pksm.engine.native.pages import StoreView
from pksm.engine.native.trees import TableView

# ---- yardsticks: what benchmarks hold the engine against ----
SLOT = np.dtype([("checksum", "u8"), ("page", "u4"), ("used", "u4")])
assert SLOT.itemsize == ffi.sizeof("pksm_slot")


def yardstick_read(store: StoreView, pages: IdsLike) -> int:
    """Return the sum of all 64-bit words of the pages, modulo 2**64."""
    pages, total = ids_array(pages), ffi.new("uint64_t *")
    check(lib.pksm_yardstick_read(store.c, borrow(pages, "uint32_t[]"), len(pages), total))
    return int(total[0])


def yardstick_memcpy(store: StoreView, pages: IdsLike, out: U8Array) -> None:
    """Copy the pages' bytes to out: uint8 (n, page_size)."""
    pages = ids_array(pages)
    if out.dtype != np.uint8 or out.shape != (len(pages), store.page_size):
        raise ValueError("out must be a uint8 array, one row a page")
    check(lib.pksm_pages_copy(store.c, borrow(pages, "uint32_t[]"), len(pages), borrow_writable(out, "uint8_t[]")))


def yardstick_memcmp(store: StoreView, a: IdsLike, b: IdsLike) -> int:
    """Return how many pairs of pages a[i], b[i] have equal bytes."""
    a, b, equal = ids_array(a), ids_array(b), ffi.new("uint64_t *")
    if len(a) != len(b):
        raise ValueError(f"{len(a)} pages against {len(b)}")
    check(lib.pksm_yardstick_memcmp(store.c, borrow(a, "uint32_t[]"), borrow(b, "uint32_t[]"), len(a), equal))
    return int(equal[0])


def yardstick_table(store: StoreView, checksum: Function, pages: IdsLike, slots: StructArray, kept: U32Array) -> None:
    """Fill kept (uint32) with the first page of the bytes of each; slots: zeroed SLOT array, a power of two above n."""
    pages = ids_array(pages)
    if slots.dtype != SLOT or kept.dtype != np.uint32 or len(kept) != len(pages):
        raise ValueError("slots must be a SLOT array, kept a uint32 array with one entry a page")
    checksum.check_fits(store.page_size)
    given = borrow(pages, "uint32_t[]"), len(pages)
    taken = borrow_writable(slots, "pksm_slot[]"), len(slots), borrow_writable(kept, "uint32_t[]")
    check(lib.pksm_yardstick_table(store.c, checksum.c, *given, *taken))


def yardstick_ksm(store: StoreView, pages: IdsLike, table: TableView, kept: U32Array) -> None:
    """Fill kept (uint32) with the page that KSM merges each into; table: a TableView of n + 1 zeroed nodes."""
    pages = ids_array(pages)
    if kept.dtype != np.uint32 or len(kept) != len(pages):
        raise ValueError("kept must be a uint32 array with one entry a page")
    given = borrow(pages, "uint32_t[]"), len(pages)
    check(lib.pksm_yardstick_ksm(store.c, *given, table.c, borrow_writable(kept, "uint32_t[]")))


def yardstick_calls(n: int) -> int:
    """Call a function of C that does nothing n times, and return what the last call returned: 1."""
    return int(deque(starmap(lib.pksm_page_is_zero, repeat((ffi.NULL, 0), n)), maxlen=1)[0])
