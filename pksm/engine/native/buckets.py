"""Hash tables of items, and CKSM's walk over a list of them: csrc/buckets.c and csrc/cksm.c."""

import numpy as np

from pksm.arrays import IdsLike, StructArray, U8Array, U32Array, U64Array
from pksm.engine.native.checksums import Function
from pksm.engine.native.door import CData, borrow, borrow_writable, check, error_of, ffi, ids_array, lib
from pksm.engine.native.pages import StoreView
from pksm.engine.native.trees import TableView
from pksm.engine.native.types import CKSM_CURSOR


class BucketsView:
    """A pksm_buckets over its arrays, alive together.

    heads: uint32, a power of two of them; following, before: uint32 by item id, which several tables may share.
    """

    def __init__(self, heads: U32Array, following: U32Array, before: U32Array) -> None:
        self.heads = heads
        self.c = ffi.new("pksm_buckets *")
        self.c.heads = self._heads = borrow_writable(heads, "uint32_t[]")
        self.c.n_heads = len(heads)
        self.move(following, before)

    def __len__(self) -> int:
        n: int = self.c.n_items
        return n

    def move(self, following: U32Array, before: U32Array) -> None:
        """Be over these columns from now on: the table has grown."""
        self.c.next = self._next = borrow_writable(following, "uint32_t[]")
        self.c.before = self._before = borrow_writable(before, "uint32_t[]")
        self.c.n_ids = min(len(following), len(before))
        self._columns = following, before

    def refill(self, ids: U32Array, keys: U64Array) -> None:
        """Hold these items, and no others. keys: uint64, their checksums."""
        following, before = self._columns
        buckets = keys & np.uint64(len(self.heads) - 1)
        order = np.argsort(buckets, kind="stable")
        ids, buckets = ids[order], buckets[order]
        joined = buckets[1:] == buckets[:-1]
        following[ids] = before[ids] = 0
        following[ids[:-1][joined]] = ids[1:][joined]
        before[ids[1:][joined]] = ids[:-1][joined]
        begins = np.append(True, ~joined)[: len(ids)]
        self.heads[:] = 0
        self.heads[buckets[begins]] = ids[begins]
        self.c.n_items = len(ids)

    def clear(self) -> None:
        """Let no item be in it; its items keep their flags."""
        self.heads[:] = 0
        self.c.n_items = 0


def buckets_remove(table: TableView, unstable: BucketsView, stable: BucketsView, ids: IdsLike) -> None:
    """Take items out of the table that their flags name."""
    ids = ids_array(ids)
    check(lib.pksm_buckets_remove(table.c, unstable.c, stable.c, borrow(ids, "uint32_t[]"), len(ids)))


class CksmRules:
    """A pksm_cksm_rules with the checksum it points to, alive together; fields: {name: int} of the others."""

    def __init__(self, checksum: Function, fields: dict[str, int]) -> None:
        self._checksum = checksum
        self.c = ffi.new("pksm_cksm_rules *", fields)
        self.c.checksum = checksum.c[0]


def cksm_visit(
    store: StoreView,
    table: TableView,
    buckets: tuple[BucketsView, BucketsView],
    order: U32Array,
    births: U32Array,
    cursor: StructArray,
    rules: CksmRules,
    classes: U8Array | None,
    room: int,
    cost: StructArray,
) -> tuple[U32Array, U8Array, U32Array, Exception | None]:
    """Go on with a wake-up; see pksm_cksm_visit in pksm.h.

    buckets: the unstable and the stable table; order: uint32, the list; births: uint32 by item id; cursor: CKSM_CURSOR
    array of one entry. Returns (ids, verdicts, others) of up to `room` visits, and a BusError if bytes were gone.
    """
    if cursor.dtype != CKSM_CURSOR or len(cursor) != 1:
        raise ValueError("the cursor must be one native.CKSM_CURSOR")
    if classes is not None and (classes.dtype != np.uint8 or len(classes) < store.n_pages):
        raise ValueError("classes must be a uint8 array with an entry for every page number")
    lists: CData = ffi.new("pksm_cksm *")
    lists.unstable, lists.stable = buckets[0].c[0], buckets[1].c[0]
    lists.order, lists.n_order = (kept := borrow(order, "uint32_t[]")), len(order)
    lists.births, lists.n_births = (born := borrow(births, "uint32_t[]")), len(births)
    ids, others, verdicts = np.empty(room, np.uint32), np.empty(room, np.uint32), np.empty(room, np.uint8)
    done = ffi.new("size_t *")
    status = lib.pksm_cksm_visit(
        store.c,
        table.c,
        lists,
        borrow_writable(cursor, "pksm_cksm_cursor *"),
        rules.c,
        ffi.NULL if classes is None else borrow(classes, "uint8_t[]"),
        room,
        borrow_writable(ids, "uint32_t[]"),
        borrow_writable(verdicts, "uint8_t[]"),
        borrow_writable(others, "uint32_t[]"),
        done,
        borrow_writable(cost, "pksm_cost *"),
    )
    del kept, born
    buckets[0].c.n_items, buckets[1].c.n_items = lists.unstable.n_items, lists.stable.n_items
    error = error_of(status) if status else None
    if error and status != lib.PKSM_EBUS:
        raise error
    n = done[0]
    return ids[:n], verdicts[:n], others[:n], error
