"""Rows of contents: (sum, tail, member, count), one for each content in each member; the arithmetic of map and reduce."""

import numpy as np

from pksm.arrays import AnyArray, BoolArray, StructArray, U32Array, U64Array

ROW = np.dtype([("sum", "<u8"), ("tail", "<u8"), ("member", "<u4"), ("count", "<u4")])


def rows_of(sums: U64Array, tails: U64Array, members: U32Array, counts: U32Array | None = None) -> StructArray:
    """Return the distinct (sum, tail, member) with what their counts come to, sorted in this order: ROW (n,).

    Args:
        sums, tails: uint64 (m,), the contents: both words of their checksums.
        members: uint32 (m,), whose they are.
        counts: uint32 (m,); None: each counts once.
    """
    order = _order(sums, tails, members)
    ordered: tuple[AnyArray, ...] = (sums[order], tails[order], members[order])
    first = np.zeros(len(order), bool)
    first[:1] = True
    for column in ordered:
        first[1:] |= column[1:] != column[:-1]
    if counts is None:
        totals: AnyArray = np.diff(np.flatnonzero(first), append=len(order))
    else:
        totals = counts[order]
        if not first.all():
            totals = np.add.reduceat(totals, np.flatnonzero(first), dtype=np.uint64)
    made = np.empty(len(totals), ROW)
    for name, column in zip(("sum", "tail", "member"), ordered, strict=True):
        made[name] = column[first]
    made["count"] = np.minimum(totals, 0xFFFFFFFF)
    return made


def first_of_contents(rows: StructArray) -> BoolArray:
    """Return which rows, sorted, are the first of their content: bool (n,)."""
    first = np.ones(len(rows), bool)
    np.logical_or(rows["sum"][1:] != rows["sum"][:-1], rows["tail"][1:] != rows["tail"][:-1], out=first[1:])
    return first


def in_order(rows: StructArray) -> StructArray:
    """Return rows (ROW), each of another content or member, sorted by content and then by member."""
    return rows.take(_order(np.ascontiguousarray(rows["sum"]), rows["tail"], rows["member"]))


def _order(sums: U64Array, tails: AnyArray, members: AnyArray) -> AnyArray:
    """Return what sorts by sum, then by tail, then by member: int64 (n,).

    Sorting numbers is several times faster than sorting what they are keys of. So as much of each sum as fits is sorted
    together with its place, and where that leaves something open the few rows are sorted by all they have.
    """
    if not len(sums):
        return np.zeros(0, np.int64)
    place_bits = (len(sums) - 1).bit_length()
    low = sums.min()
    lost = np.uint64(max(0, int(sums.max() - low).bit_length() + place_bits - 64))
    packed = sums - low
    packed >>= lost
    packed <<= np.uint64(place_bits)
    packed |= np.arange(len(sums), dtype=np.uint64)
    packed.sort()
    order = (packed & np.uint64((1 << place_bits) - 1)).astype(np.int64)
    packed >>= np.uint64(place_bits)
    again = np.zeros(len(sums), bool)
    np.equal(packed[1:], packed[:-1], out=again[1:])
    same = np.flatnonzero(again)
    one, two = order[same - 1], order[same]
    wrong = (sums[one] > sums[two]) | (
        (sums[one] == sums[two])
        & ((tails[one] > tails[two]) | ((tails[one] == tails[two]) & (members[one] > members[two])))
    )
    if wrong.any():
        run = np.cumsum(~again)  # of rows that the part sorted leaves open
        is_open = np.zeros(int(run[-1]) + 1, bool)
        is_open[run[same[wrong]]] = True
        open_ = np.flatnonzero(is_open[run])
        rows = order[open_]
        order[open_] = rows[np.lexsort((members[rows], tails[rows], sums[rows]))]
    return order


def check(rows: StructArray, n_members: int) -> None:
    """Raise AssertionError unless rows are sorted, each is there once, and members are among so many."""
    same = np.ones(max(0, len(rows) - 1), bool)
    later = np.zeros(len(same), bool)
    for name in ("sum", "tail", "member"):
        later |= same & (rows[name][1:] > rows[name][:-1])
        same &= rows[name][1:] == rows[name][:-1]
    assert later.all(), "rows are not in order, or come twice"
    assert (rows["count"] > 0).all() and (not len(rows) or int(rows["member"].max()) < n_members)
