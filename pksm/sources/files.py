"""Files, opened once: one clear line for each way a file can be the wrong one."""

import errno
import mmap
import os
import stat
from collections.abc import Iterable
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pksm.errors import BusError, PksmError, UsageError
from pksm.linux import filesystems

HEAD_BYTES = 4096
READ_BYTES, NEAR_BYTES = 8 << 20, 64 << 10  # one read, and what it goes over to get at the next page


class OpenFile:
    """A regular file that is open for reading; whoever looks into it shares one descriptor.

    Attributes:
        path: as it was given.
        fd: the descriptor.
        size: bytes, when it was opened.
        head: the first bytes, at most HEAD_BYTES of them, for sniffing.

    Raises:
        UsageError: a directory, pipe or device.
        PksmError: the file is missing, unreadable or empty.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.fd = _open_regular(self.path)
        try:
            self.size = os.fstat(self.fd).st_size
            self.head = self.read_head()
        except BaseException:
            self.close()
            raise

    def read_head(self) -> bytes:
        """Return the first bytes, at most HEAD_BYTES of them."""
        return self.read_at(0, HEAD_BYTES)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer at the end of the file."""
        try:
            return os.pread(self.fd, size, offset)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "an offset too large"
            raise PksmError(f"{self.path}: cannot be read at byte {offset}: {reason}") from None

    @cached_property
    def view(self) -> np.ndarray:
        """All bytes, mapped read-only, as uint8, which keep the mapping alive.

        Raises:
            BusError: the file has become shorter.
            PksmError: it cannot be mapped.
        """
        try:
            mapped = mmap.mmap(self.fd, self.size, access=mmap.ACCESS_READ)
        except ValueError:
            raise self.shrunk() from None
        except OSError as error:
            raise PksmError(f"{self.path}: cannot be mapped into memory: {error.strerror}") from None
        if self.has_shrunk:
            raise self.shrunk()
        return np.frombuffer(mapped, np.uint8)

    def read_pages(self, offsets: np.ndarray, pages: np.ndarray) -> None:
        """Fill `pages`, uint8 (n, page_size), with those that begin at `offsets` (int64, bytes). Raises BusError."""
        size = pages.shape[1]
        order = np.argsort(offsets, kind="stable")
        begins = offsets[order]
        apart = (np.diff(begins) > NEAR_BYTES) | (np.diff(begins // READ_BYTES) != 0)
        heads = np.append(0, np.flatnonzero(apart) + 1)[: len(begins)].tolist()
        for head, stop in zip(heads, [*heads[1:], len(begins)], strict=True):
            begin = int(begins[head])
            data = np.frombuffer(self.read_at(begin, int(begins[stop - 1]) + size - begin), np.uint8)
            if begin + len(data) < int(begins[stop - 1]) + size:
                raise self.shrunk()
            pages[order[head:stop]] = sliding_window_view(data, size)[begins[head:stop] - begin]

    @cached_property
    def extents(self) -> np.ndarray:
        """The byte ranges that hold data, int64 of shape (n, 2), in order; all of it where holes are not reported.

        Raises BusError when the file has become shorter.
        """
        extents = []
        end = 0
        try:
            while end < self.size:
                start = os.lseek(self.fd, end, os.SEEK_DATA)
                end = os.lseek(self.fd, start, os.SEEK_HOLE)
                extents.append((start, end))
        except OSError as error:
            if error.errno == errno.EINVAL:
                extents = [(0, self.size)]
            elif error.errno != errno.ENXIO:  # ENXIO: only a hole is left
                raise PksmError(f"{self.path}: its holes cannot be looked up: {error.strerror}") from None
        if self.has_shrunk:  # behind its end there would be a hole
            raise self.shrunk()
        return np.array(extents, np.int64).reshape(-1, 2)

    @cached_property
    def huge_page_bytes(self) -> int:
        """The huge pages' size of a file on hugetlbfs, which reports no holes and fills those that are touched; else 0."""
        return filesystems.huge_page_bytes(self.fd)

    @cached_property
    def fills_holes(self) -> bool:
        """Whether the file is memory, so that touching a hole through a mapping takes memory for good."""
        return self.huge_page_bytes > 0 or filesystems.is_tmpfs(self.fd)

    @property
    def hidden_hole_bytes(self) -> int:
        """How many bytes are in holes that `extents` does not show."""
        if not self.huge_page_bytes:
            return 0
        whole = -(-self.size // self.huge_page_bytes) * self.huge_page_bytes
        return max(0, whole - filesystems.allocated_bytes(self.fd))

    @property
    def has_shrunk(self) -> bool:
        """Whether the file is shorter than when it was opened."""
        return self.fd >= 0 and os.fstat(self.fd).st_size < self.size

    def shrunk(self) -> BusError:
        """Make the error for a file that became shorter."""
        return BusError(f"{self.path}: the file became shorter while it was read; scan a copy of it")

    def fault(self) -> BusError | None:
        """Read all that the file holds and return an error that says where that fails, and why; None if it does not."""
        if self.fd < 0:
            return None
        if self.has_shrunk:
            return self.shrunk()
        try:
            for start, end in self.extents.tolist():
                for at in range(start, end, READ_BYTES):
                    self.read_at(at, min(READ_BYTES, end - at))
        except PksmError as error:
            return BusError(f"{error}; scan a copy of what can be read")
        return None

    def close(self) -> None:
        """Close the file; what was mapped stays valid as long as it is in use."""
        vars(self).pop("view", None)
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _open_regular(path: str) -> int:
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
    except ValueError:
        raise PksmError(f"{path!r}: not a path") from None
    return fd


def _refuse_special(path: str, status: os.stat_result) -> None:
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        raise UsageError(f"{path}: is a directory; name the files in it")
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path}: is a pipe, socket or device; save its content to a file first")


def release(views: Iterable[np.ndarray]) -> None:
    """Give back the memory that views of mapped files (OpenFile.view) take; what reads them next maps them anew.

    The kernel keeps the bytes for as long as it has room. Views of anything else stay as they are.
    """
    mappings = {id(mapping): mapping for mapping in map(_mapping_of, views) if mapping is not None}
    for mapping in mappings.values():
        mapping.madvise(mmap.MADV_DONTNEED)


def _mapping_of(view: np.ndarray) -> mmap.mmap | None:
    """Return the mapping that a view shows part of; None for one that can be written, or that is not of a mapping."""
    base: object = view
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return None
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return base if isinstance(base, mmap.mmap) else None
