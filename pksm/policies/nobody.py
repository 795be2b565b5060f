"""nobody: memory that is not merged. The measure that all policies are held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from pksm.engine.settings import Settings
from pksm.policies.base import Policy, Spec, replace_engine

if TYPE_CHECKING:
    from pksm.engine.state import State
    from pksm.protocols import PageHost


@dataclass(frozen=True)
class NoSettings(Settings):
    """Nothing to set."""


class Nobody(Policy):
    """Merges nothing, whatever its host says."""

    spec: ClassVar[Spec]

    def __init__(self, host: PageHost) -> None:
        from pksm.engine.cost import Cost

        self.cost = Cost()
        host.attach(self)

    @property
    def tunables(self) -> NoSettings:
        """Nothing to set."""
        return NoSettings()

    @tunables.setter
    def tunables(self, tunables: Settings) -> None:
        pass

    def wake(self) -> int:
        """Do nothing."""
        return 0

    def next_wake(self) -> None:
        """It never wakes."""

    def counters(self) -> dict[str, int]:
        """Return no counters."""
        return {}

    def state(self) -> State:
        """There is nothing to know."""
        return {}

    @classmethod
    def resume(cls, host: PageHost, state: State) -> Self:
        """Return another one."""
        replace_engine(host)
        return cls(host)

    def check(self) -> None:
        """There is nothing to be wrong."""

    @property
    def at_rest(self) -> bool:
        """Always."""
        return True

    @property
    def metadata_bytes(self) -> int:
        """Nothing is tracked."""
        return 0


def make(host: PageHost, settings: NoSettings, seed: int = 0) -> Policy:
    """Return a Nobody."""
    return Nobody(host)


SPEC = Spec(
    name="nobody",
    about="memory that is not merged",
    settings=NoSettings,
    presets={"none": NoSettings()},
    default="none",
    counters={},
    make=make,
)
Nobody.spec = SPEC
