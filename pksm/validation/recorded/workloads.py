"""What real PKSM kernels counted, beside what the simulated machine counts when it does the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from pksm.arrays import U64Array
from pksm.engine.checksums import strategies
from pksm.errors import PksmError, UsageError
from pksm.hosts.machine import Machine
from pksm.hosts.machine.frames import KSM
from pksm.hosts.machine.page_tables import LIMIT, maps_frame, value_of
from pksm.naming import unknown
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd
from pksm.simulation.observers import Observer
from pksm.simulation.simulation import Simulation
from pksm.simulation.workloads.recorded import events
from pksm.validation.recorded.rows import Row

if TYPE_CHECKING:
    from pksm.hosts.machine.mm import Mm
    from pksm.policies.pksmd.tunables import Tunables
    from pksm.simulation.observers import Reading


COUNTERS = ("pages_shared", "pages_sharing", "pages_zero_sharing", "pages_unshared", "stable_nodes", "rmap_items")
FRAMES = 32768
# What the kernels that ran W11, W12 and W15 had drawn at boot.
SAMPLED = [
    *(8, 25, 27, 30, 41, 63, 72, 135, 145, 149, 151, 169, 199, 242, 250, 260, 263, 268, 277, 325, 332, 343),
    *(347, 379, 386, 410, 419, 423, 442, 449, 474, 487, 488, 490, 493, 500, 520, 522, 547, 562, 574, 579, 588, 590),
    *(619, 645, 665, 667, 688, 691, 730, 771, 775, 783, 792, 800, 827, 840, 850, 923, 936, 970, 977, 986),
]
SAME_WAKE_MS = 15  # recorded changes closer than that belong to one wake-up
# What the recording looked at page by page: every page of process p0, or of another.
_CENSUS = dict.fromkeys(("all", "parent", "heap", "rd", "stack", "merged", "cow_even", "restored", "cow_odd"), "p0")


def _note(name: str, phase: str, counter: str, value: int, ours: int) -> str:
    """Return why two numbers differ though the machine is right; "" if they don't, or nobody knows."""
    if value == ours:
        return ""
    if counter in ("pages_unshared", "rmap_items") and abs(value - ours) <= 2:
        if name == "W13_stack" and value - ours == 1:
            return "the process has a stack page of its own"
        return "init's own pages: they come, go and change"
    if phase.endswith("_now") and counter in ("pages_shared", "stable_nodes", "rmap_items") and value < ours:
        return "pksmd woke between the operation and the reading"
    return ""


def preset_of(kernel: str) -> Tunables:
    """Return the Tunables of a measured kernel: K1, or K2, which had the reverse walk of 3.4."""
    if kernel == "K1":
        return tunables.preset("android-3.4")
    if kernel == "K2":
        later = tunables.preset("reveriel")
        return later.with_(quirks=later.quirks | {"split-vma"})
    raise UsageError(f"unknown kernel {kernel!r}: K1 or K2")


class Watch(Observer):
    """All counters at every reading and after every wake-up, less those of the reading "baseline".

    phases: label -> counters; census: (label, process) -> (distinct frames, ptes to KSM frames); extremes: label ->
    (least, most) where it was read more than once; sleep_millisecs: of pksmd, when it woke last.
    """

    def __init__(self) -> None:
        self.phases: dict[str, dict[str, int]] = {}
        self.census: dict[tuple[str, str], tuple[int, int]] = {}
        self.extremes: dict[str, tuple[dict[str, int], dict[str, int]]] = {}
        self._boundaries: list[dict[str, int]] = []
        self._marks: dict[str, int] = {}

    def _net(self, counted: dict[str, int]) -> dict[str, int]:
        return {name: value - self.phases["baseline"][name] for name, value in counted.items()}

    def after_read(self, sim: Simulation, reading: Reading) -> None:
        label, counted = reading.label, {name: reading.counters[name] for name in COUNTERS}
        if label == "baseline":
            self.phases["baseline"] = counted
            return
        counted = self._net(counted)
        least, most = self.extremes.get(label, (counted, counted))
        self.extremes[label] = (
            {name: min(least[name], count) for name, count in counted.items()},
            {name: max(most[name], count) for name, count in counted.items()},
        )
        self.phases[label] = counted
        self._marks[label] = len(self._boundaries)
        for name, mm in sim.processes.items():
            self.census[label, name] = census(sim.machine, mm)

    def after_wake(self, sim: Simulation) -> None:
        counters = sim.policy.counters()
        self._boundaries.append({name: counters[name] for name in COUNTERS})
        self.sleep_millisecs = sim.policy.sysfs["sleep_millisecs"]

    def wakes_after(self, label: str) -> list[dict[str, int]]:
        """Return the counters at the reading of this label, and after each wake-up from there on."""
        return [self.phases[label], *map(self._net, self._boundaries[self._marks[label] :])]


def census(machine: Machine, mm: Mm) -> tuple[int, int]:
    """Return (distinct frames, ptes to KSM frames) of a process."""
    mapped = [value_of(ptes[maps_frame(ptes)]) for ptes in _ptes(machine, mm)]
    frames = np.concatenate([*mapped, np.empty(0, np.uint32)])
    return len(np.unique(frames)), int(np.count_nonzero(machine.frames.has(frames, KSM)))


