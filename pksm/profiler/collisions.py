"""What a checksum tells apart: contents, collisions, and pages that only look like zero pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import U64Array
from pksm.engine import native

if TYPE_CHECKING:
    from pksm.profiler.subject import Subject


def measure(subject: Subject, checksum: native.AnyChecksum, sums: U64Array) -> dict[str, float]:
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
