"""Holds our ksmd against the kernel's own: the same bytes in real processes and in simulated ones, scan by scan.

Each workload does the same to both and lets both scan. After every scan all counters are compared. Static workloads end
at rest, when nothing has changed over two full scans.
"""

import platform
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np

from pksm.arrays import IntArray, U8Array
from pksm.documents import ValidateDocument
from pksm.errors import PksmError, UsageError
from pksm.linux.ksm import Borrowed
from pksm.linux.proc.mergeable import mergeable_memory
from pksm.naming import unknown
from pksm.simulation.workloads import LOADS
from pksm.simulation.workloads.loads import make
from pksm.validation.kernel.both_sides import GROWING, PAGE_SIZE, Both, Pair
from pksm.validation.kernel.in_turn import in_turn
from pksm.validation.kernel.programs import interpreters, redis_servers

SCHEMA: Final = "pksm.validate/1"
BASE = 0x100000000000  # where memory is mapped on both sides
DEFAULT_PAGES = 16384
MOST_OF_PROGRAMS = 65536  # pages: more than the programs below have
SCANS_TO_REST = 30
REAL_TOLERANCE = 0.005  # of pages_sharing


@dataclass(frozen=True)
class Workload:
    """play(pair, pages, seed); static: memory holds still while it is scanned; knobs: of both sides."""

    text: str
    play: "Callable[[Watch, int, int], None]"
    static: bool = True
    knobs: dict[str, int] = field(default_factory=lambda: {"smart_scan": 0})
    is_real: bool = False


class Watch:
    """What a workload is played on: a Pair whose every scan is compared."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self.scans = self.different = 0
        self.rows: dict[str, tuple[int, int]] = {}

    def spawn(self) -> Both:
        """Return a process on both sides."""
        return self._pair.spawn()

    def spawn_with(self, pages: U8Array | Sequence[int] | IntArray) -> Both:
        """Return a process on both sides that has written these pages from BASE on."""
        process = self.spawn()
        process.mmap(BASE, len(pages))
        process.write(BASE, pages)
        return process

    def adopt(self, pid: int) -> None:
        """Let the simulation have a process with the memory that a real one has."""
        machine = self._pair.machine
        mm = machine.spawn()
        for address, n, virtual, pages in mergeable_memory(pid):
            machine.mmap(mm, n, address, mergeable=True)
            for run in np.split(np.arange(len(virtual)), np.flatnonzero(np.diff(virtual) != 1) + 1):
                if len(run):
                    machine.write(mm, int(virtual[run[0]]) * PAGE_SIZE, pages[run])
        self._pair.watch(pid, mm)

    def scan(self, scans: int = 1, pages: int | None = None) -> None:
        """Let both scan, and compare; pages: wake-ups of so many pages instead of full scans."""
        for _ in range(scans):
            self._pair.scan() if pages is None else self._pair.scan_pages(pages)
            self.rows = self._pair.compare()
            self.scans += 1
            self.different += any(kernel != ours for kernel, ours in self.rows.values())

    def rest(self) -> None:
        """Let both scan until the kernel's counters stay the same over two full scans. PksmError if they never do."""
        before = None
        for _ in range(SCANS_TO_REST):
            self.scan()
            now = {name: kernel for name, (kernel, _) in self.rows.items() if name not in GROWING}
            if now == before:
                return
            before = now
        raise PksmError(f"ksmd was not at rest after {SCANS_TO_REST} full scans")

    def check_bytes(self) -> None:
        """Raise PksmError unless all processes read the same on both sides."""
        self._pair.check_bytes()


def _load(name: str, watch: Watch, n: int, seed: int) -> None:
    pages = np.empty((n, PAGE_SIZE), np.uint8)
    make(name, pages, seed)
    watch.spawn_with(pages)
    watch.rest()


