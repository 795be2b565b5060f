"""KSM's visits: what KSM keeps beside the item table as C sees it, and the entries of csrc/ksm.c."""

import numpy as np

from pksm.arrays import BoolArray, Ids, IdsLike, StructArray, U8Array, U32Array
from pksm.engine.native.door import borrow, borrow_writable, check, ffi, ids_array, lib
from pksm.engine.native.pages import StoreView
from pksm.engine.native.trees import PackedRules, TableView
from pksm.engine.native.types import KSM_COUNTS


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


def ksm_visit(
    store: StoreView,
    table: TableView,
    ksm: KsmView,
    rules: PackedRules,
    limits: dict[str, int],
    classes: U8Array | None,
    ids: Ids,
    mapped: BoolArray,
    limit: int,
    cost: StructArray,
) -> tuple[U8Array, U32Array, int]:
    """Visit items in order until `limit` were visited; see pksm_ksm_visit in pksm.h.

    mapped: bool, one an id; limits: {field of pksm_ksm_limits: int}. Returns (verdicts uint8, others uint32, done int).
    """
    n = len(ids)
    if classes is not None and (classes.dtype != np.uint8 or len(classes) < store.n_pages):
        raise ValueError("classes must be a uint8 array with an entry for every page number")
    verdicts, others, done = np.empty(n, np.uint8), np.empty(n, np.uint32), ffi.new("size_t *")
    status = lib.pksm_ksm_visit(
        store.c,
        table.c,
        table.c_trees,
        ksm.c,
        rules.c,
        ffi.new("pksm_ksm_limits *", limits),
        ffi.NULL if classes is None else borrow(classes, "uint8_t[]"),
        borrow(ids, "uint32_t[]"),
        borrow(mapped.view(np.uint8), "uint8_t[]"),
        n,
        limit,
        borrow_writable(verdicts, "uint8_t[]"),
        borrow_writable(others, "uint32_t[]"),
        done,
        borrow_writable(cost, "pksm_cost *"),
    )
    check(status)
    return verdicts[: done[0]], others[: done[0]], done[0]


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
