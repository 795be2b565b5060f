"""Programs at work, recorded while the running kernel's ksmd merges their memory, and played again under ours."""

import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self

from pksm.documents.replayed import ReplayedDocument, ReplayedMiss, ReplayedRow, ReplayedRun, ReplayedSide
from pksm.engine.cost import Prices
from pksm.errors import UnsupportedError, UsageError
from pksm.hosts.machine import Machine
from pksm.linux.ksm import files
from pksm.linux.ksm.borrow import Borrowed
from pksm.linux.ksm.watch import VMSTAT, cow_of
from pksm.linux.text import read_if_any
from pksm.naming import unknown
from pksm.policies.registry import choose_one
from pksm.recording.members import Targets
from pksm.recording.recorder import Tally, record
from pksm.recording.tracking import TRACKS, WRITES
from pksm.simulation.observers import Observer
from pksm.simulation.pace import Followed, Pace
from pksm.simulation.prices import prices_here
from pksm.simulation.real import STORED_BYTES
from pksm.simulation.replay import RecordedWrites
from pksm.simulation.run import SPARE_FRAMES
from pksm.simulation.simulation import Simulation
from pksm.validation.kernel.in_turn import in_turn
from pksm.validation.kernel.loads import LOADS, Load

SCHEMA: Final = "pksm.replayed/1"
RUNS, SECONDS, EVERY_MS = 3, 60.0, 250
POLL_S = 0.02


class _Mean:
    """The mean of a number over time, which changes evenly from one look to the next."""

    def __init__(self) -> None:
        self._ms = self._last = self._sum = 0.0

    def add(self, ms: float, value: float) -> None:
        self._sum += (ms - self._ms) * (value + self._last) / 2
        self._ms, self._last = max(ms, self._ms), value

    @property
    def value(self) -> float:
        return round(self._sum / self._ms, 1) if self._ms else 0.0


class _Kernel:
    """Looks at the counters of the kernel's ksmd, from time 0 on, while something else is done.

    Attributes:
        ms: of each look; scanned: pages_scanned since the beginning, then.
        counted: the mean of pages_sharing and zero pages; saved: that of the frames that are saved.
    """

    def __init__(self) -> None:
        self.ms: list[float] = []
        self.scanned: list[int] = []
        self.counted, self.saved = _Mean(), _Mean()
        self._before = files.counters()
        self._cow = _cow()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        files.write("run", 1)
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def sampled(self, tally: Tally) -> None:
        """A sample of the recorder has seen what is merged."""
        self.saved.add(self._now(), tally.merged_pages - tally.merged_frames)

    def side(self) -> ReplayedSide:
        """Return what came of it."""
        now = files.counters()
        return {
            "counted": self.counted.value,
            "saved": self.saved.value,
            "undone": _cow() - self._cow,
            "pages_scanned": now["pages_scanned"] - self._before["pages_scanned"],
            "full_scans": now["full_scans"],
        }

    def _now(self) -> float:
        return 1000 * (time.monotonic() - self._began)

    def _look(self) -> None:
        while not self._over.wait(POLL_S):
            counters, ms = files.counters(), self._now()
            self.counted.add(ms, counters["pages_sharing"] + counters["ksm_zero_pages"])
            self.ms.append(ms)
            self.scanned.append(counters["pages_scanned"] - self._before["pages_scanned"])


class _Noted(Observer):
    """Pages saved over virtual time."""

    def __init__(self) -> None:
        self.counted, self.saved = _Mean(), _Mean()

    def before_step(self, sim: Simulation) -> None:
        self.note(sim)

    def after_wake(self, sim: Simulation) -> None:
        self.note(sim)

    def note(self, sim: Simulation) -> None:
        """Look at what there is now."""
        counters = sim.policy.counters()
        self.counted.add(sim.now, counters["pages_sharing"] + counters["ksm_zero_pages"])
        self.saved.add(sim.now, sim.machine.pages_sharing + sim.machine.pages_zero_sharing)


