"""Rows of contents: (key, member, count), one for each content in each member; the arithmetic of map and reduce."""

import numpy as np

from pksm.arrays import StructArray, U32Array, U64Array

ROW = np.dtype([("key", "<u8"), ("member", "<u4"), ("count", "<u4")])


def rows_of(keys: U64Array, members: U32Array, counts: U32Array | None = None) -> StructArray:
    """Return the distinct (key, member) with the sums of their counts, sorted by key, then by member: ROW (n,).

    Args:
        keys: uint64 (m,), the contents.
        members: uint32 (m,), whose they are.
        counts: uint32 (m,); None: each counts once.
    """
    order = np.argsort(keys, kind="stable")  # runs that are sorted already, as those of files, are merged
    equal = keys[order[1:]] == keys[order[:-1]]
    if (equal & (members[order[1:]] < members[order[:-1]])).any():
        order = np.lexsort((members, keys))
    keys, members = keys[order], members[order]
    first = np.ones(len(keys), bool)
    np.logical_or(keys[1:] != keys[:-1], members[1:] != members[:-1], out=first[1:])
    if counts is None:
        starts = np.flatnonzero(first)
        sums = np.diff(starts, append=len(keys))
    else:
        sums = counts[order]
        if not first.all():
            starts = np.flatnonzero(first)
            sums = np.add.reduceat(sums, starts, dtype=np.uint64)
    made = np.empty(len(sums), ROW)
    made["key"], made["member"], made["count"] = keys[first], members[first], np.minimum(sums, 0xFFFFFFFF)
    return made


def kept(keys: U64Array, keep: float) -> np.ndarray:
    """Return which keys a sample has: the same contents in every file, whoever takes it. bool (n,).

    Args:
        keys: uint64 (n,), evenly spread, as checksums are.
        keep: the share, more than 0 and at most 1.
    """
    if keep >= 1:
        return np.ones(len(keys), bool)
    return keys < np.uint64(int(keep * 2.0**64))


def check(rows: StructArray, n_members: int) -> None:
    """Raise AssertionError unless rows are sorted, each (key, member) is there once, and members are among so many."""
    later = rows["key"][1:] > rows["key"][:-1]
    same = (rows["key"][1:] == rows["key"][:-1]) & (rows["member"][1:] > rows["member"][:-1])
    assert (later | same).all(), "rows are not in order, or come twice"
    assert (rows["count"] > 0).all() and (not len(rows) or int(rows["member"].max()) < n_members)
