"""Which pages of a process are written: write protection by userfaultfd that the kernel lifts by itself, page by page.

The process makes a userfaultfd for us (see pksm.linux.inject) and closes its own copy. Areas are registered with it, and
PAGEMAP_SCAN returns what was written and protects it again, in one step. Each page that is written costs the process one
short fault per interval. It all ends when our descriptor is closed.
"""

import contextlib
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator

import numpy as np

from pksm.arrays import BoolArray, I64Array, StructArray, U64Array, distinct
from pksm.errors import PksmError
from pksm.linux.inject import inject
from pksm.linux.proc import pagemap, tasks
from pksm.linux.proc.areas import read_areas
from pksm.linux.proc.pagemap import PAGE_REGION, PAGE_SIZE, PAGEMAP_SCAN, SCAN_ENTRIES
from pksm.linux.sandbox import system_call

_CLOSE, _USERFAULTFD, _PIDFD_GETFD = 3, 323, 438
_USER_MODE_ONLY = 1
_API, _REGISTER = 0xC018AA3F, 0xC020AA00
_ABI, _WP_ASYNC = 0xAA, 1 << 15
_MODE_WP = 2
_PROTECT = 1 | 2  # PM_SCAN_WP_MATCHING, PM_SCAN_CHECK_WPASYNC: refused where nothing is tracked
_WRITTEN = 1 << 1
_ARG = struct.Struct("<12Q")  # SCAN_ARG, packed: areas are many, and most have nothing new
_NEVER = {b"[vvar]", b"[vvar_vclock]", b"[vdso]", b"[vsyscall]"}


