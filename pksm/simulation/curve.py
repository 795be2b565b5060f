"""How much is saved over virtual time, as one number and as a line: what runs are compared by."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pksm.simulation.observers import Observer

if TYPE_CHECKING:
    from pksm.simulation.simulation import Simulation

MOST_POINTS = 512
Point = tuple[float, int]  # ms, frames saved


class Curve(Observer):
    """Sees how many frames are saved, in between the steps of a simulation.

    What a wake-up saves is saved bit by bit while it works: see Clock.worked_until.

    Attributes:
        points: (ms, frames saved), thinned out; exact where it is not.
    """

    def __init__(self) -> None:
        self.points: list[Point] = [(0.0, 0)]
        self._area = 0.0  # frames x ms up to the last change
        self._is_wake = False
        self._changes = 0

    def after_wake(self, sim: "Simulation") -> None:
        """The policy has been awake."""
        self._is_wake = True

    def after_step(self, sim: "Simulation") -> None:
        """Look whether something has changed."""
        was_wake, self._is_wake = self._is_wake, False
        if sim.changes == self._changes:
            return
        self._changes = sim.changes
        saved, (at, before) = int(sim.machine.frames_saved), self.points[-1]
        if saved == before:
            return
        began = max(at, float(sim.now))
        ended = max(began, sim.worked_until) if was_wake else began
        self._area += before * (began - at) + (before + saved) / 2 * (ended - began)
        if began > at:
            self.points.append((began, before))
        self.points.append((ended, saved))
        if len(self.points) > 2 * MOST_POINTS:
            self.points = [self.points[0], *self.points[1:-1:2], self.points[-1]]

    def mean(self, end_ms: float) -> float:
        """Return the frames saved on average from 0 to end_ms."""
        at, saved = self.points[-1]
        return (self._area + saved * max(0.0, end_ms - at)) / end_ms if end_ms > 0 else 0.0


def reached(points: Sequence[Sequence[float]], frames: float) -> float | None:
    """Return the first ms at which so many frames were saved; None if they never were.

    Args:
        points: (ms, frames saved), as Curve has them.
        frames: that are to be saved.
    """
    before: Sequence[float] | None = None
    for point in points:
        if point[1] >= frames:
            if before is None or point[1] <= before[1]:
                return point[0]
            return before[0] + (point[0] - before[0]) * (frames - before[1]) / (point[1] - before[1])
        before = point
    return None
