"""From sums over a sample of contents to totals: unbiased, with intervals; exact where all contents were kept."""

import math
from typing import TypedDict

import numpy as np

from pksm.arrays import AnyArray

SURE = 1.96  # standard errors to either side: 95 %


class Estimate(TypedDict):
    """A figure, and the interval that holds it with 95 %."""

    value: float
    low: float
    high: float


def total(weight: float, square: float, keep: float, least: float = 0.0) -> Estimate:
    """Return the sum over all contents, from those over the sample.

    Each content is in the sample with the chance `keep`, whatever its weight: the variance of weight / keep is
    (1 - keep) / keep^2 times the squares in the sample.

    Args:
        weight, square: sums over the contents in the sample, of weights and their squares.
        keep: the share of contents that is in the sample.
        least: what the figure is at least.
    """
    value = weight / keep
    error = SURE * math.sqrt((1 - keep) * square) / keep
    return {"value": max(least, value), "low": max(least, value - error), "high": value + error}


def growth(hosts: AnyArray, keep: float, sizes: list[int]) -> list[Estimate]:
    """Return the contents to expect on m of the n hosts, chosen at random, for each m: exact, nothing is drawn.

    A content of k hosts is missing with the chance C(n - k, m) / C(n, m).

    Args:
        hosts: int64 (n + 1,): hosts[k] contents are on exactly k hosts.
        keep: the share of contents that is in the sample.
        sizes: the numbers m.
    """
    n = len(hosts) - 1
    log_factorial = np.array([math.lgamma(k + 1) for k in range(n + 1)])
    found = []
    for m in sizes:
        k = np.arange(n - m + 1)  # contents of more hosts than that are on one of m hosts for certain
        missing = np.zeros(n + 1)
        # Without numbers beyond a float.
        missing[k] = np.exp(log_factorial[n - k] - log_factorial[n - k - m] - log_factorial[n] + log_factorial[n - m])
        seen = 1 - missing
        found.append(total(float(hosts @ seen), float(hosts @ (seen * seen)), keep))
    return found


def saved(contents: Estimate, data: float, zeros: float) -> Estimate:
    """Return what is saved where so many pages come to so many contents; zero pages take no frame of their own."""
    return {
        "value": zeros + max(0.0, data - contents["value"]),
        "low": zeros + max(0.0, data - contents["high"]),
        "high": zeros + max(0.0, data - contents["low"]),
    }
