"""Which pages of a process are written: write protection by userfaultfd that the kernel lifts by itself, page by page.

The process makes a userfaultfd for us (see pksm.linux.inject) and closes its own copy. Areas are registered with it, and
PAGEMAP_SCAN returns what was written and protects it again, in one step. Each page that is written costs the process one
short fault per interval. It all ends when our descriptor is closed.
"""

import contextlib
import fcntl
import functools
import os
import struct
import subprocess

import numpy as np

from pksm.arrays import BoolArray, I64Array, StructArray, U64Array, distinct
from pksm.errors import PksmError
from pksm.linux import text
from pksm.linux.inject import inject, refusals
from pksm.linux.proc import access, pagemap, tasks
from pksm.linux.proc.areas import Area, parse_areas
from pksm.linux.proc.pagemap import PAGE_REGION, PAGE_SIZE, PAGEMAP_SCAN, SCAN_ENTRIES
from pksm.linux.sandbox import system_call

_CLOSE, _USERFAULTFD, _PIDFD_GETFD = 3, 323, 438
_USER_MODE_ONLY = 1
_API, _REGISTER = 0xC018AA3F, 0xC020AA00
_ABI, _WP_ASYNC = 0xAA, 1 << 15
_MODE_WP = 2
_PROTECT = 1  # PM_SCAN_WP_MATCHING: what was written, in areas that are registered; others are passed over
_WRITTEN = 1 << 1
_ARG = struct.Struct("<12Q")  # SCAN_ARG, packed
_NEVER = {b"[vvar]", b"[vvar_vclock]", b"[vdso]", b"[vsyscall]"}


def areas_to_track(pid: int, name: str) -> list[Area]:
    """Return what would be registered in a process of this name, which is left alone. PksmError: it could not be tracked."""
    data = access.guarded(pid, name, lambda number: text.read(f"/proc/{number}/maps"))
    refusals.check(pid)
    return own_areas(data)


def own_areas(maps: bytes) -> list[Area]:
    """Return those areas of the text of a maps file whose pages are the process's own, so that writes can be reported."""
    return [area for area in parse_areas(maps) if area.access[3:4] == b"p" and area.name not in _NEVER]


class Written:
    """What is written to the memory of a process, from one call of look() to the next.

    Args:
        pid: the process.

    Attributes:
        longest_pause_s: that the process stood still, at most.
        faults: pages that were written and took a fault so far.
        registers: whether any of its areas could be registered so far.
        anonymous: areas without a file, at the last look: page numbers of starts and ends (n, 2).

    Raises:
        PksmError: it cannot be tracked; the message says why.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.faults, self.registers = 0, False
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
        self._maps, self._there = b"", np.empty((0, 2), np.int64)
        self.anonymous = self._there
        self._found = np.empty(SCAN_ENTRIES, PAGE_REGION)  # by one call
        try:
            _negotiate(self._fd)
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
            (ranges of resident pages of which all writes are known, but for the kernel's zero page: page numbers of starts and
            ends (n, 2), page numbers written in them).

        Raises:
            PksmError: the process has ended, or has begun another program.
        """
        try:
            there = self._areas()
            found = self._protect(int(there[0, 0]), int(there[-1, 1])) if len(there) else np.empty(0, PAGE_REGION)
            ranges = _joined(found)
            self._add(there[~_overlaps(there, ranges)])
            zero = found["categories"] & pagemap.PAGE_IS_PFNZERO != 0
            if zero.any():
                found = found[~zero]
                ranges = _joined(found)
        except OSError as error:
            raise PksmError(f"pid {self.pid}: its writes are not tracked any more: {error.strerror}") from None
        pages = _pages_of(found[found["categories"] & _WRITTEN != 0])
        self.faults += len(pages)
        return ranges // PAGE_SIZE, pages

    def _areas(self) -> I64Array:
        """Return the areas whose pages are the process's own: starts and ends (n, 2)."""
        data = text.read(f"/proc/{self.pid}/maps")
        if data != self._maps:  # as it mostly is not: to parse it takes as long as a scan
            found = own_areas(data)
            self._maps = data
            self._there = np.array([(area.start, area.end) for area in found], np.int64).reshape(-1, 2)
            self.anonymous = self._there[[not area.has_file for area in found]] // PAGE_SIZE
        return self._there

    def _add(self, areas: I64Array) -> None:
        """Register areas, and protect them: all of their pages count as unknown until the next look.

        Nothing is found in an area that is mapped anew where a registered one was; one that holds no page yet comes again.
        """
        for start, end in areas.tolist():  # once per area
            with contextlib.suppress(OSError):  # it has a userfaultfd of its own, can have none, or has gone
                fcntl.ioctl(self._fd, _REGISTER, bytearray(struct.pack("<QQQQ", start, end - start, _MODE_WP, 0)))
                self.registers = True
                self._protect(start, end)

    def _protect(self, start: int, end: int) -> StructArray:
        """Return runs of the resident pages of registered areas, marked where they were written, and protect them."""
        found, parts, n_runs = self._found, [], len(self._found)
        while n_runs == len(found):
            arg = _ARG.pack(
                _ARG.size, _PROTECT, start, end, 0, found.ctypes.data, len(found), 0,
                0, pagemap.PAGE_IS_PRESENT, 0, pagemap.PAGE_IS_PRESENT | pagemap.PAGE_IS_PFNZERO | _WRITTEN,
            )  # fmt: skip
            n_runs = fcntl.ioctl(self._pagemap, PAGEMAP_SCAN, bytearray(arg), True)
            parts.append(found[:n_runs].copy())
            start = int(found["end"][-1])  # walk_end may lie before that, and what is there was reported
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


@functools.cache
def lacking() -> str:
    """Return what the kernel lacks to report writes in this way, as a clause; "" if nothing."""
    try:
        refusals.check_machine()
        fd = system_call.call(_USERFAULTFD, os.O_CLOEXEC | _USER_MODE_ONLY)
    except PksmError as error:
        return str(error)
    except OSError as error:
        return f"userfaultfd: {error.strerror}"
    try:
        _negotiate(fd)
    except OSError:
        return "that takes Linux 6.7"
    finally:
        os.close(fd)
    return ""


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


def _negotiate(fd: int) -> None:
    fcntl.ioctl(fd, _API, bytearray(struct.pack("<QQQ", _ABI, _WP_ASYNC, 0)))


def _copy_of(pid: int, fd: int) -> int:
    pidfd = os.pidfd_open(pid)
    try:
        return system_call.call(_PIDFD_GETFD, pidfd, fd, 0)
    finally:
        os.close(pidfd)


def _joined(runs: StructArray) -> I64Array:
    """Return runs by address as ranges (n, 2) that do not touch each other."""
    heads = np.append(True, runs["start"][1:] != runs["end"][:-1])[: len(runs)]
    tails = np.append(heads[1:], True)[: len(runs)]
    return np.stack([runs["start"][heads], runs["end"][tails]], axis=1)


def _overlaps(areas: I64Array, ranges: I64Array) -> BoolArray:
    """Return which areas have bytes in ranges; each of the two in order and apart."""
    return np.searchsorted(ranges[:, 1], areas[:, 0], "right") < np.searchsorted(ranges[:, 0], areas[:, 1])


def common(one: I64Array, other: I64Array) -> I64Array:
    """Return what two lists of ranges (n, 2), each in order and apart, have in common."""
    cuts = distinct(np.concatenate([one.reshape(-1), other.reshape(-1)]))
    both = inside(cuts[:-1], one) & inside(cuts[:-1], other)
    return np.stack([cuts[:-1][both], cuts[1:][both]], axis=1)


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
