"""What a simulation predicts of real programs, beside what the running kernel's ksmd then does with them."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple, cast

from pksm.documents.common import PriceList
from pksm.documents.prediction import PredictDocument, PredictRow, PredictRun
from pksm.engine.cost import Prices
from pksm.errors import PksmError
from pksm.linux.ksm import files
from pksm.linux.ksm.borrow import Borrowed
from pksm.linux.ksm.cpu import CpuTime
from pksm.naming import unknown
from pksm.policies.registry import choose_one
from pksm.simulation.curve import reached
from pksm.simulation.observers import Observer
from pksm.simulation.pace import KERNEL, Meter
from pksm.simulation.prices import prices_here
from pksm.simulation.real import RealMemory
from pksm.simulation.run import Settings, simulate
from pksm.simulation.simulation import Simulation
from pksm.simulation.taking import from_sources
from pksm.sources.opening import open_pid
from pksm.validation.kernel import programs
from pksm.validation.kernel.in_turn import in_turn

SCHEMA: Final = "pksm.predict/1"
RUNS = 5
POLL_S = 0.002
LONGEST_S = 60.0
SCANS = 4  # full scans that a run lasts at least
# The one that is recommended where nothing else is known, a slow and a fast one; as a preset and sysfs have them.
SETTINGS: Mapping[str, Mapping[str, int]] = {
    "recommended": {"pages_to_scan": 1000, "sleep_millisecs": 20, "smart_scan": 1, "use_zero_pages": 1},
    "slow": {"pages_to_scan": 400, "sleep_millisecs": 20, "smart_scan": 1, "use_zero_pages": 0},
    "fast": {"pages_to_scan": 4000, "sleep_millisecs": 20, "smart_scan": 0, "use_zero_pages": 1},
}


class Program(NamedTuple):
    """What is predicted. text: a phrase; start: a context manager that gives its process ids."""

    text: str
    start: Callable[[], AbstractContextManager[list[int]]]


PROGRAMS: Mapping[str, Program] = {
    "redis": Program("two redis servers, empty", programs.redis_servers),
    "python-forks": Program(
        "a Python interpreter and its forks, which have written to their memory", programs.python_forks
    ),
    "interpreters": Program("two Python interpreters", lambda: programs.interpreters(2)),
    "perls": Program("two perls with tables that are equal for the most part", programs.perls),
    "qemu": Program("two QEMU guests that have booted a kernel, without huge pages", programs.qemu_guests),
}


class Line(NamedTuple):
    """Pages saved over time, and at ends of wake-ups over pages scanned; CPU seconds and seconds in all."""

    points: list[tuple[float, int]]  # ms, pages
    by_scanned: list[tuple[int, int]]
    cpu: list[tuple[int, float]]  # seconds, by pages scanned
    seconds: float


class Looks:
    """Pages saved, as looks at the kernel's counters show them: what two looks differ by was saved since the first one.

    Attributes:
        points: (ms, pages), a step at each look that found something new.
    """

    def __init__(self) -> None:
        self.points: list[tuple[float, int]] = [(0.0, 0)]
        self._last_ms = 0.0

    def add(self, ms: float, saved: int) -> None:
        """Add a look, later than those before."""
        before = self.points[-1][1]
        if saved != before:
            self.points += [(self._last_ms, before), (ms, saved)]
        self._last_ms = ms


class _Scanned(Observer):
    """Pages saved over time and by pages scanned, and CPU time, after every wake-up."""

    def __init__(self, prices: Prices) -> None:
        self.points: list[tuple[float, int]] = [(0.0, 0)]
        self.by_scanned: list[tuple[int, int]] = [(0, 0)]
        self.cpu: list[tuple[int, float]] = [(0, 0.0)]
        self._prices = prices

    def after_wake(self, sim: Simulation) -> None:
        """The policy has been awake."""
        counters = sim.policy.counters()
        scanned, saved = counters["pages_scanned"], _saved(counters)
        if saved != self.points[-1][1]:
            self.points += [(float(sim.now), self.points[-1][1]), (sim.worked_until, saved)]
        self.by_scanned.append((scanned, saved))
        self.cpu.append((scanned, Meter(sim.machine, sim.policy, self._prices, sim.real).cpu_ns(sim.wakes) / 1e9))


def _saved(counters: Mapping[str, int]) -> int:
    return counters["pages_sharing"] + counters["ksm_zero_pages"]


def predict(
    names: list[str] | None = None,
    runs: int = RUNS,
    progress: Callable[[str], object] = lambda name: None,
    prices: Prices | None = None,
) -> PredictDocument:
    """Predict what ksmd will do with real programs, then let the kernel do it, and return both.

    Args:
        names: of PROGRAMS; None: all.
        runs: of the kernel, for each program and setting.
        progress: called with what is done next.
        prices: what work costs; None: as calibrated on this machine, or the defaults of its kernel.

    Raises:
        UnsupportedError: ksmd can't be borrowed.
        UsageError: an unknown name.
    """
    names = list(PROGRAMS) if names is None else names
    strange = [name for name in names if name not in PROGRAMS]
    if strange:
        raise unknown("unknown program", strange[0], PROGRAMS)
    prices = prices or prices_here()
    document: PredictDocument = {
        "schema": SCHEMA,
        "kernel": platform.release(),
        "prices": cast(PriceList, prices.as_dict()),
        "runs": runs,
        "skipped": [],
        "rows": [],
        "warnings": [],
    }

    def play(ksm: Borrowed, name: str) -> None:
        with PROGRAMS[name].start() as pids:
            memory = _taken(pids)
            for setting in SETTINGS:
                progress(f"{name}, {setting}")
                document["rows"].append(_row(ksm, name, setting, memory, runs, prices))

    in_turn(document, names, play)
    return document


def _taken(pids: list[int]) -> RealMemory:
    sources = [open_pid(pid) for pid in pids]
    try:
        return from_sources(sources, opted_in_only=True)
    finally:
        for source in sources:
            source.close()


def _row(ksm: Borrowed, name: str, setting: str, memory: RealMemory, runs: int, prices: Prices) -> PredictRow:
    live = [_live(ksm, SETTINGS[setting]) for _ in range(runs)]
    ours = _simulated(memory, SETTINGS[setting], max(line.seconds for line in live), prices)
    every = [_figures(line, ours) for line in live]
    predicted = _times(ours)
    return {
        "workload": name,
        "setting": setting,
        "settings": dict(SETTINGS[setting]),
        "pages": memory.frames,
        "saved": {"kernel": statistics.median(run["saved"] for run in every), "ours": ours.points[-1][1]},
        "reached_50_s": {"kernel": statistics.median(run["reached_50_s"] for run in every), "ours": predicted[0]},
        "reached_90_s": {"kernel": statistics.median(run["reached_90_s"] for run in every), "ours": predicted[1]},
        "cpu_s": {
            "kernel": statistics.median(run["cpu_s"] for run in every),
            "ours": statistics.median(run["cpu_s_ours"] for run in every),
        },
        "saved_by_scanned": statistics.median(run["saved_by_scanned"] for run in every),
        "every_run": every,
    }


def _figures(line: Line, ours: Line) -> PredictRun:
    half, most = _times(line)
    scanned, spent = line.cpu[-1]
    return {
        "saved": line.points[-1][1],
        "reached_50_s": half,
        "reached_90_s": most,
        "seconds": round(line.seconds, 3),
        "cpu_s": round(spent, 6),
        "cpu_s_ours": round(_at(ours.cpu, scanned) or ours.cpu[-1][1], 6),
        "saved_by_scanned": _difference(line, ours),
    }


def _times(line: Line) -> tuple[float, float]:
    """Return the seconds after which 50 and 90 % of what is saved at the end were saved."""
    half, most = (reached(line.points, part * line.points[-1][1]) or 0.0 for part in (0.5, 0.9))
    return round(half / 1000, 4), round(most / 1000, 4)


def _difference(line: Line, ours: Line) -> float:
    """Return by how much pages saved differ most at the same pages scanned: a part of what is saved at the end.

    Where a wake-up of ours ends: the kernel's two counters can't be read at the same moment while ksmd works.
    """
    expected = dict(ours.by_scanned)
    differences = [abs(saved - expected[scanned]) for scanned, saved in line.by_scanned if scanned in expected]
    return round(max(differences, default=0) / max(1, line.points[-1][1]), 5)


def _at(points: Sequence[tuple[int, float]], scanned: int) -> float | None:
    """Return what was saved when so many pages were scanned; None for more than ever were."""
    before: tuple[int, float] = (0, 0)
    for point in points:
        if point[0] >= scanned:
            width = point[0] - before[0]
            return before[1] + (point[1] - before[1]) * (scanned - before[0]) / width if width else point[1]
        before = point
    return None


def _live(ksm: Borrowed, settings: Mapping[str, int]) -> Line:
    """Let ksmd run with its settings until it has made SCANS full scans and nothing changes any more."""
    pause = settings["sleep_millisecs"]
    ksm.reset(**{name: value for name, value in settings.items() if name != "sleep_millisecs"})
    start = ksm.counters()
    cpu = CpuTime()
    looks, by_scanned = Looks(), [(0, 0)]
    files.write("sleep_millisecs", pause)
    cpu_before, began = cpu.ns(), time.monotonic()
    files.write("run", 1)
    try:
        while True:
            scanned = int(files.read("pages_scanned")) - start["pages_scanned"]
            saved = int(files.read("pages_sharing")) + int(files.read("ksm_zero_pages"))
            ms = 1000 * (time.monotonic() - began)
            looks.add(ms, saved)
            again = int(files.read("pages_scanned")) - start["pages_scanned"]
            if scanned == again != by_scanned[-1][0]:
                by_scanned.append((scanned, saved))  # ksmd sleeps: it has counted what it visited
                full = int(files.read("full_scans"))
                if full >= SCANS and ms > 1.3 * looks.points[-1][0]:
                    break
            if ms > 1000 * LONGEST_S:
                raise PksmError(f"ksmd was not at rest after {LONGEST_S:g} s")
            time.sleep(POLL_S)
        seconds, spent = time.monotonic() - began, cpu.ns() - cpu_before
    finally:
        ksm.unmerge()
    return Line(looks.points, by_scanned, [(by_scanned[-1][0], spent / 1e9)], seconds)


def _simulated(memory: RealMemory, settings: Mapping[str, int], seconds: float, prices: Prices) -> Line:
    seen = _Scanned(prices)
    played = Settings(cast(Any, memory), until_ms=round(1000 * seconds), sample_ms=None, pace=KERNEL, prices=prices)
    simulate(played, [choose_one("ksmd", settings)], observers=[seen])
    return Line(seen.points, seen.by_scanned, seen.cpu, seconds)
