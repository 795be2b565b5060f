"""Processes on both sides: real ones under the kernel's ksmd, simulated ones under ours, with the same memory."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from pksm.arrays import IntArray, U8Array
from pksm.errors import PksmError
from pksm.hosts.machine import Machine
from pksm.hosts.machine.content import pages_of
from pksm.hosts.machine.mm import Mm
from pksm.linux import memory_limits
from pksm.linux.ksm.borrow import EVERYTHING, Borrowed
from pksm.linux.ksm.files import ksm_stat
from pksm.policies.ksmd import tunables as ksm_tunables
from pksm.policies.ksmd.counters import ITEM_BYTES
from pksm.policies.ksmd.daemon import Ksmd
from pksm.validation.kernel.live_process import LiveProcess

PAGE_SIZE = 4096
COUNTERS = (  # those of the kernel that are compared
    "pages_shared",
    "pages_sharing",
    "pages_unshared",
    "pages_volatile",
    "ksm_zero_pages",
    "stable_node_dups",
    "stable_node_chains",
    "pages_scanned",
    "pages_skipped",
    "general_profit",
)
PROCESS_COUNTERS = ("ksm_rmap_items", "ksm_zero_pages", "ksm_merging_pages", "ksm_process_profit")
GROWING = ("pages_scanned", "pages_skipped")  # never cleared by the kernel: compared from the start of the workload


class Both:
    """A process on both sides. Addresses in bytes, n in pages, as Machine and LiveProcess have them."""

    def __init__(self, pair: "Pair", live: LiveProcess, mm: Mm) -> None:
        self._pair, self.live, self.mm = pair, live, mm

    def mmap(self, address: int, n: int) -> None:
        """Map n pages, mergeable."""
        self.live.mmap(address, n)
        self._pair.machine.mmap(self.mm, n, address, mergeable=True)

    def write(self, address: int, pages: U8Array | Sequence[int] | IntArray) -> None:
        """Write whole pages: uint8 (n, 4096), or content ids."""
        octets = pages_of(pages, PAGE_SIZE) if np.ndim(pages) == 1 else np.asarray(pages)
        self.live.write(address, np.ascontiguousarray(octets))
        self._pair.machine.write(self.mm, address, octets)

    def munmap(self, address: int, n: int) -> None:
        """Unmap n pages."""
        self.live.munmap(address, n)
        self._pair.machine.munmap(self.mm, address, n)

    def mremap(self, address: int, n: int, new_address: int) -> None:
        """Move n pages."""
        self.live.mremap(address, n, new_address)
        self._pair.machine.mremap(self.mm, address, n, new_address)

    def madvise(self, address: int, n: int, advice: str) -> None:
        """Advise on n pages."""
        self.live.madvise(address, n, advice)
        self._pair.machine.madvise(self.mm, address, n, advice)

    def mprotect(self, address: int, n: int, writable: bool) -> None:
        """Make n pages writable, or read-only."""
        self.live.mprotect(address, n, writable)
        self._pair.machine.mprotect(self.mm, address, n, writable)

    def fork(self) -> "Both":
        """Return a child on both sides."""
        return self._pair.add(self.live.fork(), self._pair.machine.fork(self.mm))

    def exit(self) -> None:
        """End it on both sides."""
        self._pair.drop(self)

    def check_bytes(self, address: int, n: int) -> None:
        """Raise PksmError unless n pages hold the same bytes on both sides."""
        if self.live.read(address, n) != self._pair.machine.read(self.mm, address, n).tobytes():
            raise PksmError(f"process {self.live.pid}: the bytes at {address:#x} differ from the simulation's")


class Pair:
    """The kernel's ksmd, borrowed, beside ours: a context manager that ends its processes.

    ksm: Borrowed; frames: of the simulated machine; knobs: of both, the kernel's defaults for the others.
    """

    def __init__(self, ksm: Borrowed, frames: int, **knobs: Any) -> None:
        self._ksm, self._knobs = ksm, knobs
        self._processes: list[Both] = []
        self._watched: list[tuple[int, Mm]] = []  # (process id, mm) of processes that are not ours to end
        memory_limits.require(frames * PAGE_SIZE, "compare fewer pages")
        self.machine = Machine(frames, PAGE_SIZE)
        tunables = ksm_tunables.preset("ksm-6.11").with_(**{"pages_to_scan": EVERYTHING, **knobs})
        self.ksmd = Ksmd(self.machine, tunables)

    def __enter__(self) -> Self:
        self._ksm.reset(**self._knobs)
        self._start = self._ksm.counters()
        return self

    def __exit__(self, *_: Any) -> None:
        for process in self._processes:
            process.live.exit()
        self._processes = []
        self._ksm.reset()

    def spawn(self) -> Both:
        """Return a process on both sides."""
        return self.add(LiveProcess(), self.machine.spawn())

    def add(self, live: LiveProcess, mm: Mm) -> Both:
        """Return what is one process on both sides."""
        self._processes.append(Both(self, live, mm))
        return self._processes[-1]

    def drop(self, process: Both) -> None:
        """End a process on both sides."""
        self._processes.remove(process)
        process.live.exit()
        self.machine.exit(process.mm)

    def watch(self, pid: int, mm: Mm) -> None:
        """Compare a process that somebody else has started, and its simulated twin, too."""
        self._watched.append((pid, mm))

    def scan(self, scans: int = 1) -> None:
        """Let both make full scans."""
        self._ksm.scan(scans)
        for _ in range(scans):
            self.ksmd.wake()

    def scan_pages(self, pages: int) -> None:
        """Let both wake up once and visit that many pages at most."""
        before = self.ksmd.tunables
        self._ksm.scan_pages(pages)
        self.ksmd.tunables = before.with_(pages_to_scan=pages)
        self.ksmd.wake()
        self.ksmd.tunables = before

    def set(self, **knobs: Any) -> bool:
        """Set knobs on both sides. Return whether they were taken; PksmError if only one side refuses."""
        before = self.ksmd.tunables
        refusals: list[str | None] = []
        for set_side in (self._ksm.set, self._set_ours):
            try:
                set_side(**knobs)
                refusals.append(None)
            except PksmError as error:
                refusals.append(str(error))
        kernel, ours = refusals
        if bool(kernel) != bool(ours):
            raise PksmError(f"{knobs} with {before}: the kernel: {kernel or 'taken'}; ours: {ours or 'taken'}")
        return not kernel

    def _set_ours(self, **knobs: Any) -> None:
        self.ksmd.tunables = self.ksmd.tunables.with_(**knobs)

    def unmerge(self) -> None:
        """Unmerge everything on both sides, by run=2; the next scan begins anew."""
        self._ksm.unmerge()
        self._set_ours(run=2)
        self._set_ours(run=1)

    def compare(self) -> dict[str, tuple[int, int]]:
        """Return {counter: (kernel, ours)} of all that is compared; those of a process with its number behind."""
        kernel, ours = self._ksm.counters(), self.ksmd.counters()
        rows = {
            name: (kernel[name] - (self._start[name] if name in GROWING else 0), ours[name])
            for name in COUNTERS
            if name in kernel
        }
        saved = (kernel["pages_sharing"] + kernel["ksm_zero_pages"]) * PAGE_SIZE
        rows["rmap_items"] = ((saved - kernel["general_profit"]) // ITEM_BYTES, ours["rmap_items"])
        ours_and_others = [(process.live.pid, process.mm) for process in self._processes] + self._watched
        for number, (pid, mm) in enumerate(ours_and_others):
            live, simulated = ksm_stat(pid), self.ksmd.process_stat(mm.id)
            for name in PROCESS_COUNTERS:
                if name in live:
                    rows[f"{name} ({number})"] = (int(live[name]), simulated[name])
        return rows

    def check_bytes(self) -> None:
        """Raise PksmError unless every process sees the same bytes on both sides, wherever it has memory."""
        for process in self._processes:
            for vma in process.mm.vmas:
                start, end = self.machine.vmas.span(vma)
                process.check_bytes(start * PAGE_SIZE, end - start)
