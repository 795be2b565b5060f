"""Lists: loops over integers that Python would have to run one by one."""

from collections.abc import Callable

import numpy as np

from pksm.arrays import I64Array, Ids, IdsLike, Pages, U32Array
from pksm.engine.native.door import I64, U32, CData, borrow, borrow_writable, check, ffi, ids_array, lend, lib
from pksm.engine.native.trees import TableView


def select(table: TableView, ids: IdsLike, mask: int, flags: int) -> U32Array:
    """Return those of the ids whose flags under the mask are `flags`."""
    ids = ids_array(ids)
    out, count = np.empty(len(ids), np.uint32), ffi.new("size_t *")
    check(lib.pksm_select(table.c, lend(U32, ids), len(ids), mask, flags, lend(U32, out), count))
    return out[: count[0]]


def mark(table: TableView, ids: Ids, set_flags: int, clear_flags: int) -> None:
    """Set flags of items, then clear some."""
    check(lib.pksm_mark(table.c, lend(U32, ids), len(ids), set_flags, clear_flags))


def tally(counts: I64Array, at: IdsLike, by: int) -> None:
    """Add `by` to counts (int64) at each of these places (uint32), which may repeat; ValueError if one is beyond."""
    at = ids_array(at)
    status = lib.pksm_tally(lend(I64, counts), len(counts), lend(U32, at), len(at), by)
    if status:
        check(status)


class ItemsOfPages:
    """The column page -> item (uint32, 0: none) as C sees it."""

    def __init__(self, column: U32Array) -> None:
        self.n_pages, self.c = len(column), borrow_writable(column, "uint32_t[]")


def bear(
    table: TableView, ring: "RingView | None", items_of_pages: ItemsOfPages, pages: Pages, ids: Ids, flags: int
) -> None:
    """Give each page the item beside it, with these flags, and append the items to the ring, if there is one.

    PageError, and nothing done, if a page is beyond the column, has an item or comes twice.
    """
    c, columns = ring.c if ring else ffi.NULL, (items_of_pages.c, items_of_pages.n_pages)
    check(lib.pksm_bear(table.c, c, *columns, lend(U32, pages), lend(U32, ids), len(ids), flags))


class RingView:
    """A pksm_ring over its ids and an item table's stamps, alive together.

    ids: uint32 ring; stamps: uint32 by item id; flag: the native flag of the ring.
    """

    def __init__(self, ids: Ids, stamps: U32Array, flag: int) -> None:
        self.c = ffi.new("pksm_ring *")
        self.c.flag = flag
        self._count = ffi.new("size_t *")
        self.move_stamps(stamps)
        self.renew(ids)

    def renew(self, ids: Ids) -> None:
        """Start over as an empty ring of these entries."""
        self._ids = borrow_writable(ids, "uint32_t[]")
        self.c.ids, self.c.size = self._ids, len(ids)
        self.c.head = self.c.tail = 1
        self.c.length = 0

    def lengthen(self, ids: Ids) -> None:
        """Use a longer array: every entry keeps its position."""
        ring, old = self.c, np.frombuffer(ffi.buffer(self._ids), np.uint32)
        at = ring.head
        while at < ring.tail:
            there, here = at % len(old), at % len(ids)
            n = min(ring.tail - at, len(old) - there, len(ids) - here)
            ids[here : here + n] = old[there : there + n]
            at += n
        self._ids = borrow_writable(ids, "uint32_t[]")
        ring.ids, ring.size = self._ids, len(ids)

    def move_stamps(self, stamps: U32Array) -> None:
        """Use another stamp column: the table has grown."""
        self._stamps = borrow_writable(stamps, "uint32_t[]")
        self.c.stamps = self._stamps

    def push(self, table: TableView, ids: Ids) -> None:
        """Append ids; ValueError if there is no room."""
        ids = ids_array(ids)
        check(lib.pksm_ring_push(table.c, self.c, lend(U32, ids), len(ids)))

    def push_where(self, table: TableView, ids: Ids, mask: int, flags: int) -> None:
        """Append those of the ids whose flags under the mask are `flags`; ValueError if there is no room for all."""
        ids = ids_array(ids)
        check(lib.pksm_ring_push_where(table.c, self.c, lend(U32, ids), len(ids), mask, flags))

    def push_parted(self, table: TableView, items_of_pages: ItemsOfPages, pages: Pages) -> None:
        """Part pages from their items and append those; ValueError, and nothing done, if there is no room."""
        columns = items_of_pages.c, items_of_pages.n_pages, lend(U32, pages), len(pages)
        check(lib.pksm_detach_onto(table.c, self.c, *columns))

    def take(self, table: TableView, n: int, peek: bool = False) -> U32Array:
        """Take (or only look at) the first n ids: uint32, oldest first."""
        ring, count = self.c, self._count
        out = np.empty(min(n, ring.length), np.uint32)
        check(lib.pksm_ring_take(table.c, ring, len(out), peek, lend(U32, out), count))
        return out[: count[0]]

    def drop(self, table: TableView, ids: Ids) -> None:
        """Take those of the ids that are on the ring off it."""
        ids = ids_array(ids)
        check(lib.pksm_ring_drop(table.c, self.c, lend(U32, ids), len(ids)))


