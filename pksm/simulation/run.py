"""Simulating: what a policy does to the memory of a workload, millisecond by millisecond of virtual time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypedDict, cast

import numpy as np

from pksm import documents
from pksm.arrays import I64Array
from pksm.documents import Run, SimulateDocument
from pksm.documents.common import PriceList, Work
from pksm.documents.simulate import Unmerged
from pksm.engine.cost import Prices
from pksm.errors import UsageError
from pksm.hosts.machine import Machine
from pksm.linux import memory_limits
from pksm.naming import unknown
from pksm.policies.registry import Choice, choose, choose_one
from pksm.simulation import workloads
from pksm.simulation.clock import Over
from pksm.simulation.observers import Observer
from pksm.simulation.pace import IDEAL, KERNEL, Meter, check_pace
from pksm.simulation.prices import prices_here
from pksm.simulation.real import STORED_BYTES, RealMemory
from pksm.simulation.replay import Ledger, RecordedWrites, is_recorded, part_name
from pksm.simulation.script import load_script
from pksm.simulation.simulation import Simulation
from pksm.simulation.trace import Opener, open_binary, read_trace

if TYPE_CHECKING:
    from pksm.policies.base import Policy


SCHEMA: Final = "pksm.simulate/1"
SPARE_FRAMES = 1024  # beside those that hold real memory
FRAMES = 131072  # 512 MiB of 4 KiB, as the kernels had that were measured
PERCENTILES = (50, 90, 99, 100)


@dataclass(frozen=True)
class Settings:
    """What to simulate.

    Args:
        workload: a name of workloads.WORKLOADS, or the path of a trace or of a Python file (.py); or real memory, as
            from_sources returns it, or a recording, as RecordedWrites.opened does, whose pages have their own size.
        pages: of a named workload.
        frames: of the machine; None: enough for that.
        page_size: bytes.
        seed: of what is random.
        until_ms: the end of virtual time; None: when the workload is done.
        sample_ms: between two samples of all counters; None: none.
        pace: a name of PACES: whether wake-ups take virtual time, by the prices.
        opted_in_only: a policy that goes by it merges only what the processes of a recording had opted in.
        between: the part of a recording to play, such as "9:00-17:00": what was there when it began is there from the start.
        prices: what work costs; None: what was measured on this machine, or the defaults of its kernel.
    """

    workload: str | RealMemory | RecordedWrites
    pages: int = 65536
    frames: int | None = None
    page_size: int = 4096
    seed: int = 0
    until_ms: int | None = None
    sample_ms: int | None = 100
    pace: str = IDEAL
    opted_in_only: bool = False
    between: str | None = None
    prices: Prices | None = None

    @property
    def name(self) -> str:
        """The workload's name."""
        return part_name(self.workload, self.between) if isinstance(self.workload, str) else self.workload.name

    @property
    def page_bytes(self) -> int:
        """Bytes of a page of the memory that is simulated."""
        return self.workload.page_size if not isinstance(self.workload, str) else self.page_size

    @property
    def stored_bytes(self) -> int:
        """Bytes of a page of the machine: real memory is simulated by content ids."""
        return STORED_BYTES if not isinstance(self.workload, str) else self.page_size


class _Played(TypedDict):
    """What comes of a policy's run."""

    readings: list[documents.Reading]
    series: documents.Series
    final: documents.Final


class _Progress(Observer):
    """Reports how a policy's run goes on, and remembers the most metadata that the policy has kept."""

    def __init__(self, policy: Policy, name: str, report: Callable[[str, int, int], object] | None) -> None:
        self._policy, self._name, self._report = policy, name, report
        self.metadata_bytes_peak = 0

    def _look(self) -> None:
        self.metadata_bytes_peak = max(self.metadata_bytes_peak, self._policy.metadata_bytes)

    def before_step(self, sim: Simulation) -> None:
        self._look()

    def after_step(self, sim: Simulation) -> None:
        self._look()
        if self._report:
            self._report(self._name, sim.now, sim.wakes)


