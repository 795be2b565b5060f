"""The C library's allocator: keeps what is freed while work is done that soon wants it again."""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Options of mallopt() (malloc.h), the variables that set them when a process starts, and the values they have otherwise.
_TRIM, _MMAP = -1, -3
_VARIABLES = {_TRIM: "MALLOC_TRIM_THRESHOLD_", _MMAP: "MALLOC_MMAP_THRESHOLD_"}
_USUAL = 128 << 10
_KEPT = {_TRIM: 512 << 20, _MMAP: 32 << 20}  # more than 32 MiB is not to be had from a heap

_lock = threading.Lock()
_users = 0


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory for the next array in this block; give all of it back behind the block.

    With a threshold set from outside, glibc maps each array of 128 KiB or more anew and gives it back at once, so that
    each of its pages faults. Dask starts its workers so. Without one, glibc adapts by itself, and nothing is changed;
    nor is it with another C library.
    """
    global _users
    library = ctypes.CDLL(None)
    given = {option: os.environ.get(name) for option, name in _VARIABLES.items()}
    if not hasattr(library, "mallopt") or not any(given.values()):
        yield
        return
    with _lock:
        _users += 1
        for option, size in _KEPT.items():
            library.mallopt(option, size)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                for option, text in given.items():
                    library.mallopt(option, int(text) if text and text.isdecimal() else _USUAL)
                library.malloc_trim(0)
