"""Sweeps: every combination of settings simulated, and which of them nobody beats."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Final, cast

from pksm.documents.common import PriceList, Setting
from pksm.documents.sweep import Spread, SweepDocument, SweepRow
from pksm.errors import UsageError
from pksm.naming import unknown
from pksm.parallel.pool import own_results, results, workers_for
from pksm.policies.registry import Choice
from pksm.simulation import varying
from pksm.simulation.curve import reached
from pksm.simulation.pace import KERNEL, check_pace
from pksm.simulation.partial import Partial
from pksm.simulation.prices import prices_here
from pksm.simulation.run import Settings, bytes_of
from pksm.simulation.stored import stored
from pksm.simulation.tasks import Result, Task, run_task, run_task_on

SCHEMA: Final = "pksm.sweep/1"
UNTIL_MS = 120_000
SMART = 4  # smart_scan visits about so many times fewer pages
SURE = 0.95  # that an interval holds the median
Progress = Callable[[int, int], object]


def sweep(
    workload: Any,
    policies: str | Sequence[str],
    vary: Sequence[str] | Mapping[str, Mapping[str, Sequence[Any]]] = (),
    changes: Mapping[str, Any] | Sequence[str] = (),
    *,
    seeds: int | Sequence[int] = 1,
    until_ms: int = UNTIL_MS,
    executor: Executor | None = None,
    workers: int | None = None,
    resume: str | None = None,
    progress: Progress | None = None,
    hold: Callable[[], AbstractContextManager[object]] = nullcontext,
    advisor: bool = True,
    **settings: Any,
) -> SweepDocument:
    """Simulate policies with every combination of settings that vary.

    Args:
        workload: as Settings takes it.
        policies: "ksmd,pksmd", or a list of such names, each policy once.
        vary: {policy: {setting: values}}, or texts as varying.parse takes them.
        changes: further settings, as policies.choose takes them.
        seeds: how many, from settings' seed on, or which.
        until_ms: that every run lasts.
        executor: of concurrent.futures, with workers that have pksm; None: processes of our own.
        workers: how many of these; None: one for each CPU, if memory allows.
        resume: the path of a file that keeps results; those in it are not simulated again.
        progress: progress(runs done, runs in all).
        hold: makes context managers that hold interrupts back while a result is kept. A KeyboardInterrupt ends the
            work, and the document has what was done by then.
        advisor: whether there is a row of the kernel's own advisor for ksmd.
        settings: further fields of Settings: pages, frames, page_size, seed, pace, opted_in_only, between, prices. The
            pace is the kernel's unless another is named.

    Returns:
        The document `pksm.sweep/1`.

    Raises:
        UsageError: what cannot be played, or varied.
        PksmError: a run fails.
    """
    base = _base(workload, until_ms, settings)
    chosen = varying.chosen(policies, changes, base.seed)
    varied = vary if isinstance(vary, Mapping) else varying.parse(vary, chosen)
    varying.check_apart(varied, changes)
    combined = varying.combinations(chosen, varied)
    advised = _advised(chosen, varied) if advisor else []
    numbers = list(range(base.seed, base.seed + seeds)) if isinstance(seeds, int) else list(seeds)
    if not numbers:
        raise UsageError("there must be one at least", "seeds")
    choices = [*combined, *advised]
    with stored(base.workload) if executor is None else nullcontext(base.workload) as played, Partial(resume) as kept:
        tasks = [
            Task(replace(base, workload=played, seed=seed), replace(choice, seed=seed))
            for choice in choices
            for seed in numbers
        ]
        interrupted = _work(tasks, kept, executor, workers, base, progress, hold)
        found = [kept.known.get(task.key) for task in tasks]
    rows_of = [found[start : start + len(numbers)] for start in range(0, len(found), len(numbers))]
    return _document(base, numbers, varied, choices, len(combined), rows_of, interrupted)


def _base(workload: Any, until_ms: int, settings: Mapping[str, Any]) -> Settings:
    """Return what all runs have in common."""
    known = {"pages", "frames", "page_size", "seed", "pace", "opted_in_only", "between", "prices"}
    strange = sorted(settings.keys() - known)
    if strange:
        raise unknown("unknown setting of a sweep", strange[0], sorted(known))
    if until_ms < 1:
        raise UsageError("must be 1 ms at least", "until_ms")
    base = Settings(workload, until_ms=until_ms, sample_ms=None, **{"pace": KERNEL, **settings})
    check_pace(base.pace)
    return base if base.prices else replace(base, prices=prices_here())


def _advised(chosen: Sequence[Choice], varied: varying.Varied) -> list[Choice]:
    """Return the rows of the kernel's advisor, unless that is what varies."""
    return [
        choice
        for choice in varying.kernel_advisor(chosen)
        if not {"advisor_mode"} & varied.get(choice.spec.name, {}).keys()
    ]


