"""Mappings of an address space as the page numbers where they begin and end, sorted: those that touch are one.

A range that is mapped or unmapped toggles its two edges, wherever it lies.
"""

import numpy as np

from pksm.arrays import BoolArray, I64Array


def free(edges: I64Array, ranges: I64Array) -> BoolArray:
    """Return in which ranges (n, 2) nothing is mapped."""
    at = np.searchsorted(edges, ranges[:, 0], "right")
    return (at % 2 == 0) & (np.searchsorted(edges, ranges[:, 1]) == at)


def mapped(edges: I64Array, ranges: I64Array) -> BoolArray:
    """Return which ranges (n, 2) are mapped as a whole."""
    at = np.searchsorted(edges, ranges[:, 0], "right")
    found = at % 2 == 1
    found[found] = edges[at[found]] >= ranges[found, 1]
    return found


def are_apart(ranges: I64Array) -> bool:
    """Return whether ranges (n, 2) are in order, and none of them begins before another ends."""
    return bool((ranges[1:, 0] >= ranges[:-1, 1]).all())


def all_toggled(edges: I64Array, ranges: I64Array) -> I64Array:
    """Return the edges when ranges (n, 2), which are apart, have been added or taken: O(edges), however many there are."""
    if len(ranges) == 1:
        return toggled(edges, *ranges[0].tolist())
    touches = ranges[1:, 0] == ranges[:-1, 1]
    begins, ends = ranges[1:, 0][~touches], ranges[:-1, 1][~touches]
    new = np.sort(np.concatenate([ranges[:1, 0], begins, ends, ranges[-1:, 1]]))
    at = np.searchsorted(edges, new)
    there = at < len(edges)
    there[there] = edges[at[there]] == new[there]
    kept, added = np.delete(edges, at[there]), new[~there]
    return np.insert(kept, np.searchsorted(kept, added), added)


def toggled(edges: I64Array, first: int, end: int) -> I64Array:
    """Return the edges when one range has been added or taken."""
    low, high = np.searchsorted(edges, np.array([first, end])).tolist()
    begins, ends = first in edges[low : low + 1], end in edges[high : high + 1]
    new = np.array([first, end], np.int64)
    parts = [edges[:low], new[begins:1], edges[low + begins : high], new[1 + ends :], edges[high + ends :]]
    return np.concatenate(parts)
