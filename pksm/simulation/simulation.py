"""A machine and the policy that merges its pages, in virtual time: clock, names, counters and operations together."""

import copy
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np

from pksm.engine.state import sound_state
from pksm.errors import UsageError
from pksm.naming import unknown
from pksm.policies.nobody import Nobody
from pksm.saving import Saveable
from pksm.simulation.clock import Clock, check_ms
from pksm.simulation.names import Names
from pksm.simulation.observers import Observer, Reading, Record
from pksm.simulation.operations import Event, perform
from pksm.simulation.pace import Pace, RealPages
from pksm.simulation.put_off import Put, event_of, to_come

if TYPE_CHECKING:
    from pksm.engine.cost import Prices
    from pksm.engine.state import State
    from pksm.hosts.machine.mm import Mm
    from pksm.policies.base import Policy


class Simulation(Clock, Saveable):
    """A machine and the policy that merges its pages, in virtual time.

    Attributes:
        now: virtual milliseconds.
        wakes: how often the policy has been awake.
        names: processes, mappings and held frames by name.
        readings: a list of Reading.
        samples: a list of tuples, the ms and all counters, in the order of `columns`.
        processes: the Mm of each process, by name.
        mappings: the address of each mapping, by (process, name).
    """

    def __init__(
        self,
        machine: Any,
        policy: "Policy | None" = None,
        *,
        sample_ms: int | None = None,
        end_ms: int | None = None,
        observers: Iterable[Observer] = (),
        hold: Callable[[], AbstractContextManager[object]] = nullcontext,
        settings_of_others: Collection[str] = (),
        prices: "Prices | None" = None,
        real: "RealPages | None" = None,
    ) -> None:
        """Begin at 0 ms.

        Args:
            machine: a Machine.
            policy: attached to it; None for the policy `nobody`, which merges nothing.
            sample_ms: milliseconds between two samples of all counters; None for no samples.
            end_ms: time that is never passed: Over is raised there.
            observers: see every step, wake-up and reading.
            hold: makes a context manager that is entered for every step and every event, to put off interrupts.
            settings_of_others: settings of policies beside this one; to set them does nothing here.
            prices: what the policy's work costs, if it is to take virtual time, and sleeps to end with the kernel's
                ticks; None: wake-ups take no time, and sleeps are as long as they are asked to be.
            real: what the machine's pages stand for, if they hold numbers in place of contents.
        """
        if sample_ms is not None:
            check_ms("sample_ms", sample_ms, 1)
        policy = Nobody(machine) if policy is None else policy
        super().__init__(
            machine,
            policy,
            Record(machine, policy, sample_ms),
            end_ms,
            observers,
            hold,
            Pace(prices) if prices else None,
            real,
        )
        self.names = Names()
        self._settings_of_others = frozenset(settings_of_others)
        self.readings, self.samples = self._record.readings, self._record.samples
        self.processes, self.mappings = self.names.processes, self.names.mappings

    def state(self) -> "State":
        """Return all but machine and policy, as a State. UsageError if functions are still to be called: see at."""
        return {
            "to_come": [to_come(ms, action) for ms, _, action in sorted(self._timed)],
            "now": self.now,
            "wakes": self.wakes,
            "wake_at": self._wake_at,
            "is_idle": self._is_idle,
            "end_ms": self._end_ms,
            "settings_of_others": sorted(self._settings_of_others),
            "record": self._record.state(),
            "names": self.names.state(),
            "pace": self._pace.state() if self._pace else None,
        }

    @classmethod
    def resume(cls, machine: Any, policy: "Policy | None", state: "State") -> Self:
        """Return a simulation that goes on as the one that returned this state; machine and policy: as they were then.

        It has no observers, and holds no interrupts back.
        """
        with sound_state("Simulation"):
            self = cls(machine, policy, end_ms=state["end_ms"], settings_of_others=state["settings_of_others"])
            self.now = machine.now = check_ms("now", state["now"])
            self.wakes, self._wake_at, self._is_idle = state["wakes"], state["wake_at"], state["is_idle"]
            if state["pace"] is not None:
                self.go_at(Pace.resume(state["pace"]))
            self._record.restore(state["record"])
            self.names.restore(state["names"], machine.mms)
            for row in state["to_come"]:
                self.at(row[0], event_of(row))
            return self

    def at(self, ms: int, action: Callable[[], object] | Event) -> None:
        """Let something happen at this millisecond, before a wake-up at the same time.

        Args:
            ms: not before now.
            action: an Event; or action() is called. Checkpoints and snapshots take Events along, which are data; with a
                function still to be called there can be none.

        Raises:
            UsageError: that time has passed.
        """
        super().at(ms, Put(self, action) if isinstance(action, Event) else action)

    def to_dict(self) -> dict[str, list[int]]:
        """Return the samples as {column: values}, a table: what pandas and polars take."""
        return {name: [row[i] for row in self.samples] for i, name in enumerate(self.columns)}

    def __repr__(self) -> str:
        return f"<Simulation at {self.now:,} ms, {self.wakes:,} wake-ups: {self.machine!r}, {self.policy!r}>"

    def snapshot(self) -> Self:
        """Return a copy of all of it, machine and policy too, that goes on by itself. UsageError as of state."""
        return copy.deepcopy(self)

    def __copy__(self) -> NoReturn:
        raise UsageError("a Simulation's copy would share its machine: take snapshot()")

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _resumed, (type(self), self.machine, self.policy, self.state())

    # ---- counters and settings ----

    def counters(self) -> dict[str, int]:
        """Return all counters: the policy's own, settings that it moves itself, frames used and saved."""
        return self._record.counters()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a sample's numbers."""
        return self._record.columns

    @property
    def reached_ms(self) -> int:
        """Since when no counter has changed."""
        self._record.note(self.now)
        return self._record.changed_ms

    @property
    def changes(self) -> int:
        """How many steps have changed a counter that stays as it is at rest."""
        return self._record.changes

    def read(self, label: str) -> Reading:
        """Keep all counters under a label, and return the Reading."""
        reading = self._record.read(label, self.now)
        for observer in self._observers:
            observer.after_read(self, reading)
        return reading

    def sample(self) -> None:
        """Add a sample of all counters, in place of an earlier one of this millisecond."""
        self._record.sample(self.now)

    def set(self, name: str, value: object) -> None:
        """Set a tunable of the policy. Raises UsageError for an unknown name or a value out of range."""
        if name in self._settings_of_others:
            return
        if not self.policy.sysfs:
            raise UsageError(f"{name} can't be set: {self.policy.spec.name} has no settings")
        try:
            self.policy.sysfs[name] = value
        except KeyError:
            raise unknown("unknown tunable", name, self.policy.sysfs) from None
        except PermissionError as error:
            raise UsageError(str(error)) from None

    def merge_waits(self) -> np.ndarray:
        """Return the milliseconds from birth to merge of every page merged so far: int64.

        A pair counts from when there were two; a page that merges with the zero page from its own birth.
        """
        return self.machine.merge_waits.all()

    # ---- workloads ----

    def play(self, events: Iterable[Event]) -> None:
        """Let Events happen, in their order, each when its time has come and what was before it is done."""
        for event in events:
            if event.ms is not None:
                check_ms("t", event.ms)
                if event.ms > self.now:
                    self.run(event.ms)
            self.perform(event)

    def perform(self, event: Event) -> None:
        """Do what an Event says, now."""
        perform(self, event, self._hold)

    def process(self, name: str) -> "Mm":
        """Return the Mm of a process by name. Raises UsageError if there is none."""
        return self.names.process(name)


def _resumed(cls: type[Simulation], machine: Any, policy: "Policy", state: "State") -> Simulation:
    return cls.resume(machine, policy, state)
