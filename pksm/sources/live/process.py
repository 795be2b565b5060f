"""A live process as a source: its resident anonymous pages, copied without touching any other page."""

import contextlib
import os
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from pksm import extents
from pksm.arrays import BoolArray, I64Array, StructArray, U8Array, U64Array, distinct
from pksm.errors import UsageError
from pksm.extents import State
from pksm.linux.proc import access, guests, pagemap, processes, stillness, tasks
from pksm.linux.proc import memory as readv
from pksm.linux.proc import smaps as procmaps
from pksm.linux.proc.maps import AddressSpaces
from pksm.linux.proc.pagemap import PAGE_SIZE
from pksm.sources.base import Allocate, Progress, Region, Source

REGION_PAGES = 1 << 17  # resident pages looked up and copied at a time
ZERO_CHECK_PAGES = 1 << 10
DATA, HOLE, EXCLUDED = State.DATA, State.HOLE, State.EXCLUDED
RACY = ("keep", "drop", "unchecked")


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
        self._racy = racy
        self._reading: _Reading | None = None
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
            self._reading = reading = _Reading(self, space, pages, memory, self._racy)
            yield from reading.regions(allocate, progress)

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
        self.command = access.check_kind(self.pid)
        self.user = access.user_of(self.pid)
        self.cgroup = processes.cgroup_of(self.pid)
        self.guest = guests.guest_of(guests.command_line(self.pid))
        self.name = access.called(self.pid, self.command)
        if self.guest and self.guest.name:
            self.name = f"guest {self.guest.name} ({self.name})"
        with self._opened():
            pass

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
            self.layout = tasks.layout(self.pid)
            if self.exited() or not pages.alive():
                raise self.ended_unread()
            yield thread, pages, memory


