"""UKSM's visits: what UKSM keeps beside the item table as C sees it, and the entries of csrc/uksm.c."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pksm.arrays import BoolArray, IdsLike, Pages, StructArray, U8Array, U32Array, U64Array
from pksm.engine.native.buckets import BucketsView
from pksm.engine.native.checksums import Function
from pksm.engine.native.door import CData, borrow, borrow_writable, check, error_of, ffi, ids_array, lib
from pksm.engine.native.pages import StoreView
from pksm.engine.native.trees import TableView
from pksm.engine.native.types import UKSM_WORK

_BY_ITEM = ("slot", "index", "full", "node", "first", "count", "freed")
_ARRAYS = ("permutation", "item_at", "kept_of_page", "spare", *_BY_ITEM)


class UksmView:
    """A pksm_uksm over its arrays, alive together.

    trees: BucketsViews: the unstable tree's nodes and items, and the stable one's; arrays: {field: uint32 array}.
    """

    def __init__(self, trees: Sequence[BucketsView], arrays: dict[str, U32Array]) -> None:
        self._trees, self._arrays = trees, {}
        self.c = ffi.new("pksm_uksm *")
        for name in _ARRAYS:
            self._arrays[name] = borrow_writable(arrays[name], "uint32_t[]")
            setattr(self.c, name, self._arrays[name])
        self.c.n_entries = min(len(arrays["permutation"]), len(arrays["item_at"]))
        self.c.n_pages, self.c.n_room = len(arrays["kept_of_page"]), len(arrays["spare"])
        self.c.n_ids = min(len(arrays[name]) for name in _BY_ITEM)
        for one, view in zip(self._buckets(), trees, strict=True):
            one[0] = view.c[0]

    def _buckets(self) -> list[CData]:
        c = self.c
        return [
            ffi.addressof(c.unstable, "nodes"),
            ffi.addressof(c.unstable, "items"),
            ffi.addressof(c.stable, "nodes"),
            ffi.addressof(c.stable, "items"),
        ]

    def give_back(self) -> None:
        """Let the buckets know what they hold."""
        for one, view in zip(self._buckets(), self._trees, strict=True):
            view.c.n_items = one.n_items


def uksm_pace(fields: dict[str, int | float]) -> CData:
    """Return a pksm_uksm_pace; fields: {name: number}."""
    return ffi.new("pksm_uksm_pace *", fields)


def uksm_visit(
    store: StoreView,
    table: TableView,
    uksm: UksmView,
    checksums: tuple[Function, Function],
    fields: dict[str, int],
    classes: U8Array | None,
    first: int,
    pages: Pages,
    own: BoolArray,
    work: StructArray,
    pace: CData | None = None,
) -> tuple[U8Array, U32Array, Exception | None]:
    """Visit entries from `first` on, or make wake-ups one after the other; see pksm_uksm_visit and _wakes in pksm.h.

    Args:
        checksums: at the strength of now, and at the highest.
        fields: {name: number} of pksm_uksm_rules.
        classes: uint8 by page number, or None if every page is free to merge.
        pages, own: of the entries; uint32 (n,) and bool (n,).
        pace: of uksm_pace, for wake-ups; None: one visit of all entries.

    Returns:
        (outs, others) of what was visited, and a BusError if bytes were gone.
    """
    n = len(pages)
    if work.dtype != UKSM_WORK or len(own) != n:
        raise ValueError("work must be native.UKSM_WORK, and own as long as pages")
    if classes is not None and (classes.dtype != np.uint8 or len(classes) < store.n_pages):
        raise ValueError("classes must be a uint8 array with an entry for every page number")
    rules = ffi.new("pksm_uksm_rules *", fields)
    rules.checksum, rules.full = checksums[0].c[0], checksums[1].c[0]
    outs, others = np.empty(n, np.uint8), np.empty(n, np.uint32)
    before = (
        store.c,
        table.c,
        uksm.c,
        rules,
        ffi.NULL if classes is None else borrow(classes, "uint8_t[]"),
        first,
        borrow(pages, "uint32_t[]"),
        borrow(own.view(np.uint8), "uint8_t[]"),
        n,
    )
    after = (
        borrow_writable(outs, "uint8_t[]"),
        borrow_writable(others, "uint32_t[]"),
        borrow_writable(work, "pksm_uksm_work *"),
    )
    status = lib.pksm_uksm_visit(*before, *after) if pace is None else lib.pksm_uksm_wakes(*before, pace, *after)
    uksm.give_back()
    error = error_of(status) if status else None
    if error and status != lib.PKSM_EBUS:
        raise error
    done = int(work["done"][0])
    return outs[:done], others[:done], error


def uksm_drop(table: TableView, uksm: UksmView, ids: IdsLike, for_good: bool, work: StructArray) -> None:
    """Take items out of the tree or off their stable nodes."""
    ids = ids_array(ids)
    arguments = table.c, uksm.c, borrow(ids, "uint32_t[]"), len(ids), for_good
    check(lib.pksm_uksm_drop(*arguments, borrow_writable(work, "pksm_uksm_work *")))
    uksm.give_back()


def uksm_bury(table: TableView, uksm: UksmView, pages: Pages, work: StructArray) -> None:
    """Let the stable nodes of freed pages be found no more."""
    arguments = table.c, uksm.c, borrow(pages, "uint32_t[]"), len(pages)
    check(lib.pksm_uksm_bury(*arguments, borrow_writable(work, "pksm_uksm_work *")))
    uksm.give_back()


def uksm_sort_in(
    table: TableView, uksm: UksmView, ids: IdsLike, sums: U64Array, fulls: U64Array, work: StructArray
) -> None:
    """Put stable nodes into the stable tree by these hashes and full hashes."""
    ids = ids_array(ids)
    hashes = borrow(sums, "uint64_t[]"), borrow(fulls, "uint64_t[]")
    arguments = table.c, uksm.c, borrow(ids, "uint32_t[]"), *hashes, len(ids)
    check(lib.pksm_uksm_sort_in(*arguments, borrow_writable(work, "pksm_uksm_work *")))
    uksm.give_back()


def uksm_empty(table: TableView, uksm: UksmView, work: StructArray) -> None:
    """Let everything out of both trees."""
    check(lib.pksm_uksm_empty(table.c, uksm.c, borrow_writable(work, "pksm_uksm_work *")))
    uksm.give_back()


def uksm_shuffle(uksm: UksmView, base: int, first: int, partners: U64Array, end: int) -> None:
    """Swap entries from `first` on with their partners."""
    check(lib.pksm_uksm_shuffle(uksm.c, base, first, borrow(partners, "uint64_t[]"), len(partners), end))


def uksm_unshuffle(uksm: UksmView, base: int, first: int, partners: U64Array, end: int) -> None:
    """Take swaps of uksm_shuffle back."""
    check(lib.pksm_uksm_unshuffle(uksm.c, base, first, borrow(partners, "uint64_t[]"), len(partners), end))
