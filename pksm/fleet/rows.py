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
    order = np.argsort(sums, kind="stable")  # runs that are sorted already, as those of files, are merged
    ordered: tuple[AnyArray, ...] = (sums[order], tails[order], members[order])
    if not _in_order(*ordered):
        order = np.lexsort((members, tails, sums))
        ordered = sums[order], tails[order], members[order]
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


def _in_order(sums: AnyArray, tails: AnyArray, members: AnyArray) -> bool:
    """Return whether rows that are sorted by sum are sorted by tail and member, too."""
    same = sums[1:] == sums[:-1]
    wrong = tails[1:] < tails[:-1]
    wrong |= (tails[1:] == tails[:-1]) & (members[1:] < members[:-1])
    return not (same & wrong).any()


def check(rows: StructArray, n_members: int) -> None:
    """Raise AssertionError unless rows are sorted, each is there once, and members are among so many."""
    same = np.ones(max(0, len(rows) - 1), bool)
    later = np.zeros(len(same), bool)
    for name in ("sum", "tail", "member"):
        later |= same & (rows[name][1:] > rows[name][:-1])
        same &= rows[name][1:] == rows[name][:-1]
    assert later.all(), "rows are not in order, or come twice"
    assert (rows["count"] > 0).all() and (not len(rows) or int(rows["member"].max()) < n_members)
