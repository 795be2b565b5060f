"""The contents with the most frames, found a stretch of sums at a time."""

from itertools import pairwise

import numpy as np

from pksm.arrays import U64Array
from pksm.sources.fingerprints.layout import ALL_SUMS, HEAVY

FEWEST = 1 << 18  # pages in a stretch: what a stretch takes stays small beside the sums of all
MOST_STRETCHES = 32
LEAST = 2  # frames of a heavy content


def stretches(pages: int, end: int) -> list[tuple[int, int]]:
    """Return ranges of sums, up to `end`, that have equally many of so many pages, if sums are spread evenly."""
    n = min(MOST_STRETCHES, 1 + pages // FEWEST)
    return list(pairwise(number * end // n for number in range(n + 1)))


def heaviest(sums: U64Array, below: int) -> U64Array:
    """Return the first words of the contents with the most frames, HEAVY at most, of those that a sample has not got.

    Args:
        sums: uint64 (n, 2), of each frame.
        below: the sum below which contents are in the sample.
    """
    words, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
    for low, high in stretches(len(sums), ALL_SUMS):
        low = max(low, below)
        if low >= high:
            continue
        inside = sums[:, 0] >= np.uint64(low)
        if high < ALL_SUMS:
            inside &= sums[:, 0] < np.uint64(high)
        found, times = np.unique(sums[inside, 0], return_counts=True)
        words, counts = np.append(words, found[times >= LEAST]), np.append(counts, times[times >= LEAST])
        best = np.argsort(-counts, kind="stable")[:HEAVY]
        words, counts = words[best], counts[best]
    return words
