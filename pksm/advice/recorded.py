"""Advice on a recording: ksmd with different settings on memory that changes as it did when it was recorded."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any, cast

from pksm.advice import moments, tuning
from pksm.advice.coarse import coarser, cost_s
from pksm.advice.recorded_verdict import kinds_of, risk_of, verdict_of
from pksm.advice.settings import Settings
from pksm.advice.trials import candidates, described, ranked
from pksm.documents import AdviseDocument
from pksm.documents.advise import ParetoRow, Recorded
from pksm.documents.common import PriceList
from pksm.engine.cost import Prices
from pksm.errors import UsageError
from pksm.linux import memory_facts
from pksm.parallel.pool import own_results, workers_for
from pksm.policies.registry import Choice
from pksm.recording.reader import Opener
from pksm.simulation.curve import Curve, reached
from pksm.simulation.pace import KERNEL
from pksm.simulation.prices import prices_here
from pksm.simulation.replay import RecordedWrites
from pksm.simulation.run import Settings as SimulationSettings
from pksm.simulation.run import bytes_of, simulate

KEPT_POINTS = 256
MOST_S = 400.0  # of CPU time for all trials together, about: what goes beyond that is left out
MOST_ALONE_S = 3600.0  # the same, of the one that takes least
Progress = Callable[[str, int, int | None], None]
Reader = Callable[[Callable[[Opener | None, Progress], Any]], Any]
_Trial = tuple[RecordedWrites, Choice, Prices]


def advise_recording(
    path: str | os.PathLike[str],
    settings: Settings | None = None,
    progress: Progress | None = None,
    *,
    between: str | None = None,
    hold: Callable[[], AbstractContextManager[object]] = nullcontext,
    reader: Reader | None = None,
) -> AdviseDocument:
    """Say whether KSM would have been worth it while a recording was made, with which settings, and at what price.

    Every trial plays the recording from its beginning to its end. What it saves is averaged over all of that time, so
    merges that writes undo count for as long as they lasted.

    Args:
        path: of the recording.
        settings: what counts as worth it; page_size, tenants, within and again_seconds are not for recordings, and
            savings are averaged over the recording in place of period_ms.
        progress: called as progress(stage, done, total): `read`, then `simulate` with runs.
        between: the part of it that counts, such as "9:00-17:00": KSM is turned on when that begins. None: all of it.
        hold: makes context managers that hold interrupts back for the length of a step of the simulations.
        reader: reader(work) returns work(opener, progress), run where reading a file can do no harm; there, trials are
            made one after the other. None: here, and in processes of our own.

    Returns:
        The document `pksm.advise/1`, ready for JSON.

    Raises:
        UsageError: it is not a recording, has no such part, lasts too long to be simulated, or a setting is not for one.
        PksmError: it can't be read, or cannot have happened.
    """
    settings, prices = settings or Settings(), prices_here()
    for name in ("page_size", "tenants", "again_seconds"):
        if getattr(settings, name) is not None:
            raise UsageError("is not for a recording, which holds only what was recorded", name)
    if settings.within != "all":
        raise UsageError("is not for a recording, which does not know users and guests", "within")

    def work(opener: Opener | None, report: Progress) -> dict[str, Any]:
        return _found(os.fspath(path), between, settings, prices, report, hold, opener, side_by_side=reader is None)

    found = reader(work) if reader else work(None, progress or _silent)
    return _document(found, settings, prices)


def _silent(stage: str, done: int, total: int | None) -> None:
    """Report to nobody."""


def _found(
    path: str,
    between: str | None,
    settings: Settings,
    prices: Prices,
    progress: Progress,
    hold: Callable[[], AbstractContextManager[object]],
    opener: Opener | None,
    side_by_side: bool,
) -> dict[str, Any]:
    """Return what a recording holds and what trials on it gave, ready for JSON."""
    progress("read", 0, None)
    workload = RecordedWrites.opened(path, opener, between=between)
    if not workload.last_ms:
        raise UsageError(f"{path}: lasts 0 s: there are no averages over that to advise by")
    seen = moments.seen_in(workload)
    least = least_bytes(workload, settings)
    rows: list[ParetoRow] = []
    warnings: list[str] = []
    assert workload.equals  # of a recording that was opened
    if workload.equals["mean_bytes"] >= least:
        rows, warnings = _trials(workload, settings, prices, progress, hold, side_by_side)
    warnings += workload.warnings
    if not workload.is_whole and workload.part is None:
        warnings.append(f"{path}: is cut short: it is played as far as it goes, {workload.last_ms / 1000:g} s")
    return {
        "recorded": {
            "seconds": workload.last_ms / 1000,
            "write_rate": workload.write_rate,
            "volatile_share": workload.volatile_share,
            "equals": workload.equals,
        },
        "name": workload.name,
        "page_size": workload.page_size,
        "pages": workload.most_pages,
        "moments": asdict(seen),
        "rows": rows,
        "warnings": warnings,
    }


def least_bytes(workload: RecordedWrites, settings: Settings) -> float:
    """Return the bytes that must be saved on average, net of records, to be worth it."""
    return max(settings.least_bytes, workload.most_pages * workload.page_size * settings.least_percent / 100)


def _trials(
    workload: RecordedWrites,
    settings: Settings,
    prices: Prices,
    progress: Progress,
    hold: Callable[[], AbstractContextManager[object]],
    side_by_side: bool,
) -> tuple[list[ParetoRow], list[str]]:
    """Return the rows of all trials, one of them starred, and a warning for each that is left out."""
    ms, left_s = workload.last_ms, MOST_S
    choices: list[Choice] = []
    trials: list[_Trial] = []
    warnings: list[str] = []
    every = [
        (choice, *coarser(choice, prices, workload.most_pages, ms, workload.every_ms))
        for choice in candidates(settings)
    ]
    for choice, played, paid in sorted(every, key=lambda one: cost_s(one[1], one[2], ms)):
        cost = cost_s(played, paid, ms)
        if cost > (left_s if choices else MOST_ALONE_S):
            warnings.append(
                f"{described(choice, settings)['label']}: not simulated: too long a recording for that pace"
            )
        else:
            left_s -= cost
            choices.append(choice)
            trials.append((workload, played, paid))
    if not choices:
        raise UsageError(f"{workload.name}: too long a recording to simulate at any pace: name a part of it", "between")
    rows: dict[int, ParetoRow] = {}
    progress("simulate", 0, len(trials))
    if side_by_side:
        results = own_results(_played, trials, workers_for(len(trials), bytes_of(_simulated(trials[0]))))
    else:
        results = ((number, _played(trial, hold)) for number, trial in enumerate(trials))
    for number, result in results:
        rows[number] = described(choices[number], settings) | cast(ParetoRow, result)
        progress("simulate", len(rows), len(trials))
    return ranked([rows[number] for number in range(len(trials))], settings.enough), warnings


def _simulated(trial: _Trial) -> SimulationSettings:
    workload, _, prices = trial
    return SimulationSettings(workload, sample_ms=None, pace=KERNEL, prices=prices)


def _played(trial: _Trial, hold: Callable[[], AbstractContextManager[object]] = nullcontext) -> dict[str, Any]:
    """Play a recording under a choice, and return what a row says of it."""
    workload, choice, _ = trial
    curve = Curve()
    document = simulate(_simulated(trial), [choice], hold=hold, observers=[curve])
    if document["interrupted"]:
        raise KeyboardInterrupt
    final = document["runs"][0]["final"]
    replay, points = final["replay"], curve.points
    if len(points) > KEPT_POINTS:
        points = [points[place * (len(points) - 1) // (KEPT_POINTS - 1)] for place in range(KEPT_POINTS)]
    page_size, most = workload.page_size, replay["most_saved_bytes"]
    at_90 = reached(curve.points, 0.9 * most / page_size) if most else None
    return {
        "cpu_percent": round(final["cpu"]["percent"] or 0.0, 2),
        "cpu_seconds": final["cpu"]["seconds"],
        "seconds_to_90": None if at_90 is None else round(at_90 / 1000, 2),
        "rest_seconds": None,
        "saved_bytes": most,
        "mean_saved_bytes": replay["mean_saved_bytes"],
        "metadata_bytes": final["metadata_bytes_peak"],
        "points": [[round(ms, 3), frames * page_size] for ms, frames in points],
        "merges": final["cpu"]["merges"],
        "undone": replay["undone"],
        "undone_soon": replay["undone_soon"],
        "missed_mean_bytes": replay["limbo_mean_bytes"],
    }


def _document(found: dict[str, Any], settings: Settings, prices: Prices) -> AdviseDocument:
    rows: list[ParetoRow] = found["rows"]
    seen, recorded = moments.Moments(**found["moments"]), cast(Recorded, found["recorded"])
    of_bytes = found["pages"] * found["page_size"]
    starred = next((row for row in rows if row["starred"]), None)
    decided = verdict_of(recorded, starred, seen, of_bytes, settings)
    zero_bytes, saved_bytes = (round(pages * found["page_size"]) for pages in (seen.zero_pages, seen.saved_pages))
    saving = tuning.Saving(zero_bytes, saved_bytes, seen.largest_group)
    nodes, thp = memory_facts.nodes(), memory_facts.makes_huge_pages()
    return {
        "schema": "pksm.advise/1",
        "page_size": found["page_size"],
        "sources": [found["name"]],
        "pages": found["pages"],
        "now": None,
        "verdict": decided,
        "kinds": kinds_of(seen),
        "if_all": None,
        "opted_in": None,
        "within": [],
        "tenants": "process",
        "why_not_more": [],
        "settings": tuning.settings_for(saving, decided, settings, rows, nodes, thp),
        "pareto": rows,
        "simulated_within": "all",
        "period_ms": round(1000 * recorded["seconds"]),
        "prices": cast(PriceList, prices.as_dict()) if rows else None,
        "risk": risk_of(starred, seen),
        "recorded": recorded,
        "compressing": {"sampled": 0, "percent": None},
        "partial": False,
        "interrupted": False,
        "warnings": found["warnings"],
    }
