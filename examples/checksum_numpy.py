"""A checksum written with numpy: it gets many pages at a time, as the rows of an array, and gives a sum for each."""

import sys

import numpy as np

from pksm import checksums


def weighted_sum(pages):
    """pages: uint8 (n, page_size), read-only. Return n unsigned integers."""
    words = pages.view(np.uint64)
    weights = 2 * np.arange(words.shape[1], dtype=np.uint64) + np.uint64(1)
    return (words * weights).sum(axis=1, dtype=np.uint64)


def register():
    """Make the strategy `weighted-numpy` known."""
    checksums.register("weighted-numpy", weighted_sum, about="an example")


if __name__ == "__main__":
    from pksm.cli.main import main

    register()
    sys.exit(main(["checksum", "profile", "f", "--pages", "4096", "--strategies", "xxh3-64,weighted-numpy"]))
