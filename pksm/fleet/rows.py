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
    order = np.argsort(keys)
    keys, members = keys[order], members[order]
    counts = np.ones(len(keys), np.uint32) if counts is None else counts[order]
    equal = keys[1:] == keys[:-1]
    if equal.any():  # most keys come once; only the others have to be put in order of members
        several = np.zeros(len(keys), bool)
        several[1:] |= equal
        several[:-1] |= equal
        places = np.flatnonzero(several)
        inner = np.lexsort((members[places], keys[places]))
        members[places], counts[places] = members[places[inner]], counts[places[inner]]
        first = np.append(True, ~equal | (members[1:] != members[:-1]))
        starts = np.flatnonzero(first)
        keys, members = keys[starts], members[starts]
        counts = np.add.reduceat(counts, starts, dtype=np.uint64)
    made = np.empty(len(keys), ROW)
    made["key"], made["member"], made["count"] = keys, members, np.minimum(counts, 0xFFFFFFFF)
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
