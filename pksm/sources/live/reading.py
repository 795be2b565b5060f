"""One pass over the memory of a live process: what is resident, copied or handed on, and what was met on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pksm import extents
from pksm.arrays import BoolArray, I64Array, StructArray, U8Array, U64Array, distinct
from pksm.extents import State
from pksm.linux.proc import memory as readv
from pksm.linux.proc import pagemap, stillness, tasks
from pksm.linux.proc import smaps as procmaps
from pksm.linux.proc.pagemap import PAGE_SIZE
from pksm.sources.base import Allocate, Progress, Region

if TYPE_CHECKING:
    from pksm.sources.live.process import ProcessSource

REGION_PAGES = 1 << 17  # resident pages looked up and copied at a time
ZERO_CHECK_PAGES = 1 << 10
DATA, HOLE, EXCLUDED = State.DATA, State.HOLE, State.EXCLUDED


class Reading:
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
        if not len(self.space.vmas):  # all of them were left out
            return
        address = int(self.space.vmas["start"][0])
        # The next part is looked up when this one has been taken: little time passes between look-up and copy.
        for resident, reached in self.pages.resident(self.space.vmas, REGION_PAGES, self.source.left_out is not None):
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
        runs, frames, exclusive, looked_up = self._look_up(runs)
        self._count_out_of_reach(runs)
        data = extents.data_runs(runs)
        if len(data) == 0:
            return Region(runs)
        known = self._known(data, frames, exclusive)
        wanted = slice(None) if known is None else ~known
        own = exclusive & ~np.repeat(self.space.vmas["merged"][data["mapping"]], data["pages"].astype(np.int64))
        own, parts = own[wanted], data if known is None else extents.pick_runs(data, ~known, PAGE_SIZE)
        taker = self.source.taker if self.unchecked and self.pages.tells_zero_pages else None
        copies = allocate(len(own) if taker is None else 0)
        buffer = copies.array
        if taker is None:
            copied = self._keep(parts, own, buffer, progress)
        else:
            taker.begin(extents.page_numbers(parts, PAGE_SIZE))
            copied = self._hand(parts, own, taker, progress)
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
        held = copies if taker is None else None
        return Region(runs, None, held, frames, exclusive, None if known is None else ~known, looked_up)

    def _keep(self, data: StructArray, own: BoolArray, buffer: U8Array, progress: Progress) -> U8Array:
        """Copy pages to a buffer; return their states."""
        states = np.full(len(own), EXCLUDED, np.uint8)
        for head, end, lost in self.memory.read_runs(data, own, buffer):
            if not self.alive():
                self.ended = True
                break
            states[head:end] = DATA if lost is None else np.where(lost, EXCLUDED, DATA)
            progress(end - head)
        return states

    def _hand(self, data: StructArray, own: BoolArray, taker: readv.Taker, progress: Progress) -> U8Array:
        """Hand pages to a taker; return their states: of a process that has ended meanwhile none is known."""
        states = np.full(len(own), EXCLUDED, np.uint8)
        for head, end, lost in self.memory.hand_runs(data, own, PAGE_SIZE, taker):
            states[head:end] = DATA if lost is None else np.where(lost, EXCLUDED, DATA)
            progress(end - head)
        if not self.alive():
            self.ended = True
            states[:] = EXCLUDED
        return states

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

    def _look_up(self, runs: StructArray) -> tuple[StructArray, U64Array, BoolArray, BoolArray | None]:
        """Return (runs, frames, exclusive, looked up): pages of files are EXCLUDED now, those gone since a HOLE."""
        entries, looked_up = self._entries(extents.data_runs(runs))
        flags = pagemap.flags_of(entries)
        anonymous = pagemap.is_anonymous(flags)
        if not anonymous.all():
            states = np.where(pagemap.is_present(flags), np.uint8(EXCLUDED), np.uint8(HOLE))
            states[anonymous] = DATA
            marked = extents.mark_runs(runs, states, PAGE_SIZE)
            runs = extents.make_runs(*(marked[field] for field in ("state", "mapping", "address", "pages")))
            entries, flags = entries[anonymous], flags[anonymous]
            looked_up = None if looked_up is None else looked_up[anonymous]
        return runs, entries & pagemap.PM_PFN, pagemap.is_exclusive(flags), looked_up

    def _entries(self, data: StructArray) -> tuple[U64Array, BoolArray | None]:
        """Return the entries of pages, and which were looked up, None for all: the kernel looks at the frame of each."""
        if self.source.unmoved is None:
            return self.pages.entries(data), None
        looked_up = ~self.source.unmoved(extents.page_numbers(data, PAGE_SIZE))
        entries = np.full(len(looked_up), pagemap.EXCLUSIVE_ENTRY)
        entries[looked_up] = self.pages.entries(extents.pick_runs(data, looked_up, PAGE_SIZE))
        return entries, looked_up

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
