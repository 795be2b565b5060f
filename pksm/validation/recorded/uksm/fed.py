"""A recording of UKSM played with the kernel's own order of visits and CPU time: everything else must follow.

The log of a kernel says which page uksmd visited, where rungs began anew, and what wake-ups cost. Fed with these, the
policy has nothing left to chance: outcomes of visits, judgements, quotas, strides, means and pauses are compared.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from pksm.arrays import I64Array, U8Array
from pksm.errors import PksmError
from pksm.policies.uksm import cpu
from pksm.policies.uksm.course import Course
from pksm.policies.uksm.slots import Slot, Slots
from pksm.simulation.trace import Opener
from pksm.validation.recorded.uksm.recording import Recording, objects
from pksm.validation.recorded.uksm.replay import Player

COUNTED = ("outcomes", "judgements", "strides", "quotas", "means", "sleeps", "strengths")
BATCH_COLUMNS = ("visits", "cpu_ns", "ema", "sleep_next", "hash_strength", "full_scans", "step[4]", "quota_next[4]")


class Tally(NamedTuple):
    """How many of one sort there were, and how many of them were equal. first: of those that were not, in words."""

    what: str
    all: int
    equal: int
    first: str


class Diverged(PksmError):
    """The policy visits another slot than the kernel did: what comes behind can't be compared."""


class LoggedCourse(Course):
    """Takes the order of visits from the events of a log, and the CPU time from its wake-ups."""

    def __init__(self, events: Sequence[str], batches: Sequence[Sequence[Any]], columns: Sequence[str]) -> None:
        super().__init__(0)
        self._visits = [event.split() for event in events if event[0] == "V"]
        self._judged = [event.split() for event in events if event[0] == "J"]
        self._offsets = [event.split() for event in events if event[0] == "R"]
        self.batches, self.columns = batches, {name: place for place, name in enumerate(columns)}
        self._visit = self._judgement = self._reset = self._batch = 0
        self._slots: dict[str, Slot] = {}
        self.equal = dict.fromkeys(COUNTED, 0)
        self.all = dict.fromkeys(COUNTED, 0)
        self.first = dict.fromkeys(COUNTED, "")

    def note(self, what: str, theirs: object, ours: object, where: str) -> None:
        """Count one more comparison."""
        self.all[what] += 1
        self.equal[what] += theirs == ours
        if theirs != ours and not self.first[what]:
            self.first[what] = f"{where}: {theirs} in the kernel, {ours} here"

    def partners(self, slot: Slot, slots: Slots, n: int) -> I64Array:
        """Return the entries of the pages that the kernel visited. Diverged if those are of another slot."""
        if self._visit + n > len(self._visits):
            raise Diverged("the log ends")
        taken = self._visits[self._visit : self._visit + n]
        known = self._slots.setdefault(taken[0][4], slot)
        if known is not slot or any(visit[4] != taken[0][4] for visit in taken):
            raise Diverged(f"visit {self._visit}: of another slot")
        part = slots.permutation[slot.base : slot.base + slot.n].copy()
        partners = np.empty(n, np.int64)
        for place, visit in enumerate(taken, slot.cursor):
            there = np.flatnonzero(part[place:] == int(visit[5]))
            if not len(there):
                raise Diverged(f"visit {self._visit + place - slot.cursor}: of a page that is not left")
            at = place + int(there[0])
            part[place], part[at] = part[at], part[place]
            partners[place - slot.cursor] = slot.base + at
        return partners

    def offset(self, number: int, step: int) -> int:
        """Return the offset that the kernel drew."""
        if self._reset >= len(self._offsets):
            raise Diverged("the log ends")
        event = self._offsets[self._reset]
        self._reset += 1
        self.note("strides", (int(event[1]), int(event[6])), (number, step), f"reset {self._reset - 1}")
        return min(int(event[5]), step - 1)

    def batch_ns(self, done: cpu.Done) -> int:
        """Return the ns that the kernel took."""
        if self._batch >= len(self.batches):
            raise Diverged("the log ends")
        row = self.batches[self._batch]
        self._batch += 1
        return cast(int, row[self.columns["cpu_ns"]])

    def visited(self, slot: Slot, pages: I64Array, outs: U8Array) -> None:
        """Compare outcomes."""
        for out, visit in zip(outs.tolist(), self._visits[self._visit : self._visit + len(outs)], strict=True):
            self.note("outcomes", int(visit[1]), out, f"visit {self.all['outcomes']}")
        self._visit += len(outs)

    def judged(self, slot: Slot, number: int, is_full: bool, gain: int) -> None:
        """Compare a judgement: rung, whether all was scanned, cursor and visits of the pass."""
        if self._judgement >= len(self._judged):
            raise Diverged("the log ends")
        event = self._judged[self._judgement]
        self._judgement += 1
        ours = number, int(is_full), slot.cursor, slot.sampled
        theirs = tuple(int(event[place]) for place in (1, 2, 5, 6))
        self.note("judgements", theirs, ours, f"judgement {self._judgement - 1}")

    def woken(self, player: Player) -> None:
        """Compare what a wake-up has left behind."""
        row, policy = self.batches[self._batch - 1], player.policy
        where = f"wake-up {self._batch}"
        of = {name: row[self.columns[name]] for name in BATCH_COLUMNS}
        self.note("quotas", of["quota_next[4]"], [rung.quota for rung in policy.rungs], where)
        self.note("strides", of["step[4]"], [rung.step for rung in policy.rungs], where)
        self.note("means", of["ema"], policy.page_ns, where)
        strength = policy.counters()["hash_strength"], policy.full_scans
        self.note("strengths", (of["hash_strength"], of["full_scans"]), strength, where)
        self.note("sleeps", of["sleep_next"], policy.next_wake(), where)


class _Fed(Player):
    """Plays, and compares after each wake-up."""

    def _woken(self) -> None:
        assert isinstance(self.course, LoggedCourse)
        self.course.woken(self)


def feed(recording: Recording, visits: dict[str, Any], batches: dict[str, Any]) -> list[Tally]:
    """Play a recording in the kernel's order, as far as its log goes, and return what was equal."""
    course = LoggedCourse(visits["events"], batches["rows"], batches["cols"])
    end = ""
    try:
        _Fed(recording, course=course).play()
    except Diverged as error:
        end = str(error)
    return [
        Tally(what, course.all[what], course.equal[what], course.first[what] or (end if what == "outcomes" else ""))
        for what in COUNTED
    ]


def companions(path: str, opener: Opener, fields: Sequence[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the lines of a companion of recordings by (kernel, workload); a gzip file, or text."""

    def opened(name: str) -> Any:
        return gzip.open(opener(name)) if name.endswith(".gz") else opener(name)

    found = {}
    try:
        for where, record in objects(path, opened):
            for name in ("kernel", "w", *fields):
                if name not in record:
                    raise PksmError(f"{where}: field {name}: missing")
            found[record["kernel"], record["w"]] = record
    except (EOFError, zlib.error):
        raise PksmError(f"cannot read {path}: not a whole gzip file") from None
    return found