def _work(
    tasks: Sequence[Task],
    kept: Partial,
    executor: Executor | None,
    workers: int | None,
    base: Settings,
    progress: Progress | None,
    hold: Callable[[], AbstractContextManager[object]],
) -> bool:
    """Do what was not done yet, each task once, and return whether that was interrupted."""
    todo = {task.key: task for task in sorted(tasks, key=_effort, reverse=True) if task.key not in kept.known}
    keys, left = list(todo), list(todo.values())
    done, total = len({task.key for task in tasks}) - len(left), len({task.key for task in tasks})
    if progress:
        progress(done, total)
    try:
        for number, result in _results(left, executor, workers, base):
            with hold():
                kept.add(keys[number], result)
            done += 1
            if progress:
                progress(done, total)
    except KeyboardInterrupt:
        return True
    return False


def _effort(task: Task) -> float:
    """Return about how long a task takes, beside others of its sweep: long ones begin first, so that none is left over."""
    values = task.choice.settings.as_dict()
    visits = values.get("pages_to_scan", 0) / (1 + values.get("sleep_millisecs", 0))
    return float(visits / SMART if values.get("smart_scan") else visits)


def _results(
    tasks: Sequence[Task], executor: Executor | None, workers: int | None, base: Settings
) -> Iterator[tuple[int, Result]]:
    if not tasks:
        return iter(())
    if executor is None:
        return own_results(run_task, tasks, workers or workers_for(len(tasks), bytes_of(base)))
    share = getattr(executor, "share", None)
    if share and not isinstance(base.workload, str):
        shared = share(base.workload)
        bare = [replace(task, settings=replace(task.settings, workload="")) for task in tasks]
        return results(executor, run_task_on, {number: (task, shared) for number, task in enumerate(bare)})
    return results(executor, run_task, {number: (task,) for number, task in enumerate(tasks)})


# ---- what comes of it ----


def _document(
    base: Settings,
    seeds: Sequence[int],
    varied: varying.Varied,
    choices: Sequence[Choice],
    n_varied: int,
    found: Sequence[Sequence[Result | None]],
    interrupted: bool,
) -> SweepDocument:
    assert base.prices  # _base() sees to that
    best = _best(found)
    rows = [
        _row(choice, varied.get(choice.spec.name, {}), place >= n_varied, results, best)
        for place, (choice, results) in enumerate(zip(choices, found, strict=True))
        if any(results)
    ]
    _mark_fronts(rows)
    every = [result for results in found for result in results if result]
    return {
        "schema": SCHEMA,
        "workload": base.name,
        "page_size": every[0]["page_size"] if every else base.page_bytes,
        "until_ms": base.until_ms or 0,
        "seeds": list(seeds),
        "pace": base.pace,
        "prices": cast(PriceList, base.prices.as_dict()),
        "varied": {
            policy: {name: [_shown(value) for value in values] for name, values in settings.items()}
            for policy, settings in varied.items()
        },
        "best_bytes": _median([value for value in best if value is not None]),
        "runs": sum(map(len, found)),
        "done": len(every),
        "interrupted": interrupted,
        "warnings": list(dict.fromkeys(line for result in every for line in result["warnings"])),
        "rows": rows,
    }


def _best(found: Sequence[Sequence[Result | None]]) -> list[float | None]:
    """Return, for each seed, the most bytes that a row saves at the end."""
    by_seed = zip(*found, strict=True)
    return [max((result["saved_bytes"] for result in results if result), default=None) for results in by_seed]