class _Reading:
    """One pass over the memory of a process. what_if_racy: one of RACY."""

    def __init__(
        self,
        source: ProcessSource,
        space: procmaps.AddressSpace,
        pages: pagemap.Pagemap,
        memory: readv.ProcessMemory,
        what_if_racy: str,
    ) -> None:
        self.source = source
        self.space = space
        self.pages = pages
        self.memory = memory
        self.drop_racy, self.unchecked = what_if_racy == "drop", what_if_racy == "unchecked"
        self.pages_read = 0
        self.unreadable = 0
        self.racy = 0
        self.frozen = True
        self.holes = 0
        self.excluded = np.zeros(len(procmaps.REASONS), np.int64)  # pages by reason
        self.ended = False
        self.stillness = stillness.Stillness(source.pid, space.has_devices)

    def facts(self) -> dict[str, Any]:
        """Return what was met, as ProcessSource.facts() has it."""
        page_size, ksm = PAGE_SIZE, self.space.ksm_bytes
        swapped = min(self.space.swapped_bytes // page_size, self.holes)
        reasons = dict(zip(procmaps.REASONS, self.excluded.tolist(), strict=True))
        reasons |= {"racy": self.racy if self.drop_racy else 0, "unreadable": self.unreadable}
        return {
            "racy": None if self.unchecked and not self.frozen else self.racy,
            "frozen": self.frozen,
            "ksm_merged": None if ksm is None else ksm // page_size,
            "opted_in": self.space.opted_in_bytes // page_size,
            "out_of_reach": {"not_resident": self.holes - swapped, "swapped": swapped, **reasons},
        }

    def regions(self, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        """Yield the regions and leave the warnings in the source."""
        address = int(self.space.vmas["start"][0])
        # The next part is looked up when this one has been taken: little time passes between look-up and copy.
        for resident, reached in self.pages.resident(self.space.vmas, REGION_PAGES):
            self.ended = not self.alive()
            if not self.ended:
                runs = runs_between(address, reached, self.space.vmas, resident)
                address = reached
                region = self._copy(runs, allocate, progress)
                if len(region.runs) and not (self.ended and self.pages_read == 0):
                    yield region
            if self.ended:
                break
        self._conclude()

    def alive(self) -> bool:
        """Tell whether what was read until now is of the process's memory: it had not ended or begun another program.

        While a thread of ours reads, memory that the process has left is kept, so its layout is asked for, too.
        """
        return self.pages.alive() and tasks.layout(self.source.pid) == self.source.layout

    def _copy(self, runs: StructArray, allocate: Allocate, progress: Progress) -> Region:
        look_again = not self.unchecked
        if look_again:
            self.stillness.begin(int(extents.data_runs(runs)["pages"].sum()))
        runs, frames, exclusive = self._look_up(runs)
        self._count_out_of_reach(runs)
        data = extents.data_runs(runs)
        if len(data) == 0:
            return Region(runs)
        known = self._known(data, frames, exclusive)
        wanted = slice(None) if known is None else ~known
        own = exclusive & ~np.repeat(self.space.vmas["merged"][data["mapping"]], data["pages"].astype(np.int64))
        own, parts = own[wanted], data if known is None else extents.pick_runs(data, ~known, PAGE_SIZE)
        copies = allocate(len(own))
        buffer = copies.array
        copied = np.full(len(buffer), EXCLUDED, np.uint8)
        for head, end, lost in self.memory.read_runs(parts, own, buffer):
            if not self.alive():
                self.ended = True
                break
            copied[head:end] = DATA if lost is None else np.where(lost, EXCLUDED, DATA)
            progress(end - head)
        self.unreadable += int(np.count_nonzero(copied == EXCLUDED))
        self.source.lost = self.unreadable
        if not self.pages.tells_zero_pages:
            suspects = (copied == DATA) & ~exclusive[wanted]
            zero = _zero_mapped(buffer, frames[wanted], suspects)
            copied[zero] = HOLE
            self.holes += len(zero)
        self.frozen &= time.monotonic() < self.source.frozen_until
        states = copied if known is None else self._with_known(known, copied, progress)
        if look_again and not (self.ended or self.frozen or self.stillness.lasts()):
            self._look_again(parts, own, buffer, copied)
            if known is not None:
                states[wanted] = copied
                self._look_at_known(data, frames, known, states)
        read = states == DATA
        self.pages_read += int(np.count_nonzero(read))
        if not read.all():
            runs = extents.mark_runs(runs, states, PAGE_SIZE)
        return Region(runs, copies=copies, frames=frames, exclusive=exclusive, copied=None if known is None else ~known)

    def _known(self, data: StructArray, frames: U64Array, exclusive: BoolArray) -> BoolArray | None:
        """Return which pages need no copy, for their bytes or those of their frames are known; None if all need one."""
        if self.source.unwritten is not None:
            unwritten = self.source.unwritten(extents.page_numbers(data, PAGE_SIZE))
            return unwritten if unwritten.any() else None
        if self.source.known is None or exclusive.all():
            return None
        known = ~exclusive
        known[known] = self.source.known(frames[known])
        return known if known.any() else None

    def _with_known(self, known: BoolArray, copied: U8Array, progress: Progress) -> U8Array:
        """Return the states of all pages: those of the copied ones, and of the known ones."""
        self.ended |= len(copied) == 0 and not self.alive()
        states = np.full(len(known), EXCLUDED if self.ended else DATA, np.uint8)
        states[~known] = copied
        progress(0 if self.ended or self.source.unwritten is not None else int(np.count_nonzero(known)))
        return states

    def _look_up(self, runs: StructArray) -> tuple[StructArray, U64Array, BoolArray]:
        """Return (runs, frames, exclusive): pages of files are EXCLUDED now, those gone since a HOLE."""
        entries = self.pages.entries(extents.data_runs(runs))
        flags = pagemap.flags_of(entries)
        anonymous = pagemap.is_anonymous(flags)
        if not anonymous.all():
            states = np.where(pagemap.is_present(flags), np.uint8(EXCLUDED), np.uint8(HOLE))
            states[anonymous] = DATA
            marked = extents.mark_runs(runs, states, PAGE_SIZE)
            runs = extents.make_runs(*(marked[field] for field in ("state", "mapping", "address", "pages")))
            entries, flags = entries[anonymous], flags[anonymous]
        return runs, entries & pagemap.PM_PFN, pagemap.is_exclusive(flags)

    def _count_out_of_reach(self, runs: StructArray) -> None:
        out = runs[runs["state"] == EXCLUDED]
        reason = self.space.vmas["reason"][out["mapping"]]
        self.excluded += np.bincount(reason, out["pages"], len(self.excluded)).astype(np.int64)
        self.holes += int(runs["pages"][runs["state"] == HOLE].sum())

    def _look_again(self, data: StructArray, own: BoolArray, buffer: U8Array, states: U8Array) -> None:
        """Count the pages that were written since they were read, and exclude them if they shall be dropped.

        What was unmapped counts, too. What was swapped out is not looked at: that would bring it back.
        """
        flags = pagemap.flags_of(self.pages.entries(data))
        away = ~pagemap.is_anonymous(flags)
        gone = away & ~pagemap.is_swapped(flags)
        own = own & pagemap.is_exclusive(flags)  # it may have forked since
        for head, end, changed in self.memory.compare_runs(data, own, away, buffer):
            if not self.alive():
                break
            if changed is not None:
                racy = (changed | gone[head:end]) & (states[head:end] == DATA)
                self.racy += int(np.count_nonzero(racy))
                if self.drop_racy:
                    states[head:end][racy] = EXCLUDED

    def _look_at_known(self, data: StructArray, frames: U64Array, known: BoolArray, states: U8Array) -> None:
        """Do what _look_again does with pages that were not copied: they may have been written if they left their frame.

        Or if they have it for themselves by now.
        """
        entries = self.pages.entries(extents.pick_runs(data, known, PAGE_SIZE))
        flags = pagemap.flags_of(entries)
        stays = pagemap.is_anonymous(flags) & ~pagemap.is_exclusive(flags) & (entries & pagemap.PM_PFN == frames[known])
        racy = np.flatnonzero(known)[~stays & ~pagemap.is_swapped(flags)]
        self.racy += len(racy) if self.alive() else 0
        if self.drop_racy and self.alive():
            states[racy] = EXCLUDED

    def _conclude(self) -> None:
        source, page_size = self.source, PAGE_SIZE
        if self.ended:
            if self.pages_read == 0:
                raise source.ended_unread()
            not_reached = self.space.anonymous_bytes // page_size - self.pages_read
            source.lost = max(source.lost, not_reached, 1)
            source.warnings.append(
                f"{source.name}: ended (or started another program) while it was read: "
                f"{self.pages_read} pages were read, about {source.lost} were lost"
            )
        elif source.lost:
            source.warnings.append(
                f"{source.name}: {source.lost} pages could not be read (unmapped meanwhile, or bad memory)"
            )
        if self.space.userfault_bytes:
            source.warnings.append(
                f"{source.name}: {self.space.userfault_bytes // page_size} resident pages are under userfaultfd "
                "and were not read"
            )


def wait_for_exit(pidfd: int, timeout_seconds: float) -> bool:
    """Wait up to `timeout_seconds` for the process of a pidfd to end, without reaping it; return whether it has."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_seconds * 1000))


def runs_between(start: int, end: int, vmas: np.ndarray, resident: np.ndarray) -> np.ndarray:
    """Make the runs of the mapped part of [start, end): what is resident, and HOLE for the rest."""
    edges = [vmas["start"], vmas["end"], resident["start"], resident["end"], np.array([start, end])]
    cuts: I64Array = distinct(np.clip(np.concatenate(edges), start, end))
    low, high = cuts[:-1], cuts[1:]
    vma, mapped = _holder(vmas, low)
    low, high, vma = low[mapped], high[mapped], vma[mapped]
    _, is_resident = _holder(resident, low)
    states = np.where(is_resident, np.uint8(DATA), np.uint8(HOLE))
    states[is_resident & vmas["barred"][vma] | vmas["device"][vma]] = EXCLUDED
    return extents.make_runs(states, vma, low, (high - low) // PAGE_SIZE)


def _holder(ranges: np.ndarray, address: np.ndarray) -> tuple[I64Array, BoolArray]:
    """Return (index, inside): the sorted range each address lies in, and whether it lies in any."""
    index = np.searchsorted(ranges["start"], address, "right") - 1
    inside = index >= 0
    inside[inside] = address[inside] < ranges["end"][index[inside]]
    return index, inside


def _zero_mapped(buffer: np.ndarray, frames: np.ndarray, suspects: np.ndarray) -> np.ndarray:
    """Return which of the `suspects` (bool) are mapped to the kernel's zero page, as buffer indexes.

    Without frame numbers a written zero page that is shared after a fork looks the same and is taken for one.
    """
    suspects = np.flatnonzero(suspects & ((frames == 0) | (frames == pagemap.zero_frame())))
    parts = [suspects[at : at + ZERO_CHECK_PAGES] for at in range(0, len(suspects), ZERO_CHECK_PAGES)]
    zero = [part[~buffer[part].view(np.uint64).any(axis=1)] for part in parts]
    return np.concatenate([*zero, np.empty(0, np.int64)])
