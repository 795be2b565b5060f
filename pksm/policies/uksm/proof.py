"""The proof that what uksm knows of pages is consistent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pksm.engine import native
from pksm.policies.uksm.ladder import Rung
from pksm.policies.uksm.tables import Tables


def check(tables: Tables, rungs: Sequence[Rung]) -> None:
    """Raise AssertionError unless items, trees, stable nodes, slots and counts agree."""
    tables.items.check_ids()
    items, item_at = tables.items, tables.slots.item_at
    ids = item_at[item_at != 0]
    assert len(np.unique(ids)) == len(ids), "an item is at two entries"
    linked = items.link[ids]
    nodes, counts = np.unique(linked[linked != 0], return_counts=True)
    assert (tables.column("count")[nodes] == counts).all(), "a stable node counts other items than hang on it"
    work, found = tables.work, items.flags[nodes] & native.STABLE != 0
    assert int(work["shared"][0]) == int(found.sum()), "pages_shared is not what things hang on"
    assert int(work["sharing"][0]) == int((counts[found] - 1).sum()), "pages_sharing is not what hangs on others' pages"
    waiting = items.flags[ids] & (native.UNSTABLE | native.PASSED)
    assert int(work["unshared"][0]) == int(np.count_nonzero(waiting)), "pages_unshared is not what waits"
    kept = np.flatnonzero(items.flags & native.STABLE)
    buried = items.flags[kept] & native.DELLIST != 0
    assert np.isin(kept[buried], nodes).all(), "a stable node without a page stays for nobody"
    living = kept[~buried]
    assert np.array_equal(tables.kept_of_page[items.page[living]], living), "a kept page has another node"
    assert np.count_nonzero(tables.kept_of_page) == len(living), "a page is kept by a node that is not found"
    records = np.count_nonzero(tables.column("node"))
    in_tree = np.flatnonzero(tables.column("node"))
    assert records == len(kept) + int(np.count_nonzero(items.flags[ids] & native.UNSTABLE)), "a tree has others"
    trees = np.unique(tables.column("node")[in_tree])
    assert len(trees) == len(tables.trees[0]) + len(tables.trees[2]), "a node of a tree is empty, or lost"
    for rung in rungs:
        there = [slot for slot in rung.slots if slot]
        assert rung.n == len(there) and rung.pages == sum(slot.n for slot in there), "a rung counts others"
    permuted = all(0 <= slot.cursor <= slot.n for slot in tables.slots.by_key.values())
    assert permuted, "a cursor is outside its slot"
