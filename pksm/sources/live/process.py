"""A live process as a source: its resident anonymous pages, copied without touching any other page."""

import contextlib
import os
import select
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from pksm import extents
from pksm.arrays import BoolArray, I64Array, StructArray, U64Array
from pksm.errors import UsageError
from pksm.extents import State
from pksm.linux.proc import access, guests, pagemap, processes, tasks
from pksm.linux.proc import memory as readv
from pksm.linux.proc import smaps as procmaps
from pksm.linux.proc.maps import AddressSpaces
from pksm.linux.proc.pagemap import PAGE_SIZE
from pksm.sources.base import Allocate, Progress, Region, Source
from pksm.sources.live.reading import Reading

RACY = ("keep", "drop", "unchecked")
APART_PAGES = 8  # shorter runs, on average, are read by one thread


class Taken(NamedTuple):
    """Frames of pages that were taken (uint64; 0: not looked up), and which are mapped once."""

    frames: U64Array
    exclusive: BoolArray


class ProcessSource(Source):
    """The memory of process `pid` while it runs. Raises UsageError or PksmError with the reason and the remedy.

    A second look, once all pages of a region are copied, finds those written between their copy and that look, unless
    the process slept all the time: `racy` says whether to keep or drop those, or not to look, which takes as long as
    reading.
    DATA: anonymous pages, private copies of file pages among them. EXCLUDED: resident but shared, of a file, of
    hugetlbfs, under userfaultfd, device memory, lost while reading, or racy and dropped. HOLE: not resident, swapped
    out, or mapped to the kernel's zero page, which is not a frame of its own.
    """

    kind = "process"

    def __init__(self, pid: int, racy: str = "keep"):
        if racy not in RACY:
            raise UsageError(f"unknown way with racy pages {racy!r}: choose from {', '.join(RACY)}")
        super().__init__(access.called(pid, ""))
        self.pid = pid
        self.layout: tuple[int, int, int] | None = None
        self.spaces = AddressSpaces()
        self.space: procmaps.AddressSpace | None = None  # as it was when it was last read
        self.frozen_until = 0.0  # time.monotonic(): the process stands still until then
        self.unwritten: Callable[[U64Array], BoolArray] | None = None  # which page numbers need no copy, for a recorder
        self.unmoved: Callable[[U64Array], BoolArray] | None = (
            None  # which are mapped once, in the frames in which they were
        )
        self.taker: readv.Taker | None = None  # gets the pages instead of copies, if nobody looks again
        self.left_out: I64Array | None = None  # ranges of addresses (n, 2): mappings with any of it are passed over
        self._racy = racy
        self._reading: Reading | None = None
        self.command = self.user = self.cgroup = ""
        self.guest: guests.Guest | None = None
        self.pidfd = access.open_pidfd(pid)
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        """Yield what is resident, by address, in copies of at most REGION_PAGES pages each.

        A process that ends meanwhile keeps what was read and counts the rest in `lost`; it is an error when nothing
        was read.
        """
        if page_size != PAGE_SIZE:
            raise UsageError(f"{self.name}: page size {page_size}: live processes have pages of {PAGE_SIZE} bytes")
        self.lost, self.warnings, self._reading = 0, [], None
        with self._opened() as (thread, pages, memory):
            space = access.guarded(self.pid, self.command, partial(self.spaces.read, thread=thread))
            if not pages.alive() or len(space.vmas) == 0:
                raise self.ended_unread()
            self.mappings = self._named(space.mappings)
            self.space = space
            self._reading = reading = Reading(self, self._to_read(space), pages, memory, self._racy)
            yield from reading.regions(allocate, progress)

    def take(self, pages: U64Array, exclusive: BoolArray, unknown: BoolArray, taker: readv.Taker) -> Taken | None:
        """Hand resident pages of anonymous mappings to a taker; return where they are, None if any of them has gone.

        Args:
            pages: their numbers, sorted.
            exclusive: which are mapped once, of those of which that is known.
            unknown: of which pages that, and the frame, is to be looked up.
            taker: gets their bytes.
        """
        frames, exclusive = np.zeros(len(pages), np.uint64), exclusive.copy()
        with self._opened() as (_, entries, memory):
            if unknown.any():
                found = entries.entries(_runs(pages[unknown]))
                flags = pagemap.flags_of(found)
                if not pagemap.is_anonymous(flags).all():
                    return None
                frames[unknown], exclusive[unknown] = found & pagemap.PM_PFN, pagemap.is_exclusive(flags)
            taker.begin(pages)
            runs = _runs(pages)
            helped = len(runs) * APART_PAGES < len(pages)
            lost = [lost for _, _, lost in memory.hand_runs(runs, exclusive, PAGE_SIZE, taker, helped)]
            if any(part is not None for part in lost) or not entries.alive() or tasks.layout(self.pid) != self.layout:
                return None
        return Taken(frames, exclusive)

    def _to_read(self, space: procmaps.AddressSpace) -> procmaps.AddressSpace:
        """Return an address space without what is left out."""
        left_out = self.left_out
        if left_out is None:
            return space
        begin = np.searchsorted(left_out[:, 1], space.vmas["start"], "right")
        end = np.searchsorted(left_out[:, 0], space.vmas["end"])
        return replace(space, vmas=space.vmas[begin >= end])

    def facts(self) -> dict[str, Any]:
        """Return further fields for the result of a scan; those about pages are filled while reading."""
        met: dict[str, Any] = self._reading.facts() if self._reading else {}
        about = {"pid": self.pid, "command": self.command, "user": self.user, "cgroup": self.cgroup}
        if self.guest:
            about |= {"vm": self.guest.name or self.name, "vm_memory": self.guest.backend}
        return {**about, **met}

    def close(self) -> None:
        """Let go of the process."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def exited(self, timeout_seconds: float = 0) -> bool:
        """Wait up to `timeout_seconds` for the process to end and return whether it has."""
        return wait_for_exit(self.pidfd, timeout_seconds)

    def ended_unread(self) -> access.UnreadError:
        """Make the error for a process that left nothing."""
        return access.ended_unread(self.pid, self.command, self.name)

    def _named(self, mappings: list[procmaps.Mapping]) -> list[procmaps.Mapping]:
        """Return mappings with the largest anonymous one of a guest under the name of its memory."""
        unnamed = [number for number, mapping in enumerate(mappings) if mapping.name == "anon"]
        if not self.guest or not unnamed:
            return mappings
        largest = max(unnamed, key=lambda number: mappings[number].end - mappings[number].start)
        memory = replace(mappings[largest], name=f"guest memory ({self.guest.backend})")
        return [*mappings[:largest], memory, *mappings[largest + 1 :]]

    def _check(self) -> None:
        """Refuse now what could not be read later, and learn the name."""
        self._learn_name()
        self.user = access.user_of(self.pid)
        self.cgroup = processes.cgroup_of(self.pid)
        with self._opened():
            pass

    def _learn_name(self) -> None:
        self.command = access.check_kind(self.pid)
        self.guest = guests.guest_of(guests.command_line(self.pid))
        self.name = access.called(self.pid, self.command)
        if self.guest and self.guest.name:
            self.name = f"guest {self.guest.name} ({self.name})"

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[int, pagemap.Pagemap, readv.ProcessMemory]]:
        """Open (living thread, Pagemap, ProcessMemory); the pidfd shows that they are not those of a later process of this pid."""
        with contextlib.ExitStack() as stack:
            thread = access.guarded(self.pid, self.command, tasks.living_thread)
            if thread is None:
                raise self.ended_unread()
            opener, other = partial(pagemap.Pagemap, thread=thread), partial(readv.ProcessMemory, thread=thread)
            pages = stack.enter_context(contextlib.closing(access.guarded(self.pid, self.command, opener)))
            memory = stack.enter_context(contextlib.closing(access.guarded(self.pid, self.command, other)))
            before, self.layout = self.layout, tasks.layout(self.pid)
            if before is not None and self.layout not in (before, None):
                self._learn_name()  # it has begun another program
            if self.exited() or not pages.alive():
                raise self.ended_unread()
            yield thread, pages, memory


def _runs(pages: U64Array) -> StructArray:
    """Return pages as DATA runs that fill a buffer one after the other."""
    runs = extents.address_runs(pages)
    return extents.make_runs(State.DATA, 0, runs["first"] * PAGE_SIZE, runs["pages"])


def wait_for_exit(pidfd: int, timeout_seconds: float) -> bool:
    """Wait up to `timeout_seconds` for the process of a pidfd to end, without reaping it; return whether it has."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_seconds * 1000))
