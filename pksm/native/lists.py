"""Lists: loops over integers that Python would have to run one by one."""

import numpy as np

from pksm.native.door import borrow, borrow_writable, check, ffi, ids_array, lib

def group(keys, n_keys):
    """Sort positions by key, stable: return (order uint32, starts list of n_keys + 1 ints)."""
    order, starts = np.empty(len(keys), np.uint32), np.empty(n_keys + 1, np.uint32)
    check(
        lib.pksm_group(
            borrow(keys, "uint8_t[]"), len(keys), n_keys, borrow_writable(order, "uint32_t[]"), borrow_writable(starts, "uint32_t[]")
        )
    )
    return order, starts.tolist()


class RingView:
    """A pksm_ring over its ids and an item table's stamps, alive together.

    ids: uint32 ring; stamps: uint32 by item id; flag: the native flag of the ring.
    """

    def __init__(self, ids, stamps, flag):
        self._ids, self._stamps = borrow_writable(ids, "uint32_t[]"), borrow_writable(stamps, "uint32_t[]")
        self.c = ffi.new("pksm_ring *")
        self.c.ids, self.c.stamps, self.c.size = self._ids, self._stamps, len(ids)
        self.c.head = self.c.tail = 1
        self.c.flag = flag

    def move_stamps(self, stamps):
        """Use another stamp column: the table has grown."""
        self._stamps = borrow_writable(stamps, "uint32_t[]")
        self.c.stamps = self._stamps


def ring_push(table, ring, ids):
    """Append ids; ValueError if there is no room."""
    check(lib.pksm_ring_push(table.c, ring.c, borrow(ids, "uint32_t[]"), len(ids)))


def ring_take(table, ring, n, peek=False):
    """Take (or only look at) the first n ids: uint32, oldest first."""
    out, count = np.empty(min(n, ring.c.length), np.uint32), ffi.new("size_t *")
    check(lib.pksm_ring_take(table.c, ring.c, len(out), peek, borrow_writable(out, "uint32_t[]"), count))
    return out[: count[0]]


def ring_drop(table, ring, ids):
    """Take those of the ids that are on the ring off it."""
    check(lib.pksm_ring_drop(table.c, ring.c, borrow(ids, "uint32_t[]"), len(ids)))


def remap(frame_of, mapcount, pages, frames):
    """Point pages with a frame to themselves to other, mapped frames; ValueError, and nothing done, if they don't fit."""
    pages, frames = ids_array(pages), ids_array(frames)
    check(
        lib.pksm_remap(
            borrow_writable(frame_of, "uint32_t[]"),
            borrow_writable(mapcount, "uint32_t[]"),
            len(frame_of),
            borrow(pages, "uint32_t[]"),
            borrow(frames, "uint32_t[]"),
            len(pages),
        )
    )


def part(item_of_page, pages):
    """Return the items of those pages that have one, in order, and make them have none: item_of_page is uint32."""
    ids, count = np.empty(len(pages), np.uint32), ffi.new("size_t *")
    columns = borrow_writable(item_of_page, "uint32_t[]"), len(item_of_page), borrow(pages, "uint32_t[]"), len(pages)
    check(lib.pksm_part(*columns, borrow_writable(ids, "uint32_t[]"), count))
    return ids[: count[0]]


def clear(table, ids):
    """Make items blank again; ItemError, and nothing done, if one is in a tree or on a list."""
    check(lib.pksm_clear(table.c, borrow(ids, "uint32_t[]"), len(ids)))


def prepend(table, next_, ids, records):
    """Put records[i] at the head of the list of item ids[i], in this order; links are in next_ (uint32)."""
    check(
        lib.pksm_prepend(
            table.c,
            borrow_writable(next_, "uint32_t[]"),
            len(next_),
            borrow(ids, "uint32_t[]"),
            borrow(records, "uint32_t[]"),
            len(ids),
        )
    )


def collect(next_, heads):
    """Follow `next_` (uint32, 0 ends) from every head: return all records met, list by list."""
    heads, count = ids_array(heads), ffi.new("size_t *")
    lists = borrow(next_, "uint32_t[]"), len(next_), borrow(heads, "uint32_t[]"), len(heads)
    check(lib.pksm_collect(*lists, ffi.NULL, count))
    out = np.empty(count[0], np.uint32)
    check(lib.pksm_collect(*lists, borrow_writable(out, "uint32_t[]"), count))
    return out
