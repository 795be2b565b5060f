"""/proc/PID/pagemap: which pages of a process are resident, and in which frames."""

import errno
import fcntl
import itertools
import mmap
import os
from collections.abc import Iterator

import numpy as np

from pksm import extents
from pksm.linux.proc import tasks
from pksm.linux.proc.batches import work_off

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
PAGE_IS_FILE = 1 << 2
PAGE_IS_PRESENT = 1 << 3
PAGE_IS_PFNZERO = 1 << 5
SCAN_ENTRIES = 1 << 16
FAR_BYTES = 1 << 24  # between two mappings: to look at what lies there takes longer than another call

# A pagemap entry: the frame number in the lower bits, flags in the topmost byte.
PM_PFN = np.uint64((1 << 55) - 1)
PM_SOFT_DIRTY = np.uint64(1 << 55)
PM_FLAGS_AT = np.uint64(56)
PM_MMAP_EXCLUSIVE = np.uint8(1 << 0)
PM_FILE = np.uint8(1 << 5)
PM_SWAP = np.uint8(1 << 6)  # or under migration
PM_PRESENT = np.uint8(1 << 7)
EXCLUSIVE_ENTRY = np.uint64(int(PM_PRESENT | PM_MMAP_EXCLUSIVE) << 56)  # of a frame that is not known

PAGE_REGION = np.dtype([("start", "i8"), ("end", "i8"), ("categories", "u8")])
RESIDENT = np.dtype([("start", "i8"), ("end", "i8")])

SPAN_GAP = 1 << 11  # pages: entries of a smaller gap are read and dropped, that is cheaper than another read
SPAN_PAGES = 1 << 18
LOOK_UP_PAGES = 1 << 14  # looked up by one thread, while the other looks up the next


