"""The profiler of checksums: speed, truth, blindness and consequence of every strategy, on any memory.

`profile` measures and returns the document `pksm.checksum/1`; a strategy that can't be measured is named in its
warnings and left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import pksm
from pksm.bench.run import machine
from pksm.documents import ProfileDocument, ProfileSubject, StrategyRow
from pksm.engine import checksums, native
from pksm.errors import BusError, PksmError, UsageError
from pksm.linux import checkout, system
from pksm.profiler import blindness, collisions, consequence, speed, under_ksmd
from pksm.profiler.advice import recommend
from pksm.profiler.consequence import CHANGED_SHARE

if TYPE_CHECKING:
    from pksm.profiler.subject import Subject


SCHEMA: Final = "pksm.checksum/1"
ROUNDS = 7  # of pksmd to rest; the median counts: the least and the most enclose the true one in 98 % of all runs

Progress: TypeAlias = Callable[[str, str | None, str], object]  # (subject, strategy, stage)


def _silent(subject: str, strategy: str | None, stage: str) -> None:
    pass


def profile(
    subjects: Iterable[AbstractContextManager[Subject]],
    strategies: Iterable[str] | None = None,
    page_size: int = 4096,
    seed: int = 0,
    changes: float = CHANGED_SHARE,
    progress: Progress = _silent,
) -> ProfileDocument:
    """Profile strategies on each subject in turn.

    Args:
        subjects: context managers that give a subject.Subject. One that cannot be opened is skipped with a warning;
            if the first one fails, its error is raised.
        strategies: names with options; None for all.
        page_size: of all subjects.
        seed: of checksums that have one, and of changes.
        changes: the share of unshared pages that change by a word and are to be merged then, from 0 to 0.5.
        progress: progress(subject, strategy, stage) is called before each measurement.

    Returns:
        The document `pksm.checksum/1`, ready for JSON.

    Raises:
        UsageError: what cannot be profiled.
        PksmError: no strategy worked.
    """
    if not 0 <= changes <= 0.5:
        raise UsageError(f"changes {changes}: a share of the pages, from 0 to 0.5")
    names = list(dict.fromkeys(checksums.names() if strategies is None else strategies))
    for name in names:
        checksums.describe(name, page_size)
    document = _empty(page_size, seed, changes)
    began = time.perf_counter(), time.process_time()
    with system.pinned():
        for subject in subjects:
            with ExitStack() as stack:
                opened = _entered(stack, subject, document)
                if opened is not None:
                    names = _add(document, opened, names, progress)
    document["cost"] = {"wall_s": time.perf_counter() - began[0], "cpu_s": time.process_time() - began[1]}
    return document


def _empty(page_size: int, seed: int, changes: float) -> ProfileDocument:
    """The document before anything is measured."""
    return {
        "schema": SCHEMA,
        "pksm": pksm.__version__,
        "commit": checkout.commit(),
        "machine": machine(),
        "page_size": page_size,
        "seed": seed,
        "changes": changes,
        "subjects": [],
        "strategies": [],
        "warnings": [],
        "partial": False,  # a strategy or a source was left out
        "cost": {"wall_s": 0.0, "cpu_s": 0.0},
    }


def _entered(stack: ExitStack, subject: AbstractContextManager[Subject], document: ProfileDocument) -> Subject | None:
    """Open a subject until the stack ends. Return None if that failed, and an earlier one has been profiled."""
    try:
        return stack.enter_context(subject)
    except UsageError:
        raise
    except PksmError as error:
        if not document["subjects"]:
            raise
        document["warnings"].append(str(error))
        document["partial"] = True
        return None


def _add(document: ProfileDocument, subject: Subject, names: list[str], progress: Progress) -> list[str]:
    """Profile strategies on a subject, add the results to the document, and return the names of those that worked."""
    document["warnings"] += subject.warnings
    measured = _Profile(subject, document["seed"], document["changes"], progress, document["warnings"])
    measured.measure(names)
    results = {
        "yardsticks": measured.yardsticks,
        "recommendation": recommend(list(measured.rows.values()), len(subject.pages)),
    }
    document["subjects"].append(cast(ProfileSubject, subject.as_dict() | results))
    document["strategies"] += cast(list[StrategyRow], list(measured.rows.values()))
    document["partial"] |= subject.partial or len(measured.rows) < len(names)
    return list(measured.rows)


class _Profile:
    """The rows of one subject while they are measured: {strategy: row}."""

    def __init__(self, subject: Subject, seed: int, changes: float, progress: Progress, warnings: list[str]) -> None:
        self._subject, self._seed, self._changes, self._warnings = subject, seed, changes, warnings
        self._progress: Callable[[str | None, str], object] = partial(progress, subject.name)
        self.rows: dict[str, dict[str, Any]] = {}
        self._made: dict[str, native.AnyChecksum] = {}
        self._rounds: dict[str, list[dict[str, Any]]] = {}
        self._watch = speed.Stopwatch(subject, seed)
        self._progress(None, "yardsticks")
        self.yardsticks = self._watch.yardsticks()

    def measure(self, names: list[str]) -> None:
        """Measure all of them; PksmError when none works."""
        for name in names:
            self._attempt(name, self._speed_and_truth, "speed and truth")
            self._attempt(name, self._consequence, "consequence")
        for number in range(ROUNDS):  # in turn, so that a busy moment falls on all of them
            for name in names:
                self._attempt(name, self._to_rest, f"pksmd to rest, {number + 1} of {ROUNDS},")
        if not self.rows:
            raise PksmError(f"{self._subject.name}: no strategy could be profiled: {self._warnings[-1]}")
        made = {name: self._made[name] for name in self.rows}
        changes = blindness.Changes(self._subject, self._seed)
        counts = changes.missed(made, lambda kind: self._progress(None, f"blindness, {kind}"))
        for name, row in self.rows.items():
            row["missed"] = blindness.as_columns(made[name], counts[name], self._subject.page_size)

    def _attempt(self, name: str, measure: Callable[[str], dict[str, Any]], stage: str) -> None:
        """Add columns to a strategy's row; without it from now on, and named, when it fails."""
        if name in self._made and name not in self.rows:
            return
        self._progress(name, stage)
        try:
            self.rows[name] = self.rows.get(name, {}) | measure(name)
        except (BusError, UsageError):
            raise
        except PksmError as error:
            self.rows.pop(name, None)
            self._warnings.append(f"{name} is left out: {error}")

    def _speed_and_truth(self, name: str) -> dict[str, Any]:
        subject = self._subject
        checksum = self._made[name] = checksums.make(name, subject.page_size, self._seed)
        about = checksums.describe(name, subject.page_size)
        ns, sums = self._watch.checksum(checksum)
        return {
            "subject": subject.name,
            **about,
            **speed.as_columns(ns, subject.page_size, self.yardsticks["read"], about["bytes"] == subject.page_size),
            **collisions.measure(subject, checksum, sums),
        }

    def _consequence(self, name: str) -> dict[str, float]:
        of_pksmd = consequence.measure(self._subject, name, self._seed, self._changes)
        return of_pksmd | under_ksmd.measure(self._subject, name, self._seed)

    def _to_rest(self, name: str) -> dict[str, Any]:
        """Work once more until rest; the round that took the median counts, with what it did."""
        rounds = self._rounds.setdefault(name, [])
        rounds.append(consequence.to_rest(self._subject, name, self._seed))
        ordered = sorted(rounds, key=itemgetter("cpu_ns_to_rest"))
        ns = [one["cpu_ns_to_rest"] for one in ordered]
        return ordered[len(ordered) // 2] | {
            "intervals": self.rows[name]["intervals"] | {"to_rest": speed.interval(ns)}
        }
