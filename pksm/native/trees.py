"""Trees: the item table as C sees it, taking items out and putting them back, and settling a batch."""

import numpy as np

from pksm import errors
from pksm.native.door import borrow, borrow_writable, check, error_of, ffi, ids_array, lib
from pksm.native.types import NODE, ORDERS, STABLE, STAGES, TREES, UNSTABLE

class TableView:
    """A pksm_table over a NODE array with the two trees in it, alive together.

    nodes: NODE array, entry 0 is nil; trees: TREES array of one entry.
    """

    def __init__(self, nodes, trees):
        if nodes.dtype != NODE or trees.dtype != TREES or len(trees) != 1:
            raise ValueError("nodes and trees must be arrays of native.NODE and one native.TREES")
        self.nodes, self.trees = nodes, trees
        self._nodes = borrow_writable(nodes, "pksm_node[]")
        self.c = ffi.new("pksm_table *")
        self.c.nodes, self.c.n_nodes = self._nodes, len(nodes)
        self.c_trees = borrow_writable(trees, "pksm_trees *")


def unlink(table, ids):
    """Take the items out of the tree they are in."""
    ids = ids_array(ids)
    check(lib.pksm_unlink(table.c, table.c_trees, borrow(ids, "uint32_t[]"), len(ids)))


def relink(store, table, order, ids, cost, which=UNSTABLE):
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


def tree_items(table, which):
    """Return the ids in the tree of which (UNSTABLE or STABLE), in its order: a uint32 array."""
    out = np.empty(int(table.trees["n_stable" if which == STABLE else "n_unstable"][0]), np.uint32)
    check(lib.pksm_tree_items(table.c, table.c_trees, which, borrow_writable(out, "uint32_t[]")))
    return out


def trees_check(table, order, store=None):
    """Raise TreeError unless both trees are sound; with a store, by the bytes too."""
    check(lib.pksm_trees_check(store.c if store else ffi.NULL, table.c, table.c_trees, ORDERS[order]))


class PackedRules:
    """A pksm_rules with the checksum it points to, alive together.

    checksum None: the column is always filled; flags: names of the fields of pksm_rules to be 1.
    """

    def __init__(self, stages, order, checksum, zero_checksum, zero_on_differ, on_differ, on_stale, on_unusable, flags, window=1):
        self._checksum = checksum
        self.order = order
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


def settle(store, table, rules, classes, ids, cost):
    """Settle items in order of arrival; see pksm_settle in pksm.h.

    classes: uint8 array, one entry a page number, or None; cost: COST array of one entry, added to.
    Returns (verdicts uint8, others uint32, revisit uint32, done int, error): done may be less than len(ids); error is
    a BusError when the bytes of the first item without a verdict, or of one compared with it, are gone, else None.
    """
    ids = ids_array(ids)
    n = len(ids)
    if classes is not None and (classes.dtype != np.uint8 or len(classes) < store.n_pages):
        raise ValueError("classes must be a uint8 array with an entry for every page number")
    verdicts, others, revisit = np.empty(n, np.uint8), np.empty(n, np.uint32), np.empty(n, np.uint32)
    counts = ffi.new("size_t[2]")
    status = lib.pksm_settle(
        store.c,
        table.c,
        table.c_trees,
        rules.c,
        ffi.NULL if classes is None else borrow(classes, "uint8_t[]"),
        borrow(ids, "uint32_t[]"),
        n,
        borrow_writable(verdicts, "uint8_t[]"),
        borrow_writable(others, "uint32_t[]"),
        borrow_writable(revisit, "uint32_t[]"),
        counts,
        counts + 1,
        borrow_writable(cost, "pksm_cost *"),
    )
    error = error_of(status)
    if error and not isinstance(error, errors.BusError):
        raise error
    return verdicts[: counts[1]], others[: counts[1]], revisit[: counts[0]], counts[1], error
