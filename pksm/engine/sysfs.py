"""Counters and settings of a policy under the names the kernel gives their files in /sys/kernel/mm."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from pksm.errors import UsageError


class Sysfs(MutableMapping[str, Any]):
    """The files of a policy: counters to read, settings to read and set.

    Setting raises UsageError for a value out of range, PermissionError for a counter, KeyError for an unknown name.

    Args:
        policy: something with counters() and tunables.
        counters: {name: meaning} of what policy.counters() returns.
        settings: {name: field} of policy.tunables.
    """

    def __init__(self, policy: Any, counters: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        self._policy, self._counters, self._settings = policy, counters, settings

    def __getitem__(self, name: str) -> Any:
        if name in self._counters:
            return self._policy.counters()[name]
        if name in self._settings:
            return getattr(self._policy.tunables, name)
        raise KeyError(name)

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self._counters:
            raise PermissionError(f"{name} is a counter: it can only be read")
        if name not in self._settings:
            raise KeyError(name)
        self._policy.tunables = self._policy.tunables.with_(**{name: value})

    def __repr__(self) -> str:
        return f"<Sysfs {', '.join(f'{name}={value}' for name, value in self.items())}>"

    def __delitem__(self, name: str) -> None:
        raise UsageError("sysfs files can't be deleted")

    def __iter__(self) -> Iterator[str]:
        yield from self._counters
        yield from self._settings

    def __len__(self) -> int:
        return len(self._counters) + len(self._settings)
