"""/proc/PID/pagemap: which pages of a process are resident, and in which frames."""

import errno
import fcntl
import itertools
import mmap
import os
from dataclasses import dataclass

import numpy as np

from pksm.sources import base
from pksm.sources.base import State
from pksm.sources.batches import work_off

PAGE_SIZE = mmap.PAGESIZE

# ioctl PAGEMAP_SCAN (Linux 6.7): its struct is twelve 64-bit words.
PAGEMAP_SCAN = 0xC0606610
SCAN_ARG = np.dtype(
    [
        (name, "u8")
        for name in (
            "size flags start end walk_end vec vec_len max_pages "
            "category_inverted category_mask category_anyof_mask return_mask"
        ).split()
    ]
)
PAGE_IS_PRESENT = 1 << 3
PAGE_IS_PFNZERO = 1 << 5
SCAN_ENTRIES = 1 << 16

# Bits of a pagemap entry.
PM_PFN = np.uint64((1 << 55) - 1)
PM_MMAP_EXCLUSIVE = np.uint64(1 << 56)
PM_FILE = np.uint64(1 << 61)
PM_PRESENT = np.uint64(1 << 63)

PAGE_REGION = np.dtype([("start", "i8"), ("end", "i8"), ("categories", "u8")])

SPAN_GAP = 1 << 11  # pages: entries of a smaller gap are read and dropped, that is cheaper than another read
SPAN_PAGES = 1 << 18
LOOK_UP_PAGES = 1 << 14  # looked up by one thread, while the other looks up the next


@dataclass
class Resident:
    """What is resident from where the last one ended up to the address `reached`.

    data: DATA runs by address; frames (uint64), exclusive (bool: mapped once; 0 and False where they are not told) and
    states have one entry a page of them. The state is DATA for anonymous pages, EXCLUDED for those of files, HOLE for
    what was gone when it was looked up.
    """

    data: np.ndarray
    frames: np.ndarray
    exclusive: np.ndarray
    states: np.ndarray
    reached: int


