"""Cost: work that was counted, kept apart from what the kernel's files would show, and the price list for it."""

import math
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np

from pksm.engine import native
from pksm.engine.state import State, column, number
from pksm.errors import UsageError

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

    def to_dict(self) -> dict[str, int | float]:
        """Return all counters and seconds as {name: number}, a row of a table: what pandas and polars take."""
        seconds = {f"{step}_{kind}_s": value for kind, row in (("wall", self.wall_s), ("cpu", self.cpu_s))
                   for step, value in row.items()}  # fmt: skip
        return {**self.as_dict(), "entries_asserted": self.entries_asserted, **seconds}

    def as_dict(self) -> dict[str, int]:
        """Return all counters as {name: int}."""
        return {name: int(self.counts[name][0]) for name in _FIELDS}


@dataclass(frozen=True)
class Prices:
    """What work costs a kernel thread: one list for all policies, in ns of CPU time.

    The prices are KSM's, as they are measured on a running ksmd. PKSM and other policies are priced by the same list:
    what they count is their own, what a hash or a merge costs is not.

    Args:
        source: where they come from, for a person.
        kernel: the release that they are of.
        wake_ns: of a wake-up.
        visit_ns: of a page that is visited.
        step_ns: of a node of a tree that a search goes through.
        hashed_byte_ns: of a byte given to a checksum.
        compared_byte_ns: of a byte compared.
        merge_ns: of a page that is merged.
        copy_ns: of a merged page that is copied because somebody writes to it: that costs the writer, not the thread.
        tick_ms: of the kernel's timer; a sleep ends with a tick.
    """

    source: str
    kernel: str
    wake_ns: float
    visit_ns: float
    step_ns: float
    hashed_byte_ns: float
    compared_byte_ns: float
    merge_ns: float
    copy_ns: float
    tick_ms: float

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name in ("source", "kernel"):
                fits = isinstance(value, str)
            else:
                fits = isinstance(value, (int, float)) and math.isfinite(value) and value >= 0
            if not fits:
                raise UsageError(f"price {entry.name}={value!r}: must be a number from 0")
        if self.tick_ms <= 0:
            raise UsageError(f"price tick_ms={self.tick_ms!r}: must be above 0")

    def daemon_ns(self, work: Mapping[str, int], wakes: int, merges: int) -> float:
        """Return the ns of CPU time that a policy's thread takes for its work.

        Args:
            work: counts under the names of Cost.
            wakes: how often it was awake.
            merges: pages merged.
        """
        return (
            self.wake_ns * wakes
            + self.visit_ns * work["pages_visited"]
            + self.step_ns * work["tree_steps"]
            + self.hashed_byte_ns * work["bytes_hashed"]
            + self.compared_byte_ns * work["bytes_compared"]
            + self.merge_ns * merges
        )

    def as_dict(self) -> dict[str, Any]:
        """Return {name: price}, ready for JSON."""
        return asdict(self)

    @classmethod
    def of_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the Prices that as_dict() returned. UsageError if they are not whole, or not prices."""
        names = {entry.name for entry in fields(cls)}
        if not isinstance(values, Mapping) or values.keys() != names:
            raise UsageError(f"a price list has {', '.join(sorted(names))}")
        return cls(**values)


# Measured by `calibrate` on an x86-64 guest. What a merge costs is in the two comparisons of the whole page that it takes:
# the fit leaves nothing for the merge itself.
PRICES = {
    "6.18": Prices(
        source="defaults of Linux 6.18",
        kernel="6.18",
        wake_ns=18000,
        visit_ns=380,
        step_ns=125,
        hashed_byte_ns=0.24,
        compared_byte_ns=0.07,
        merge_ns=0,
        copy_ns=3100,
        tick_ms=4,
    ),
}


def prices_of(release: str) -> Prices:
    """Return the default prices for a kernel: those of its version, or of the nearest that was measured.

    Args:
        release: such as "6.18.44-generic".
    """
    wanted = _version(release)
    nearest = min(PRICES, key=lambda name: _distance(_version(name), wanted))
    return PRICES[nearest]


def _version(release: str) -> tuple[int, int]:
    found = re.match(r"([0-9]+)\.([0-9]+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _distance(one: tuple[int, int], other: tuple[int, int]) -> int:
    return abs((one[0] - other[0]) * 1000 + one[1] - other[1])
