"""The door itself: the extension, arrays lent to it, its status as exceptions, and the width it works at."""

import os
from typing import Any, TypeAlias

import numpy as np

from pksm import errors
from pksm.arrays import AnyArray, Ids, IdsLike, IntArray, U32Array
from pksm.engine.native._core import ffi, lib

_ERRORS = {
    lib.PKSM_EINVAL: (ValueError, "an argument that the C core can't use"),
    lib.PKSM_EPAGE: (errors.PageError, "a page number outside the page store"),
    lib.PKSM_EITEM: (errors.ItemError, "an item id outside the item table"),
    lib.PKSM_EBUS: (
        errors.BusError,
        "a mapped file shrank or failed while it was read: scan a copy, or leave the file alone",
    ),
    lib.PKSM_ETREE: (errors.TreeError, "a tree breaks its invariants"),
}

CData: TypeAlias = Any  # what cffi hands out: the extension says nothing of its types

_IDS = np.dtype(np.uint32)


def error_of(status: int) -> Exception:
    """Return the exception that a status of the core, not 0, stands for."""
    kind, message = _ERRORS[status]
    return kind(message)


def check(status: int) -> None:
    if status:
        raise error_of(status)


# The few calls that every wake-up makes lend their arrays by these, which spares them a call of Python each.
lend = ffi.from_buffer
U8, U32, I64 = ffi.typeof("uint8_t[]"), ffi.typeof("uint32_t[]"), ffi.typeof("int64_t[]")


def borrow(array: IntArray, kind: str) -> CData:
    return ffi.from_buffer(kind, array)


def borrow_writable(array: AnyArray, kind: str) -> CData:
    return ffi.from_buffer(kind, array, require_writable=True)


def ids_array(values: IdsLike) -> U32Array:
    """Return values as a contiguous uint32 array, itself if it is one; PageError if a value doesn't fit."""
    if type(values) is np.ndarray and values.dtype is _IDS and values.ndim == 1 and values.flags.c_contiguous:
        return values  # type: ignore[return-value]  # the dtype says so
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths
        array = np.empty(1, object)
    if array.dtype != np.uint32:
        if array.size and (array.dtype.kind not in "iu" or array.min() < 0 or array.max() > 0xFFFFFFFF):
            raise errors.PageError("page numbers and item ids are whole numbers from 0 to 2**32 - 1")
        array = array.astype(np.uint32)
    return np.ascontiguousarray(array, np.uint32).reshape(-1)


def span(ids: Ids) -> U32Array | slice:
    """Return ids as a slice if they are consecutive, else themselves: numpy indexes by a slice many times faster."""
    n = len(ids)
    if n > 64 and int(ids[-1]) - int(ids[0]) == n - 1 and (ids[1:] - ids[:-1] == 1).all():
        return slice(int(ids[0]), int(ids[-1]) + 1)
    return ids


def catch_bus_errors() -> None:
    """Make reads of a mapped file that shrank raise BusError, where the signal SIGBUS would end the process.

    It installs a handler for the whole process: a store calls it when a mapped file (numpy.memmap, mmap) is added.
    Call it yourself if a mapped file comes as another kind of buffer. What Python code reads of such a file by itself
    still goes to the handler that was there before (faulthandler's, say), or ends the process.
    """
    check(lib.pksm_catch_bus_errors())


CPU_LEVELS = {
    "scalar": lib.PKSM_CPU_SCALAR,
    "sse42": lib.PKSM_CPU_SSE42,
    "avx2": lib.PKSM_CPU_AVX2,
    "avx512": lib.PKSM_CPU_AVX512,
}


def cpu_levels() -> list[str]:
    """Return the names of the levels that this machine can do, narrow to wide."""
    return [name for name, level in CPU_LEVELS.items() if level <= lib.pksm_cpu_best()]


def select_cpu(name: str) -> None:
    """Let the kernels work at this level; UsageError for an unknown one, UnsupportedError for one too wide."""
    if name not in CPU_LEVELS:
        raise errors.UsageError(f"PKSM_CPU={name}: must be one of {', '.join(CPU_LEVELS)}")
    if lib.pksm_cpu_select(CPU_LEVELS[name]):
        raise errors.UnsupportedError(f"PKSM_CPU={name}: this processor has {', '.join(cpu_levels())}")


select_cpu(os.environ.get("PKSM_CPU") or cpu_levels()[-1])
