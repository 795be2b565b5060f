"""Policies on the same memory, each tuned until it takes the same share of a CPU, by one price list."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Literal

from pksm.documents.compare import CompareDocument, Tried, Tuning
from pksm.documents.sweep import SweepDocument, SweepRow
from pksm.errors import UsageError
from pksm.policies.base import Pace
from pksm.policies.registry import Choice, names, spec
from pksm.simulation import varying
from pksm.simulation.sweeps import UNTIL_MS, Progress, sweep
from pksm.simulation.workloads.names import WORKLOADS
from pksm.simulation.workloads.registry import waits_for_rest

SCHEMA: Final = "pksm.compare/1"
TARGET_PERCENT = 5.0
ROUNDS = (7, 5, 3)  # values that are tried, each time between the two nearest of the time before
NEAR = 0.1  # of the target: as close as a tuned policy has to come
KSM = ("ksmd",)  # whose prices the list has


def compare_at_cpu(
    workload: Any,
    policies: str | Sequence[str] = "all",
    target_percent: float = TARGET_PERCENT,
    changes: Mapping[str, Any] | Sequence[str] = (),
    *,
    seeds: int | Sequence[int] = 1,
    until_ms: int = UNTIL_MS,
    executor: Executor | None = None,
    workers: int | None = None,
    resume: str | None = None,
    progress: Progress | None = None,
    hold: Callable[[], AbstractContextManager[object]] = nullcontext,
    **settings: Any,
) -> CompareDocument:
    """Simulate policies, each with the value of its Spec's pace that takes the given share of a CPU.

    Args:
        workload: as Settings takes it.
        policies: "all" for the default preset of each policy that can be tuned, or as sweep takes them.
        target_percent: of one core, by the price list; more than 0.
        changes, seeds, until_ms, executor, workers, resume, hold, settings: as sweep takes them.
        progress: progress(runs done, runs in all) of the round under way.

    Returns:
        The document `pksm.compare/1`.

    Raises:
        UsageError: what cannot be played, or tuned.
        PksmError: a run fails.
    """
    if not 0 < target_percent < math.inf:
        raise UsageError("must be more than 0 percent", "at_cpu")
    if policies == "all" or list(policies) == ["all"]:
        policies = [name for name in names() if spec(name).pace]
    chosen = varying.chosen(policies, changes, int(settings.get("seed") or 0))
    searches = [_Search(choice, target_percent, changes) for choice in chosen]
    with tempfile.TemporaryDirectory(prefix="pksm-") as scratch:
        kept = resume or os.path.join(scratch, "runs")

        def play(values: Mapping[str, Sequence[int]]) -> SweepDocument:
            return sweep(
                workload,
                policies,
                {search.name: {search.pace.setting: values[search.name]} for search in searches if search.pace},
                changes,
                seeds=seeds,
                until_ms=until_ms,
                executor=executor,
                workers=workers,
                resume=kept,
                progress=progress,
                hold=hold,
                advisor=False,
                **settings,
            )

        interrupted = False
        for n_values in ROUNDS:
            document = play({search.name: search.next(n_values) for search in searches})
            interrupted = document["interrupted"]
            for search in searches:
                search.take([row for row in document["rows"] if row["policy"] == search.choice.name])
            if interrupted:
                break
        if not interrupted:
            document = play({search.name: [search.value] for search in searches if search.pace})
            interrupted = document["interrupted"]
    rows = [] if interrupted else document["rows"]
    return {
        "schema": SCHEMA,
        "workload": document["workload"],
        "page_size": document["page_size"],
        "until_ms": until_ms,
        "seeds": document["seeds"],
        "target_percent": float(target_percent),
        "prices": document["prices"],
        "best_bytes": document["best_bytes"] if rows else None,
        "interrupted": interrupted,
        "warnings": document["warnings"],
        "unlike": _unlike(searches, workload),
        "rows": rows,
        "tuning": [search.tuning() for search in searches] if rows else [],
    }


class _Search:
    """The search for the value at which one policy takes the CPU time asked for, which grows with the value."""

    def __init__(self, choice: Choice, target: float, changes: Mapping[str, Any] | Sequence[str]) -> None:
        self.choice, self.name, self._target = choice, choice.spec.name, target
        self.pace: Pace | None = choice.spec.pace
        if self.pace and _is_given(self.pace.setting, self.name, changes):
            self.pace = None  # whoever sets it wants it so
        self._rows: dict[int, SweepRow] = {}

    def next(self, n: int) -> list[int]:
        """Return the values to try: at most n between the nearest below and above the target, like multiples."""
        if not self.pace:
            return []
        low, high = self.pace.low, self.pace.high
        if self._rows:
            below = [value for value in self._rows if self._cpu(value) <= self._target]
            low = max(below, default=low)
            high = min((value for value in self._rows if value > low), default=low)
        steps = n + 1 if self._rows else n - 1
        first = 1 if self._rows else 0
        tried = [round(low * (high / low) ** (place / steps)) for place in range(first, n + first)]
        return list(dict.fromkeys(value for value in tried if value not in self._rows)) or [self.value]

    def take(self, rows: Sequence[SweepRow]) -> None:
        """Learn what came of the values."""
        if self.pace:
            self._rows |= {_number(row["settings"][self.pace.setting]): row for row in rows}

    def _cpu(self, value: int) -> float:
        found = self._rows[value]["cpu_percent"]["median"]
        return math.inf if found is None else found

    @property
    def value(self) -> int:
        """The value chosen: of those that stay within the target, or close to it, the one that saves most."""
        within = self._within()
        if not within:
            return min(self._rows, key=self._cpu)
        return max(within, key=lambda value: (self._saved(value), -self._cpu(value)))

    def _within(self) -> list[int]:
        return [value for value in self._rows if self._cpu(value) <= self._target * (1 + NEAR)]

    def _outcome(self) -> Literal["at", "enough", "below", "above"]:
        least = self._target * (1 - NEAR)
        within = self._within()
        if not within:
            return "above"
        if self._cpu(self.value) >= least:
            return "at"
        return "enough" if len(within) < len(self._rows) or max(map(self._cpu, within)) >= least else "below"

    def _saved(self, value: int) -> float:
        return self._rows[value]["mean_saved_bytes"]["median"] or 0.0

    def tuning(self) -> Tuning:
        """Return how it came to that value."""
        if not self.pace:
            return {"setting": None, "value": None, "outcome": "fixed", "tried": []}
        tried: list[Tried] = [
            {
                "value": value,
                "cpu_percent": self._rows[value]["cpu_percent"]["median"],
                "mean_saved_bytes": self._rows[value]["mean_saved_bytes"]["median"],
            }
            for value in sorted(self._rows)
        ]
        return {
            "setting": self.pace.setting,
            "value": self.value,
            "outcome": self._outcome(),
            "tried": tried,
        }


def _number(value: Any) -> int:
    return int(value)


def _is_given(setting: str, policy: str, changes: Mapping[str, Any] | Sequence[str]) -> bool:
    given = changes if isinstance(changes, Mapping) else [text.partition("=")[0] for text in changes]
    return setting in given or f"{policy}.{setting}" in given


def _unlike(searches: Sequence[_Search], workload: Any) -> list[str]:
    """Say what is not like for like among these policies, on this workload."""
    said = []
    foreign = [search.name for search in searches if search.name not in KSM]
    if foreign:
        said.append(
            f"{', '.join(foreign)}: their work is priced as KSM's, for there is no running kernel with them to measure."
        )
    opt_in = [search.name for search in searches if search.choice.spec.opt_in]
    if opt_in and len(searches) > len(opt_in):
        said.append(f"{', '.join(opt_in)}: merges only memory that has opted in; the others, all private memory.")
    no_zero = [search.name for search in searches if getattr(search.choice.settings, "use_zero_pages", None) == 0]
    if no_zero and len(searches) > len(no_zero):
        said.append(
            f"{', '.join(no_zero)}: merges empty pages as any others, and keeps a frame of them (use_zero_pages=0)."
        )
    if any(search.name == "uksm" for search in searches):
        said.append("uksm: paces itself by a model of its own CPU time, whatever the price list says.")
    if any(search.name == "cksm" for search in searches):
        said.append("cksm: follows its published sources; it was never held against a recording of its kernel.")
    if len(searches) > 1 and isinstance(workload, str) and workload in WORKLOADS and waits_for_rest(workload):
        said.append(
            f"{workload}: waits until merging comes to rest, so it goes on sooner under a quick policy, and at one time "
            "policies may be in different phases of it."
        )
    return said
