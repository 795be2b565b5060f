"""Simulating: what a policy does to the memory of a workload, millisecond by millisecond of virtual time."""

import os
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pksm.errors import UsageError
from pksm.hosts.machine import Machine
from pksm.policies.ksmd import tunables as ksm_tunables
from pksm.policies.ksmd.daemon import Ksmd
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd
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


class Maker(NamedTuple):
    """How to make a policy: its name, its tunables as {name: value}, and make(machine) -> policy."""

    name: str
    tunables: dict
    make: object


def pksmd_maker(preset="fixed", changes=None, seed=0):
    """Return the Maker of pksmd with a preset and changes of it. UsageError for what can't be."""
    chosen = tunables.preset(preset).with_(**(changes or {}))
    values = {name: getattr(chosen, name) for name in tunables.SETTINGS}
    values["quirks"] = sorted(chosen.quirks)
    return Maker(f"pksmd:{preset}", values, lambda machine: Pksmd(machine, chosen, seed=seed))


def ksmd_maker(preset="ksm-6.11", changes=None):
    """Return the Maker of ksmd with a preset and changes of it. UsageError for what can't be."""
    chosen = ksm_tunables.preset(preset).with_(**(changes or {}))
    values = {name: getattr(chosen, name) for name in ksm_tunables.SETTINGS}
    return Maker(f"ksmd:{preset}", values, lambda machine: Ksmd(machine, chosen))


def makers_of(policies, changes=(), seed=0):
    """Return the Makers of "ksmd:ksm-6.11,pksmd:fixed". UsageError for what can't be.

    changes: texts "name=value", for all policies that have a setting of this name.
    """
    parts = [part.partition(":") for part in policies.split(",")]
    kinds = {"pksmd": (tunables.SETTINGS, "fixed"), "ksmd": (ksm_tunables.SETTINGS, "ksm-6.11")}
    for name, _, _ in parts:
        if name not in kinds:
            raise UsageError(
                f"unknown policy {name!r}: choose from {', '.join(kinds)}, as in ksmd:ksm-6.11,pksmd:fixed"
            )
    known = {setting: entry for name, _, _ in parts for setting, entry in kinds[name][0].items()}
    values = dict(tunables.parse_setting(text, known) for text in changes)
    makers = []
    for name, _, preset in parts:
        settings, default = kinds[name]
        mine = {setting: value for setting, value in values.items() if setting in settings}
        preset = preset or default
        makers.append(pksmd_maker(preset, mine, seed) if name == "pksmd" else ksmd_maker(preset, mine))
    return makers


def simulate(settings, makers, progress=None, hold=nullcontext):
    """Play a workload once for each maker and return the document, ready for json; README.md tells its fields.

    progress(policy name, now, wake-ups): called after every step. hold: a factory of context managers that hold
    interrupts back for the length of a step; a KeyboardInterrupt in between ends the work, and the document tells of
    what was done by then. The results are in `runs`; with several makers `unmerged` has the frames used if nobody merges.
    """
    play = _player(settings)
    runs, interrupted = [], False
    names = {name for maker in makers for name in maker.tunables}
    for maker in makers:
        run, interrupted = _run(settings, maker, play, progress, hold, names - maker.tunables.keys())
        runs.append({"policy": maker.name, "tunables": maker.tunables, **run})
        if interrupted:
            break
    document = {
        "schema": SCHEMA,
        "workload": settings.workload,
        "page_size": settings.page_size,
        "frames": _frames(settings),
        "seed": settings.seed,
        "interrupted": interrupted,
    }
    alone = interrupted or len(makers) == 1
    return document | {"unmerged": [] if alone else _unmerged(settings, play, names), "runs": runs}


def _unmerged(settings, play, names):
    """Play the workload with nobody merging: [(label, frames used)] of its readings, and a last one."""
    sim = _Watched(Machine(_frames(settings), settings.page_size), end_ms=settings.until_ms)
    sim.of_others = names
    with suppress(Over):
        _play(sim, play, settings)
    used = [(reading.label, reading.counters["frames_used"]) for reading in sim.readings]
    return [*used, (None, sim.machine.frames_used)]


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


def _run(settings, maker, play, progress, hold, of_others):
    """Play the workload for one policy. Return ({readings, series, final}, was it interrupted)."""
    machine = Machine(_frames(settings), settings.page_size)
    policy = maker.make(machine)
    sim = _Watched(machine, policy, sample_ms=settings.sample_ms, end_ms=settings.until_ms)
    sim.hold, sim.of_others = hold, of_others
    sim.tell = progress and (lambda now, wakes: progress(maker.name, now, wakes))
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
            "hung": getattr(policy, "hung", "") or None,
            "counters": sim.counters(),
            "merges": _merges(sim.merge_waits()),
            "cost": policy.cost.as_dict(),
            "steps": {
                step: {"wall_s": round(wall, 6), "cpu_s": round(policy.cost.cpu_s[step], 6)}
                for step, wall in policy.cost.wall_s.items()
            },
            "metadata_bytes": policy.metadata_bytes,
            "fake_merges": getattr(policy, "fake_merges", 0),
        },
    }, interrupted


def _merges(waits):
    """Return how many pages have merged, and percentiles of the ms that they waited for it (nearest rank)."""
    waits = np.sort(waits)
    ranks = {f"p{p}": int(waits[-(-p * len(waits) // 100) - 1]) for p in PERCENTILES} if len(waits) else None
    return {"count": len(waits), "wait_ms": ranks}