def replayed(
    names: Sequence[str] | None = None,
    runs: int = RUNS,
    seconds: float = SECONDS,
    every_ms: int = EVERY_MS,
    track: str = WRITES,
    progress: Callable[[str], object] = lambda name: None,
    prices: Prices | None = None,
) -> ReplayedDocument:
    """Record programs at work while the kernel's ksmd merges their memory, play that again, and return both.

    Args:
        names: of LOADS; None, or none: all.
        runs: for each program, which is started anew.
        seconds: that each is recorded.
        every_ms: between two samples.
        track: how writes are found, as of recording.record.
        progress: called with what is done next.
        prices: what work costs; None: as calibrated on this machine, or the defaults of its kernel.

    Raises:
        UnsupportedError: ksmd can't be borrowed.
        UsageError: an unknown name.
    """
    names = names or list(LOADS)
    for strange in [name for name in names if name not in LOADS]:
        raise unknown("unknown program", strange, LOADS, "workload")
    if track not in TRACKS:
        raise UsageError(f"choose from {', '.join(TRACKS)}", "track")
    prices = prices or prices_here()
    document: ReplayedDocument = {
        "schema": SCHEMA,
        "kernel": platform.release(),
        "runs": runs,
        "seconds": seconds,
        "every_ms": every_ms,
        "track": track,
        "skipped": [],
        "rows": [],
        "warnings": [],
    }

    def play(ksm: Borrowed, name: str) -> None:
        every = []
        for number in range(runs):
            progress(f"{name}, run {number + 1} of {runs}")
            every.append(_run(ksm, LOADS[name], seconds, every_ms, track, prices))
        document["rows"].append(_row(name, every))

    in_turn(document, names, play)
    return document


def _run(ksm: Borrowed, load: Load, seconds: float, every_ms: int, track: str, prices: Prices) -> ReplayedRun:
    ksm.reset(**{name: value for name, value in load.settings.items() if name != "sleep_millisecs"})
    with tempfile.TemporaryDirectory(prefix="pksm-") as folder:
        path = os.path.join(folder, "work.pksmrec")
        with load.start() as pids:
            files.write("sleep_millisecs", load.settings["sleep_millisecs"])
            with _Kernel() as kernel:
                tally, interrupted = record(
                    path, Targets(pids), every_ms, round(1000 * seconds), progress=kernel.sampled, track=track
                )
                side = kernel.side()
            ksm.unmerge()
        if interrupted:
            raise KeyboardInterrupt
        memory = RecordedWrites.opened(path, opted_in_only=True)
        follow = partial(Followed, prices, kernel.ms, kernel.scanned)
        return {
            "pages": memory.frames,
            "samples": tally.samples,
            "kernel": side,
            "ours": _ours(memory, load.settings, prices),
            "followed": _ours(memory, load.settings, prices, follow),
        }


def _ours(
    memory: RecordedWrites,
    settings: Mapping[str, int],
    prices: Prices,
    follow: Callable[[Callable[[], int]], Pace] | None = None,
) -> ReplayedSide:
    machine = Machine(memory.frames + SPARE_FRAMES, STORED_BYTES, real_page_size=memory.page_size)
    policy = choose_one("ksmd", settings).make(machine)
    noted = _Noted()
    sim = Simulation(machine, policy, observers=[noted], prices=prices, real=memory.pages_of(policy))
    if follow:
        sim.go_at(follow(lambda: policy.counters()["pages_scanned"]))
    memory.play(sim)
    noted.note(sim)
    counters = policy.counters()
    return {
        "counted": noted.counted.value,
        "saved": noted.saved.value,
        "undone": int(machine.copies),
        "pages_scanned": counters["pages_scanned"],
        "full_scans": counters["full_scans"],
    }


def _row(name: str, every: list[ReplayedRun]) -> ReplayedRow:
    return {
        "workload": name,
        "text": LOADS[name].text,
        "settings": dict(LOADS[name].settings),
        "pages": round(statistics.median(run["pages"] for run in every)),
        "ours": _misses([(run["kernel"], run["ours"]) for run in every]),
        "followed": _misses([(run["kernel"], run["followed"]) for run in every]),
        "every_run": every,
    }


def _misses(pairs: list[tuple[ReplayedSide, ReplayedSide]]) -> ReplayedMiss:
    return {
        "counted": _miss([(kernel["counted"], ours["counted"]) for kernel, ours in pairs]),
        "saved": _miss([(kernel["saved"], ours["saved"]) for kernel, ours in pairs]),
        "undone": _miss([(kernel["undone"], ours["undone"]) for kernel, ours in pairs]),
    }


def _miss(pairs: list[tuple[float, float]]) -> float | None:
    parts = [round(ours / kernel - 1, 4) for kernel, ours in pairs if kernel]
    return statistics.median(parts) if parts else None


def _cow() -> int:
    count = cow_of(read_if_any(VMSTAT))
    if count is None:
        raise UnsupportedError(f"{VMSTAT}: has no cow_ksm: this takes a kernel that counts merges undone by writes")
    return count
