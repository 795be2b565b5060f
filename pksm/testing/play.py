"""A policy played on a host: what has to be so at any time, whoever the host is."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pksm.arrays import IntArray, U8Array
from pksm.errors import PksmError
from pksm.policies.base import Spec

SIZE = 64  # bytes of a page
CONTENTS = 6
WAKES_TO_REST = 2000  # in which a policy has to come to rest


def contents_of(ids: IntArray) -> U8Array:
    """Return pages that look alike: content 0 is zero, the others differ in a byte or two, first or last."""
    pages = np.zeros((len(ids), SIZE), np.uint8)
    pages[:, 0], pages[:, -1] = ids > CONTENTS // 2, ids % (CONTENTS // 2)
    return pages


class Play:
    """What is the same on both hosts."""

    where: str

    def __init__(self, spec: Spec, preset: str, seed: int) -> None:
        self.spec, self.settings, self.rng = spec, spec.presets[preset], np.random.default_rng(seed)
        self.name = f"{spec.name}:{preset} on {self.where}"
        self.host = self.make_host()
        self.policy = spec.make(self.host, self.settings, seed)
        self.scans = self.policy.full_scans

    def make_host(self) -> Any:
        raise NotImplementedError

    def events(self) -> list[Callable[[], None]]:
        """What can happen to the memory."""
        raise NotImplementedError

    def check_reading(self, what: str) -> None:
        """Everybody reads what was written."""
        raise NotImplementedError

    def everybody_leaves(self) -> None:
        raise NotImplementedError

    def run(self, rounds: int) -> None:
        assert self.policy.spec == self.spec, f"{self.name}: policy.spec is another Spec"
        events = self.events()
        for _ in range(rounds):
            event = events[self.rng.integers(len(events))]
            event()
            self.check(event.__name__)
            for _ in range(self.rng.integers(3)):
                self.wake()
        self.check_settings()
        self.check_rest()
        self.everybody_leaves()
        self.check_rest()

    def wake(self) -> None:
        pause = self.policy.next_wake()
        if pause is not None:
            self.sleep(pause)
            visited = self.policy.wake()
            assert visited >= 0, f"{self.name}: wake returned {visited!r}"
            self.check("wake")
            if not visited and self.policy.doze(0):
                self.check_doze()

    def check_doze(self) -> None:
        """What it says it would not do it does not."""
        before = self.policy.counters(), self.policy.cost.as_dict()
        assert not self.policy.wake(), f"{self.name}: it would doze, and finds something"
        assert (self.policy.counters(), self.policy.cost.as_dict()) == before, f"{self.name}: it would doze, and works"

    def sleep(self, ms: int) -> None:
        """Virtual time goes on."""

    def check(self, what: str) -> None:
        """All that has to be so at any time."""
        policy, after = self.policy, f"{self.name}, after {what}"
        self.check_reading(after)
        self.host.check()
        policy.check()
        counters = policy.counters()
        named = self.spec.counters.keys()
        assert counters.keys() == named, f"{after}: counters are {sorted(counters)}, and the Spec names {sorted(named)}"
        for name, value in counters.items():
            assert isinstance(value, int), f"{after}: counter {name} is {value!r}, and must be an int"
        pause, scans = policy.next_wake(), policy.full_scans
        assert pause is None or (isinstance(pause, int) and pause >= 0), f"{after}: next_wake gives {pause!r}"
        assert isinstance(policy.hung, str) and (not policy.hung or pause is None), f"{after}: it hangs, and wakes"
        assert (scans is None) == (self.scans is None), f"{after}: full_scans is {scans!r}, and was {self.scans!r}"
        self.scans = scans
        assert policy.metadata_bytes >= 0 and policy.engine_bytes >= 0, f"{after}: it takes less than no bytes"
        assert policy.fake_merges >= 0 and policy.cost.as_dict(), after
        assert isinstance(policy.at_rest, bool), f"{after}: at_rest is {policy.at_rest!r}, and must be a bool"

    def check_settings(self) -> None:
        """Settings can be read and set through sysfs; counters can be read only."""
        sysfs, entries = self.policy.sysfs, self.spec.settings.entries()
        assert set(sysfs) == {*self.spec.counters, *entries}, f"{self.name}: sysfs has other names than the Spec"
        for name in self.spec.counters:
            try:
                sysfs[name] = 0
            except PermissionError:
                continue
            raise AssertionError(f"{self.name}: counter {name} can be set")
        for name, value in _values_to_try(self.settings):
            before = self.policy.tunables
            try:
                sysfs[name] = value
            except PksmError:
                assert self.policy.tunables == before, f"{self.name}: {name}={value} is refused and changes settings"
                continue
            assert sysfs[name] == value, f"{self.name}: {name}={value} is set, and reads {sysfs[name]}"
            assert name not in self.spec.fixed or value == getattr(before, name), f"{self.name}: {name} is not fixed"
            self.check(f"{name}={value}")
            self.wake()
            self._set_back()
            self.wake()

    def _set_back(self) -> None:
        """Set all settings as they were at first, unless the policy refuses that by now."""
        before = self.policy.tunables
        try:
            self.policy.tunables = self.settings
        except PksmError:
            assert self.policy.tunables == before, f"{self.name}: settings are refused, and change"
        else:
            assert self.policy.tunables == self.settings, f"{self.name}: settings are set, and others are read"

    def check_rest(self) -> None:
        """Left alone, it rests; unless it is stopped, or hangs."""
        for _ in range(WAKES_TO_REST):
            if self.policy.at_rest or self.policy.next_wake() is None:
                return
            self.wake()
        raise AssertionError(f"{self.name}: not at rest after {WAKES_TO_REST} wake-ups")


def _values_to_try(settings: Any) -> Iterator[tuple[str, Any]]:
    """Yield (setting, value): the value that it has, the ends of its range, its choices."""
    for name, entry in settings.entries().items():
        yield name, getattr(settings, name)
        for end in ("low", "high"):
            if entry.metadata[end] is not None:
                yield name, entry.metadata[end]
        for choice in entry.metadata["choices"] or ():
            yield name, choice
