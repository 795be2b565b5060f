"""Trials: ksmd with different settings, each simulated on the memory that was read until it is at rest."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from pksm.advice.settings import Settings
from pksm.documents.advise import ParetoRow
from pksm.engine.cost import Prices
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
Progress = Callable[[int, int], object]


def trials(memory: RealMemory, settings: Settings, prices: Prices, progress: Progress, hold: Any) -> list[ParetoRow]:
    """Simulate ksmd on the memory under each of the settings; return the rows, by CPU, and one of them starred.

    Args:
        memory: as if all that shall opt in had.
        settings: what is enough, and the period that savings are averaged over.
        prices: of CPU time.
        progress: progress(runs done, runs in all).
        hold: makes context managers that hold interrupts back.
    """
    choices = [_choice(settings.preset, {"pages_to_scan": pages}) for pages in PAGES_TO_SCAN]
    choices.append(_choice(settings.preset, {"advisor_mode": "scan-time"}))
    with stored(memory) as played:
        base = SimulationSettings(played, sample_ms=None, pace=KERNEL, prices=prices)
        tasks = [Task(base, choice) for choice in choices]
        workers = workers_for(len(tasks), bytes_of(replace(base, workload=memory)))
        rows: dict[int, ParetoRow] = {}
        progress(0, len(tasks))
        for number, result in own_results(run_task, tasks, workers):
            with hold():
                rows[number] = _row(choices[number], result, settings)
            progress(len(rows), len(tasks))
    ordered = sorted(
        (rows[number] for number in sorted(rows)), key=lambda row: (row["cpu_percent"], -row["mean_saved_bytes"])
    )
    _mark(ordered, settings.enough)
    return ordered


def _choice(preset: str, changes: dict[str, Any]) -> Choice:
    return choose_one(f"ksmd:{preset}", {"use_zero_pages": 1, **changes})


def _row(choice: Choice, result: dict[str, Any], settings: Settings) -> ParetoRow:
    values = choice.settings.as_dict()
    advised = values["advisor_mode"] == "scan-time"
    names = ("advisor_mode",) if advised else ("pages_to_scan",)
    saved, points = result["saved_bytes"], result["points"]
    at_90 = reached(points, 0.9 * saved) if saved > 0 else None
    seconds, rest_ms = result["cpu"]["seconds"], points[-1][0]
    return {
        "label": "the kernel's advisor"
        if advised
        else f"{values['pages_to_scan']:,} pages / {values['sleep_millisecs']} ms",
        "settings": {name: values[name] for name in names},
        "cpu_percent": round(result["cpu"]["percent"] or 0.0, 2),
        "cpu_seconds": seconds,
        "seconds_to_90": None if at_90 is None else round(at_90 / 1000, 2),
        "rest_seconds": round(rest_ms / 1000, 2),
        "saved_bytes": saved,
        "mean_saved_bytes": round(mean(points, settings.period_ms)),
        "points": points,
        "best": False,
        "starred": False,
        "default": not advised and values["pages_to_scan"] == DEFAULT_PAGES,
    }


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


def _mark(rows: Sequence[ParetoRow], enough: float) -> None:
    """Mark the rows that no other beats, and star the one of least CPU that saves enough on average."""
    for row in rows:
        row["best"] = not any(
            other["cpu_percent"] <= row["cpu_percent"]
            and other["mean_saved_bytes"] >= row["mean_saved_bytes"]
            and (other["cpu_percent"], other["mean_saved_bytes"]) != (row["cpu_percent"], row["mean_saved_bytes"])
            for other in rows
        )
    wanted = enough * max((row["mean_saved_bytes"] for row in rows), default=0)
    for row in rows:
        if row["mean_saved_bytes"] >= wanted:
            row["starred"] = True
            return
