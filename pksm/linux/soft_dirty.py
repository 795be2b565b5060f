"""Which pages of a process are written: the kernel's soft-dirty bits, in its page map.

The kernel sets the bit of a page when it is written, and all are cleared by a write to clear_refs. A write between
reading and clearing would be lost, so the process stands still meanwhile. Nothing is done in it or to it
otherwise: it may be of 32 bits, watched by a seccomp filter, or have a userfaultfd of its own.
"""

import contextlib
import functools
import os
import subprocess
import sys

import numpy as np

from pksm import extents
from pksm.arrays import BoolArray, I64Array, StructArray, U64Array
from pksm.errors import PksmError
from pksm.extents import State
from pksm.linux import text
from pksm.linux.inject.refusals import check_stop
from pksm.linux.inject.still import while_still
from pksm.linux.proc import access, pagemap, tasks
from pksm.linux.proc.areas import Area
from pksm.linux.proc.pagemap import PAGE_SIZE, Pagemap
from pksm.linux.written import common, inside, own_areas

SOFT_DIRTY = b"4"  # to clear_refs: clear the bits of all pages
SCAN_PAGES = 1 << 18
_VMA = np.dtype([("start", "i8"), ("end", "i8"), ("resident", "?")])
_NO_RANGES, _NO_PAGES = np.empty((0, 2), np.int64), np.empty(0, np.uint64)
_ADDRESS_BYTES = 16  # that the child writes an address in
_CHILD = """
import ctypes, mmap, os
def mapped(n):
    area = mmap.mmap(-1, n * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    os.write(1, b"%16d" % ctypes.addressof(ctypes.c_char.from_buffer(area)))
    return area
old = mapped(8)
old.madvise(mmap.MADV_DONTDUMP)  # else the kernel might join the new area to it
old[:] = bytes(range(1, 9)) * (len(old) // 8)
os.write(1, b"!")
os.read(0, 1)
old[3 * mmap.PAGESIZE] = 0
new = mapped(2)
new[0] = 1
os.write(1, b"!")
os.read(0, 1)
"""


def areas_to_track(pid: int, name: str) -> list[Area]:
    """Return the areas that would be looked at in a process of this name. PksmError: it could not be tracked."""
    data = access.guarded(pid, name, lambda number: text.read(f"/proc/{number}/maps"))
    check_stop(pid)
    return _areas(data)