def _row(
    choice: Choice,
    varied: Mapping[str, Any],
    is_advisor: bool,
    results: Sequence[Result | None],
    best: Sequence[float | None],
) -> SweepRow:
    pairs = [(result, goal) for result, goal in zip(results, best, strict=True) if result]
    done = [result for result, _ in pairs]
    tunables = choice.settings.as_dict()
    settings = {name: tunables[name] for name in varied if not (is_advisor and name == "pages_to_scan")}
    return {
        "policy": choice.name,
        "settings": settings | ({"advisor_mode": tunables["advisor_mode"]} if is_advisor else {}),
        "tunables": tunables,
        "is_advisor": is_advisor,
        "runs": len(done),
        "cpu_percent": _spread(result["cpu"]["percent"] for result in done),
        "cpu_seconds": _spread(result["cpu"]["seconds"] for result in done),
        "cpu_seconds_per_mib": _spread(map(_per_mib, done)),
        "copies_seconds": _spread(result["cpu"]["copies_seconds"] for result in done),
        "saved_bytes": _spread(result["saved_bytes"] for result in done),
        "net_bytes": _spread(result["saved_bytes"] - result["metadata_bytes"] for result in done),
        "mean_saved_bytes": _spread(result["mean_saved_bytes"] for result in done),
        "metadata_bytes": _spread(result["metadata_bytes"] for result in done),
        "pages_visited": _spread(result["cost"]["pages_visited"] for result in done),
        "merges": _spread(result["cpu"]["merges"] for result in done),
        "copies": _spread(result["cpu"]["copies"] for result in done),
        "reached_50_s": _spread(_reached_s(result, goal, 0.5) for result, goal in pairs),
        "reached_90_s": _spread(_reached_s(result, goal, 0.9) for result, goal in pairs),
        "on_front": False,
        "on_time_front": False,
        "curve": done[0]["points"],
    }


def _per_mib(result: Result) -> float | None:
    mib = result["mean_saved_bytes"] / (1 << 20)
    return result["cpu"]["seconds"] / mib if mib > 0 else None


def _reached_s(result: Result, goal: float | None, part: float) -> float | None:
    ms = reached(result["points"], part * goal) if goal else None
    return None if ms is None else ms / 1000


def _spread(values: Iterable[float | None]) -> Spread:
    """Return median and interval of figures; None stands for one that is beyond all others."""
    known = sorted(math.inf if value is None else value for value in values)
    left_out = _left_out(len(known))
    return {
        "median": _median(known),
        "low": _finite(known[left_out]),
        "high": _finite(known[-1 - left_out]),
    }


def _left_out(n: int) -> int:
    """Return how many of n figures can be left out at either end of an interval that holds the median with SURE."""
    chance, k = 1 / 2**n, 0
    while 2 * (chance := chance + math.comb(n, k + 1) / 2**n) <= 1 - SURE:
        k += 1
    return k


def _median(values: Sequence[float]) -> float | None:
    if not values:
        return None
    values = sorted(values)
    middle = len(values) // 2
    return _finite(values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2)


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else value


def _shown(value: Any) -> Setting:
    return sorted(value) if isinstance(value, frozenset) else value


def _mark_fronts(rows: Sequence[SweepRow]) -> None:
    """Mark the rows that no other one of their policy beats: in what is saved, and in the time to 90 %, for CPU time."""
    for policy in dict.fromkeys(row["policy"] for row in rows):
        own = [row for row in rows if row["policy"] == policy]
        cpu = [_known(row["cpu_seconds"]) for row in own]
        missing = [-(row["mean_saved_bytes"]["median"] or 0.0) for row in own]
        times = [_known(row["reached_90_s"]) for row in own]
        for place, row in enumerate(own):
            row["on_front"] = _is_unbeaten(place, cpu, missing)
            row["on_time_front"] = times[place] < math.inf and _is_unbeaten(place, cpu, times)


def _known(spread: Spread) -> float:
    return math.inf if spread["median"] is None else spread["median"]


def _is_unbeaten(place: int, cpu: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether no row needs less of one and no more of the other; both lists: less is better."""
    mine = cpu[place], other[place]
    return not any(
        one <= mine[0] and two <= mine[1] and (one, two) != mine for one, two in zip(cpu, other, strict=True)
    )
