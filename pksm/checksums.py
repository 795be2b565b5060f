"""Checksum strategies by name, ready to use on pages of one size."""

import numpy as np

from pksm import native
from pksm.errors import UsageError

DEFAULT = "xxh3-64"
SAMPLED_WORDS = 64  # PKSM looks at 64 of the 1024 words of a page


def names():
    """Return the names of all strategies, the default first."""
    return list(native.strategy_widths())


def make(name, page_size, seed=0, strength=SAMPLED_WORDS):
    """Return the strategy `name` for pages of page_size bytes, a native.Checksum.

    seed, strength: for `sampled`: which permutation of the words, and how many of them (mirrors the random sample
    table that PKSM draws at boot). UsageError for an unknown name.
    """
    if name not in names():
        raise UsageError(f"unknown checksum {name!r}: choose from {', '.join(names())}")
    if not native.takes_sample(name):
        return native.Checksum(name)
    n_words = page_size // 4
    permutation = np.random.Generator(np.random.PCG64(seed)).permutation(n_words)
    return native.Checksum(name, permutation[: min(strength, n_words)])


def sampled_at(words):
    """Return the strategy `sampled` looking at these word positions, in this order."""
    return native.Checksum("sampled", words)
