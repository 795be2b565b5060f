"""What a checksum tells apart: contents, collisions, and pages that only look like zero pages."""

import numpy as np


def measure(subject, checksum, sums):
    """Return a strategy's row about the truth of its sums (uint64, one for each of the subject's pages)."""
    of_contents = sums[subject.contents]
    n = len(of_contents)
    alike = np.unique(of_contents, return_counts=True)[1].astype(np.int64)
    zero_sum = np.uint64(checksum.of(bytes(subject.page_size)))
    return {
        "contents": n,
        "checksums": len(alike),
        "colliding_pairs": int((alike * (alike - 1) // 2).sum()),
        "expected_pairs": n * (n - 1) / 2 / 2**checksum.width,
        "false_zero": int(np.count_nonzero((sums == zero_sum) & ~subject.zero)),
    }
