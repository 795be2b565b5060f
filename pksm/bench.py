"""What a benchmark measures: the limits of the machine beside our engine, on the same bytes, every answer checked.

One process, one thread, memory touched before the clock starts. CPU time stands beside wall time: on a machine that
others use too, only the first says what the work costs.
"""

import gc
import os
import platform
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat, starmap
from statistics import median

import numpy as np

import pksm
from pksm import checksums, native, tunables
from pksm.errors import PksmError, UsageError
from pksm.flat import FlatHost
from pksm.host import NO_FRAME, ZERO_FRAME
from pksm.pksmd import Pksmd
from pksm.store import Store
from pksm.workloads import LOADS, make

SCHEMA = "pksm.bench/1"
BATCH = 65536  # pages a wake-up, as a scan has it
COPY_BYTES = 1 << 28  # as much is copied and compared, at most: far more than a cache holds
CALLS = 100_000


class WrongAnswer(PksmError):
    """What was measured gave a wrong answer, so its figures mean nothing."""


class Ground:
    """Touched memory that holds one load at a time.

    bytes: uint8 (n_pages, page_size); pages: their page numbers; load: what is in it, None before the first fill.
    """

    def __init__(self, n_pages, page_size=4096):
        if n_pages < 1:
            raise UsageError(f"{n_pages} pages: there must be one at least to measure with")
        self.store = Store(page_size)
        self.first, self.bytes = self.store.allocate(n_pages)
        self.pages = np.arange(self.first, self.first + n_pages, dtype=np.uint32)
        self.load = None

    def fill(self, name, seed=0):
        """Write the load of this name over what was there."""
        self.load = make(name, self.bytes, seed)


@dataclass(frozen=True)
class Job:
    """Something to measure, as often as wanted.

    prepare() makes what one run needs; work(that) is the run, and nothing else is timed; check(what work returned)
    raises WrongAnswer, or returns the number of pages merged away (None where nothing is merged).
    """

    engine: str
    load: str
    pages: int  # that a run goes through; for `call`, calls
    prepare: Callable
    work: Callable
    check: Callable
    order: str | None = None


