"""Events that a simulation has put off, and how states keep them: as rows [ms, op, fields, where]."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pksm.errors import UsageError
from pksm.simulation.operations import Event

if TYPE_CHECKING:
    from pksm.simulation.simulation import Simulation


class Put:
    """Does an Event of a simulation when it is called."""

    def __init__(self, sim: Simulation, event: Event) -> None:
        self._sim, self.event = sim, event

    def __call__(self) -> None:
        """Do it."""
        self._sim.perform(self.event)


def to_come(ms: int, action: Callable[[], object]) -> list[Any]:
    """Return the row of what is to happen at a millisecond. UsageError for a function: it can't be saved."""
    if not isinstance(action, Put):
        raise UsageError(
            f"a function is still to be called at {ms} ms: a simulation can't be saved with it: give at() an Event"
        )
    event = action.event
    fields = {name: sorted(value) if isinstance(value, frozenset) else value for name, value in event.fields.items()}
    return [ms, event.op, fields, event.where]


def event_of(row: list[Any]) -> Event:
    """Return the Event of a row."""
    _, op, fields, where = row
    known = {name: frozenset(value) if name == "value" and isinstance(value, list) else value
             for name, value in fields.items()}  # fmt: skip
    return Event(None, op, known, where)
