"""The price list of this machine: what the running kernel's ksmd takes for what it does.

The same memory is scanned by the kernel's ksmd and by ours, scan by scan. Ours counts visits, steps, bytes and merges;
the kernel counts the CPU time of its thread. Prices are what fits these times best.
"""

import platform
import statistics
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

import numpy as np

from pksm.documents.common import PriceList
from pksm.documents.prediction import CalibrateDocument
from pksm.engine.cost import Prices
from pksm.linux.ksm.borrow import Borrowed
from pksm.linux.ksm.cpu import CpuTime, tick_ms
from pksm.simulation.workloads import make
from pksm.validation.kernel.both_sides import PAGE_SIZE, Both, Pair

SCHEMA: Final = "pksm.calibrate/1"
BASE = 0x10_0000_0000
REPEATS = 3
MOST_PAGES = 32768  # 128 MiB
WORK = ("pages_visited", "tree_steps", "bytes_hashed", "bytes_compared")
COLUMNS = ("wake_ns", "visit_ns", "step_ns", "hashed_byte_ns", "compared_byte_ns", "merge_ns")


class Subject(NamedTuple):
    """Memory to scan: a static load, its pages, and how often; zero: with use_zero_pages."""

    load: str
    pages: int
    scans: int
    zero: int = 0


# Unique pages, groups, pairs, empty pages and a mix; small and large trees. Pages that are equal up to their end are left
# out: our search does not compare again what it knows to be equal, the kernel's does.
SUBJECTS = (
    Subject("a", 4096, 3),
    Subject("a", MOST_PAGES, 3),
    Subject("c", MOST_PAGES, 3),
    Subject("b", 8192, 3),
    Subject("d", 16384, 3, zero=1),
    Subject("f", MOST_PAGES, 3, zero=1),
)
FEW_PAGES, FEW_WAKES = 10, 100  # a wake-up by itself


class Sample(NamedTuple):
    """What was done, in the order of COLUMNS, and the ns that the kernel's ksmd took for it."""

    subject: str
    work: tuple[int, ...]
    ns: float


class Calibration(NamedTuple):
    """Prices, and the samples they are of."""

    prices: Prices
    samples: list[Sample]


def calibrate(progress: Callable[[str], object] = lambda name: None) -> Calibration:
    """Measure what work costs the running kernel's ksmd. It takes about a minute.

    Args:
        progress: called with the name of each subject before it is scanned.

    Raises:
        UnsupportedError: ksmd can't be borrowed, or its CPU time is not counted.
    """
    runs: list[list[Sample]] = []
    copies: list[float] = []
    with Borrowed() as ksm:
        for repeat in range(REPEATS):
            samples: list[Sample] = []
            for subject in SUBJECTS:
                progress(f"load {subject.load} of {subject.pages:,} pages, {repeat + 1} of {REPEATS}")
                samples += _scans(ksm, subject)
            samples += _wakes(ksm)
            copies.append(_copy_ns(ksm))
            runs.append(samples)
    middle = [one[0]._replace(ns=statistics.median(sample.ns for sample in one)) for one in zip(*runs, strict=True)]
    fitted = fit(middle)
    release = platform.release()
    prices = Prices(
        source=f"measured on this machine, Linux {release}",
        kernel=release,
        copy_ns=round(max(0.0, statistics.median(copies)), 3),
        tick_ms=tick_ms(),
        **{name: round(value, 5) for name, value in fitted.items()},
    )
    return Calibration(prices, middle)


def document_of(calibration: Calibration, path: str) -> CalibrateDocument:
    """Return the document `pksm.calibrate/1` of prices that are kept at a path."""
    return {
        "schema": SCHEMA,
        "prices": cast(PriceList, calibration.prices.as_dict()),
        "path": path,
        "samples": [
            {
                "subject": sample.subject,
                "pages_visited": sample.work[1],
                "cpu_ns": sample.ns,
                "predicted_ns": round(predicted(calibration.prices, sample), 1),
            }
            for sample in calibration.samples
        ],
    }


def predicted(prices: Prices, sample: Sample) -> float:
    """Return the ns that prices give for the work of a sample."""
    return sum(getattr(prices, name) * amount for name, amount in zip(COLUMNS, sample.work, strict=True))


def fit(samples: list[Sample]) -> dict[str, float]:
    """Return the prices, none below 0, whose squared relative errors over the samples are least.

    Least squares; as long as a price comes out below 0, the lowest is set to 0 and the others are fitted again.
    """
    work = np.array([sample.work for sample in samples], float)
    ns = np.array([sample.ns for sample in samples])
    relative, used = work / ns[:, np.newaxis], list(range(len(COLUMNS)))
    while used:
        scale = np.maximum(np.abs(relative[:, used]).max(axis=0), 1e-30)
        found = np.linalg.lstsq(relative[:, used] / scale, np.ones(len(ns)), rcond=None)[0] / scale
        if (found >= 0).all():
            break
        used.pop(int(np.argmin(found * scale)))
    return {name: float(found[used.index(place)]) if place in used else 0.0 for place, name in enumerate(COLUMNS)}


def _scans(ksm: Borrowed, subject: Subject) -> list[Sample]:
    """Scan a load on both sides, and return a sample for each scan."""
    pages = np.empty((subject.pages, PAGE_SIZE), np.uint8)
    make(subject.load, pages, 0)
    with Pair(ksm, subject.pages + 1024, smart_scan=0, use_zero_pages=subject.zero) as pair:
        _spawned(pair, pages)
        name = f"{subject.load}, {subject.pages:,} pages"
        return [_measured(pair, f"{name}, scan {scan + 1}", pair.scan) for scan in range(subject.scans)]


def _wakes(ksm: Borrowed) -> list[Sample]:
    """Let both wake up for a few pages each."""
    pages = np.empty((FEW_PAGES * (FEW_WAKES + 1), PAGE_SIZE), np.uint8)
    make("a", pages, 0)

    def wake() -> None:
        for _ in range(FEW_WAKES):
            pair.scan_pages(FEW_PAGES)

    with Pair(ksm, len(pages) + 1024, smart_scan=0) as pair:
        _spawned(pair, pages)
        return [_measured(pair, f"wake-ups for {FEW_PAGES} pages each", wake, FEW_WAKES)]


def _copy_ns(ksm: Borrowed) -> float:
    """Return the ns that it takes longer to write to a merged page than to one's own."""
    n = 4096
    pages = np.repeat(np.arange(1, n // 4 + 1), 4)
    with Pair(ksm, 2 * n + 1024, smart_scan=0) as pair:
        process = _spawned(pair, pages)
        pair.scan(3)
        times = []
        for _ in range(2):
            began = time.perf_counter_ns()
            process.live.write(BASE, np.ones((n, PAGE_SIZE), np.uint8))
            times.append(time.perf_counter_ns() - began)
    return (times[0] - times[1]) / n


def _spawned(pair: Pair, pages: Any) -> Both:
    process = pair.spawn()
    process.mmap(BASE, len(pages))
    process.write(BASE, pages)
    return process


def _measured(pair: Pair, name: str, scan: Callable[[], object], wakes: int = 1) -> Sample:
    cpu = CpuTime()
    before, merges, began = pair.ksmd.cost.as_dict(), pair.machine.merges, cpu.ns()
    scan()
    ns, after = cpu.ns() - began, pair.ksmd.cost.as_dict()
    done = [after[column] - before[column] for column in WORK]
    return Sample(name, (wakes, *done, pair.machine.merges - merges), max(1, ns))
