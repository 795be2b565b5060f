"""fletcher64: two sums over the words of a page, one of which knows where each word stands. Written with numpy."""

import numpy as np

from pksm import checksums


def fletcher64(pages):
    """Return the checksums, uint64 (n,), of pages: uint8 (n, page_size), read-only, whose size is a multiple of 4."""
    words = pages.view(np.uint32)
    total = words.sum(axis=1, dtype=np.uint64) & np.uint64(0xFFFFFFFF)
    weights = np.arange(words.shape[1], 0, -1, dtype=np.uint64)  # a word counts in all partial sums from its own on
    of_totals = (words * weights).sum(axis=1, dtype=np.uint64) & np.uint64(0xFFFFFFFF)
    return of_totals << np.uint64(32) | total


FLETCHER64 = checksums.Plugin(fletcher64, about="Fletcher's checksum over words of 32 bits")
