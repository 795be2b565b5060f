"""Virtual time: a machine, the wake-ups of a policy, and what happens to the memory meanwhile.

Nothing sleeps: time is an integer of milliseconds that goes on to whatever comes next.
"""

from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

import numpy as np

from pksm.errors import UsageError
from pksm.policies.nobody import Nobody
from pksm.simulation.operations import perform

QUIET_MS = 2500
_EVENT, _WAKE, _SAMPLE = range(3)  # what comes first at the same millisecond


class Reading(NamedTuple):
    """All counters at one time, under a label."""

    label: str
    ms: int
    counters: dict


class Over(BaseException):
    """Virtual time has come to the end it was given. No Exception, so that workloads let it through."""


class Simulation:
    """A machine and the policy that merges its pages, in virtual time.

    machine: Machine; policy: attached to it, None for nobody.Nobody; sample_ms: milliseconds between two
    samples of all counters, None for no samples; end_ms: time that is never passed: Over is raised there.

    now: virtual ms; readings: [Reading]; samples: [(ms, *counters)], in the order of columns; processes: name -> Mm;
    mappings: (process, name) -> address.
    """

    def __init__(self, machine, policy=None, *, sample_ms=None, end_ms=None):
        if sample_ms is not None:
            _check_ms("sample_ms", sample_ms, 1)
        if end_ms is not None:
            _check_ms("end_ms", end_ms)
        self.machine, self.policy = machine, policy or Nobody(machine)
        self.now = machine.now = 0
        self.processes, self.mappings, self._held = {}, {}, {}
        self.readings, self.samples = [], []
        self._timed, self._order = [], count()
        self._sample_ms, self._sample_at = sample_ms, None if sample_ms is None else 0
        self._wake_at = None
        self._is_idle = False  # at its last wake-up the policy had nothing to look at, and nothing happened since
        self._end_ms = end_ms
        self.wakes = 0

    # ---- counters ----

    def counters(self):
        """Return all counters as {name: int}: the policy's sysfs counters, settings that it moves itself, and the
        frames in use and saved."""
        moving = {name: getattr(self.policy.tunables, name) for name in sorted(self.policy.spec.moving)}
        return (
            self.policy.counters()
            | moving
            | {"frames_used": self.machine.frames_used, "frames_saved": self.machine.frames_saved}
        )

    def _changing(self):
        """What has to stay the same for things to be settled: frames_saved follows from it, and takes long to count."""
        work = self.policy.spec.work
        results = {name: count for name, count in self.policy.counters().items() if name not in work}
        return self.machine.frames_used, self.machine.pages_sharing, results

    @property
    def columns(self):
        """The names of a sample's numbers."""
        return ("ms", *self.counters())

    def read(self, label):
        """Record all counters under a label, and return the Reading."""
        self.readings.append(Reading(label, self.now, self.counters()))
        return self.readings[-1]

    def set(self, name, value):
        """Set a tunable of the policy. UsageError for an unknown name or a value out of range."""
        if not self.policy.sysfs:
            raise UsageError(f"{name} can't be set: {self.policy.spec.name} has no settings")
        try:
            self.policy.sysfs[name] = value
        except KeyError:
            raise UsageError(f"unknown tunable {name!r}: choose from {', '.join(self.policy.sysfs)}") from None
        except PermissionError as error:
            raise UsageError(str(error)) from None

    # ---- time ----

    def at(self, ms, action):
        """Call action() at this millisecond, before a wake-up at the same time. UsageError if that has passed."""
        _check_ms("time", ms, self.now)
        heappush(self._timed, (ms, next(self._order), action))

    def _upcoming(self):
        """Return (ms, kind) of what comes next, or None."""
        if self._wake_at is None and self.policy.next_wake() is not None:
            self._wake_at = self.now  # started, or set going again: it wakes at once
        times = (self._timed[0][0] if self._timed else None, self._wake_at, self._sample_at)
        return min(((ms, kind) for kind, ms in enumerate(times) if ms is not None), default=None)

    def peek(self):
        """Return the time of what comes next (an event, a wake-up, a sample), None if nothing ever will."""
        upcoming = self._upcoming()
        return upcoming and upcoming[0]

    def step(self):
        """Go on to what comes next and do it. False if nothing ever will."""
        upcoming = self._upcoming()
        if upcoming is None:
            return False
        ms, kind = upcoming
        self._go_to(ms)
        if kind == _EVENT:
            self._is_idle = False
            heappop(self._timed)[2]()
        elif kind == _WAKE:
            self._wake()
        else:
            self._sample_at += self._sample_ms
            self.sample()
        return True

    def _go_to(self, ms):
        if self._end_ms is not None and ms > self._end_ms:
            self.now = self.machine.now = self._end_ms
            raise Over
        self.now = self.machine.now = ms

    def _wake(self):
        self.wakes += 1
        scans = self.policy.full_scans
        self._is_idle = not self.policy.wake() and self.policy.full_scans == scans
        pause = self.policy.next_wake()
        self._wake_at = None if pause is None else self.now + max(1, pause)  # a pause of 0 ms still takes a tick

    def sample(self):
        """Add a sample of all counters, unless there is one of this millisecond."""
        row = (self.now, *self.counters().values())
        if self.samples and self.samples[-1][0] == self.now:
            self.samples.pop()
        self.samples.append(row)

    def run(self, until):
        """Do everything that comes before `until`, which is the time then. UsageError if it has passed."""
        _check_ms("until", until, self.now)
        while (ms := self.peek()) is not None and ms < until:
            self.step()
        self._go_to(until)

    def run_until_rest(self, quiet_ms=QUIET_MS, limit_ms=None):
        """Run until no counter has changed for quiet_ms; returns whether that was so within limit_ms from now.

        Counters of work (policy.spec.work) always change; a policy that works in full scans makes two more at
        least, unless it is stopped or finds nothing to look at.
        """
        _check_ms("quiet_ms", quiet_ms)
        last, since, scans = self._changing(), self.now, self.policy.full_scans
        self._is_idle = False
        end = None if limit_ms is None else self.now + _check_ms("limit_ms", limit_ms)
        while True:
            ms, due = self.peek(), since + quiet_ms
            still = ms is None or (ms > due and self._has_looked(scans))
            if end is not None and (due if still else ms) > end:
                self._go_to(end)
                return False
            if still:
                self._go_to(max(due, self.now))
                return True
            self.step()
            changing = self._changing()
            if changing != last:
                last, since, scans = changing, self.now, self.policy.full_scans

    def _has_looked(self, scans):
        """Whether the policy, since it had made so many full scans, has looked at everything, as far as it ever will."""
        works_in_scans = scans is not None and self.policy.next_wake() is not None
        return not works_in_scans or self._is_idle or self.policy.full_scans >= scans + 2

    # ---- workloads ----

    def play(self, events):
        """Let Events happen, in their order, each when its time has come and what was before it is done."""
        for event in events:
            if event.ms is not None:
                _check_ms("t", event.ms)
                if event.ms > self.now:
                    self.run(event.ms)
            self.perform(event)

    def perform(self, event):
        """Do what an Event says, now."""
        perform(self, event)

    def process(self, name):
        """Return the Mm of a process by name. UsageError if there is none."""
        if name not in self.processes:
            raise UsageError(f"no process {name!r}: spawn it, or fork it from another")
        return self.processes[name]

    def add_process(self, name, start, like=None):
        """Give what start() returns, an Mm, a name; like: a process whose names of mappings it has too."""
        if name in self.processes:
            raise UsageError(f"there is a process {name!r} already")
        self.processes[name] = start()
        for (process, mapping), address in list(self.mappings.items()):
            if process == like:
                self.mappings[name, mapping] = address

    def drop_process(self, name):
        """Forget the name of a process that has exited, and its mappings."""
        del self.processes[name]
        self.mappings = {key: address for key, address in self.mappings.items() if key[0] != name}

    def address(self, process, address):
        """Return an address in bytes, given that or the name of a mapping. UsageError if there is no such mapping."""
        if not isinstance(address, str):
            return address
        if (process, address) not in self.mappings:
            raise UsageError(f"process {process!r} has no mapping {address!r}: mmap it under this name")
        return self.mappings[process, address]

    def hold(self, name, take):
        """Remember what take() returns, frames that are held, under a name."""
        if name in self._held:
            raise UsageError(f"frames are held under the name {name!r} already")
        self._held[name] = take()

    def release(self, name):
        """Return the frames held under a name, and forget them."""
        if name not in self._held:
            raise UsageError(f"no frames are held under the name {name!r}")
        return self._held.pop(name)

    def merge_waits(self):
        """Return the ms from birth to merge of every page merged so far: int64.

        A pair counts from when there were two; a page that merges with the zero page from its own birth.
        """
        return np.concatenate([np.empty(0, np.int64), *self.machine.merge_waits])


def _check_ms(name, ms, low=0):
    if not isinstance(ms, (int, np.integer)) or isinstance(ms, bool) or ms < low:
        raise UsageError(f"{name}={ms}: must be a whole number of milliseconds from {low}")
    return ms
