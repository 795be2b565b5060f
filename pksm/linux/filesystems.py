"""What kind of file system a file lies on, as far as it matters to those who map it."""

import ctypes
import os

_TMPFS, _HUGETLBFS = 0x01021994, 0x958458F6  # f_type: linux/magic.h
_STATFS_BYTES = 256  # more than struct statfs takes anywhere
BLOCK_BYTES = 512  # of st_blocks

_fstatfs = ctypes.CDLL(None, use_errno=True).fstatfs


def is_tmpfs(fd: int) -> bool:
    """Return whether the file is memory (tmpfs, memfd): touching a hole of it through a mapping takes a page."""
    return _statfs(fd)[0] == _TMPFS


def huge_page_bytes(fd: int) -> int:
    """Return the size of the huge pages of a file on hugetlbfs, 0 for any other file."""
    kind, size = _statfs(fd)
    return size if kind == _HUGETLBFS else 0


def allocated_bytes(fd: int) -> int:
    """Return how many bytes of a file are not holes, as its file system counts them."""
    return os.fstat(fd).st_blocks * BLOCK_BYTES


def _statfs(fd: int) -> tuple[int, int]:
    """Return (f_type, f_bsize); (0, 0) where the system does not say."""
    words = (ctypes.c_long * (_STATFS_BYTES // ctypes.sizeof(ctypes.c_long)))()
    if _fstatfs(fd, words) != 0:
        return 0, 0
    return words[0] & 0xFFFFFFFF, words[1]