def simulate(
    settings: Settings,
    choices: Sequence[Choice],
    progress: Callable[[str, int, int], object] | None = None,
    hold: Callable[[], AbstractContextManager[object]] = nullcontext,
    opener: Opener = open_binary,
    observers: Sequence[Observer] = (),
) -> SimulateDocument:
    """Play a workload once for each policy.

    Args:
        settings: what to play.
        choices: the policies, as policies.choose() returns them; each gets a machine of its own.
        progress: progress(policy name, now, wake-ups) is called after every step.
        hold: makes context managers that hold interrupts back for the length of a step. A KeyboardInterrupt in between
            ends the work, and the document has what was done by then.
        opener: opens a trace, once for each policy.
        observers: see every policy's run, but not that of nobody.

    Returns:
        The document `pksm.simulate/1`, ready for JSON, with a run for each policy. `unmerged` has the frames in use if
        nobody merges, at each reading and at the end; it is empty for one policy alone.

    Raises:
        UsageError: what cannot be played.
    """
    check_pace(settings.pace)
    if isinstance(settings.workload, str) and is_recorded(settings.workload, opener):
        recorded = RecordedWrites.opened(settings.workload, opener, settings.opted_in_only, settings.between)
        settings = replace(settings, workload=recorded)
    elif settings.between is not None:
        raise UsageError("is for a recording that is named by its path: other workloads have no time of day", "between")
    if settings.prices is None:
        settings = replace(settings, prices=prices_here())
    assert settings.prices  # for mypy
    play = _player(settings, len(choices), opener)
    runs: list[Run] = []
    unmerged: list[Unmerged] = []
    interrupted = False
    known = {name for choice in choices for name in choice.settings.entries()}
    for choice in choices:
        run, interrupted = _run(settings, choice, play, progress, hold, known, observers)
        runs.append(
            {"policy": choice.name, "tunables": choice.settings.as_dict(), "shown": list(choice.spec.shown), **run}
        )
        if interrupted:
            break
    if len(choices) > 1 and not interrupted:
        run, interrupted = _run(replace(settings, sample_ms=None), choose_one("nobody"), play, None, hold, known)
        unmerged = [] if interrupted else _frames_used(run)
    return {
        "schema": SCHEMA,
        "workload": settings.name,
        "page_size": settings.page_bytes,
        "frames": _frames(settings),
        "seed": settings.seed,
        "pace": settings.pace,
        "prices": cast(PriceList, settings.prices.as_dict()),
        "interrupted": interrupted,
        "warnings": [*_cut_short(settings.workload), *_warnings(choices, runs)],
        "unmerged": unmerged,
        "runs": runs,
    }


def compare(
    workload: str | RealMemory | RecordedWrites,
    policies: str | Sequence[str],
    changes: Mapping[str, Any] | Iterable[str] = (),
    **settings: Any,
) -> SimulateDocument:
    """Play a workload once for each policy, and once for nobody, and return what each has saved, and at what cost.

    Args:
        workload: as Settings takes it.
        policies: "pksmd:fixed,ksmd:ksm-6.11", or a list of such names, as policies.choose takes them.
        changes: {name: value} of their settings, or texts "name=value"; "ksmd.pages_to_scan" is that of one policy.
        settings: further fields of Settings: pages, frames, page_size, seed, until_ms, sample_ms, pace, opted_in_only,
            between, prices.

    Returns:
        The document `pksm.simulate/1`; report.table(document) shows the policies side by side.

    Raises:
        UsageError: there is no such workload, policy or setting.
    """
    known = {entry.name for entry in fields(Settings)}
    strange = sorted(settings.keys() - known)
    if strange:
        raise unknown("unknown setting", strange[0], sorted(known))
    seed = settings.get("seed", 0)
    return simulate(Settings(workload, **settings), choose(policies, changes, seed))


def _cut_short(workload: str | RealMemory | RecordedWrites) -> list[str]:
    if not isinstance(workload, RecordedWrites):
        return []
    if workload.is_whole or workload.part is not None:
        return list(workload.warnings)
    return [f"{workload.name}: is cut short: it is played as far as it goes, {workload.last_ms / 1000:g} s"]


