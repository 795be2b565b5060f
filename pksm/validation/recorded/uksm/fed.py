"""A recording of UKSM played with the kernel's own order of visits and CPU time: everything else must follow.

The log of a kernel says which page uksmd visited, where rungs began anew, and what wake-ups cost. Fed with these, the
policy has nothing left to chance: outcomes of visits, judgements, quotas, strides, means and pauses are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pksm.arrays import I64Array, U8Array
from pksm.errors import PksmError
from pksm.policies.uksm import cpu
from pksm.policies.uksm.course import Course
from pksm.policies.uksm.slots import Slot, Slots
from pksm.policies.uksm.spec import UksmSettings
from pksm.validation.recorded.rows import Row
from pksm.validation.recorded.uksm.logs import OUT, PAGE, SLOT, Log
from pksm.validation.recorded.uksm.recording import Recording
from pksm.validation.recorded.uksm.replay import Player

COUNTED = ("outcomes", "judgements", "strides", "quotas", "means", "sleeps", "strengths")
PHASE = "fed"
UNCLEAR = "the page stands at two entries, and the log does not say which was visited"


class Tally(NamedTuple):
    """How many of one sort there were, and how many of them were equal.

    first: of those that were not, in words. unclear: of those that were not, how many are visits to pages that stand at
    two entries, where the log does not say which of them was visited.
    """

    what: str
    all: int
    equal: int
    first: str
    unclear: int = 0


class Diverged(PksmError):
    """The policy visits another slot than the kernel did: what comes behind can't be compared."""


class LoggedCourse(Course):
    """Takes the order of visits from the events of a log, and the CPU time from its wake-ups."""

    def __init__(self, log: Log) -> None:
        super().__init__(0)
        self._log = log
        self._visit = self._judgement = self._reset = self._batch = 0
        self._slots: dict[int, Slot] = {}
        self._twice: set[tuple[int, int]] = set()  # (slot, page) that have stood at two entries
        self.equal = dict.fromkeys(COUNTED, 0)
        self.all = dict.fromkeys(COUNTED, 0)
        self.first = dict.fromkeys(COUNTED, "")
        self.unclear = 0

    def note(self, what: str, theirs: object, ours: object, where: str) -> None:
        """Count one more comparison."""
        self.all[what] += 1
        self.equal[what] += theirs == ours
        if theirs != ours and not self.first[what]:
            self.first[what] = f"{where}: {theirs} in the kernel, {ours} here"

    def partners(self, slot: Slot, slots: Slots, n: int) -> I64Array:
        """Return the entries of the pages that the kernel visited. Diverged if those are of another slot."""
        if self._visit + n > len(self._log.visits):
            raise Diverged("the log ends")
        taken = self._log.visits[self._visit : self._visit + n]
        known = self._slots.setdefault(taken[0][SLOT], slot)
        if known is not slot or any(visit[SLOT] != taken[0][SLOT] for visit in taken):
            raise Diverged(f"visit {self._visit}: of another slot")
        part = slots.permutation[slot.base : slot.base + slot.n].copy()
        partners = np.empty(n, np.int64)
        for place, visit in enumerate(taken, slot.cursor):
            there = np.flatnonzero(part[place:] == visit[PAGE])
            if not len(there):
                raise Diverged(f"visit {self._visit + place - slot.cursor}: of a page that is not left")
            if len(there) > 1:
                self._twice.add((visit[SLOT], visit[PAGE]))
            at = place + int(there[0])
            part[place], part[at] = part[at], part[place]
            partners[place - slot.cursor] = slot.base + at
        return partners

    def offset(self, number: int, step: int) -> int:
        """Return the offset that the kernel drew."""
        if self._reset >= len(self._log.resets):
            raise Diverged("the log ends")
        event = self._log.resets[self._reset]
        self._reset += 1
        self.note("strides", (event[0], event[5]), (number, step), f"reset {self._reset - 1}")
        return min(event[4], step - 1)

    def batch_ns(self, done: cpu.Done) -> int:
        """Return the ns that the kernel took."""
        if self._batch >= len(self._log.batches):
            raise Diverged("the log ends")
        self._batch += 1
        return self._log.batches[self._batch - 1].cpu_ns

    def visited(self, slot: Slot, pages: I64Array, outs: U8Array) -> None:
        """Compare outcomes."""
        for out, visit in zip(outs.tolist(), self._log.visits[self._visit : self._visit + len(outs)], strict=True):
            self.note("outcomes", visit[OUT], out, f"visit {self.all['outcomes']}")
            self.unclear += visit[OUT] != out and (visit[SLOT], visit[PAGE]) in self._twice
        self._visit += len(outs)

    def judged(self, slot: Slot, number: int, is_full: bool, gain: int) -> None:
        """Compare a judgement: rung, whether all was scanned, cursor and visits of the pass."""
        if self._judgement >= len(self._log.judged):
            raise Diverged("the log ends")
        event = self._log.judged[self._judgement]
        self._judgement += 1
        ours = number, int(is_full), slot.cursor, slot.sampled
        theirs = event[0], event[1], event[4], event[5]
        self.note("judgements", theirs, ours, f"judgement {self._judgement - 1}")

    def woken(self, player: Player) -> None:
        """Compare what a wake-up has left behind."""
        row, policy = self._log.batches[self._batch - 1], player.policy
        where = f"wake-up {self._batch}"
        self.note("quotas", row.quotas, [rung.quota for rung in policy.rungs], where)
        self.note("strides", row.steps, [rung.step for rung in policy.rungs], where)
        self.note("means", row.ema, policy.page_ns, where)
        strength = policy.counters()["hash_strength"], policy.quarters
        self.note("strengths", (row.hash_strength, row.full_scans), strength, where)
        self.note("sleeps", row.sleep_next, policy.next_wake(), where)


