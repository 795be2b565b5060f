"""ELF cores of processes (the kernel's, gdb's gcore) and of guests (QEMU's dump-guest-memory)."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pksm.arrays import I64Array, StructArray
from pksm.extents import State
from pksm.linux.proc.smaps import Mapping
from pksm.sources.base import Allocate, Progress, Region
from pksm.sources.files import OpenFile
from pksm.sources.images import elf, guest, mapped, segments


def sniff(file: OpenFile) -> bool:
    """Return whether the file is an ELF core."""
    return elf.is_core(file.head)


def open_file(file: OpenFile) -> "ElfCore":
    """Open the file as the kind of core it is. Raises PksmError with the reason and the remedy."""
    return ElfCore(file)


class ElfCore(mapped.MappedImage):
    """A core, mapped.

    Of a process, DATA: its own pages in the file. HOLE: holes of the file, and anonymous mappings that are not in it:
    the kernel writes nothing for one that was never touched (one under MADV_DONTDUMP looks the same). EXCLUDED: what
    is not its own (segments.REASONS), pages of files that were not dumped, the kernel's pages, what is cut off.
    """

    kind = "core"

    def _open(self) -> None:
        core = elf.read_core(self)
        self._reasons: I64Array | None = None
        self._clear()
        if core.physical:
            self.kind = "qemu"
            guest.lay_out(self, core)
        else:
            self.hole_state = State.HOLE
            self._lay_out(core)

    def _regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        self._clear()
        for region in super()._regions(page_size, allocate, progress):
            if self._reasons is not None:
                self._count_out_of_reach(region.runs, self._reasons)
            yield region

    def facts(self) -> dict[str, Any]:
        """Return why pages are out of reach, as of a live process."""
        if self._reasons is None:
            return {}
        out = dict(zip(segments.REASONS, self._out.tolist(), strict=True))
        left_out = out.pop("left_out") + out.pop("")  # of its own pages, those that are cut off
        return {"out_of_reach": {"not_resident": self._holes, "left_out": left_out, **out}}

    def _clear(self) -> None:
        self._out = np.zeros(len(segments.REASONS), np.int64)  # pages by reason
        self._holes = 0

    def _count_out_of_reach(self, runs: StructArray, reason_of: I64Array) -> None:
        out = runs[runs["state"] == State.EXCLUDED]
        reasons = reason_of[out["mapping"]]
        self._out += np.bincount(reasons, out["pages"], len(self._out)).astype(np.int64)
        self._holes += int(runs["pages"][runs["state"] == State.HOLE].sum())

    def _lay_out(self, core: elf.Core) -> None:
        """Learn where the memory of the process lies, and under which names."""
        loads, address = core.loads, core.loads["vaddr"]
        size, held = loads["memsz"].astype(np.int64), loads["filesz"].astype(np.int64)
        number = np.arange(len(loads))
        found = segments.look_up(core)
        self._reasons = found.reasons
        self.mappings = [
            Mapping(name, start, start + length)
            for name, start, length in zip(found.names, address.tolist(), size.tolist(), strict=True)
        ]
        own = found.reasons == segments.OWN
        held = np.where(own, held, 0)
        states = np.where(own & ~found.of_file, State.HOLE, State.EXCLUDED)
        gaps = mapped.gap(states, number, address + held.astype(np.uint64), size - held)
        self.hold(mapped.piece(number, address, loads["offset"], held), [gaps])
        self._remark(loads, found)

    def _remark(self, loads: StructArray, found: segments.Segments) -> None:
        if not found.lists_files:
            self.remarks.append(
                f"{self.name}: the core does not list which files were mapped (NT_FILE): mappings have no names, what "
                "was not dumped counts as not resident, and what was as the process's own"
            )
        for reason, line in _LEFT_OUT.items():
            size = int(loads["filesz"][found.reasons == reason].sum())
            if size:
                self.remarks.append(f"{self.name}: {size >> 10} KiB {line}")
        extents = self.file.extents
        if len(extents) == 1 and extents[0].tolist() == [0, self.size]:
            by_gdb = (loads["filesz"] == loads["memsz"]).all()
            maker = "gdb's gcore writes cores" if by_gdb else "copies and pipes leave cores"
            self.remarks.append(
                f"{self.name}: the core has no holes, as {maker}: pages that were never touched are in it as zeros "
                "and count as zero pages; scan the live process, or a core that the kernel wrote to a file"
            )


_LEFT_OUT = {
    segments.SHARED: "of shared memory are left out: only private pages are merged",
    segments.HUGE: "of huge pages (hugetlbfs) are left out: only ordinary pages are merged",
    segments.FILE: "of files are left out, which coredump_filter had dumped: only anonymous pages are merged",
    segments.UNCLEAR: "of files are left out: the core does not say whether they are shared or private copies; scan the "
    "live process, or dump it with the default coredump_filter",
}
