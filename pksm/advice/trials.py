"""Trials: ksmd with different settings, each simulated on the memory that was read until it is at rest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from pksm.advice.settings import Settings
from pksm.documents.advise import ParetoRow
from pksm.documents.common import Setting
from pksm.engine.cost import Prices
from pksm.errors import UsageError
from pksm.parallel.pool import own_results, workers_for
from pksm.policies.registry import Choice, choose_one
from pksm.simulation.curve import reached
from pksm.simulation.pace import KERNEL
from pksm.simulation.real import RealMemory
from pksm.simulation.run import Settings as SimulationSettings
from pksm.simulation.run import bytes_of
from pksm.simulation.stored import stored
from pksm.simulation.tasks import Task, run_task

DEFAULT_PAGES = 100
PAGES_TO_SCAN = (DEFAULT_PAGES, 500, 1250, 3000, 8000, 20000)
NAMED = ("use_zero_pages", "smart_scan", "max_page_sharing")  # in a row's label, where they are not as advised
HERE_ALONE = ("merge_across_nodes", "run")  # what a simulated machine, of one node, does not have
MOST_WAKES = 250_000  # of ksmd, in PASSES over all pages, that are simulated for its present settings
PASSES = 5
Progress = Callable[[int, int], object]


def present(memory: RealMemory, settings: Settings, knobs: Mapping[str, Setting]) -> Choice | None:
    """Return ksmd with the settings of the running kernel; None if it would take too many wake-ups, or cannot be.

    Args:
        memory: to be simulated.
        settings: with the preset.
        knobs: KSM's files, by name.
    """
    known = _choice(settings.preset, {}).settings.entries().keys() - set(HERE_ALONE)
    changes: dict[str, Any] = {name: value for name, value in knobs.items() if name in known}
    if changes.get("advisor_mode") == "scan-time":
        changes.pop("pages_to_scan", None)
    try:
        choice = _choice(settings.preset, changes)
    except UsageError:
        return None
    wakes = PASSES * memory.frames / choice.settings.as_dict()["pages_to_scan"]
    return choice if wakes <= MOST_WAKES else None


def trials(
    memory: RealMemory,
    settings: Settings,
    prices: Prices,
    progress: Progress,
    hold: Any,
    here: Choice | None = None,
) -> list[ParetoRow]:
    """Simulate ksmd on the memory under each of the settings; return the rows, by CPU, and one of them starred.

    Args:
        memory: as if all that shall opt in had.
        settings: what is enough, and the period that savings are averaged over.
        prices: of CPU time.
        progress: progress(runs done, runs in all).
        hold: makes context managers that hold interrupts back.
        here: ksmd as it runs now, which gets a row too, but no star.
    """
    choices = candidates(settings)
    eligible = len(choices)
    if here and here not in choices:
        choices.append(here)
    with stored(memory) as played:
        base = SimulationSettings(played, sample_ms=None, pace=KERNEL, prices=prices)
        tasks = [Task(base, choice) for choice in choices]
        workers = workers_for(len(tasks), bytes_of(replace(base, workload=memory)))
        rows: dict[int, ParetoRow] = {}
        progress(0, len(tasks))
        for number, result in own_results(run_task, tasks, workers):
            with hold():
                rows[number] = _row(choices[number], result, settings, choices[number] == here)
            progress(len(rows), len(tasks))
    return ranked([rows[number] for number in range(len(tasks))], settings.enough, eligible)


def candidates(settings: Settings) -> list[Choice]:
    """Return ksmd with each of the settings that may be advised."""
    choices = [_choice(settings.preset, {"pages_to_scan": pages}) for pages in PAGES_TO_SCAN]
    return [*choices, _choice(settings.preset, {"advisor_mode": "scan-time"})]


def ranked(rows: Sequence[ParetoRow], enough: float, eligible: int | None = None) -> list[ParetoRow]:
    """Return rows by CPU, marked: those that no other beats, and a star for one of the first so many (None: all)."""
    order = sorted(
        range(len(rows)), key=lambda place: (rows[place]["cpu_percent"], -rows[place]["mean_saved_bytes"], place)
    )
    every = [rows[place] for place in order]
    _mark(every, enough, [rows[place] for place in order if eligible is None or place < eligible])
    return every


def _choice(preset: str, changes: dict[str, Any]) -> Choice:
    return choose_one(f"ksmd:{preset}", {"use_zero_pages": 1, **changes})


def described(choice: Choice, settings: Settings, is_present: bool = False) -> ParetoRow:
    """Return the part of a row that says which settings these are; what came of them is to be filled in."""
    values = choice.settings.as_dict()
    advised = values["advisor_mode"] == "scan-time"
    others = {
        name: values[name] for name in NAMED if values[name] != _choice(settings.preset, {}).settings.as_dict()[name]
    }
    names = ("advisor_mode",) if advised else ("pages_to_scan",)
    return {
        "label": ", ".join([_pace_of(values), *(f"{name}={value}" for name, value in others.items())]),
        "settings": {name: values[name] for name in names} | others,
        "cpu_percent": 0.0,
        "cpu_seconds": 0.0,
        "seconds_to_90": None,
        "rest_seconds": None,
        "saved_bytes": 0,
        "mean_saved_bytes": 0,
        "metadata_bytes": 0,
        "points": [],
        "best": False,
        "starred": False,
        "default": choice == _choice(settings.preset, {"pages_to_scan": DEFAULT_PAGES}),
        "present": is_present,
    }


def _row(choice: Choice, result: dict[str, Any], settings: Settings, is_present: bool) -> ParetoRow:
    saved, points = result["saved_bytes"], result["points"]
    at_90 = reached(points, 0.9 * saved) if saved > 0 else None
    seconds, rest_ms = result["cpu"]["seconds"], points[-1][0]
    return described(choice, settings, is_present) | {
        "cpu_percent": round(result["cpu"]["percent"] or 0.0, 2),
        "cpu_seconds": seconds,
        "seconds_to_90": None if at_90 is None else round(at_90 / 1000, 2),
        "rest_seconds": round(rest_ms / 1000, 2),
        "saved_bytes": saved,
        "mean_saved_bytes": round(mean(points, settings.period_ms)),
        "metadata_bytes": result["metadata_bytes"],
        "points": points,
    }


def _pace_of(values: Mapping[str, Any]) -> str:
    if values["advisor_mode"] == "scan-time":
        return "the kernel's advisor"
    return f"{values['pages_to_scan']:,} pages / {values['sleep_millisecs']} ms"


def mean(points: Sequence[Sequence[float]], period_ms: float) -> float:
    """Return the bytes saved on average from 0 to the end of a period; points: [ms, bytes saved], straight in between."""
    area = 0.0
    for (start, low), (end, high) in pairwise(points):
        if start >= period_ms or end == start:
            continue
        stop = min(end, period_ms)
        at_stop = low + (high - low) * (stop - start) / (end - start)
        area += (low + at_stop) / 2 * (stop - start)
    last, saved = points[-1]
    return (area + saved * max(0.0, period_ms - last)) / period_ms


def _mark(rows: Sequence[ParetoRow], enough: float, eligible: Sequence[ParetoRow]) -> None:
    """Mark the rows that no other beats, and star the eligible one of least CPU that saves enough on average."""
    for row in rows:
        row["best"] = not any(
            other["cpu_percent"] <= row["cpu_percent"]
            and other["mean_saved_bytes"] >= row["mean_saved_bytes"]
            and (other["cpu_percent"], other["mean_saved_bytes"]) != (row["cpu_percent"], row["mean_saved_bytes"])
            for other in rows
        )
    wanted = enough * max((row["mean_saved_bytes"] for row in eligible), default=0)
    for row in eligible:
        if row["mean_saved_bytes"] >= wanted:
            row["starred"] = True
            return
