"""Cost counters: work done, kept apart from what the kernel's files would show."""

import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from pksm.engine import native
from pksm.engine.state import State, column, number

_FIELDS: tuple[str, ...] = native.COST.names or ()
_SHORT = 50e-6  # seconds


class Cost:
    """The core's counters and the seconds of each step of a wake-up.

    Attributes: one int per field of native.COST; entries_asserted: list entries looked at by assertions; wall_s and
    cpu_s: {step: seconds}.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(1, native.COST)
        self.entries_asserted = 0
        self.wall_s: defaultdict[str, float] = defaultdict(float)
        self.cpu_s: defaultdict[str, float] = defaultdict(float)

    def __getattr__(self, name: str) -> int:
        if name in _FIELDS:
            return int(self.counts[name][0])
        raise AttributeError(name)

    def add(self, **amounts: int) -> None:
        """Add to the core's counters what was done outside of it."""
        for name, amount in amounts.items():
            self.counts[name] += np.uint64(amount)

    def laps(self) -> Callable[[str], None]:
        """Return a function lap(step) that books the seconds since the last lap, or since now, to a step.

        To ask for CPU time takes longer than many a step of a small wake-up: a lap below _SHORT counts as all CPU time,
        and the next long one takes what was wrong about that.
        """
        clock, wall_s, cpu_s = time.perf_counter, self.wall_s, self.cpu_s
        last_wall, last_cpu = clock(), time.process_time()

        def lap(step: str) -> None:
            nonlocal last_wall, last_cpu
            wall = clock()
            cpu = last_cpu + wall - last_wall if wall - last_wall < _SHORT else time.process_time()
            wall_s[step] += wall - last_wall
            cpu_s[step] += cpu - last_cpu
            last_wall, last_cpu = wall, cpu

        return lap

    def __repr__(self) -> str:
        return f"<Cost: {', '.join(f'{count:,} {name}' for name, count in self.as_dict().items() if count) or 'none'}>"

    def state(self) -> State:
        """Return all counters and times, as a State."""
        return {
            "counts": self.counts.copy(),
            "entries_asserted": self.entries_asserted,
            "wall_s": dict(self.wall_s),
            "cpu_s": dict(self.cpu_s),
        }

    def restore(self, state: State) -> None:
        """Be what state() returned. The array of counts stays the same one."""
        counts = column(state["counts"], native.COST)
        assert len(counts) == 1, "costs are one record"
        self.counts[:] = counts
        self.entries_asserted = number(state["entries_asserted"])
        for own, given in ((self.wall_s, state["wall_s"]), (self.cpu_s, state["cpu_s"])):
            own.clear()
            own.update({str(step): float(seconds) for step, seconds in given.items()})

    def as_dict(self) -> dict[str, int]:
        """Return all counters as {name: int}."""
        return {name: int(self.counts[name][0]) for name in _FIELDS}
