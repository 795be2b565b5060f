"""Memory that we own: zeroed, and on huge pages where it is big enough for them to matter."""

import mmap
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from pksm.arrays import U8Array

T = TypeVar("T", bound=np.generic)

_HUGE = 2 << 20  # bytes of a huge page
_LINE = 64  # bytes of a cache line


@overload
def zeros(shape: int | tuple[int, ...]) -> U8Array: ...


@overload
def zeros(shape: int | tuple[int, ...], dtype: type[T] | np.dtype[T]) -> NDArray[T]: ...


def zeros(shape: int | tuple[int, ...], dtype: Any = np.uint8) -> Any:
    """Return a zeroed array that starts on a cache line.

    A big one is a private mapping that starts on a huge page and is advised to be on such: fewer faults at first touch,
    fewer TLB misses later. (mmap without MAP_PRIVATE is shared memory, where the advice does nothing and says nothing.)

    Raises:
        MemoryError: the system does not give that much.
    """
    kind = np.dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    if size < _HUGE:
        return _from(np.zeros(size + _LINE, np.uint8), size, _LINE).view(kind).reshape(shape)
    try:
        memory = mmap.mmap(-1, size + _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError):
        raise MemoryError(f"{size >> 20} MiB are not to be had") from None
    try:
        memory.madvise(mmap.MADV_HUGEPAGE)
    except (AttributeError, OSError):
        pass  # no huge pages here: slower, not wrong
    return _from(np.frombuffer(memory, np.uint8), size, _HUGE).view(kind).reshape(shape)


def _from(array: U8Array, size: int, alignment: int) -> U8Array:
    """Return `size` bytes of the array from the first address that is a multiple of the alignment."""
    start = -int(array.ctypes.data) % alignment
    return array[start : start + size]


def grown(array: NDArray[T], size: int, fill: int = 0) -> NDArray[T]:
    """Return a copy of a one-dimensional array with `size` entries, `fill` behind the old ones."""
    bigger = zeros(size, array.dtype)
    bigger[: len(array)] = array
    if fill:
        bigger[len(array) :] = fill
    return bigger
