"""Cost counters: work done, kept apart from what the kernel's files would show."""

import numpy as np

from pksm import native


class Cost:
    """The core's counters and the seconds of each step of a wake-up.

    Attributes: one int per field of native.COST; wall_s and cpu_s: {step: seconds}.
    """

    def __init__(self):
        self.counts = np.zeros(1, native.COST)
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

    def as_dict(self):
        """Return all counters as {name: int}."""
        return {name: int(self.counts[name][0]) for name in native.COST.names}
