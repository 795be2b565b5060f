"""Virtual time: what is to happen and when, the wake-ups of a policy included.

Nothing sleeps: time is an integer of milliseconds that goes on to whatever comes next.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from pksm.errors import UsageError
from pksm.simulation.observers import Observer, Record
from pksm.simulation.pace import NS, Meter, Pace, RealPages

if TYPE_CHECKING:
    from pksm.policies.base import Policy

QUIET_MS = 2500
_EVENT, _WAKE, _SAMPLE = range(3)  # what comes first at the same millisecond


class Over(BaseException):
    """Virtual time has come to the end it was given. Not an Exception, so that workloads let it through."""


class Clock:
    """The virtual time of a machine and its policy.

    now: virtual milliseconds; wakes: how often the policy has been awake. Everything that a wake-up does is done when
    it begins; with a Pace its work takes time, which puts off the next one.
    """

    def __init__(
        self,
        machine: Any,
        policy: "Policy",
        record: Record,
        end_ms: int | None = None,
        observers: Iterable[Observer] = (),
        hold: Callable[[], AbstractContextManager[object]] = nullcontext,
        pace: Pace | None = None,
        real: RealPages | None = None,
    ) -> None:
        if end_ms is not None:
            check_ms("end_ms", end_ms)
        self.machine, self.policy, self.real = machine, policy, real
        self.now = machine.now = 0
        self.wakes = 0
        self._record, self._observers, self._hold = record, tuple(observers), hold
        self._timed: list[tuple[int, int, Callable[[], object]]] = []
        self._order = count()
        self._wake_at: int | None = None
        self._is_idle = False  # at its last wake-up the policy had nothing to look at, and nothing happened since
        self._end_ms = end_ms
        self._pace: Pace | None = None
        self._meter: Meter | None = None
        if pace is not None:
            self.go_at(pace)

    def go_at(self, pace: Pace) -> None:
        """Let wake-ups and sleeps take their time from now on."""
        self._pace, self._meter = pace, Meter(self.machine, self.policy, pace.prices, self.real)
        self._spent_ns = self._meter.cpu_ns(self.wakes)

    def work(self) -> dict[str, int]:
        """Return the policy's work so far, in bytes of what the machine's pages stand for."""
        work = self.policy.cost.as_dict()
        return self.real.work(work, self.machine.merges) if self.real else work

    def at(self, ms: int, action: Callable[[], object]) -> None:
        """Call action() at this millisecond, before a wake-up at the same time. Raises UsageError if it has passed."""
        check_ms("time", ms, self.now)
        heappush(self._timed, (ms, next(self._order), action))

    def peek(self) -> int | None:
        """Return the time of what comes next (an event, a wake-up, a sample), None if nothing ever will."""
        upcoming = self._upcoming()
        return upcoming and upcoming[0]

    def _upcoming(self) -> tuple[int, int] | None:
        """Return (ms, kind) of what comes next, or None."""
        if self._wake_at is None and self.policy.next_wake() is not None:
            self._wake_at = self.now  # started, or set going again: it wakes at once
        times = (self._timed[0][0] if self._timed else None, self._wake_at, self._record.due_ms)
        return min(((ms, kind) for kind, ms in enumerate(times) if ms is not None), default=None)

    def step(self) -> bool:
        """Go on to what comes next and do it. Returns False if nothing ever will."""
        self._record.note(self.now)
        return self._step()

    def _step(self) -> bool:
        for observer in self._observers:
            observer.before_step(self)  # type: ignore[arg-type]  # of a Simulation
        with self._hold():
            upcoming = self._upcoming()
            if upcoming is None:
                return False
            ms, kind = upcoming
            self._go_to(ms)
            self._do(kind)
            self._record.note(ms)
        for observer in self._observers:
            observer.after_step(self)  # type: ignore[arg-type]  # of a Simulation
        return True

    def _do(self, kind: int) -> None:
        if kind == _EVENT:
            self._is_idle = False
            heappop(self._timed)[2]()
        elif kind == _WAKE:
            self._wake()
        else:
            self._record.sample_in_turn(self.now)

    def _go_to(self, ms: int) -> None:
        if self._end_ms is not None and ms > self._end_ms:
            self.now = self.machine.now = self._end_ms
            raise Over
        self.now = self.machine.now = ms

    def _wake(self) -> None:
        self.wakes += 1
        scans = self.policy.full_scans
        self._is_idle = not self.policy.wake() and self.policy.full_scans == scans
        self._wake_at = self._next_wake(self.policy.next_wake())
        for observer in self._observers:
            observer.after_wake(self)  # type: ignore[arg-type]  # of a Simulation

    def _next_wake(self, pause: int | None) -> int | None:
        """Return the time of the wake-up that follows a pause."""
        if self._pace is None or self._meter is None:
            return None if pause is None else self.now + max(1, pause)  # a pause of 0 ms still takes a tick
        spent_ns = self._meter.cpu_ns(self.wakes)
        work_ns, self._spent_ns = spent_ns - self._spent_ns, spent_ns
        wake_at = self._pace.next_wake(self.now, work_ns, 0 if pause is None else pause)
        return None if pause is None else wake_at

    def _doze(self, until: int) -> bool:
        """Go over the wake-ups before anything else happens, if the policy has found nothing to do, and would not.

        Returns whether there were any.
        """
        if not self._is_idle or self._wake_at is None or not self.policy.doze(0):
            return False
        others = (self._timed[0][0] if self._timed else None, self._record.due_ms, self._end_ms, until)
        before, pause, wakes = min(ms for ms in others if ms is not None), self.policy.next_wake(), self.wakes
        with self._hold():
            while self._wake_at is not None and self._wake_at < before:
                if self._pace is None and pause is not None:
                    passed = -((self._wake_at - before) // max(1, pause))
                    self.wakes += passed
                    self._wake_at += passed * max(1, pause)
                else:
                    self._go_to(self._wake_at)
                    self.wakes += 1
                    self._wake_at = self._next_wake(pause)
            self.policy.doze(self.wakes - wakes)
        return self.wakes > wakes

    @property
    def worked_until(self) -> float:
        """Virtual ms at which the last wake-up had done its work: when it began, if wake-ups take no time."""
        return self.now if self._pace is None else self._pace.ended_ns / NS

    def run(self, until: int) -> None:
        """Do everything that comes before `until`, which is the time then. Raises UsageError if it has passed."""
        check_ms("until", until, self.now)
        self._record.note(self.now)
        while (ms := self.peek()) is not None and ms < until:
            if not self._doze(until):
                self._step()
        self._go_to(until)

    def run_until_rest(self, quiet_ms: int = QUIET_MS, limit_ms: int | None = None) -> bool:
        """Run until no counter has changed for quiet_ms.

        Counters of work (policy.spec.work) always change and do not count. A policy that works in full scans makes at least two more,
        unless it is stopped or finds nothing to look at.

        Args:
            quiet_ms: how long nothing must change.
            limit_ms: how long to go on from now at most; None for no limit.

        Returns:
            Whether it came to rest within limit_ms.
        """
        check_ms("quiet_ms", quiet_ms)
        end = None if limit_ms is None else self.now + check_ms("limit_ms", limit_ms)
        record = self._record
        record.note(self.now)
        changes, since, scans = record.changes, self.now, self.policy.full_scans
        self._is_idle = False
        while True:
            ms, due = self.peek(), since + quiet_ms
            still = ms is None or (ms > due and self._has_looked(scans))
            if end is not None and (due if still or ms is None else ms) > end:
                self._go_to(end)
                return False
            if still:
                self._go_to(max(due, self.now))
                return True
            self._step()
            if record.changes != changes:
                changes, since, scans = record.changes, self.now, self.policy.full_scans

    def _has_looked(self, scans: int | None) -> bool:
        """Whether the policy, since it had made so many full scans, has looked at everything, as far as it ever will."""
        works_in_scans = scans is not None and self.policy.next_wake() is not None
        return not works_in_scans or self._is_idle or (self.policy.full_scans or 0) >= (scans or 0) + 2


def check_ms(name: str, ms: int, low: int = 0) -> int:
    """Return ms. Raises UsageError that names it unless it is a whole number from low on."""
    if not isinstance(ms, (int, np.integer)) or isinstance(ms, bool) or ms < low:
        raise UsageError(f"{name}={ms}: must be a whole number of milliseconds from {low}")
    return ms
