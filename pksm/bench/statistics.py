"""What a few samples say: intervals of medians, and whether two sets of samples differ. No distribution is assumed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

CONFIDENCE = 0.95
MOST_EXACT = 60  # samples of both sides together; with more, the normal distribution is as good


def ranks_of_interval(n: int) -> tuple[int, float]:
    """Return (k, confidence): the k-th smallest and the k-th largest of n samples enclose the median that surely.

    k is the largest that reaches CONFIDENCE; 1 where n samples are too few for that (5 give 0.9375, 3 give 0.75).
    """
    below = np.cumsum([math.comb(n, i) for i in range(n // 2 + 1)]) / 2.0**n  # P(at most i samples below the median)
    reached = [1 - 2 * float(below[k - 1]) for k in range(1, (n + 1) // 2 + 1)]
    k = max((k for k, sure in enumerate(reached, 1) if sure >= CONFIDENCE), default=1)
    return k, max(0.0, reached[k - 1])


def interval(samples: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the interval in which the median lies, by ranks_of_interval."""
    k, _ = ranks_of_interval(len(samples))
    ordered = sorted(samples)
    return ordered[k - 1], ordered[-k]


def p_of_no_difference(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the probability of ranks as far apart as these if both were samples of the same: Mann and Whitney's test.

    Two-sided; ties get the mean of their ranks. Exact up to MOST_EXACT samples.
    """
    n, m = len(one), len(other)
    doubled = _doubled_ranks(np.concatenate([np.asarray(one, float), np.asarray(other, float)]))
    observed, mean = int(doubled[:n].sum()), n * (n + m + 1)
    if n + m <= MOST_EXACT:
        counts = _sums(tuple(sorted(doubled.tolist())), n)
        far = np.abs(np.arange(len(counts)) - mean) >= abs(observed - mean)
        return min(1.0, float(counts[far].sum() / counts.sum()))
    spread = float(((doubled - (n + m + 1)) ** 2).sum()) * n * m / ((n + m) * (n + m - 1))
    return math.erfc(max(0, abs(observed - mean) - 1) / math.sqrt(2 * spread)) if spread else 1.0


def _doubled_ranks(samples: np.ndarray) -> np.ndarray:
    """Ranks from 1, those of ties their mean, times two."""
    _, content, counts = np.unique(samples, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (2 * last - counts + 1)[content].astype(np.int64)


@cache
def _sums(ranks: tuple[int, ...], n: int) -> np.ndarray:
    """How many choices of n of these ranks have each sum."""
    ways = np.zeros((n + 1, sum(ranks[-n:]) + 1 if n else 1))
    ways[0, 0] = 1
    for rank in ranks:
        for chosen in range(n, 0, -1):
            ways[chosen, rank:] += ways[chosen - 1, : ways.shape[1] - rank]
    return np.asarray(ways[n])


def ratio_interval(old: Sequence[float], new: Sequence[float]) -> tuple[float, float, float]:
    """Return (ratio, low, high) of new over old: of all their quotients the median, and what that test does not refuse."""
    quotients = np.sort(np.divide.outer(np.asarray(new, float), np.asarray(old, float)).ravel())
    n, m = len(new), len(old)
    if n + m <= MOST_EXACT:
        counts = _sums(tuple(range(1, n + m + 1)), n)[n * (n + 1) // 2 :]  # by Mann and Whitney's U
        refused = int(np.searchsorted(np.cumsum(counts) / counts.sum(), (1 - CONFIDENCE) / 2, "right"))
    else:
        refused = int(n * m / 2 - 1.96 * math.sqrt(n * m * (n + m + 1) / 12))
    k = max(0, refused - 1)
    return float(np.median(quotients)), float(quotients[k]), float(quotients[-1 - k])


def with_few_false(ps: Sequence[float], share: float = 1 - CONFIDENCE) -> list[bool]:
    """Return which differences to report so that about `share` of them at most are by chance (Benjamini, Hochberg)."""
    order = np.argsort(ps, kind="stable")
    within = np.asarray(ps)[order] <= share * np.arange(1, len(ps) + 1) / max(1, len(ps))
    n_reported = int(np.flatnonzero(within)[-1]) + 1 if within.any() else 0
    reported = np.zeros(len(ps), bool)
    reported[order[:n_reported]] = True
    return [bool(one) for one in reported]