def _family(watch: Watch, n: int, seed: int) -> tuple[Both, IntArray]:
    """A process and three forks of it: a third of the pages empty or equal."""
    ids = np.arange(1, n // 4 + 1)
    ids[: n // 12] = 7
    parent = watch.spawn_with(ids)
    return parent, ids


def _fork_before(watch: Watch, n: int, seed: int) -> None:
    parent, _ = _family(watch, n, seed)
    for _ in range(3):
        parent.fork()
    watch.rest()


def _fork_after(watch: Watch, n: int, seed: int) -> None:
    parent, ids = _family(watch, n, seed)
    watch.rest()
    child = parent.fork()
    child.fork()
    watch.rest()
    child.write(BASE, ids[: n // 8] + 3)
    parent.exit()
    watch.rest()


def _write_after(watch: Watch, n: int, seed: int) -> None:
    process = watch.spawn_with(np.arange(n) % (n // 4) + 1)
    watch.rest()
    process.write(BASE + PAGE_SIZE, np.arange(n // 2) + n)
    watch.rest()


def _unmap_after(watch: Watch, n: int, seed: int) -> None:
    process = watch.spawn_with(np.arange(n) % (n // 4) + 1)
    watch.rest()
    process.munmap(BASE + n // 8 * PAGE_SIZE, n // 2)
    watch.rest()


def _move(watch: Watch, n: int, seed: int) -> None:
    process = watch.spawn_with(np.arange(n) % (n // 4) + 1)
    watch.rest()
    process.mremap(BASE, n, BASE + 2 * n * PAGE_SIZE)
    watch.rest()


def _crowds(watch: Watch, n: int, seed: int) -> None:
    """Few contents, each many times what one stable page takes; then half of it goes."""
    process = watch.spawn_with(np.arange(n) % max(1, n // 1024) + 1)
    watch.rest()
    process.munmap(BASE + n // 4 * PAGE_SIZE, n // 2)
    watch.rest()


def _volatile(watch: Watch, n: int, seed: int) -> None:
    """A quarter of the pages is written between any two scans, some of it what others have."""
    random = np.random.default_rng(seed)
    process = watch.spawn_with(np.arange(n) % (n // 2) + 1)
    for _ in range(12):
        at = int(random.integers(0, n - n // 4))
        process.write(BASE + at * PAGE_SIZE, random.integers(1, n, n // 4))
        watch.scan()


def _in_steps(watch: Watch, n: int, seed: int) -> None:
    """Wake-ups that visit a part of the memory, with writes between."""
    process = watch.spawn_with(np.arange(n) % (n // 3) + 1)
    for step in range(20):
        watch.scan(pages=n // 5 + step)
        process.write(BASE + step * PAGE_SIZE, np.arange(n // 16) + step)


def _skips(watch: Watch, n: int, seed: int) -> None:
    pages = np.empty((n, PAGE_SIZE), np.uint8)
    make("f", pages, seed)
    watch.spawn_with(pages)
    watch.scan(24)


def _programs(start: Callable[[], AbstractContextManager[list[int]]], watch: Watch, n: int, seed: int) -> None:
    with start() as pids:
        for pid in pids:
            watch.adopt(pid)
        watch.rest()


_ZERO = {"smart_scan": 0, "use_zero_pages": 1}
WORKLOADS = {
    **{f"load-{name}": Workload(text, partial(_load, name)) for name, text in LOADS.items()},
    "zero-pages": Workload("load d with use_zero_pages", partial(_load, "d"), knobs=_ZERO),
    "fork-before": Workload("a process and its forks, merged after they have parted", _fork_before),
    "fork-after": Workload("merged, forked, written to, and the parent ended", _fork_after),
    "write-after": Workload("half of what was merged is written", _write_after),
    "unmap-after": Workload("half of what was merged is unmapped", _unmap_after),
    "move-after": Workload("what was merged is moved by mremap", _move),
    "crowds": Workload("groups far above max_page_sharing; half of them is unmapped", _crowds),
    "volatile": Workload("a quarter is written between two scans", _volatile, static=False),
    "in-steps": Workload("wake-ups of a part of the memory", _in_steps, static=False),
    "smart-scan": Workload("load f with smart_scan, 24 scans", _skips, static=False, knobs={"smart_scan": 1}),
    "python": Workload("three interpreters", partial(_programs, interpreters), is_real=True),
    "redis": Workload("two redis servers", partial(_programs, redis_servers), is_real=True),
}


def validate(
    names: Sequence[str] = (),
    pages: int = DEFAULT_PAGES,
    seed: int = 0,
    progress: Callable[[str], object] = lambda name: None,
) -> ValidateDocument:
    """Play workloads, all by default, on both sides and return a document of SCHEMA.

    progress(name): called before each. UnsupportedError where the kernel's ksmd can't be borrowed; a workload that
    can't be had here (a program is missing) is named under `skipped`.
    """
    names = list(names or WORKLOADS)
    strange = [name for name in names if name not in WORKLOADS]
    if strange:
        raise unknown("unknown workload", strange[0], WORKLOADS, has_list=True)
    if not 64 <= pages <= 1 << 20:
        raise UsageError(f"{pages} pages: must be from 64 to {1 << 20}")
    document: ValidateDocument = {
        "schema": SCHEMA,
        "kernel": platform.release(),
        "pages": pages,
        "seed": seed,
        "workloads": [],
        "skipped": [],
        "rows": [],
        "warnings": [],
        "equal": False,
    }

    def play(ksm: Borrowed, name: str) -> None:
        progress(name)
        _play(document, ksm, name, WORKLOADS[name], pages, seed)

    in_turn(document, names, play)
    document["equal"] = all(entry["equal"] for entry in document["workloads"])
    return document


def _play(document: ValidateDocument, ksm: Borrowed, name: str, workload: Workload, pages: int, seed: int) -> None:
    with Pair(ksm, max(4 * pages, MOST_OF_PROGRAMS if workload.is_real else 0), **workload.knobs) as pair:
        watch = Watch(pair)
        workload.play(watch, pages, seed)
        if not workload.is_real:
            watch.check_bytes()
        rows = watch.rows
    document["rows"] += [
        {"workload": name, "static": workload.static, "counter": counter, "kernel": kernel, "ours": ours}
        for counter, (kernel, ours) in rows.items()
    ]
    kernel, ours = rows["pages_sharing"]
    equal = abs(kernel - ours) <= REAL_TOLERANCE * kernel if workload.is_real else not watch.different
    document["workloads"].append(
        {
            "workload": name,
            "text": workload.text,
            "static": workload.static,
            "real": workload.is_real,
            "scans": watch.scans,
            "scans_that_differ": watch.different,
            "equal": bool(equal),
        }
    )
