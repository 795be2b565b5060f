"""The memory of a process that stands still, as ksmd can see it."""

import os
from collections.abc import Iterator

import numpy as np

from pksm.linux.proc import pagemap, smaps
from pksm.linux.proc.pagemap import PAGE_SIZE

KPF_ZERO_PAGE = 1 << 24  # in /proc/kpageflags


def mergeable_memory(pid: int) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Yield what ksmd can see of each mergeable mapping of a process: anonymous pages, but for the kernel's zero page.

    Needs root.

    Yields:
        (address, pages of the mapping, virtual page numbers of those that are seen, their bytes: uint8 (n, page size)).

    Raises:
        OSError: the process cannot be read.
    """
    with open(f"/proc/{pid}/pagemap", "rb", 0) as entries_file, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for start, end in smaps.mergeable_areas(pid):
            first, n = start // PAGE_SIZE, (end - start) // PAGE_SIZE
            entries = np.frombuffer(os.pread(entries_file.fileno(), n * 8, first * 8), np.uint64)
            seen = np.flatnonzero(pagemap.is_anonymous(pagemap.flags_of(entries)))
            seen = seen[~_are_zero(entries[seen] & pagemap.PM_PFN)]
            pages = np.empty((len(seen), PAGE_SIZE), np.uint8)
            for run in np.split(np.arange(len(seen)), np.flatnonzero(np.diff(seen) != 1) + 1):
                if len(run):
                    at = start + int(seen[run[0]]) * PAGE_SIZE
                    data = os.pread(memory.fileno(), len(run) * PAGE_SIZE, at)
                    pages[run] = np.frombuffer(data, np.uint8).reshape(-1, PAGE_SIZE)
            yield start, n, first + seen, pages


def read_pages(pid: int, address: int, n: int) -> bytes:
    """Return the bytes of n pages of a process. Raises OSError."""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        return os.pread(memory.fileno(), n * PAGE_SIZE, address)


def _are_zero(frames: np.ndarray) -> np.ndarray:
    """Return which of the frames are the kernel's zero page (bool)."""
    with open("/proc/kpageflags", "rb", 0) as flags:
        once, which = np.unique(frames, return_inverse=True)
        read = [int.from_bytes(os.pread(flags.fileno(), 8, int(frame) * 8), "little") for frame in once]
    return (np.array(read, np.uint64) & np.uint64(KPF_ZERO_PAGE) != 0)[which]