class Pagemap:
    """The page map of one process, bound to the memory it had when it was opened (exec and exit end it).

    `thread` is one that lives, if that is known. `tells_zero_pages` is False where the kernel has no PAGEMAP_SCAN: then resident pages may be the zero page.
    """

    def __init__(self, pid: int, thread: int | None = None):
        self._fd = os.open(f"{tasks.directory(pid, thread)}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        self.tells_zero_pages = self._has_scan()

    def close(self) -> None:
        """Close the page map."""
        os.close(self._fd)

    def alive(self) -> bool:
        """Tell whether the process, or anybody who reads it just now, still has the memory this map was opened for."""
        return len(os.pread(self._fd, 8, 0)) == 8

    def resident(self, vmas: np.ndarray, max_pages: int, apart: bool = False) -> Iterator[tuple[np.ndarray, int]]:
        """Yield (RESIDENT array, address reached): the resident pages as runs, about `max_pages` at a time.

        Only what lies in `vmas` means anything. A map that is not alive has no resident pages.
        apart: there may be much between two of `vmas` that was left out, which is not to be looked at; nor are pages of files.
        """
        return self._scan(vmas, max_pages, apart) if self.tells_zero_pages else self._scan_entries(vmas, max_pages)

    def entries(self, data: np.ndarray) -> np.ndarray:
        """Return the entries of the pages of DATA runs, uint64; 0 for those that cannot be had."""
        n_pages = int(data["pages"].sum())
        pieces = extents.cut_runs(data, np.arange(0, n_pages, LOOK_UP_PAGES), PAGE_SIZE)
        first, pages = pieces["first"].astype(np.int64), pieces["pages"].astype(np.int64)
        start = pieces["address"].astype(np.int64) // PAGE_SIZE
        gap = start[1:] - (start + pages)[:-1]
        far = (gap > SPAN_GAP) | (np.diff(start // SPAN_PAGES) > 0) | (np.diff(first // LOOK_UP_PAGES) > 0)
        heads = np.append(np.flatnonzero(np.append(n_pages > 0, far)), len(pieces)).tolist()
        entries = np.zeros(n_pages, np.uint64)

        def read(head: int, tail: int) -> None:
            low, end = int(start[head]), int(start[tail - 1] + pages[tail - 1])
            part = entries[first[head] : first[tail - 1] + pages[tail - 1]]
            if len(part) == end - low:
                self._read_entries(low, part)
                return
            span = np.zeros(end - low, np.uint64)
            self._read_entries(low, span)
            part[:] = span[extents.expand(start[head:tail] - low, pages[head:tail])]

        spans = itertools.pairwise(heads)
        for _ in work_off(read, spans) if n_pages > LOOK_UP_PAGES else itertools.starmap(read, spans):
            pass
        return entries

    def _has_scan(self) -> bool:
        try:
            self._ioctl(np.empty(1, PAGE_REGION), 0, PAGE_SIZE, 1)
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EPERM):
                return False
            raise
        return True

    def _ioctl(self, found: np.ndarray, start: int, end: int, max_pages: int, files: bool = True) -> tuple[int, int]:
        """Fill `found` and return (number of runs, address reached). files: pages of files as well, which costs less."""
        arg = np.zeros(1, SCAN_ARG)
        arg["size"], arg["start"], arg["end"] = SCAN_ARG.itemsize, start, end
        arg["vec"], arg["vec_len"], arg["max_pages"] = found.ctypes.data, len(found), max_pages
        arg["category_mask"] = PAGE_IS_PRESENT if files else PAGE_IS_PRESENT | PAGE_IS_FILE
        arg["category_inverted"] = 0 if files else PAGE_IS_FILE
        arg["return_mask"] = PAGE_IS_PRESENT | PAGE_IS_PFNZERO  # whether it is of a file takes a look at each frame
        n_runs = fcntl.ioctl(self._fd, PAGEMAP_SCAN, arg.data, True)
        runs = found[:n_runs]
        if n_runs < len(found) and int((runs["end"] - runs["start"]).sum()) < max_pages * PAGE_SIZE:
            return n_runs, end
        return n_runs, int(runs["end"][-1])  # walk_end may lie before that, and what is there was reported

    def _scan(self, vmas: np.ndarray, max_pages: int, apart: bool) -> Iterator[tuple[np.ndarray, int]]:
        found = np.empty(SCAN_ENTRIES, PAGE_REGION)
        far = np.flatnonzero(vmas["start"][1:] - vmas["end"][:-1] > (FAR_BYTES if apart else np.inf))
        starts, ends = vmas["start"][np.append(0, far + 1)], vmas["end"][np.append(far, -1)]
        parts, left, start = [np.empty(0, RESIDENT)], max_pages, 0
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            while start < end:
                try:
                    n_runs, start = self._ioctl(found, start, end, left, files=not apart)
                except ProcessLookupError:  # it has ended
                    n_runs, start = 0, end
                written = found["categories"][:n_runs] & PAGE_IS_PFNZERO == 0
                parts.append(found[["start", "end"]][:n_runs][written].astype(RESIDENT))
                left -= int((parts[-1]["end"] - parts[-1]["start"]).sum()) // PAGE_SIZE
                if left <= 0 or n_runs == len(found):
                    yield np.concatenate(parts), start
                    parts, left = [np.empty(0, RESIDENT)], max_pages
        if len(parts) > 1:
            yield np.concatenate(parts), start

    def _scan_entries(self, vmas: np.ndarray, max_pages: int) -> Iterator[tuple[np.ndarray, int]]:
        """Do by plain entries what _scan does: slower on sparse mappings, and the zero page is not seen."""
        window = max(1, max_pages // 2)
        found, n_pages = [], 0
        for vma in vmas[vmas["resident"]]:
            for start in range(int(vma["start"]), int(vma["end"]), window * PAGE_SIZE):
                end = min(start + window * PAGE_SIZE, int(vma["end"]))
                entries = np.zeros((end - start) // PAGE_SIZE, np.uint64)
                self._read_entries(start // PAGE_SIZE, entries)
                found.append(_resident_runs(start, entries))
                n_pages += int((found[-1]["end"] - found[-1]["start"]).sum()) // PAGE_SIZE
                if n_pages > window:
                    yield np.concatenate(found), end
                    found, n_pages = [], 0
        yield np.concatenate([*found, np.empty(0, RESIDENT)]), int(vmas["end"][-1])

    def _read_entries(self, page: int, entries: np.ndarray) -> None:
        """Read the entries from page number `page` on; those that cannot be had stay as they are."""
        os.preadv(self._fd, [entries.data], page * 8)


def flags_of(entries: np.ndarray) -> np.ndarray:
    """Return the flags of entries (uint8)."""
    return (entries >> PM_FLAGS_AT).astype(np.uint8)


def is_present(flags: np.ndarray) -> np.ndarray:
    """Tell which pages are resident (bool)."""
    return flags & PM_PRESENT != 0


def is_anonymous(flags: np.ndarray) -> np.ndarray:
    """Tell which pages are resident and belong to no file (bool)."""
    return flags & (PM_PRESENT | PM_FILE) == PM_PRESENT


def is_exclusive(flags: np.ndarray) -> np.ndarray:
    """Return which pages are resident and mapped once (bool); none where the kernel does not say."""
    return flags & (PM_PRESENT | PM_MMAP_EXCLUSIVE) == PM_PRESENT | PM_MMAP_EXCLUSIVE


def is_swapped(flags: np.ndarray) -> np.ndarray:
    """Tell which pages are swapped out, or on their way to another frame (bool)."""
    return flags & PM_SWAP != 0


def zero_frame() -> int:
    """Return the number of the frame that never-written pages are mapped to; 0 when the kernel hides frames."""
    page = mmap.mmap(-1, PAGE_SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    view = np.frombuffer(page, np.uint8)
    view.max()  # reading maps the zero page
    try:
        with open("/proc/self/pagemap", "rb", buffering=0) as own:
            entry = np.frombuffer(os.pread(own.fileno(), 8, view.ctypes.data // PAGE_SIZE * 8), np.uint64)
    except PermissionError:  # a process that gave up its privileges may not look at itself
        return 0
    return int(entry[0] & PM_PFN)


def _resident_runs(start: int, entries: np.ndarray) -> np.ndarray:
    """Make RESIDENT runs of the entries of consecutive pages from address `start` on."""
    edges = np.flatnonzero(np.diff(is_present(flags_of(entries)), prepend=False, append=False)) * PAGE_SIZE + start
    runs = np.empty(len(edges) // 2, RESIDENT)
    runs["start"], runs["end"] = edges[::2], edges[1::2]
    return runs
