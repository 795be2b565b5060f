"""Memory that we own: zeroed, and on huge pages where it is big enough for them to matter."""

import mmap

import numpy as np

_HUGE = 2 << 20  # bytes of a huge page
_LINE = 64  # bytes of a cache line


def zeros(shape, dtype=np.uint8):
    """Return a zeroed array that starts on a cache line.

    A big one is a private mapping that starts on a huge page and is advised to be on such: fewer faults at first touch,
    fewer TLB misses later. (mmap without MAP_PRIVATE is shared memory, where the advice does nothing and says nothing.)
    """
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    if size < _HUGE:
        return _from(np.zeros(size + _LINE, np.uint8), size, _LINE).view(dtype).reshape(shape)
    memory = mmap.mmap(-1, size + _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        memory.madvise(mmap.MADV_HUGEPAGE)
    except (AttributeError, OSError):
        pass  # no huge pages here: slower, not wrong
    return _from(np.frombuffer(memory, np.uint8), size, _HUGE).view(dtype).reshape(shape)


def _from(array, size, alignment):
    """Return `size` bytes of the array from the first address that is a multiple of the alignment."""
    start = -array.ctypes.data % alignment
    return array[start : start + size]


def grown(array, size, fill=0):
    """Return a copy of a one-dimensional array with `size` entries, `fill` behind the old ones."""
    bigger = zeros(size, array.dtype)
    bigger[: len(array)] = array
    if fill:
        bigger[len(array) :] = fill
    return bigger


def available_bytes():
    """Return the memory in bytes that can be used without swapping (MemAvailable)."""
    with open("/proc/meminfo", encoding="ascii") as meminfo:
        for line in meminfo:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 1 << 62
