"""Simulating: what a policy does to the memory of a workload, millisecond by millisecond of virtual time."""

import os
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np

from pksm.errors import UsageError
from pksm.hosts.machine import Machine
from pksm.policies.registry import choose_one
from pksm.simulation import workloads
from pksm.simulation.clock import Over, Simulation
from pksm.simulation.trace import load_script, read_trace

SCHEMA = "pksm.simulate/1"
FRAMES = 131072  # 512 MiB of 4 KiB, as the kernels had that were measured
PERCENTILES = (50, 90, 99, 100)


@dataclass(frozen=True)
class Settings:
    """What to simulate.

    workload: a name of workloads.WORKLOADS, or the path of a trace or of a Python file (.py); pages: of a named
    workload; frames: of the machine (None: enough for that); seed: of what is random; until_ms: the end of virtual time
    (None: when the workload is done); sample_ms: between two samples of all counters (None: none).
    """

    workload: str
    pages: int = 65536
    frames: int | None = None
    page_size: int = 4096
    seed: int = 0
    until_ms: int | None = None
    sample_ms: int | None = 100


def simulate(settings, choices, progress=None, hold=nullcontext):
    """Play a workload once for each policy and return the document, ready for json; README.md tells its fields.

    choices: policies.registry.Choice, one or more, which pickle: what registry.choose() returns.
    progress(policy name, now, wake-ups): called after every step. hold: a factory of context managers that hold
    interrupts back for the length of a step; a KeyboardInterrupt in between ends the work, and the document tells of
    what was done by then. The results are in `runs`; with several policies `unmerged` has the frames used if nobody
    merges.
    """
    play = _player(settings)
    runs, interrupted = [], False
    known = {name for choice in choices for name in choice.settings.entries()}
    for choice in choices:
        run, interrupted = _run(settings, choice, play, progress, hold, known)
        runs.append({"policy": choice.name, "tunables": choice.settings.as_dict(), **run})
        if interrupted:
            break
    unmerged = []
    if len(choices) > 1 and not interrupted:
        run, interrupted = _run(replace(settings, sample_ms=None), choose_one("nobody"), play, None, hold, known)
        unmerged = [] if interrupted else _frames_used(run)
    document = {
        "schema": SCHEMA,
        "workload": settings.workload,
        "page_size": settings.page_size,
        "frames": _frames(settings),
        "seed": settings.seed,
        "interrupted": interrupted,
    }
    return document | {"unmerged": unmerged, "runs": runs}


def _frames_used(run):
    """Return [(label, frames used)] of a run's readings, and a last one of its end."""
    used = [(reading["label"], reading["counters"]["frames_used"]) for reading in run["readings"]]
    return [*used, (None, run["final"]["counters"]["frames_used"])]


def _player(settings):
    """Return function(sim) that plays the workload. UsageError if there is none of that name."""
    name = settings.workload
    if name in workloads.WORKLOADS:
        return lambda sim: sim.play(workloads.events(name, settings.pages, settings.seed, settings.page_size))
    if not os.path.exists(name):
        raise UsageError(f"no workload and no file {name!r}: the workloads are {', '.join(workloads.WORKLOADS)}")
    if name.endswith(".py"):
        workload = load_script(name)
        return lambda sim: workload(sim.machine, sim)
    events = read_trace(name)
    return lambda sim: sim.play(events)


def _frames(settings):
    if settings.frames is not None:
        return settings.frames
    named = settings.workload in workloads.WORKLOADS
    return max(FRAMES, settings.pages + settings.pages // 4) if named else FRAMES


class _Watched(Simulation):
    """Tells how it goes on, and holds interrupts back for the length of a step."""

    tell, hold = None, nullcontext
    of_others = frozenset()  # settings that only policies beside this one have: setting them does nothing here

    def set(self, name, value):
        if name not in self.of_others:
            super().set(name, value)

    def step(self):
        with self.hold():
            more = super().step()
        if self.tell:
            self.tell(self.now, self.wakes)
        return more

    def perform(self, event):
        if event.op in ("wait", "until_rest"):  # many steps
            super().perform(event)
            return
        with self.hold():
            super().perform(event)


def _play(sim, play, settings):
    play(sim)
    if settings.until_ms is not None:
        sim.run(settings.until_ms)


def _run(settings, choice, play, progress, hold, known):
    """Play the workload for one policy. Return ({readings, series, final}, was it interrupted).

    known: the settings of all policies that play it; those that are not this one's do nothing here.
    """
    machine = Machine(_frames(settings), settings.page_size)
    policy = choice.make(machine)
    sim = _Watched(machine, policy, sample_ms=settings.sample_ms, end_ms=settings.until_ms)
    sim.hold, sim.of_others = hold, known - choice.settings.entries().keys()
    sim.tell = progress and (lambda now, wakes: progress(choice.name, now, wakes))
    interrupted = False
    try:
        _play(sim, play, settings)
    except Over:
        pass
    except KeyboardInterrupt:
        interrupted = True
    if settings.sample_ms is not None:
        sim.sample()
    return {
        "readings": [reading._asdict() for reading in sim.readings],
        "series": {"columns": list(sim.columns), "rows": [list(row) for row in sim.samples]},
        "final": {
            "ms": sim.now,
            "wakes": sim.wakes,
            "hung": policy.hung or None,
            "counters": sim.counters(),
            "merges": _merges(sim.merge_waits()),
            "cost": policy.cost.as_dict(),
            "steps": {
                step: {"wall_s": round(wall, 6), "cpu_s": round(policy.cost.cpu_s[step], 6)}
                for step, wall in policy.cost.wall_s.items()
            },
            "metadata_bytes": policy.metadata_bytes,
            "fake_merges": policy.fake_merges,
        },
    }, interrupted


def _merges(waits):
    """Return how many pages have merged, and percentiles of the ms that they waited for it (nearest rank)."""
    waits = np.sort(waits)
    ranks = {f"p{p}": int(waits[-(-p * len(waits) // 100) - 1]) for p in PERCENTILES} if len(waits) else None
    return {"count": len(waits), "wait_ms": ranks}
