"""Pages of any size and alignment, and a kernel at every CPU level."""

import os

import numpy as np

from pksm.engine import native

SIZES = [8 << i for i in range(14)]  # 8 bytes to 64 KiB


def at_every_level(call):
    """Return what the call gives, which must be the same at every CPU level."""
    levels = native.cpu_levels()
    try:
        results = []
        for level in levels:
            native.select_cpu(level)
            results.append(call())
    finally:
        native.select_cpu(os.environ.get("PKSM_CPU") or levels[-1])
    assert all(result == results[0] for result in results), dict(zip(levels, results, strict=True))
    return results[0]


def unaligned(data, offset):
    """Return a copy of data at an address that is `offset` past a multiple of 64."""
    memory = np.zeros(len(data) + 128, np.uint8)
    start = -memory.ctypes.data % 64 + offset
    memory[start : start + len(data)] = np.frombuffer(data, np.uint8)
    return memory[start : start + len(data)]


def store_of(pages, offset=0):
    """Return a StoreView of a list of pages, every section of 64 in memory of its own, and that memory."""
    regions = [unaligned(b"".join(pages[start : start + 64]), offset) for start in range(0, len(pages), 64)]
    sections = np.array([region.ctypes.data for region in regions], np.uint64)
    return native.StoreView(sections, len(pages), len(pages[0])), regions