def _warnings(choices: Sequence[Choice], runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each policy that was given nothing to work on, for nobody had opted in."""
    return [
        f"{choice.name} visited nothing: it merges only memory that has opted in, and none has: let the workload use "
        "mergeable mappings (madvise MADV_MERGEABLE)"
        for choice, run in zip(choices, runs, strict=False)
        if choice.spec.opt_in and _never_visited(run["final"])
    ]


def _never_visited(final: Mapping[str, Any]) -> bool:
    return final["wakes"] > 0 and final["counters"].get("pages_scanned") == 0


def _frames_used(run: _Played) -> list[Unmerged]:
    """Return the frames used at a run's readings, and last at its end."""
    states: list[Unmerged] = [
        {"label": reading["label"], "frames_used": reading["counters"]["frames_used"]} for reading in run["readings"]
    ]
    return [*states, {"label": None, "frames_used": run["final"]["counters"]["frames_used"]}]


def _player(settings: Settings, times: int, opener: Opener) -> Callable[[Simulation], object]:
    """Return function(sim) that plays the workload, so many times. UsageError if there is none of that name."""
    if not isinstance(settings.workload, str):
        return settings.workload.play
    name = settings.workload
    if name in workloads.WORKLOADS:
        return lambda sim: sim.play(workloads.events(name, settings.pages, settings.seed, settings.page_size))
    if opener is open_binary and not os.path.exists(name):  # another one has opened it, a pipe perhaps
        raise unknown("no workload and no file", name, workloads.WORKLOADS, has_list=True)
    if name.endswith(".py"):
        workload = load_script(name)
        return lambda sim: workload(sim.machine, sim)
    if os.path.isdir(name):
        raise UsageError(f"{name} is a directory: name a file")
    if times > 1 and not os.path.isfile(name):
        raise UsageError(f"{name} can be read only once: save it to a file, to compare policies on it")
    return lambda sim: sim.play(read_trace(name, opener))


def _frames(settings: Settings) -> int:
    if settings.frames is not None:
        return settings.frames
    if not isinstance(settings.workload, str):
        return settings.workload.frames + SPARE_FRAMES
    named = settings.workload in workloads.WORKLOADS
    return max(FRAMES, settings.pages + settings.pages // 4) if named else FRAMES


def bytes_of(settings: Settings) -> int:
    """Return about how many bytes one run takes."""
    return int(1.3 * _frames(settings) * (settings.stored_bytes + 40))


def _play(sim: Simulation, play: Callable[[Simulation], object], settings: Settings) -> None:
    play(sim)
    if settings.until_ms is not None:
        sim.run(settings.until_ms)


def _run(
    settings: Settings,
    choice: Choice,
    play: Callable[[Simulation], object],
    progress: Callable[[str, int, int], object] | None,
    hold: Callable[[], AbstractContextManager[object]],
    known: set[str],
    observers: Sequence[Observer] = (),
) -> tuple[_Played, bool]:
    """Play the workload for one policy. Return ({readings, series, final}, was it interrupted).

    known: the settings of all policies that play it; those that are not this one's do nothing here.
    """
    frames = _frames(settings)
    memory_limits.require(frames * settings.stored_bytes, "give the machine fewer frames")
    machine = Machine(frames, settings.stored_bytes, real_page_size=settings.page_bytes)
    policy = choice.make(machine)
    observer = _Progress(policy, choice.name, progress)
    sim = Simulation(
        machine,
        policy,
        sample_ms=settings.sample_ms,
        end_ms=settings.until_ms,
        observers=[observer, *observers],
        hold=hold,
        settings_of_others=known - choice.settings.entries().keys(),
        prices=settings.prices if settings.pace == KERNEL else None,
        real=settings.workload.pages_of(policy) if not isinstance(settings.workload, str) else None,
    )
    interrupted, ledger = False, None
    if isinstance(settings.workload, RecordedWrites):
        ledger = Ledger(sim, settings.workload)
        play = partial(settings.workload.play, ledger=ledger)
    try:
        _play(sim, play, settings)
    except Over:
        pass
    except KeyboardInterrupt:
        interrupted = True
    if settings.sample_ms is not None:
        sim.sample()
    return {
        "readings": [
            {"label": label, "ms": ms, "reached_ms": reached_ms, "counters": counters}
            for label, ms, reached_ms, counters in sim.readings
        ],
        "series": {"columns": list(sim.columns), "rows": [list(row) for row in sim.samples]},
        "final": _final(sim, observer.metadata_bytes_peak, settings) | ({"replay": ledger.result()} if ledger else {}),
    }, interrupted


def _final(sim: Simulation, metadata_bytes_peak: int, settings: Settings) -> documents.Final:
    """What there is at the end (gauges), and what it took (totals)."""
    policy = sim.policy
    assert settings.prices  # simulate() sees to that
    return {
        "ms": sim.now,
        "reached_ms": sim.reached_ms,
        "wakes": sim.wakes,
        "hung": policy.hung or None,
        "counters": sim.counters(),
        "metadata_bytes": policy.metadata_bytes,
        "metadata_bytes_peak": max(metadata_bytes_peak, policy.metadata_bytes),
        "engine_bytes": policy.engine_bytes,
        "merges": _merges(sim.merge_waits()),
        "fake_merges": policy.fake_merges,
        "cost": cast(Work, sim.work()),
        "cpu": cpu_of(sim, settings.prices),
        "steps": {
            step: {"wall_s": round(wall, 6), "cpu_s": round(policy.cost.cpu_s[step], 6)}
            for step, wall in policy.cost.wall_s.items()
        },
    }


def cpu_of(sim: Simulation, prices: Prices) -> documents.Cpu:
    """Return the CPU time of all work in a simulation so far, by a price list."""
    machine, meter = sim.machine, Meter(sim.machine, sim.policy, prices, sim.real)
    page_size = sim.real.page_size if sim.real else machine.page_size
    seconds = meter.cpu_ns(sim.wakes) / 1e9
    saved_mib = machine.frames_saved * page_size / (1 << 20)
    return {
        "seconds": round(seconds, 6),
        "percent": round(100 * seconds / (sim.now / 1000), 4) if sim.now else None,
        "seconds_per_mib": round(seconds / saved_mib, 9) if saved_mib > 0 else None,
        "merges": machine.merges,
        "copies": machine.copies,
        "copies_seconds": round(meter.copies_ns() / 1e9, 6),
    }


def _merges(waits: I64Array) -> documents.Merges:
    """Return how many pages have merged, and percentiles of the ms that they waited for it (nearest rank)."""
    waits = np.sort(waits)
    ranks = {f"p{p}": int(waits[-(-p * len(waits) // 100) - 1]) for p in PERCENTILES} if len(waits) else None
    return {"count": len(waits), "wait_ms": ranks}