class SoftDirty:
    """What is written to the memory of a process, from one call of look() to the next.

    Args:
        pid: the process.

    Attributes:
        longest_pause_s: that the process stood still, at most.
        faults: pages that were written so far; each took a fault, but those mapped anew, and the others of huge pages.
        anonymous: areas without a file, at the last look: page numbers of starts and ends (n, 2).

    Raises:
        PksmError: it cannot be tracked; the message says why.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.faults, self.longest_pause_s = 0, 0.0
        self.anonymous = _NO_RANGES
        self._has_looked = False
        self._shared = _NO_PAGES, _NO_PAGES  # at the last look: those mapped more than once, and their frames
        self._zero_frame = pagemap.zero_frame()
        self._pagemap = access.guarded(pid, "", Pagemap)
        try:
            self._clear = os.open(f"{tasks.directory(pid)}/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            self._pagemap.close()
            raise PksmError(f"pid {pid}: its soft-dirty bits cannot be cleared: {error.strerror}") from None
        try:
            self._read_and_clear(_runs(_NO_RANGES))
        except PksmError:
            self.close()
            raise

    def close(self) -> None:
        """Track nothing any more."""
        os.close(self._clear)
        self._pagemap.close()

    def look(self) -> tuple[I64Array, U64Array]:
        """Return what is known since the last look, and begin anew.

        Returns:
            (ranges of resident pages of which all writes are known, but for the kernel's zero page: page numbers of starts and
            ends (n, 2), page numbers written in them and in others).

        Raises:
            PksmError: the process has ended, has begun another program, or does not stand still.
        """
        if not self._has_looked:  # who knows what was there when the bits were cleared
            self._has_looked = True
            return _NO_RANGES, _NO_PAGES
        try:
            runs = _runs(self._resident())
        except OSError as error:
            raise PksmError(f"pid {self.pid}: its writes are not tracked any more: {error.strerror}") from None
        entries = self._read_and_clear(runs)
        flags = pagemap.flags_of(entries)
        frames = entries & pagemap.PM_PFN
        own = pagemap.is_anonymous(flags)
        if self._zero_frame:
            own &= frames != self._zero_frame
        pages = extents.page_numbers(runs, PAGE_SIZE)
        written = own & (entries & pagemap.PM_SOFT_DIRTY != 0)
        known = own & (pagemap.is_exclusive(flags) | self._stays(pages, frames, own & ~pagemap.is_exclusive(flags)))
        self.faults += int(np.count_nonzero(written))
        return _ranges(pages[known]), pages[written]

    def _resident(self) -> I64Array:
        """Return the resident pages of areas whose pages are the process's own, as ranges: of others nothing is known.

        The process goes on meanwhile: what comes now is not looked at, and so not known.
        """
        areas = _areas(text.read(f"/proc/{self.pid}/maps"))
        there = np.array([(area.start, area.end) for area in areas], np.int64).reshape(-1, 2)
        self.anonymous = there[[not area.has_file for area in areas]] // PAGE_SIZE
        if not len(there):
            return _NO_RANGES
        vmas = np.zeros(len(there), _VMA)
        vmas["start"], vmas["end"], vmas["resident"] = there[:, 0], there[:, 1], True
        found = np.concatenate([runs for runs, _ in self._pagemap.resident(vmas, SCAN_PAGES)])
        return common(np.stack([found["start"], found["end"]], axis=1), there) // PAGE_SIZE

    def _read_and_clear(self, runs: StructArray) -> U64Array:
        """Return the entries of pages, and clear the bits of all."""

        def work() -> U64Array:
            if not self._pagemap.alive():
                raise PksmError(f"pid {self.pid}: has begun another program, or ended")
            entries: U64Array = self._pagemap.entries(runs)
            os.write(self._clear, SOFT_DIRTY)
            return entries

        still = while_still(self.pid, work)
        self.longest_pause_s = max(self.longest_pause_s, still.pause_s)
        return still.found

    def _stays(self, pages: U64Array, frames: U64Array, shared: BoolArray) -> BoolArray:
        """Return which shared pages lie in the frames in which they were: others may be the zero page, of whatever size."""
        (old, old_frames), self._shared = self._shared, (pages[shared], frames[shared])
        at = np.minimum(np.searchsorted(old, pages), max(0, len(old) - 1))
        if not len(old):
            return np.zeros(len(pages), bool)
        stays: BoolArray = shared & (frames != 0) & (old[at] == pages) & (old_frames[at] == frames)
        return stays


@functools.cache
def why_not() -> str:
    """Return why the soft-dirty bits of a child of ours are not as they should be, as a clause; "" if they are."""
    command = [sys.executable, "-I", "-S", "-c", _CHILD]
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            try:
                return _wrong(child)
            finally:
                child.kill()
    except (PksmError, OSError, ValueError) as error:
        return str(error)


def _wrong(child: "subprocess.Popen[bytes]") -> str:
    """Return what is wrong if a child that writes one page of several and maps an area is not seen to do just this."""
    assert child.stdin and child.stdout
    old = int(child.stdout.read(_ADDRESS_BYTES)) // PAGE_SIZE
    child.stdout.read(1)
    with contextlib.closing(SoftDirty(child.pid)) as tracked:
        tracked.look()
        child.stdin.write(b"!")
        child.stdin.flush()
        new = int(child.stdout.read(_ADDRESS_BYTES)) // PAGE_SIZE
        child.stdout.read(1)
        ranges, written = tracked.look()
    if not {old + 3, new} <= set(written.tolist()):
        return "what a child wrote was not reported (CONFIG_MEM_SOFT_DIRTY)"
    kept = np.array([old + page for page in range(8) if page != 3], np.int64)
    if not inside(kept, ranges).all() or np.isin(kept, written).any():
        return "what a child did not write was reported"
    return ""


def _areas(maps: bytes) -> list[Area]:
    """Return the areas whose pages are the process's own, but for what is reserved alone."""
    return [area for area in own_areas(maps) if area.access[:3] != b"---"]


def _runs(ranges: I64Array) -> StructArray:
    """Return ranges of pages as DATA runs that fill a buffer one after the other."""
    return extents.make_runs(State.DATA, 0, ranges[:, 0].astype(np.uint64) * PAGE_SIZE, ranges[:, 1] - ranges[:, 0])


def _ranges(pages: U64Array) -> I64Array:
    """Return pages as ranges (n, 2)."""
    runs = extents.address_runs(pages)
    first = runs["first"].astype(np.int64)
    return np.stack([first, first + runs["pages"]], axis=1)