def _ptes(machine: Machine, mm: Mm) -> Iterator[U64Array]:
    for _, slots in machine.tables.existing(mm.root, 0, LIMIT):
        yield machine.tables.ptes[slots]


def play(name: str, chosen: Tunables, size: int | None = None, sampled: list[int] = SAMPLED) -> Watch:
    """Play a workload by name and return its Watch. size: None as recorded; sampled: the words a sample looks at."""
    machine, watch = Machine(FRAMES, pagevec=True), Watch()
    checksum = strategies.sampled_at(sampled) if chosen.checksum == "sampled" else None
    sim = Simulation(machine, Pksmd(machine, chosen, checksum=checksum), observers=[watch])
    sim.play(events(name, size))
    return watch


def recorded() -> list[dict[str, Any]]:
    """Return the recorded lines as dicts, those of the boots themselves left out."""
    with resources.files("pksm.validation.recorded").joinpath("pksm-truth.jsonl").open(encoding="utf-8") as file:
        try:
            lines = [json.loads(line) for line in file]
        except ValueError:
            raise PksmError(f"{file.name}: is damaged; install pksm again") from None
    return [line for line in lines if line["w"] != "boot"]


def compare(
    names: list[str] | None = None, preset: Tunables | None = None, progress: Callable[..., Any] | None = None
) -> list[Row]:
    """Return the Rows of the workloads of these names (none: all), in the order they were recorded.

    preset: Tunables in place of the kernels' own; progress(kernel, name): called before each. UsageError for a name
    that was not recorded.
    """
    lines = recorded()
    known = list(dict.fromkeys(line["w"] for line in lines))
    for name in names or ():
        if name not in known:
            raise unknown("no recorded workload", name, known, has_list=True)
    rows: list[Row] = []
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for line in lines:
        if not names or line["w"] in names:
            groups.setdefault((line["kernel"], line["boot"], line["w"]), []).append(line)
    for (kernel, _, name), group in groups.items():
        if progress:
            progress(kernel, name)
        chosen = preset or preset_of(kernel)
        sleep = group[0].get("note_sleep_override_ms", chosen.sleep_millisecs)
        rows += _rows(kernel, name, chosen.with_(sleep_millisecs=sleep), group)
    return rows


def _rows(
    kernel: str,
    name: str,
    chosen: Tunables,
    lines: list[dict[str, Any]],
) -> list[Row]:
    """The rows of one workload as one kernel ran it."""
    watch = play(name, chosen)
    sleep = watch.sleep_millisecs
    baseline = next(line for line in lines if line.get("phase") == "baseline")
    phase = ""
    rows: list[Row] = []

    def add(phase: str, values: dict[str, int], ours: dict[str, int]) -> None:
        for counter, value in values.items():
            note = _note(name, phase, counter, value, ours[counter])
            rows.append(Row(kernel, name, phase, counter, value, ours[counter], note))

    for line in lines:
        if "phase" in line and line is not baseline:
            phase = line["phase"]
            if phase in watch.phases:
                add(phase, {counter: line[counter] - baseline[counter] for counter in COUNTERS}, watch.phases[phase])
        elif "series" in line and "series" in watch.phases:
            boundaries = watch.wakes_after("series")
            for wake, row in _boundaries(line, sleep, baseline):
                values = dict(zip(line["cols"], row, strict=True))
                values = {counter: values[counter] - baseline[counter] for counter in COUNTERS}
                add(f"wake-up {wake}", values, boundaries[min(wake, len(boundaries) - 1)])
        elif counted := watch.census.get((phase, _CENSUS.get(line.get("census", ""), line.get("census", "")))):
            names = "distinct_frames", "ptes_flagged_ksm"
            add(phase, {name: line[name] for name in names}, dict(zip(names, counted, strict=True)))
        elif "range_3s_to_30s" in line:
            for end, which in enumerate(("least", "most")):
                span = line["range_3s_to_30s"]
                values = {counter: span[counter][end] - baseline[counter] for counter in COUNTERS}
                add(f"range_3s_to_30s, {which}", values, watch.extremes["range_3s_to_30s"][end])
    return rows


def _boundaries(line: dict[str, Any], sleep: int, baseline: dict[str, Any]) -> Iterator[tuple[int, list[int]]]:
    """Yield (number of the wake-up, recorded row behind it) of a recorded series; 0 is before the first."""
    rows = line["rows"]
    idle = [baseline[name] for name in COUNTERS[:-1]]
    if line["series"] != "onchange":
        for row in rows:
            yield row[0] // sleep, row
        return
    groups: list[list[list[int]]] = []
    for row in rows:
        begun = len(groups) > 1 or (groups and groups[0][0][1 : 1 + len(idle)] != idle)
        if begun and row[0] - groups[-1][-1][0] <= SAME_WAKE_MS:
            groups[-1].append(row)
        else:
            groups.append([row])
    first = 0 if rows[0][1 : 1 + len(idle)] == idle else 1
    for number, group in enumerate(groups, first):
        yield number, group[-1]