def yardsticks(ground):
    """Return the jobs that show the limits of this machine: read, memcpy, memcmp, call."""
    words = ground.bytes.reshape(-1).view(np.uint64)
    n = min(len(ground.pages), max(1, COPY_BYTES // ground.store.page_size))
    copy_first, copy = ground.store.allocate(n)
    np.copyto(copy, ground.bytes[:n])
    copies = np.arange(copy_first, copy_first + n, dtype=np.uint32)

    def job(engine, pages, work, right):
        def check(answer):
            if not right(answer):
                raise WrongAnswer(f"{engine} of load {ground.load.name}: a wrong result")

        return Job(engine, ground.load.name, pages, lambda: None, lambda _: work(), check)

    return [
        job(
            "read",
            len(ground.pages),
            lambda: np.add.reduce(words),
            lambda total: total == np.add.reduce(np.add.reduce(words.reshape(len(ground.pages), -1), axis=1)),
        ),
        job(
            "memcpy",
            n,
            lambda: np.copyto(copy, ground.bytes[:n]),
            lambda _: np.array_equal(copy, ground.bytes[:n]),
        ),
        job(
            "memcmp",
            n,
            lambda: native.pages_compare(ground.store.view, ground.pages[:n], copies),
            lambda order: not order.any(),
        ),
        job(
            "call",
            CALLS,
            lambda: deque(starmap(native.lib.pksm_page_is_zero, repeat((native.ffi.NULL, 0), CALLS)), maxlen=1),
            lambda last: list(last) == [1],
        ),
    ]


def checksum_job(ground, name=checksums.DEFAULT):
    """Return the job that sums every page, and does no more."""
    strategy = checksums.make(name, ground.store.page_size)
    return Job(
        engine=f"checksum {name}",
        load=ground.load.name,
        pages=len(ground.pages),
        prepare=lambda: np.full(len(ground.pages), 1, np.uint64),  # touched
        work=lambda sums: native.checksum_pages(ground.store.view, strategy, ground.pages, out=sums),
        check=lambda sums: check_sums(ground.load, sums, exact=is_exact(name)),
    )


def sort_job(ground, name=checksums.DEFAULT):
    """Return the job that finds the contents by sorting checksums made before: no tree, no bytes looked at."""
    sums = native.checksum_pages(ground.store.view, checksums.make(name, ground.store.page_size), ground.pages)
    return Job(
        engine="sort",
        load=ground.load.name,
        pages=len(ground.pages),
        prepare=lambda: None,
        work=lambda _: np.unique(sums),
        check=lambda found: check_counts(ground.load, distinct=len(found)) if is_exact(name) else None,
    )


def pksmd_job(ground, settings=tunables.preset("fixed").with_(pages_to_scan=BATCH)):
    """Return the job of the engine proper: from the birth of all pages until pksmd is at rest."""
    most_wakes = 100 + 10 * -(-len(ground.pages) // settings.pages_to_scan)

    def prepare():
        gc.collect()
        host = FlatHost(ground.store)
        return host, Pksmd(host, settings)

    def work(prepared):
        host, pksmd = prepared
        host.bear(ground.pages)
        wakes = 0
        while not pksmd.at_rest and wakes < most_wakes:
            pksmd.wake()
            wakes += 1
        return prepared

    def check(worked):
        host, pksmd = worked
        if not pksmd.at_rest:
            where = f"load {ground.load.name}, order {settings.order}"
            raise WrongAnswer(f"{where}: not at rest after {most_wakes} wake-ups")
        return check_frames(ground.load, host.frame_of[ground.pages], ground.first)

    return Job("pksmd", ground.load.name, len(ground.pages), prepare, work, check, settings.order)


def is_exact(checksum):
    """Return True if equal sums of this strategy mean equal pages: it sums all words, to 64 bits."""
    return not native.takes_sample(checksum) and native.strategy_widths()[checksum] == 64


def check_counts(load, **found):
    """Raise WrongAnswer unless these counts are what the load expects."""
    expected = load.expected()
    for name, count in found.items():
        if count != expected[name]:
            raise WrongAnswer(f"load {load.name}: {name} should be {expected[name]}, found {count}")


def check_sums(load, sums, exact):
    """Raise WrongAnswer unless pages of equal content have equal sums, and, if exact, the others others."""
    _, one_page_each, content = np.unique(load.contents, return_index=True, return_inverse=True)
    if not np.array_equal(sums, sums[one_page_each][content]):
        raise WrongAnswer(f"load {load.name}: equal pages have different checksums")
    check_counts(load, pages=len(sums))
    if exact:
        check_counts(load, distinct=len(np.unique(sums)))


def check_frames(load, frames, first):
    """Return the number of pages merged away; WrongAnswer unless exactly the equal pages share a frame.

    frames: FlatHost.frame_of of the load's pages, the first of which is page number `first`.
    """
    zero = frames == ZERO_FRAME
    alive = frames != NO_FRAME
    distinct = len(np.unique(frames[alive]))
    n_alive = int(np.count_nonzero(alive))
    check_counts(
        load, pages=n_alive, zero=int(np.count_nonzero(zero)), distinct=distinct, duplicates=n_alive - distinct
    )
    kept = frames[alive & ~zero].astype(np.int64) - first
    if len(kept) and not 0 <= kept.min() <= kept.max() < len(frames):
        raise WrongAnswer(f"load {load.name}: a page was merged into one that is not of the load")
    if load.contents[zero].any() or not np.array_equal(load.contents[kept], load.contents[alive & ~zero]):
        raise WrongAnswer(f"load {load.name}: pages of different content share a frame")
    return n_alive - len(np.unique(kept))


def measure(job, repeats=3):
    """Run a job `repeats` times, check every answer, and return its row: medians."""
    walls, cpus = [], []
    for _ in range(repeats):
        prepared = job.prepare()
        wall, cpu = time.perf_counter(), time.process_time()
        answer = job.work(prepared)
        cpus.append(time.process_time() - cpu)
        walls.append(time.perf_counter() - wall)
        del prepared
        merges = job.check(answer)
        del answer
    cpu_s = median(cpus)
    return {
        "load": job.load,
        "pages": job.pages,
        "engine": job.engine,
        "order": job.order,
        "wall_s": median(walls),
        "cpu_s": cpu_s,
        "pages_per_cpu_s": job.pages / cpu_s,
        "merges_per_cpu_s": None if merges is None else merges / cpu_s,
        "ns_per_page": 1e9 * cpu_s / job.pages,
    }


def run(
    loads=tuple(LOADS),
    n_pages=65536,
    orders=("checksum-content",),
    page_size=4096,
    pages_to_scan=BATCH,
    checksum=checksums.DEFAULT,
    repeats=3,
    seed=0,
    progress=lambda row: None,
):
    """Measure yardsticks on the first load, then checksum pass, sort and pksmd on every load and order.

    progress is called with each row when it is there. Returns the document `pksm.bench/1`, ready for JSON. The
    memory is that of n_pages pages, and 256 MiB. UsageError for unknown names, WrongAnswer for a wrong engine.
    """
    unknown = [load for load in loads if load not in LOADS]
    if unknown:
        raise UsageError(f"unknown load {unknown[0]!r}: choose from {', '.join(LOADS)}")
    if not loads or not orders or repeats < 1:
        raise UsageError("nothing to measure: name a load, an order, and one repeat at least")
    base = tunables.preset("fixed").with_(pages_to_scan=pages_to_scan, checksum=checksum)
    settings = [base.with_(order=order) for order in orders]
    checksums.make(checksum, page_size)
    ground = Ground(n_pages, page_size)
    rows = []

    def note(job):
        rows.append(measure(job, repeats))
        progress(rows[-1])

    for load in loads:
        ground.fill(load, seed)
        if not rows:
            for job in yardsticks(ground):
                note(job)
        note(checksum_job(ground, checksum))
        note(sort_job(ground, checksum))
        for one in settings:
            note(pksmd_job(ground, one))
    return {
        "schema": SCHEMA,
        "pksm": pksm.__version__,
        "machine": machine(),
        "page_size": page_size,
        "pages_to_scan": pages_to_scan,
        "checksum": checksum,
        "repeats": repeats,
        "seed": seed,
        "rows": rows,
    }


def machine():
    """Return what the figures depend on: CPU, cores this process may use, kernel, Python, numpy, huge pages."""
    return {
        "cpu": _first_line_of("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "thp": _chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        "huge_kib": int((_first_line_of("/proc/self/smaps_rollup", "AnonHugePages") or "0").split()[0]),
    }


def _first_line_of(path, name):
    """Return what stands behind `name:` in a file of the kernel, None if there is no such line or file."""
    try:
        with open(path, encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith(name):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return None


def _chosen(path):
    """Return the [bracketed] word of a file in sysfs, None without the file."""
    try:
        with open(path, encoding="ascii") as text:
            return text.read().partition("[")[2].partition("]")[0]
    except OSError:
        return None
