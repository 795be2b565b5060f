"""Trees: the item table as C sees it, taking items out and putting them back, and settling a batch."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from pksm import errors
from pksm.arrays import Ids, IdsLike, Pages, StructArray, U8Array, U32Array
from pksm.engine.native.checksums import Function
from pksm.engine.native.door import U8, U32, borrow, borrow_writable, check, error_of, ffi, ids_array, lend, lib
from pksm.engine.native.pages import StoreView
from pksm.engine.native.types import NODE, ORDERS, STABLE, STAGES, TREES, UNSTABLE, VERDICTS

_HANGS = VERDICTS.index("HANGS")
COST_POINTER = ffi.typeof("pksm_cost *")
STARTS = ffi.typeof(f"uint32_t[{len(VERDICTS) + 1}]")


class TableView:
    """A pksm_table over a NODE array with the two trees in it, alive together.

    nodes: NODE array, entry 0 is nil; trees: TREES array of one entry; forest: None, or uint32 (2, 4 …, 2) flat: for each
    choice of the top bits of a checksum the root of the unstable tree, then of the stable one.
    """

    def __init__(self, nodes: StructArray, trees: StructArray, forest: U32Array | None = None) -> None:
        if nodes.dtype != NODE or trees.dtype != TREES or len(trees) != 1:
            raise ValueError("nodes and trees must be arrays of native.NODE and one native.TREES")
        self.nodes, self.trees, self.forest = nodes, trees, forest
        self._nodes = borrow_writable(nodes, "pksm_node[]")
        self.c = ffi.new("pksm_table *")
        self.c.nodes, self.c.n_nodes = self._nodes, len(nodes)
        if forest is not None:
            self.c.forest, self.c.forest_bits = borrow_writable(forest, "uint32_t[]"), len(forest).bit_length() - 2
        self.c_trees = borrow_writable(trees, "pksm_trees *")


def unlink(table: TableView, ids: IdsLike) -> None:
    """Take the items out of the tree they are in."""
    ids = ids_array(ids)
    check(lib.pksm_unlink(table.c, table.c_trees, borrow(ids, "uint32_t[]"), len(ids)))


def relink(
    store: StoreView, table: TableView, order: str, ids: IdsLike, cost: StructArray, which: int = UNSTABLE
) -> None:
    """Put items back into the tree of which (UNSTABLE or STABLE) by the checksum column; equals are left out."""
    ids = ids_array(ids)
    check(
        lib.pksm_relink(
            store.c,
            table.c,
            table.c_trees,
            ORDERS[order],
            which,
            borrow(ids, "uint32_t[]"),
            len(ids),
            borrow_writable(cost, "pksm_cost *"),
        )
    )


def tree_items(table: TableView, which: int) -> U32Array:
    """Return the ids in the tree of which (UNSTABLE or STABLE), in its order: a uint32 array."""
    out = np.empty(int(table.trees["n_stable" if which == STABLE else "n_unstable"][0]), np.uint32)
    check(lib.pksm_tree_items(table.c, table.c_trees, which, borrow_writable(out, "uint32_t[]")))
    return out


def trees_check(table: TableView, order: str, store: StoreView | None = None) -> None:
    """Raise TreeError unless both trees are sound; with a store, by the bytes too."""
    check(lib.pksm_trees_check(store.c if store else ffi.NULL, table.c, table.c_trees, ORDERS[order]))


class PackedRules:
    """A pksm_rules with the checksum it points to, alive together.

    checksum None: the column is always filled; flags: names of the fields of pksm_rules to be 1.
    """

    def __init__(
        self,
        stages: Iterable[str],
        order: str,
        checksum: Function | None,
        zero_checksum: int,
        zero_on_differ: int,
        on_differ: int,
        on_stale: int,
        on_unusable: int,
        flags: Iterable[str],
        window: int = 1,
    ) -> None:
        self._checksum = checksum
        self.order, self.zero_checksum, self.window = order, zero_checksum, window
        self.c = ffi.new("pksm_rules *")
        self.c.stages = bytes(STAGES[stage] for stage in stages).ljust(8, b"\0")
        self.c.order = ORDERS[order]
        self.c.zero_on_differ, self.c.on_differ, self.c.on_stale = zero_on_differ, on_differ, on_stale
        self.c.on_unusable, self.c.window = on_unusable, window
        for name in flags:
            setattr(self.c, name, 1)
        self.c.zero_checksum = zero_checksum
        if checksum is not None:
            self.c.checksum = checksum.c[0]


class Answers(NamedTuple):
    """What settle says of the first `done` of a batch.

    verdicts: uint8; others: uint32, the item each names (0: none); both in order of arrival. revisit: uint32, unlinked
    because their page had changed. rows: uint32 (5, done), sorted by verdict: position, item, the item named, the page
    of either; columns starts[v] to starts[v + 1] are of verdict v. error: a BusError when the bytes of the first item
    without a verdict, or of one compared with it, are gone, else None.
    """

    done: int
    verdicts: np.ndarray
    others: np.ndarray
    revisit: np.ndarray
    rows: np.ndarray
    starts: list[int]
    error: Exception | None

    def count_of(self, verdict: int) -> int:
        """Return how many items have this verdict."""
        return self.starts[verdict + 1] - self.starts[verdict]

    @property
    def hangs(self) -> bool:
        """True if the search of the last item has no end."""
        return self.done > 0 and bool(self.verdicts[-1] == _HANGS)


class Ahead:
    """A pksm_ahead: sums of a batch that other threads make while one settles it.

    pages: uint32, by position in the batch; NO_PAGE: not to be summed. They may be `lead` pages ahead.
    """

    def __init__(self, store: StoreView, checksum: Function, pages: Pages, lead: int) -> None:
        n, blocks = len(pages), -(-len(pages) // lib.PKSM_AHEAD_BLOCK)
        sums, zero, ready = np.empty(n, np.uint64), np.empty(n, np.uint8), np.zeros(blocks, np.uint8)
        self._store, self._checksum = store, checksum
        self._lent = lend(U32, pages), lend("uint64_t[]", sums), lend(U8, zero), lend(U8, ready)
        self.c = ffi.new("pksm_ahead *")
        self.c.pages, self.c.sums, self.c.zero, self.c.ready = self._lent
        self.c.n, self.c.lead = n, lead

    def sum(self) -> None:
        """Sum ahead, in a thread that does not settle, until settle has ended. Pages that are gone are left to settle."""
        status = lib.pksm_sum_ahead(self._store.c, self._checksum.c, self.c)
        if status != lib.PKSM_EBUS:
            check(status)

    def stop(self) -> None:
        """Let the others return, if settle has not."""
        self.c.at = 0xFFFFFFFFFFFFFFFF


def settle(
    store: StoreView,
    table: TableView,
    rules: PackedRules,
    classes: U8Array | None,
    ids: IdsLike,
    cost: StructArray,
    ahead: Ahead | None = None,
) -> Answers:
    """Settle items in order of arrival; see pksm_settle_batch in pksm.h.

    classes: uint8 array, one entry a page number, or None; cost: COST array of one entry, added to; ahead: sums that
    others make meanwhile. Returns Answers.
    """
    ids = ids_array(ids)
    n = len(ids)
    if classes is not None and (classes.dtype != np.uint8 or len(classes) < store.n_pages):
        raise ValueError("classes must be a uint8 array with an entry for every page number")
    block, counts, starts = np.empty(8 * n, np.uint32), ffi.new("size_t[2]"), ffi.new(STARTS)
    status = lib.pksm_settle_batch(
        store.c,
        table.c,
        table.c_trees,
        rules.c,
        ffi.NULL if classes is None else lend(U8, classes),
        lend(U32, ids),
        n,
        ahead.c if ahead else ffi.NULL,
        lend(U32, block),
        starts,
        counts,
        counts + 1,
        lend(COST_POINTER, cost),
    )
    error = error_of(status) if status else None
    if error and not isinstance(error, errors.BusError):
        raise error
    n_revisit, done = counts
    others, revisit, verdicts = block[5 * n : 5 * n + done], block[6 * n : 6 * n + n_revisit], block[7 * n :]
    rows = block[: 5 * done].reshape(5, done)
    return Answers(done, verdicts.view(np.uint8)[:done], others, revisit, rows, ffi.unpack(starts, len(starts)), error)


def sorted_answers(
    table: TableView, ids: IdsLike, verdicts: U8Array, others: Ids, revisit: Ids, error: Exception | None = None
) -> Answers:
    """Return the Answers that these verdicts (uint8) and what they name (uint32) are."""
    rows, starts = np.empty((5, len(ids)), np.uint32), ffi.new(STARTS)
    columns = lend(U32, ids), lend(U8, verdicts), lend(U32, others)
    check(lib.pksm_sort_verdicts(table.c, *columns, len(ids), lend(U32, rows), starts))
    return Answers(len(ids), verdicts, others, revisit, rows, ffi.unpack(starts, len(starts)), error)
