"""A fleet from a coordinated sample of its contents: estimates of sums over contents, and their 95 % intervals.

A content is in the sample of every memory, or of none: it is kept if its sum, as a number below 2**64, is below
share * 2**64. So a sum over kept contents, divided by the share, estimates the sum over all.
"""

from dataclasses import dataclass

import numpy as np

from pksm.arrays import FloatArray, IntArray, StructArray
from pksm.errors import UsageError

Z_95 = 1.959964  # of the normal distribution


@dataclass(frozen=True)
class Estimate:
    """An estimate and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def sampled(rows: StructArray, share: float) -> StructArray:
    """Return the rows of contents that a sample of this share keeps. Raises UsageError unless 0 < share <= 1."""
    if not 0 < share <= 1:
        raise UsageError(f"a share is above 0 and at most 1, not {share}", "share")
    return rows if share == 1 else rows[rows["high"] < np.uint64(int(share * 2.0**64))]


def estimated(values: FloatArray | IntArray, share: float, exact: float = 0.0) -> Estimate:
    """Return the estimate of the sum over all contents of a value that is known for those in the sample.

    Args:
        values: of each content in the sample.
        share: of contents that are in it.
        exact: the sum over contents that are known beside it, such as heavy ones, which are in no sample.
    """
    values = np.asarray(values, np.float64)
    return _interval(float(values.sum()), float((values**2).sum()), share, exact)


def of_histogram(histogram: IntArray, value: FloatArray | IntArray, share: float, exact: float = 0.0) -> Estimate:
    """Return estimated() of contents counted in a histogram, such as Tally.holders.

    Args:
        histogram: how many contents of the sample have 0, 1, 2 … holders.
        value: what one content with so many adds to the sum.
        share, exact: as of estimated().
    """
    value = np.asarray(value, np.float64)
    return _interval(float((histogram * value).sum()), float((histogram * value**2).sum()), share, exact)


def _interval(total: float, squares: float, share: float, exact: float) -> Estimate:
    half = Z_95 * (squares * (1 - share)) ** 0.5 / share
    value = exact + total / share
    return Estimate(value, max(exact + total, value - half), value + half)