class Written:
    """What is written to the memory of a process, from one call of look() to the next.

    Args:
        pid: the process.

    Attributes:
        longest_pause_s: that the process stood still, at most.
        faults: pages that were written and took a fault so far.

    Raises:
        PksmError: it cannot be tracked; the message says why.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.faults = 0
        done = inject(pid, [(_USERFAULTFD, os.O_CLOEXEC | _USER_MODE_ONLY)])
        self.longest_pause_s = done.longest_pause_s
        [theirs] = done.results
        if theirs < 0:
            raise PksmError(f"pid {pid}: its writes cannot be tracked: userfaultfd: {os.strerror(-theirs)}")
        try:
            self._fd = _copy_of(pid, theirs)
        except OSError as error:
            raise PksmError(f"pid {pid}: its writes cannot be tracked: {error.strerror}") from None
        finally:
            closed = inject(pid, [(_CLOSE, theirs)])
            self.longest_pause_s = max(self.longest_pause_s, closed.longest_pause_s)
        self._registered: I64Array = np.empty((0, 2), np.int64)
        self._found = np.empty(SCAN_ENTRIES, PAGE_REGION)  # by one call
        try:
            fcntl.ioctl(self._fd, _API, bytearray(struct.pack("<QQQ", _ABI, _WP_ASYNC, 0)))
            self._pagemap = os.open(f"{tasks.directory(pid)}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(self._fd)
            raise PksmError(f"pid {pid}: its writes cannot be tracked: that takes Linux 6.7") from None

    def close(self) -> None:
        """Track nothing any more."""
        os.close(self._pagemap)
        os.close(self._fd)

    def look(self) -> tuple[I64Array, U64Array]:
        """Return what is known since the last look, and protect everything anew.

        Returns:
            (areas of which all writes are known: page numbers of starts and ends (n, 2), page numbers written in them).

        Raises:
            PksmError: the process has ended, or has begun another program.
        """
        try:
            now = [area for area in read_areas(self.pid) if area.access[3:4] == b"p" and area.name not in _NEVER]
            there = np.array([(area.start, area.end) for area in now], np.int64).reshape(-1, 2)
            areas, parts = self._written_in(_common(there, self._registered))
            self._add_new(there, areas)
        except OSError as error:
            raise PksmError(f"pid {self.pid}: its writes are not tracked any more: {error.strerror}") from None
        runs = np.concatenate([np.empty(0, PAGE_REGION), *parts])
        pages = _pages_of(runs)
        self.faults += len(pages)
        return areas // PAGE_SIZE, pages

    def _written_in(self, areas: I64Array) -> tuple[I64Array, list[StructArray]]:
        """Return which areas are tracked still, not mapped anew at the same place, and what was written in them."""
        kept, parts = np.ones(len(areas), bool), []
        for at, (start, end) in enumerate(areas.tolist()):  # once per area
            try:
                parts.append(self._protect(start, end))
            except PermissionError:
                kept[at] = False
        return areas[kept], parts

    def _add_new(self, there: I64Array, tracked: I64Array) -> None:
        """Register what is not, and protect it: all of it counts as unknown until the next look."""
        starts, added = set(tracked[:, 0].tolist()), []
        for start, end in there.tolist():  # once per area
            if start in starts:
                continue
            with contextlib.suppress(OSError):  # it has a userfaultfd of its own, can have none, or has gone
                fcntl.ioctl(self._fd, _REGISTER, bytearray(struct.pack("<QQQQ", start, end - start, _MODE_WP, 0)))
                self._protect(start, end)
                added.append((start, end))
        self._registered = np.concatenate([tracked, np.array(added, np.int64).reshape(-1, 2)])
        self._registered = self._registered[np.argsort(self._registered[:, 0])]

    def _protect(self, start: int, end: int) -> StructArray:
        """Return the runs of resident pages that were written, and protect them."""
        return np.concatenate([np.empty(0, PAGE_REGION), *self._scans(start, end)])

    def _scans(self, start: int, end: int) -> Iterator[StructArray]:
        found, mask = self._found, _WRITTEN | pagemap.PAGE_IS_PRESENT
        while start < end:
            arg = bytearray(
                _ARG.pack(_ARG.size, _PROTECT, start, end, 0, found.ctypes.data, len(found), 0, 0, mask, 0, mask)
            )
            n_runs = fcntl.ioctl(self._pagemap, PAGEMAP_SCAN, arg, True)
            start = _ARG.unpack(arg)[4]
            if n_runs:
                yield found[:n_runs].copy()


def why_not() -> str:
    """Return why the writes of a child of ours are not reported; "" if one was."""
    try:
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            try:
                return _missed(child)
            finally:
                child.kill()
    except (PksmError, OSError) as error:
        return str(error)


def _missed(child: "subprocess.Popen[bytes]") -> str:
    """Return what is wrong if a child that copies a line is not seen to write it to its memory."""
    assert child.stdin and child.stdout
    with contextlib.closing(Written(child.pid)) as tracked:
        tracked.look()
        child.stdin.write(b"a line")
        child.stdin.flush()
        child.stdout.read(len(b"a line"))
        return "" if len(tracked.look()[1]) else "what a child wrote was not reported"


def _copy_of(pid: int, fd: int) -> int:
    pidfd = os.pidfd_open(pid)
    try:
        return system_call.call(_PIDFD_GETFD, pidfd, fd, 0)
    finally:
        os.close(pidfd)


def _common(some: I64Array, others: I64Array) -> I64Array:
    """Return what two lists of ranges, each in order and apart, have in common."""
    edges = distinct(np.concatenate([some.reshape(-1), others.reshape(-1)]))
    low, high = edges[:-1], edges[1:]
    both = inside(low, some) & inside(low, others)
    return np.stack([low[both], high[both]], axis=1)


def inside(at: I64Array, ranges: I64Array) -> BoolArray:
    """Return which numbers, sorted, lie in ranges (n, 2), which are in order and apart."""
    bounds = np.searchsorted(at, ranges.reshape(-1))
    lengths = np.diff(bounds, prepend=0, append=len(at))
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


def _pages_of(runs: StructArray) -> U64Array:
    first, end = runs["start"] // PAGE_SIZE, runs["end"] // PAGE_SIZE
    n_pages = end - first
    before = np.cumsum(n_pages) - n_pages
    return (np.repeat(first - before, n_pages) + np.arange(int(n_pages.sum()))).astype(np.uint64)
