"""Cost counters: work done, kept apart from what the kernel's files would show."""

import time

import numpy as np

from pksm import native


class Cost:
    """The core's counters and the seconds of each step of a wake-up.

    Attributes: one int per field of native.COST; entries_asserted: list entries looked at by assertions; wall_s and cpu_s: {step: seconds}.
    """

    def __init__(self):
        self.counts = np.zeros(1, native.COST)
        self.entries_asserted = 0
        self.wall_s = {}
        self.cpu_s = {}

    def __getattr__(self, name):
        if name in native.COST.names:
            return int(self.counts[name][0])
        raise AttributeError(name)

    def add(self, **amounts):
        """Add to the core's counters what was done outside of it."""
        for name, amount in amounts.items():
            self.counts[name] += np.uint64(amount)

    def laps(self):
        """Return a function lap(step) that books the seconds since the last lap, or since now, to a step."""
        last = [time.perf_counter(), time.process_time()]

        def lap(step):
            wall, cpu = time.perf_counter(), time.process_time()
            self.wall_s[step] = self.wall_s.get(step, 0.0) + wall - last[0]
            self.cpu_s[step] = self.cpu_s.get(step, 0.0) + cpu - last[1]
            last[:] = wall, cpu

        return lap

    def as_dict(self):
        """Return all counters as {name: int}."""
        return {name: int(self.counts[name][0]) for name in native.COST.names}