class FramesView:
    """Two columns by page number, alive together: frame_of and mapcount, uint32."""

    def __init__(self, frame_of: U32Array, mapcount: U32Array) -> None:
        self.n_pages = len(frame_of)
        self.frame_of, self.mapcount = borrow_writable(frame_of, "uint32_t[]"), borrow_writable(mapcount, "uint32_t[]")


def remap(frames_view: FramesView, pages: IdsLike, frames: IdsLike | None) -> None:
    """Point pages with a frame to themselves to other, mapped frames (None: to the zero page).

    ValueError, and nothing done, if they don't fit.
    """
    pages, view = ids_array(pages), frames_view
    frames = None if frames is None else ids_array(frames)
    if frames is not None and len(frames) != len(pages):
        raise ValueError(f"{len(pages)} pages to {len(frames)} frames")
    lent = ffi.NULL if frames is None else lend(U32, frames)
    check(lib.pksm_remap(view.frame_of, view.mapcount, view.n_pages, lend(U32, pages), lent, len(pages)))


def detach(items_of_pages: ItemsOfPages, pages: Pages) -> U32Array:
    """Return the items of those pages that have one, in order, and make them have none."""
    ids, count = np.empty(len(pages), np.uint32), ffi.new("size_t *")
    columns = items_of_pages.c, items_of_pages.n_pages, lend(U32, pages), len(pages)
    check(lib.pksm_detach(*columns, lend(U32, ids), count))
    return ids[: count[0]]


def clear(table: TableView, ids: Ids) -> None:
    """Make items blank again; ItemError, and nothing done, if one is in a tree or on a list."""
    ids = ids_array(ids)
    check(lib.pksm_clear(table.c, lend(U32, ids), len(ids)))


class RecordsView:
    """A pksm_records over two uint32 arrays of one length, alive together."""

    def __init__(self, values: U32Array, next_: U32Array) -> None:
        self.c = ffi.new("pksm_records *")
        self.c.top = 1
        self.move(values, next_)

    def move(self, values: U32Array, next_: U32Array) -> None:
        """Use other arrays: they have grown."""
        self._values, self._next = borrow_writable(values, "uint32_t[]"), borrow_writable(next_, "uint32_t[]")
        self.c.values, self.c.next, self.c.size = self._values, self._next, len(values)


def records_append(table: TableView, records: RecordsView, ids: Ids, values: U32Array) -> None:
    """Add a record with values[i] to the list of item ids[i], in this order; ValueError if there is no room."""
    ids, values = ids_array(ids), ids_array(values)
    if len(ids) != len(values):
        raise ValueError(f"{len(ids)} items, {len(values)} values")
    check(lib.pksm_records_append(table.c, records.c, lend(U32, ids), lend(U32, values), len(ids)))


def records_release(table: TableView, records: RecordsView, ids: Ids) -> U32Array:
    """Give all records of the items back and return their values, uint32."""
    release = lib.pksm_records_release
    return _released(ids, lambda *lent: release(table.c, records.c, *lent))


def release_items(table: TableView, rings: CData, records: RecordsView, ids: Ids) -> U32Array:
    """Take items off these rings, out of their tree, give their records back, and make the items blank.

    Returns the records' values, uint32. ItemError if an item is on another ring.
    """
    n_rings = len(rings)
    return _released(
        ids, lambda *lent: lib.pksm_release_items(table.c, table.c_trees, rings, n_rings, records.c, *lent)
    )


def _released(ids: Ids, release: Callable[..., int]) -> U32Array:
    """What release gives back; once more if it is more than can be expected."""
    ids, count = ids_array(ids), ffi.new("size_t *")
    count[0] = 2 * len(ids)
    while True:
        room = count[0]
        values = np.empty(room, np.uint32)
        check(release(lend(U32, ids), len(ids), lend(U32, values), room, count))
        if count[0] <= room:
            return values[: count[0]]


def rings_array(rings: list[RingView]) -> CData:
    """Return RingViews as release_items takes them; the views must stay alive."""
    return ffi.new("pksm_ring *[]", [ring.c for ring in rings])


def collect(next_: U32Array, heads: Ids) -> U32Array:
    """Follow `next_` (uint32, 0 ends) from every head: return all records met, list by list."""
    heads, count = ids_array(heads), ffi.new("size_t *")
    lists = borrow(next_, "uint32_t[]"), len(next_), borrow(heads, "uint32_t[]"), len(heads)
    check(lib.pksm_collect(*lists, ffi.NULL, count))
    out = np.empty(count[0], np.uint32)
    check(lib.pksm_collect(*lists, borrow_writable(out, "uint32_t[]"), count))
    return out