class Pagemap:
    """The page map of one process, bound to the memory it had when it was opened (exec and exit end it).

    `has_scan` is False where the kernel has no PAGEMAP_SCAN: then there is walk() instead of scan(). A map that is not
    alive has no resident pages.
    """

    def __init__(self, pid: int):
        self._fd = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        self.has_scan = self._has_scan()

    def close(self) -> None:
        """Close the page map."""
        os.close(self._fd)

    def alive(self) -> bool:
        """Tell whether the process still has the memory this map was opened for."""
        return len(os.pread(self._fd, 8, 0)) == 8

    def scan(self, start: int, end: int, max_pages: int):
        """Yield Resident of at most `max_pages` pages each; pages mapped to the kernel's zero page are left out."""
        found = np.empty(SCAN_ENTRIES, PAGE_REGION)
        while start < end:
            try:
                n_runs, start = self._ioctl(found, start, end, max_pages)
            except ProcessLookupError:  # it has ended
                n_runs, start = 0, end
            written = found[:n_runs][found["categories"][:n_runs] & PAGE_IS_PFNZERO == 0]
            data = _data_runs(written["start"], (written["end"] - written["start"]) // PAGE_SIZE)
            yield Resident(data, *self.look_up(data), start)

    def walk(self, vmas: np.ndarray, max_pages: int):
        """Yield Resident of about `max_pages` pages of procmaps.VMA each; the zero page is not told from others."""
        window = max(1, max_pages // 2)
        found, n_pages = [], 0
        for vma in vmas[vmas["resident"]]:
            for start in range(int(vma["start"]), int(vma["end"]), window * PAGE_SIZE):
                end = min(start + window * PAGE_SIZE, int(vma["end"]))
                entries = np.zeros((end - start) // PAGE_SIZE, np.uint64)
                self._read_entries(start // PAGE_SIZE, entries)
                present = entries & PM_PRESENT != 0
                found.append((start + np.flatnonzero(present) * PAGE_SIZE, entries[present]))
                n_pages += len(found[-1][0])
                if n_pages > window:
                    yield _resident(found, end)
                    found, n_pages = [], 0
        yield _resident(found, int(vmas["end"][-1]))

    def look_up(self, data: np.ndarray):
        """Return (frames, exclusive, states) of the pages of DATA runs, as Resident has them."""
        n_pages = int(data["pages"].sum())
        pieces = base.cut_runs(data, np.arange(0, n_pages, LOOK_UP_PAGES), PAGE_SIZE)
        first, pages = pieces["first"].astype(np.int64), pieces["pages"].astype(np.int64)
        start = pieces["address"].astype(np.int64) // PAGE_SIZE
        gap = start[1:] - (start + pages)[:-1]
        far = (gap > SPAN_GAP) | (np.diff(start // SPAN_PAGES) > 0) | (np.diff(first // LOOK_UP_PAGES) > 0)
        heads = np.append(np.flatnonzero(np.append(n_pages > 0, far)), len(pieces)).tolist()
        entries = np.zeros(n_pages, np.uint64)

        def read(head, tail):
            low, end = int(start[head]), int(start[tail - 1] + pages[tail - 1])
            part = entries[first[head] : first[tail - 1] + pages[tail - 1]]
            if len(part) == end - low:
                self._read_entries(low, part)
                return
            span = np.zeros(end - low, np.uint64)
            self._read_entries(low, span)
            part[:] = span[base.expand(start[head:tail] - low, pages[head:tail])]

        for _ in work_off(read, itertools.pairwise(heads)):
            pass
        return _told(entries)

    def _has_scan(self) -> bool:
        try:
            self._ioctl(np.empty(1, PAGE_REGION), 0, PAGE_SIZE, 1)
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EPERM):
                return False
            raise
        return True

    def _ioctl(self, found: np.ndarray, start: int, end: int, max_pages: int):
        """Fill `found` and return (number of runs, address reached)."""
        arg = np.zeros(1, SCAN_ARG)
        arg["size"], arg["start"], arg["end"] = SCAN_ARG.itemsize, start, end
        arg["vec"], arg["vec_len"], arg["max_pages"] = found.ctypes.data, len(found), max_pages
        arg["category_mask"] = PAGE_IS_PRESENT
        arg["return_mask"] = PAGE_IS_PRESENT | PAGE_IS_PFNZERO  # whether it is of a file takes a look at each frame
        n_runs = fcntl.ioctl(self._fd, PAGEMAP_SCAN, arg, True)
        return n_runs, int(arg["walk_end"][0])

    def _read_entries(self, page: int, entries: np.ndarray) -> None:
        """Read the entries from page number `page` on; those that cannot be had stay as they are."""
        os.preadv(self._fd, [entries], page * 8)


def zero_frame() -> int:
    """Return the number of the frame that never-written pages are mapped to; 0 when frames are not told."""
    page = mmap.mmap(-1, PAGE_SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    view = np.frombuffer(page, np.uint8)
    view.max()  # reading maps the zero page
    try:
        with open("/proc/self/pagemap", "rb", buffering=0) as own:
            entry = np.frombuffer(os.pread(own.fileno(), 8, view.ctypes.data // PAGE_SIZE * 8), np.uint64)
    except PermissionError:  # a process that gave up its privileges may not look at itself
        return 0
    return int(entry[0] & PM_PFN)


def _told(entries: np.ndarray):
    """Return (frames, exclusive, states) of pagemap entries."""
    present = entries & PM_PRESENT != 0
    states = np.where(entries & PM_FILE != 0, np.uint8(State.EXCLUDED), np.uint8(State.DATA))
    states[~present] = State.HOLE
    return np.where(present, entries & PM_PFN, np.uint64(0)), present & (entries & PM_MMAP_EXCLUSIVE != 0), states


def _resident(found, reached: int) -> Resident:
    """Make Resident of [(addresses of pages, their entries)] in order."""
    address = np.concatenate([np.empty(0, np.int64), *(pages for pages, _ in found)])
    entries = np.concatenate([np.empty(0, np.uint64), *(entries for _, entries in found)])
    heads = np.flatnonzero(np.diff(address, prepend=-1) != PAGE_SIZE)
    data = _data_runs(address[heads], np.diff(heads, append=len(address)))
    return Resident(data, *_told(entries), reached)


def _data_runs(address: np.ndarray, pages: np.ndarray) -> np.ndarray:
    return base.make_runs(np.full(len(pages), State.DATA, np.uint8), 0, address, pages)
