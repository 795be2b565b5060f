"""How busy the machine is besides us: what /proc/stat counts, from one moment to another."""

import os
import time
from dataclasses import dataclass

from pksm.linux import text

STAT = "/proc/stat"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Places in the line `cpu`; time of guests is in `user` already.
_BUSY, _STEAL = (0, 1, 2, 5, 6), 7


@dataclass(frozen=True)
class Moment:
    """What was counted up to a moment, in seconds.

    Attributes:
        wall: of a clock that never goes back.
        busy: that all CPUs together have worked.
        stolen: that they would have worked, and the hypervisor let others work.
        own: that this process and its children that have ended have worked.
    """

    wall: float
    busy: float
    stolen: float
    own: float


def now() -> Moment:
    """Return what is counted up to now; 0 for what the kernel does not show."""
    fields = (text.read_if_any(STAT) or b"").partition(b"\n")[0].split()[1:]  # the first line is of all CPUs
    ticks = [text.number(one) or 0 for one in fields]
    ticks += [0] * (_STEAL + 1 - len(ticks))
    own = os.times()
    return Moment(
        time.monotonic(),
        sum(ticks[place] for place in _BUSY) / TICKS_PER_SECOND,
        ticks[_STEAL] / TICKS_PER_SECOND,
        own.user + own.system + own.children_user + own.children_system,
    )


def meanwhile(before: Moment, after: Moment, ours: float = 0.0) -> tuple[float, float]:
    """Return (CPUs that others kept busy, share of the CPUs' time that the hypervisor took) between two moments.

    Args:
        before, after: the moments.
        ours: seconds of CPU that others have worked for us.
    """
    seconds = max(after.wall - before.wall, 1 / TICKS_PER_SECOND)
    others = after.busy - before.busy - (after.own - before.own) - ours
    stolen = (after.stolen - before.stolen) / (seconds * (os.cpu_count() or 1))
    return max(0.0, others / seconds), max(0.0, stolen)
