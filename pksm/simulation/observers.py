"""What can be known of a simulation while it goes on: counters, readings, samples, and who else looks on."""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pksm.engine.state import State
    from pksm.policies.base import Policy
    from pksm.simulation.simulation import Simulation


class Reading(NamedTuple):
    """All counters at one time, under a label. reached_ms: since when no counter has changed."""

    label: str
    ms: int
    reached_ms: int
    counters: dict[str, int]


class Observer:
    """Sees a simulation go on. Override what you want to see; nothing here changes the simulation.

    Wake-ups that a policy dozes through, with nothing to do, are not seen.
    """

    def before_step(self, sim: "Simulation") -> None:
        """Time is about to go on: to an event, a wake-up or a sample."""

    def after_step(self, sim: "Simulation") -> None:
        """The event, wake-up or sample is done; sim.now is its time."""

    def after_wake(self, sim: "Simulation") -> None:
        """The policy has been awake."""

    def after_read(self, sim: "Simulation", reading: Reading) -> None:
        """All counters were read under a label."""


class Record:
    """The counters of a machine and its policy over virtual time.

    readings: [Reading]; samples: [(ms, *counters)], in the order of `columns`; due_ms: when the next sample is due,
    None for no samples; changes: how often note() has found a counter changed; changed_ms: when it last did.
    """

    def __init__(self, machine: Any, policy: "Policy", sample_ms: int | None) -> None:
        self._machine, self._policy = machine, policy
        self.readings: list[Reading] = []
        self.samples: list[tuple[int, ...]] = []
        self._sample_ms = sample_ms
        self.due_ms: int | None = None if sample_ms is None else 0
        self._noted = self._changing()
        self.changes = self.changed_ms = 0

    def state(self) -> "State":
        """Return all that was kept, as a State."""
        used, sharing, results = self._noted
        return {
            "readings": [[label, ms, reached, dict(counters)] for label, ms, reached, counters in self.readings],
            "samples": [list(row) for row in self.samples],
            "sample_ms": self._sample_ms,
            "due_ms": self.due_ms,
            "noted": [used, sharing, dict(results)],
            "changes": self.changes,
            "changed_ms": self.changed_ms,
        }

    def restore(self, state: "State") -> None:
        """Have what state() returned. The lists stay the same ones."""
        self.readings[:] = [Reading(*row) for row in state["readings"]]
        self.samples[:] = [tuple(row) for row in state["samples"]]
        self._sample_ms, self.due_ms = state["sample_ms"], state["due_ms"]
        used, sharing, results = state["noted"]
        self._noted = used, sharing, results
        self.changes, self.changed_ms = state["changes"], state["changed_ms"]

    def counters(self) -> dict[str, int]:
        """Return all counters: the policy's own, settings that it moves itself, frames used and saved."""
        policy, machine = self._policy, self._machine
        moving = {name: getattr(policy.tunables, name) for name in sorted(policy.spec.moving)}
        frames = {"frames_used": machine.frames_used, "frames_saved": machine.frames_saved}
        return policy.counters() | moving | frames

    def _changing(self) -> tuple[int, int, dict[str, int]]:
        """What stays the same at rest. frames_saved follows from it."""
        work = self._policy.spec.work
        results = {name: count for name, count in self._policy.counters().items() if name not in work}
        return self._machine.frames_used, self._machine.pages_sharing, results

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a sample's numbers."""
        return ("ms", *self.counters())

    def note(self, ms: int) -> None:
        """Look whether a counter has changed since the last look."""
        changing = self._changing()
        if changing != self._noted:
            self._noted, self.changed_ms = changing, ms
            self.changes += 1

    def read(self, label: str, ms: int) -> Reading:
        """Keep all counters under a label, and return the Reading."""
        self.note(ms)
        self.readings.append(Reading(label, ms, self.changed_ms, self.counters()))
        return self.readings[-1]

    def sample(self, ms: int) -> None:
        """Keep a sample of all counters, in place of an earlier one of this millisecond."""
        row = (ms, *self.counters().values())
        if self.samples and self.samples[-1][0] == ms:
            self.samples.pop()
        self.samples.append(row)

    def sample_in_turn(self, ms: int) -> None:
        """Take the sample that is due now."""
        if self.due_ms is not None and self._sample_ms is not None:
            self.due_ms += self._sample_ms
        self.sample(ms)
