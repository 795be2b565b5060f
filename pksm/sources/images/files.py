"""Open and map image files: one clear line for each way a file can be the wrong one."""

import errno
import mmap
import os
import stat

import numpy as np

from pksm.errors import BusError, PksmError, UsageError

HEAD_BYTES = 4096


def open_regular(path) -> int:
    """Open a regular file for reading and return its descriptor.

    Raises UsageError for a directory, pipe or device, PksmError for a file that is missing, unreadable or empty.
    """
    path = os.fspath(path)
    fd = -1
    try:
        _refuse_special(path, os.stat(path))
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe put there meanwhile must not block
        status = os.fstat(fd)
        _refuse_special(path, status)
        if status.st_size == 0:
            raise PksmError(f"{path}: the file is empty; give one that holds memory")
    except FileNotFoundError:
        raise PksmError(f"{path}: no such file") from None
    except PermissionError:
        raise PksmError(f"{path}: permission denied; make it readable for this user or run pksm as root") from None
    except OSError as error:
        raise PksmError(f"{path}: cannot be opened: {error.strerror}") from None
    except PksmError:
        if fd >= 0:
            os.close(fd)
        raise
    return fd


def _refuse_special(path, status) -> None:
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        raise UsageError(f"{path}: is a directory; name the files in it")
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path}: is a pipe, socket or device; save its content to a file first")


def read_head(path) -> bytes:
    """Return the first bytes of a file (at most HEAD_BYTES), for sniffing. Raises as open_regular does."""
    fd = open_regular(path)
    try:
        return os.pread(fd, HEAD_BYTES, 0)
    except OSError as error:
        raise PksmError(f"{path}: cannot be read: {error.strerror}") from None
    finally:
        os.close(fd)


def map_file(path, fd: int, size: int) -> np.ndarray:
    """Map the first `size` bytes read-only and return them as uint8; the array keeps the mapping alive.

    Raises BusError when the file has become shorter, PksmError when it cannot be mapped.
    """
    try:
        mapped = mmap.mmap(fd, size, access=mmap.ACCESS_READ)
    except ValueError:
        raise BusError(f"{path}: the file became shorter while it was opened; scan a copy of it") from None
    except OSError as error:
        raise PksmError(f"{path}: cannot be mapped into memory: {error.strerror}") from None
    if os.fstat(fd).st_size < size:
        raise BusError(f"{path}: the file became shorter while it was opened; scan a copy of it")
    return np.frombuffer(mapped, np.uint8)


def data_extents(fd: int, size: int) -> np.ndarray:
    """Return the byte ranges below `size` that hold data, shape (n, 2), in order; all where holes are not told."""
    extents = []
    end = 0
    try:
        while end < size:
            start = os.lseek(fd, end, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
            extents.append((start, end))
    except OSError as error:
        if error.errno == errno.EINVAL:
            extents = [(0, size)]
        elif error.errno != errno.ENXIO:  # ENXIO: only a hole is left
            raise
    return np.array(extents, np.int64).reshape(-1, 2)
