"""How long wake-ups and sleeps take in virtual time: not at all and exactly, or as in a kernel."""

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from pksm.engine.cost import Prices
from pksm.errors import UsageError

if TYPE_CHECKING:
    from pksm.policies.base import Policy

IDEAL: Final = "ideal"  # a wake-up takes no time, a sleep what was asked for: what recordings are compared with
KERNEL: Final = "kernel"  # a wake-up takes what its work costs, and a sleep ends with a tick of the timer
PACES = {
    IDEAL: "wake-ups take no time, and sleeps are as long as they are asked to be",
    KERNEL: "wake-ups take what their work costs, and sleeps end with a tick of the timer",
}
NS = 1_000_000  # of a millisecond
NEVER_MS: Final = 1 << 60
_LEVEL_BITS, _LEVELS = 3, 9  # the kernel's timer wheel: each level is 8 times as coarse as the one before
_EXACT = 1e-6  # of a tick
_FIRST_LEVEL = 63  # ticks that the finest level reaches


def check_pace(pace: str) -> str:
    """Return a name of PACES. UsageError for any other."""
    if pace not in PACES:
        raise UsageError(f"unknown pace {pace!r}: choose from {', '.join(PACES)}", "pace")
    return pace


@dataclass(frozen=True)
class RealPages:
    """What the pages of a machine stand for, if these are numbers in place of contents.

    Args:
        page_size: bytes of a real page.
        prefix_bytes: that two different ones have in common from their start on, where searches compare them.
        hashed: (bytes that a checksum reads of a real page, and of one of the machine's).
    """

    page_size: int
    prefix_bytes: float
    hashed: tuple[int, int]

    def work(self, work: dict[str, int], merges: int) -> dict[str, int]:
        """Return the work that it would be with all bytes of the pages.

        A page that is merged was equal to another in each of two comparisons: one that finds it, and one when nobody
        can write to it any more.
        """
        of_real, of_stored = self.hashed
        compared = 2 * merges * self.page_size + work["futile_compares"] * (self.prefix_bytes + 1)
        return {
            **work,
            "bytes_hashed": work["bytes_hashed"] * of_real // of_stored,
            "bytes_compared": round(compared),
        }


class Meter:
    """What a policy has done on a machine, and the CPU time that this costs by a price list."""

    def __init__(self, machine: Any, policy: "Policy", prices: Prices, real: RealPages | None = None) -> None:
        self._machine, self._policy, self.prices, self._real = machine, policy, prices, real

    def cpu_ns(self, wakes: int) -> float:
        """Return the ns of CPU time of all work so far."""
        work, merges = self._policy.cost.as_dict(), self._machine.merges
        return self.prices.daemon_ns(self._real.work(work, merges) if self._real else work, wakes, merges)

    def copies_ns(self) -> float:
        """Return the ns of CPU time that programs took to copy merged pages that they wrote to."""
        return self.prices.copy_ns * float(self._machine.copies)


class Pace:
    """The kernel's pace: when a thread that has worked sleeps, and when it wakes again.

    A sleep of a kernel thread is counted in ticks from the last one, is never shorter than asked for, and so ends with
    a tick; long ones end with every 8th tick, very long ones with every 64th.

    Attributes:
        ended_ns: when the last wake-up ended, in virtual ns.
    """

    def __init__(self, prices: Prices) -> None:
        self.prices = prices
        self._tick_ns = prices.tick_ms * NS
        self._woke_ns = 0
        self.ended_ns = 0.0

    def next_wake(self, now_ms: int, work_ns: float, pause_ms: int) -> int:
        """Return the millisecond of the next wake-up.

        Args:
            now_ms: of this one.
            work_ns: CPU time that it took.
            pause_ms: that the thread sleeps.
        """
        began_ns = self._woke_ns if self._woke_ns // NS == now_ms else now_ms * NS
        self.ended_ns = began_ns + work_ns
        self._woke_ns = max(self._end_of_sleep(math.ceil(self.ended_ns), pause_ms * NS), (now_ms + 1) * NS)
        return self._woke_ns // NS

    def _end_of_sleep(self, now_ns: int, pause_ns: int) -> int:
        if not pause_ns:
            return now_ns
        ticks = math.ceil(pause_ns / self._tick_ns - _EXACT)  # a third of 10 ms has no end
        step = 1 << _LEVEL_BITS * _level(ticks)
        ends = (math.floor(now_ns / self._tick_ns + _EXACT) + ticks + step) // step * step
        return math.ceil(ends * self._tick_ns)

    def state(self) -> dict[str, Any]:
        """Return all that it knows."""
        return {"prices": self.prices.as_dict(), "woke_ns": self._woke_ns, "ended_ns": self.ended_ns}

    @classmethod
    def resume(cls, state: Mapping[str, Any]) -> Self:
        """Return one that goes on as the one that returned this state."""
        pace = cls(Prices.of_dict(state["prices"]))
        pace._woke_ns, pace.ended_ns = int(state["woke_ns"]), float(state["ended_ns"])
        return pace


def _level(ticks: int) -> int:
    """Return the level of the timer wheel that a sleep of so many ticks is on."""
    level = 0
    while level < _LEVELS - 1 and ticks >= _FIRST_LEVEL << _LEVEL_BITS * level:
        level += 1
    return level


class Followed(Pace):
    """The pace of another: wake-ups come when that one went on from where we are. Their work is free.

    Args:
        prices: of the work that is counted.
        ms: when it was looked at, in order.
        visited: pages that it had visited by then.
        ours: returns how many we have visited.
    """

    def __init__(self, prices: Prices, ms: Sequence[float], visited: Sequence[int], ours: Callable[[], int]) -> None:
        super().__init__(prices)
        self._ms, self._visited, self._ours = ms, visited, ours

    def next_wake(self, now_ms: int, work_ns: float, pause_ms: int) -> int:
        """Return the millisecond at which the other was first seen beyond what we have visited; far off if it never was."""
        self.ended_ns = now_ms * NS
        at = bisect.bisect_right(self._visited, self._ours())
        return max(now_ms + 1, math.ceil(self._ms[at])) if at < len(self._ms) else NEVER_MS
