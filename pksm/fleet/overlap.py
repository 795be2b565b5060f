"""What each two members have in common; contents of very many members stand apart, as base."""

from collections.abc import Iterator

import numpy as np

from pksm.arrays import BoolArray, I64Array
from pksm.fleet.rows import Contents

BASE = 256  # members beyond which a content is base
AT_ONCE = 1 << 22  # pairs


def overlap(contents: Contents, members: int, base: int = BASE) -> I64Array:
    """Return contents that each two members share, [member, member]; the diagonal has the contents of one.

    Contents of more than `base` members are left out: is_base() says which.
    """
    pairs = np.zeros(members * members, np.int64)
    for keys in _pairs(contents, members, base):
        pairs += np.bincount(keys, minlength=members * members)
    matrix = pairs.reshape(members, members)
    return matrix + np.triu(matrix, 1).T


def is_base(contents: Contents, base: int = BASE) -> BoolArray:
    """Return whether each content is in more than `base` members."""
    return np.diff(contents.starts) > base


def _pairs(contents: Contents, members: int, base: int) -> Iterator[I64Array]:
    """Yield keys lower * members + higher of pairs that share a content, a batch at a time: by distance among rows."""
    holders = np.diff(contents.starts)
    left = np.repeat(np.where(holders > base, 0, holders), holders)
    left -= np.arange(len(left)) - np.repeat(contents.starts[:-1], holders)  # rows of the content from this one on
    member = contents.rows["member"].astype(np.int64)
    at, distance = np.flatnonzero(left > 0), 0
    gathered: list[I64Array] = []
    size = 0
    while len(at):
        gathered.append(member[at] * members + member[at + distance])
        size += len(at)
        distance += 1
        at = at[left[at] > distance]
        if size >= AT_ONCE or not len(at):
            yield np.concatenate(gathered)
            gathered, size = [], 0