class _Fed(Player):
    """Plays, and compares after each wake-up."""

    def _woken(self) -> None:
        assert isinstance(self.course, LoggedCourse)
        self.course.woken(self)


def feed(recording: Recording, log: Log, settings: UksmSettings | None = None) -> list[Tally]:
    """Play a recording in the kernel's order, as far as its log goes, and return what was equal.

    settings: in place of the preset of the kernel.
    """
    course = LoggedCourse(log)
    end = ""
    try:
        _Fed(recording, settings=settings, course=course).play()
    except Diverged as error:
        end = str(error)
    return [
        Tally(
            what,
            course.all[what],
            course.equal[what],
            course.first[what] or (end if what == "outcomes" else ""),
            course.unclear if what == "outcomes" else 0,
        )
        for what in COUNTED
    ]


def compare_fed(
    recordings: Sequence[Recording],
    logs: dict[tuple[str, str], Log],
    settings: UksmSettings | None = None,
    progress: Callable[[str], object] = lambda what: None,
) -> tuple[list[Row], dict[str, tuple[int, int]], int]:
    """Feed the recordings that have a log. Return Rows, {sort of comparison: (equal, all)}, and how many are explained.

    A row counts comparisons: the kernel's number is how many there were, ours how many were equal.

    Args:
        recordings: of workloads.
        logs: by (kernel, workload).
        settings: in place of the preset of each kernel.
        progress: called with what comes next.

    Raises:
        PksmError: none of the recordings has a log.
    """
    chosen = [recording for recording in recordings if (recording.kernel, recording.w) in logs]
    if not chosen:
        raise PksmError("no log is of a workload of the recordings")
    rows, sums, explained = [], dict.fromkeys(COUNTED, (0, 0)), 0
    for recording in chosen:
        progress(f"{recording.kernel}: {recording.w}")
        for tally in feed(recording, logs[recording.kernel, recording.w], settings):
            differ = tally.all - tally.equal
            phase = f"{PHASE}; {tally.first}" if differ else PHASE
            note = UNCLEAR if differ and differ == tally.unclear else ""
            explained += bool(note)
            rows.append(Row(recording.kernel, recording.w, phase, tally.what, tally.all, tally.equal, note))
            equal, count = sums[tally.what]
            sums[tally.what] = equal + tally.equal, count + tally.all
    return rows, sums, explained
