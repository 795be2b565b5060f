"""The contract of a policy: what a host calls, what a simulation asks, and what is known of it by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self

from pksm import protocols
from pksm.engine.settings import Settings
from pksm.engine.sysfs import Sysfs
from pksm.errors import UsageError

if TYPE_CHECKING:
    from pksm.engine.cost import Cost
    from pksm.engine.state import State


class Policy(protocols.Policy, Protocol):
    """Who merges the pages of a host, in virtual time.

    A class that derives from this has to have those members that raise NotImplementedError here; the others have an
    answer already. It makes itself known by host.attach(self).
    """

    merges: bool = True
    spec: ClassVar[Spec]
    cost: Cost  # of all work so far

    @property
    def tunables(self) -> Settings:
        """Its settings, of the class spec.settings; they can be set, too."""
        raise NotImplementedError

    @tunables.setter
    def tunables(self, tunables: Settings) -> None:
        raise NotImplementedError

    def wake(self) -> int:
        """Work once, as between two sleeps, and return the number of pages visited."""
        raise NotImplementedError

    def doze(self, wakes: int) -> bool:
        """Let wake-ups pass that would find nothing to do, until the host reports something; False if one might find it.

        A simulation asks when a wake-up has found nothing, and goes over the next ones at once.
        """
        return False

    def next_wake(self) -> int | None:
        """Return the milliseconds from one wake-up to the next, None while it is stopped."""
        raise NotImplementedError

    def counters(self) -> dict[str, int]:
        """Return {name: count}, with the names of spec.counters."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise AssertionError or PksmError unless all that it keeps is consistent."""
        raise NotImplementedError

    @property
    def at_rest(self) -> bool:
        """True when more wake-ups would merge nothing, unless the memory changes."""
        raise NotImplementedError

    @property
    def metadata_bytes(self) -> int:
        """Bytes that a kernel's records take, those of the pages that are tracked now."""
        raise NotImplementedError

    @property
    def engine_bytes(self) -> int:
        """Bytes that are kept here about pages; a kernel's, unless a policy knows better."""
        return self.metadata_bytes

    @property
    def hung(self) -> str:
        """Why it will never wake again; "" while it does."""
        return ""

    @property
    def full_scans(self) -> int | None:
        """How many times all memory was visited; None of a policy that does not work in scans."""
        return None

    @property
    def fake_merges(self) -> int:
        """Merges that freed no frame."""
        return 0

    @property
    def preset(self) -> str:
        """The preset that its settings are of, and what differs from it: "fixed pages_to_scan=200"."""
        now = self.tunables.as_dict()
        by_name = {name: one.as_dict() for name, one in self.spec.presets.items()}
        differ = {name: [key for key in now if now[key] != one[key]] for name, one in by_name.items()}
        nearest = min(differ, key=lambda name: len(differ[name]))
        return " ".join([nearest, *(f"{key}={now[key]}" for key in differ[nearest])])

    def to_dict(self) -> dict[str, Any]:
        """Return preset, counters and work done as {name: value}, a row of a table: what pandas and polars take."""
        counts = {**self.counters(), "at_rest": self.at_rest, "metadata_bytes": self.metadata_bytes}
        return {"policy": self.spec.name, "preset": self.preset, **counts, **self.cost.as_dict()}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.preset}: {self.spec.name}>"

    def state(self) -> State:
        """Return all that it knows, but for its host, as a State: dicts of arrays, numbers and words."""
        raise UsageError(f"a {type(self).__name__} can't be saved: it has no state()")

    @classmethod
    def resume(cls, host: Any, state: State) -> Self:
        """Return one that goes on as the one that returned this State would have, on this host or a copy of its host."""
        raise UsageError(f"a {cls.__name__} can't go on from a state: it has no resume()")

    @property
    def sysfs(self) -> Sysfs:
        """The counters to read and the settings to read and set, under the kernel's names."""
        return Sysfs(self, self.spec.counters, self.spec.settings.entries())


class Pace(NamedTuple):
    """The setting of a policy that lets it take more CPU time or less.

    Args:
        setting: its name; a whole number.
        low, high: the values between which it is of use.
    """

    setting: str
    low: int
    high: int


@dataclass(frozen=True)
class Spec:
    """What is known of a policy by name. Data: it pickles, documents itself, and completes on the command line.

    Args:
        name: letters, digits, and - and _ between them.
        about: who it is, a few words.
        settings: the class of its settings.
        presets: settings to start from, by name.
        default: the preset that is meant when none is named.
        counters: {name: meaning} of what its counters() returns.
        make: make(host, settings, seed) returns the policy, attached to a host; seed: of what is random in it. A
            function or class of a module, so that it pickles.
        shown: counters, and settings that it moves itself, that a table shows, in order.
        work: counters of work, which never come to rest.
        moving: settings that it moves itself.
        fixed: settings that can't change once it is made.
        opt_in: it merges only memory that has opted in.
        pace: what comparisons at one share of a CPU turn; None: they take it as it is.
        unproven: presets that are made from descriptions, and were not held against a kernel.

    Raises:
        UsageError: the name is not one, or another part names what is not there.
    """

    name: str
    about: str
    settings: type[Settings]
    presets: Mapping[str, Settings]
    default: str
    counters: Mapping[str, str]
    make: Callable[[Any, Any, int], Policy]
    shown: tuple[str, ...] = ()
    work: frozenset[str] = frozenset()
    moving: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()
    opt_in: bool = False
    pace: Pace | None = None
    unproven: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", self.name):
            raise UsageError(f"policy {self.name!r}: a name is letters, digits, and - and _ between them")
        settings = self.settings.entries().keys()
        for part, names, known in (
            ("default", {self.default}, self.presets.keys()),
            ("unproven", self.unproven, self.presets.keys()),
            ("shown", set(self.shown), self.counters.keys() | self.moving),
            ("work", self.work, self.counters.keys()),
            ("moving", self.moving, settings),
            ("fixed", self.fixed, settings),
            ("pace", {self.pace.setting} if self.pace else set(), settings),
        ):
            if names - known:
                raise UsageError(f"policy {self.name}: {part} has {min(names - known)!r}, which is not among its own")


def replace_engine(host: Any) -> None:
    """Let a host have no policy, for one that is resumed goes on in place of the last. A foreign one may know no such."""
    detach = getattr(host, "detach", None)
    if detach:
        detach()
