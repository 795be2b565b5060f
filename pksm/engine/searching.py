"""Searching both trees for contents that are not pages, without a change to anything."""

import numpy as np

from pksm.arrays import BoolArray, I8Array, IntArray, U8Array, U32Array, U64Array
from pksm.engine import native
from pksm.engine.items import ItemTable
from pksm.engine.settle import class_of
from pksm.engine.store import Store


def would_share(
    store: Store,
    items: ItemTable,
    order: str,
    checksum: native.AnyChecksum,
    contents: U8Array,
    classes: U8Array | None,
    zero_shares: bool,
) -> BoolArray:
    """Return for each of the contents (uint8 (n, page_size)) whether a page with these bytes would merge now.

    All searches go down a tree together, a step at a time: as many calls as the tree is high. Items of freed pages, and
    pages that can't be merged now, don't count.
    """
    contents = np.ascontiguousarray(contents)
    n = len(contents)
    if not n:
        return np.zeros(0, bool)
    first = len(store.view._sections) * 64
    own = Store(store.page_size)
    own.add(contents)
    # one view of both memories, so that C compares pages of the one with pages of the other
    view = native.StoreView(np.concatenate((store.view._sections, own.view._sections)), first + n, store.page_size)
    wanted = np.arange(first, first + n, dtype=np.uint32)
    sums = None if order == "content" else native.checksum_pages(view, checksum, wanted)
    found = np.zeros(n, bool)
    if zero_shares:
        found |= native.pages_are_zero(view, wanted) != 0
    for tree in (native.STABLE, native.UNSTABLE):
        left = np.flatnonzero(~found)
        hits = _search(view, items, tree, order, wanted[left], None if sums is None else sums[left])
        there = hits != 0
        ids = hits[there]
        fit = ((items.flags[ids] & native.DELLIST) == 0) & (class_of(classes, items.page[ids]) == native.FREE)
        found[left[there]] = fit
    return found


def _search(
    view: native.StoreView, items: ItemTable, tree: int, order: str, wanted: U32Array, sums: U64Array | None
) -> U32Array:
    """Return the item with the bytes of each wanted page, 0 where there is none."""
    hits = np.zeros(len(wanted), np.uint32)
    who: IntArray = np.arange(len(wanted))
    at = items.roots(tree, np.zeros(len(wanted), np.uint64) if sums is None else sums)
    who, at = who[at != 0], at[at != 0]
    while len(who):
        side = np.zeros(len(at), np.int8)
        if sums is not None:
            side = _signs(sums[who], items.checksum[at])
        alike = side == 0
        dead = alike & ((items.flags[at] & native.DELLIST) != 0)  # its bytes say nothing: what is equal may be anywhere
        met = np.flatnonzero(alike & ~dead)
        if len(met):
            side[met] = native.pages_compare(view, wanted[who[met]], items.page[at[met]])
            equal = met[side[met] == 0]
            hits[who[equal]] = at[equal]
        ends = alike & ~dead if order == "checksum" else np.zeros(len(at), bool)  # one content a checksum
        left, right = (side < 0) & ~ends | dead, (side > 0) & ~ends | dead
        who, at = (
            np.concatenate((who[left], who[right])),
            np.concatenate((items.left[at[left]], items.right[at[right]])),
        )
        who, at = who[at != 0], at[at != 0]
    return hits


def _signs(a: U64Array, b: U64Array) -> I8Array:
    return (a > b).astype(np.int8) - (a < b).astype(np.int8)
