"""What policies share that are a kernel thread: settings to run, stop and unmerge, and a pause between two wake-ups."""

from collections.abc import Callable
from typing import Any

from pksm.arrays import Contents, U8Array
from pksm.engine.exclusive import Exclusive, exclusive
from pksm.engine.state import State
from pksm.engine.store import pages_given
from pksm.errors import UsageError
from pksm.policies.base import Policy
from pksm.saving import Saveable


class Daemon(Policy, Exclusive, Saveable):
    """A policy whose settings have `run` (0 stop, 1 merge, 2 stop and unmerge) and `sleep_millisecs`.

    A class that derives from this sets _tunables, and has _allow, _unmerge and _retuned if there is something to do.
    """

    _host: Any
    _tunables: Any
    _awake = False  # inside wake

    @property
    def tunables(self) -> Any:
        """Its settings; setting them takes effect at once. UsageError for one that can't change any more."""
        return self._tunables

    @tunables.setter
    @exclusive
    def tunables(self, tunables: Any) -> None:
        if self._awake:
            raise UsageError("settings can't change while it is awake: set them from outside of the host's calls")
        before = self._tunables
        for name in sorted(self.spec.fixed):
            if getattr(tunables, name) != getattr(before, name):
                raise UsageError(f"{name} can't change while the trees are in use: start another engine")
        self._allow(tunables)
        if tunables.run == 2 != before.run:
            self._unmerge(tunables)  # raises PksmError when there are too few frames: then nothing is set
        self._tunables = tunables
        self._retuned(before)

    @property
    def host(self) -> Any:
        """Whose pages it merges."""
        return getattr(self._host, "checked", self._host)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Copies and pickles hold the host, and go on with what state() returns."""
        return _resumed, (type(self), self.host, self.state())

    def _pages_given(self, contents: Contents) -> U8Array:
        """Return pages as they are given to a write of the host, which knows what a content id stands for."""
        of_host = getattr(self._host, "pages_given", None)
        given: U8Array = of_host(contents) if of_host else pages_given(contents, self._host.store.page_size)
        return given

    def _require_asleep(self) -> None:
        if self._awake:
            raise UsageError("its state can't be taken while it is awake: take it from outside of the host's calls")

    def _awakened(self, work: Callable[[], int]) -> int:
        """Be awake during this; UsageError if it is already: a host's call has called wake."""
        if self._awake:
            raise UsageError("it is awake already: wake can't be called from within the host's calls")
        self._awake = True
        try:
            return work()
        finally:
            self._awake = False

    def _allow(self, tunables: Any) -> None:
        """Raise UsageError if the settings can't be changed to these now."""

    def _unmerge(self, tunables: Any) -> None:
        """Give every merged page a frame of its own, and begin anew. tunables: those that ask for it."""
        raise NotImplementedError

    def _retuned(self, before: Any) -> None:
        """Settings have changed: these were those before."""

    def next_wake(self) -> int | None:
        """Return the milliseconds from one wake-up to the next, None while it is stopped, or hangs."""
        return self._tunables.sleep_millisecs if self._tunables.run == 1 and not self.hung else None


def _resumed(policy: type[Policy], host: Any, state: State) -> Policy:
    return policy.resume(host, state)
