"""KSM's visits: what KSM keeps beside the item table as C sees it, and the entries of csrc/ksm.c."""

import numpy as np

from pksm.arrays import BoolArray, I64Array, Ids, IdsLike, Pages, StructArray, U8Array, U32Array
from pksm.engine.native.door import I64, U8, U32, CData, borrow, borrow_writable, check, ffi, ids_array, lend, lib
from pksm.engine.native.pages import StoreView
from pksm.engine.native.trees import COST_POINTER, STARTS, Answers, PackedRules, TableView
from pksm.engine.native.types import KSM_COUNTS

LEAF: int = lib.PKSM_LEAF
ROOM = 64  # items that are met though their page is not mapped any more: more of them take a second look
_RANGE, _MET = ffi.typeof("pksm_ksm_range *"), ffi.typeof("pksm_ksm_met *")


class KsmView:
    """A pksm_ksm over its arrays, alive together.

    node_of_page: uint32 by page number; sharers, next: uint32 by item id; spare: uint32, room for every spare id;
    counts: KSM_COUNTS array of one entry.
    """

    def __init__(
        self, node_of_page: U32Array, sharers: U32Array, following: U32Array, spare: U32Array, counts: StructArray
    ) -> None:
        if counts.dtype != KSM_COUNTS or len(counts) != 1:
            raise ValueError("counts must be one native.KSM_COUNTS")
        self._arrays = [borrow_writable(array, "uint32_t[]") for array in (node_of_page, sharers, following, spare)]
        self._counts = borrow_writable(counts, "pksm_ksm_counts *")
        self.c = ffi.new("pksm_ksm *")
        self.c.node_of_page, self.c.sharers, self.c.next, self.c.spare = self._arrays
        self.c.n_pages, self.c.counts = len(node_of_page), self._counts


class PlacesView:
    """A pksm_ksm_places over its arrays, alive together, and what a visit of an mm asks of them.

    leaves: uint32, rows of LEAF places; mm: uint32 and virtual_page: int64, by item id.
    """

    def __init__(self, leaves: U32Array, mm: U32Array, virtual_page: I64Array) -> None:
        self._leaves, self._mm = borrow_writable(leaves, "uint32_t[]"), borrow_writable(mm, "uint32_t[]")
        self._virtual_page = borrow_writable(virtual_page, "int64_t[]")
        self.c, self.range, self.met = ffi.new("pksm_ksm_places *"), ffi.new(_RANGE), ffi.new(_MET)
        self.c.leaves, self.c.n_rows = self._leaves, len(self._leaves) // LEAF
        self.c.mm, self.c.virtual_page = self._mm, self._virtual_page


def ksm_meet(
    table: TableView,
    places: PlacesView,
    mm: int,
    span: tuple[int, int],
    leaves: tuple[I64Array, I64Array],
    mapped: tuple[I64Array, Pages],
    n_frames: int,
    fresh: Ids,
) -> tuple[Ids, BoolArray, BoolArray] | tuple[int, bool]:
    """Return what a visit meets in a range of an mm: (items, whether mapped, whether new); see pksm_ksm_meet in pksm.h.

    span: virtual pages first .. end - 1; leaves: numbers and rows; mapped: virtual pages, and their frames, which are
    below n_frames; fresh: blank ids. Where these are not as many as are needed, or a page has no leaf, it does nothing
    and returns (how many are needed, whether a page has no leaf).
    """
    asked, met, n = places.range, places.met, len(mapped[0])
    # cffi keeps what is lent alive as long as these names do
    numbers, rows, pages = lend(I64, leaves[0]), lend(I64, leaves[1]), lend(I64, mapped[0])
    frames, room = lend(U32, mapped[1]), n + ROOM
    asked.mm, asked.n_leaves, asked.n, asked.n_frames = mm, len(leaves[0]), n, n_frames
    asked.first, asked.end = span
    asked.numbers, asked.rows, asked.pages, asked.frames = numbers, rows, pages, frames
    while True:
        ids, masks = np.empty(room, np.uint32), np.empty((2, room), bool)
        lent = lend(U32, ids), lend(U8, masks)
        met.ids, met.mapped, met.fresh = lent[0], lent[1], lent[1] + room
        check(lib.pksm_ksm_meet(table.c, places.c, asked, lend(U32, fresh), len(fresh), room, met))
        if met.done:
            return ids[: met.n], masks[0, : met.n], masks[1, : met.n]
        if met.without_leaf or met.n_fresh != len(fresh):
            return met.n_fresh, met.without_leaf > 0
        room = met.n


def ksm_visit(
    store: StoreView,
    table: TableView,
    ksm: KsmView,
    rules: PackedRules,
    limits: CData,
    classes: U8Array | None,
    ids: Ids,
    mapped: BoolArray,
    limit: int,
    cost: StructArray,
) -> Answers:
    """Visit items in order until `limit` were visited; see pksm_ksm_visit in pksm.h.

    mapped: bool, one an id; limits: as of ksm_limits. Returns Answers.
    """
    n = len(ids)
    if classes is not None and (classes.dtype != np.uint8 or len(classes) < store.n_pages):
        raise ValueError("classes must be a uint8 array with an entry for every page number")
    block, done, starts = np.empty(7 * n, np.uint32), ffi.new("size_t *"), ffi.new(STARTS)
    status = lib.pksm_ksm_visit_batch(
        store.c,
        table.c,
        table.c_trees,
        ksm.c,
        rules.c,
        limits,
        ffi.NULL if classes is None else lend(U8, classes),
        lend(U32, ids),
        lend(U8, mapped),
        n,
        limit,
        lend(U32, block),
        starts,
        done,
        lend(COST_POINTER, cost),
    )
    check(status)
    n_done = done[0]
    rows, others = block[: 5 * n_done].reshape(5, n_done), block[5 * n : 5 * n + n_done]
    verdicts = block[6 * n :].view(np.uint8)[:n_done]
    return Answers(n_done, verdicts, others, block[:0], rows, ffi.unpack(starts, len(starts)), None)


def ksm_limits(limits: dict[str, int]) -> CData:
    """Return {field of pksm_ksm_limits: int} as ksm_visit takes it; its fields can be set."""
    return ffi.new("pksm_ksm_limits *", limits)


def ksm_drop(table: TableView, ksm: KsmView, ids: IdsLike, cost: StructArray) -> None:
    """Take items out of the unstable tree, or off their stable nodes."""
    ids = ids_array(ids)
    check(
        lib.pksm_ksm_drop(
            table.c, table.c_trees, ksm.c, borrow(ids, "uint32_t[]"), len(ids), borrow_writable(cost, "pksm_cost *")
        )
    )


def ksm_bury(table: TableView, ksm: KsmView, pages: IdsLike) -> None:
    """Tell that these pages are free."""
    pages = ids_array(pages)
    check(lib.pksm_ksm_bury(table.c, ksm.c, borrow(pages, "uint32_t[]"), len(pages)))


def ksm_remove_dead(table: TableView, ksm: KsmView, cost: StructArray) -> bool:
    """Remove stable nodes whose pages are gone; return whether none is left. See pksm_ksm_remove_dead in pksm.h."""
    left = ffi.new("int *")
    check(lib.pksm_ksm_remove_dead(table.c, table.c_trees, ksm.c, left, borrow_writable(cost, "pksm_cost *")))
    return not left[0]


def ksm_pass(table: TableView, ksm: KsmView) -> None:
    """Throw the unstable tree away."""
    check(lib.pksm_ksm_pass(table.c, table.c_trees, ksm.c))
