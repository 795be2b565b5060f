"""How the distinct contents of a fleet grow with its members: in closed form over all subsets, without drawing any."""

from math import lgamma

import numpy as np

from pksm.arrays import FloatArray, IntArray
from pksm.errors import UsageError


def met(members: int, sizes: IntArray) -> FloatArray:
    """Return the chance that a random subset of members has a content, [size, holders of the content].

    This is 1 - C(n - k, m) / C(n, m) of n members, a subset of m, and k that hold the content.

    Args:
        members: how many there are, n.
        sizes: of the subsets, m, each from 0 to n.
    """
    if len(sizes) and not 0 <= int(np.min(sizes)) <= int(np.max(sizes)) <= members:
        raise UsageError(f"subsets have from 0 to {members} members", "sizes")
    of = np.array([lgamma(one + 1) for one in range(members + 1)])
    k, m = np.arange(members + 1)[None, :], np.asarray(sizes, np.int64)[:, None]
    left = members - k - m  # members outside both
    chance = np.exp(of[members - k] + of[members - m] - of[np.maximum(left, 0)] - of[members])
    return np.where(left < 0, 1.0, np.clip(1.0 - chance, 0.0, 1.0)) * (k > 0)
