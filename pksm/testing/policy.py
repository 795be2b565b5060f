"""Proof of a policy of your own against the contract of pksm/policies/base.py."""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pksm.arrays import BoolArray, I64Array, IntArray, Pages, U8Array
from pksm.engine.store import Store
from pksm.errors import PksmError
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine.machine import Machine
from pksm.hosts.machine.mm import Mm
from pksm.policies.base import Spec
from pksm.protocols import ZERO_FRAME

SIZE = 64  # bytes of a page
REGION = 24  # pages of a process
PROCESSES = 4
FRAMES = 512
FLAT = 96  # pages of the flat host
CONTENTS = 6
LEAST_WAKES = 2000  # in which a policy has to come to rest


def check_policy(spec: Spec, seed: int = 0, rounds: int = 60) -> None:
    """Raise AssertionError, which says what is wrong, unless a policy keeps to its contract.

    Each preset is played on a flat host and on a simulated machine, whatever happens to the memory: no merge changes
    what anybody reads or saves more than there is to save, host and policy are consistent after every step, counters
    and settings are those that the Spec names, settings can be set through sysfs, and the policy comes to rest.

    Args:
        spec: of the policy.
        seed: of what happens.
        rounds: how much happens, on each host.
    """
    _check_copy(spec)
    for preset, settings in spec.presets.items():
        assert isinstance(settings, spec.settings), f"{spec.name}:{preset}: its settings are not {spec.settings}"
        for play in (_OnFlatHost, _OnMachine):
            play(spec, preset, seed).run(rounds)


def _check_copy(spec: Spec) -> None:
    try:
        copy = pickle.loads(pickle.dumps(spec))
    except Exception as error:
        raise AssertionError(f"{spec.name}: its Spec does not pickle: {error}") from error
    assert copy == spec, f"{spec.name}: a copy of its Spec by pickle is another"


def _contents(ids: IntArray) -> U8Array:
    """Return pages that look alike: content 0 is zero, the others differ in a byte or two, first or last."""
    pages = np.zeros((len(ids), SIZE), np.uint8)
    pages[:, 0], pages[:, -1] = ids > CONTENTS // 2, ids % (CONTENTS // 2)
    return pages


class _Play:
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
        for _ in range(LEAST_WAKES):
            if self.policy.at_rest or self.policy.next_wake() is None:
                return
            self.wake()
        raise AssertionError(f"{self.name}: not at rest after {LEAST_WAKES} wake-ups")


def _values_to_try(settings: Any) -> Iterator[tuple[str, Any]]:
    """Yield (setting, value): the value that it has, the ends of its range, its choices."""
    for name, entry in settings.entries().items():
        yield name, getattr(settings, name)
        for end in ("low", "high"):
            if entry.metadata[end] is not None:
                yield name, entry.metadata[end]
        for choice in entry.metadata["choices"] or ():
            yield name, choice


class _WatchedFlatHost(FlatHost):
    """Remembers which pages others were merged into: nobody may write to these."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.kept: set[int] = set()

    def merge(self, pages: Pages, kpages: Pages) -> None:
        super().merge(pages, kpages)
        self.kept.update(kpages.tolist())

    def merge_ptes(self, mms: IntArray, virtual_pages: I64Array, pages: Pages, kpages: Pages) -> None:
        super().merge_ptes(mms, virtual_pages, pages, kpages)
        self.kept.update(kpages.tolist())

    def keep(self, pages: Pages) -> None:
        super().keep(pages)
        self.kept.update(pages.tolist())


class _OnFlatHost(_Play):
    where = "a flat host"

    def make_host(self) -> _WatchedFlatHost:
        store = Store(SIZE)
        self.first, self.memory = store.allocate(FLAT)
        self.written = np.zeros((FLAT, SIZE), np.uint8)
        self.alive = np.zeros(FLAT, bool)
        return _WatchedFlatHost(store)

    def events(self) -> list[Callable[[], None]]:
        return [self.births, self.deaths, self.write, self.write_silently, self.copy_on_write]

    def _some(self, able: BoolArray) -> Pages:
        """Return some of the pages where able is set."""
        pages = np.flatnonzero(able)
        taken = self.rng.permutation(pages)[: self.rng.integers(1, REGION)]
        return (taken + self.first).astype(np.uint32)

    def _put(self, pages: Pages) -> None:
        at = pages - self.first
        self.memory[at] = self.written[at] = _contents(self.rng.integers(0, CONTENTS, len(pages)))

    @property
    def _frames(self) -> Pages:
        return self.host.frame_of[self.first : self.first + FLAT]

    @property
    def _unmerged(self) -> BoolArray:
        """Live pages with a frame of their own that is nobody else's."""
        able = np.zeros(FLAT, bool)
        if self.alive.any():
            pages = np.flatnonzero(self.alive)
            frames = self._frames
            able[pages] = frames[pages] == pages + self.first
            able[[page - self.first for page in self.host.kept]] = False
        return able

    def births(self) -> None:
        used = np.zeros(FLAT, bool)
        if self.alive.any():
            frames = self._frames[self.alive[: len(self._frames)]]
            used[frames[frames != ZERO_FRAME] - self.first] = True
        pages = self._some(~self.alive & ~used)
        self._put(pages)
        self.host.kept.difference_update(pages.tolist())
        self.host.add(pages)
        self.alive[pages - self.first] = True

    def deaths(self) -> None:
        pages = self._some(self.alive)
        self.host.free(pages)
        self.alive[pages - self.first] = False

    def write(self) -> None:
        pages = self._some(self._unmerged)
        self._put(pages)
        self.policy.written(pages)

    def write_silently(self) -> None:
        self._put(self._some(self._unmerged))

    def copy_on_write(self) -> None:
        merged = self.alive.copy()
        if merged.any():
            pages = np.flatnonzero(merged)
            merged[pages] = self._frames[pages] != pages + self.first
        self.host.split(self._some(merged))

    def check_reading(self, what: str) -> None:
        pages = np.flatnonzero(self.alive)
        if not len(pages):
            return
        frames = self._frames[pages]
        zero = frames == ZERO_FRAME
        read = np.where(zero[:, np.newaxis], np.uint8(0), self.memory[np.where(zero, 0, frames - self.first)])
        assert np.array_equal(read, self.written[pages]), f"{what}: somebody reads other bytes than were written"
        distinct = len(np.unique(self.written[pages], axis=0)) - zero.any()
        saved = self.host.frames_saved
        assert saved <= len(pages) - distinct, (
            f"{what}: {saved} frames saved of {len(pages)} pages, {distinct} distinct"
        )

    def everybody_leaves(self) -> None:
        self.host.free((np.flatnonzero(self.alive) + self.first).astype(np.uint32))
        self.alive[:] = False


class _WatchedMachine(Machine):
    """Remembers whether a policy has taken references that nobody will drop."""

    leaks = False

    def hold(self, pages: Pages) -> None:
        self.leaks = True
        super().hold(pages)


@dataclass
class _Process:
    """An mm with one mapping of REGION pages, and what has to be read there."""

    mm: Mm
    at: int
    written: U8Array = field(default_factory=lambda: np.zeros((REGION, SIZE), np.uint8))


class _OnMachine(_Play):
    where = "a machine"

    def make_host(self) -> _WatchedMachine:
        self.processes: list[_Process] = []
        return _WatchedMachine(FRAMES, SIZE)

    def events(self) -> list[Callable[[], None]]:
        many = [self.write, self.patch, self.advise, self.fork]  # these come more often
        return [*many, *many, self.spawn, self.exit, self.empty, self.swap, self.migrate, self.lock]

    def sleep(self, ms: int) -> None:
        self.host.now += ms

    def _any(self) -> tuple[_Process, int, int]:
        """Return a process, and a range of its pages: first, how many."""
        if not self.processes:
            self.spawn()
        first = int(self.rng.integers(REGION))
        return (
            self.processes[self.rng.integers(len(self.processes))],
            first,
            int(self.rng.integers(1, REGION - first + 1)),
        )

    def _attempt(self, work: Callable[..., Any], process: _Process, first: int, *more: Any) -> bool:
        """Do it, from this page on; False if it can't be, as when leaks have left no frame."""
        try:
            work(process.mm, process.at + first * SIZE, *more)
        except PksmError:
            return False
        return True

    def spawn(self) -> None:
        if len(self.processes) < PROCESSES:
            mm = self.host.spawn()
            self.processes.append(_Process(mm, self.host.mmap(mm, REGION, mergeable=True)))

    def fork(self) -> None:
        parent, _, _ = self._any()
        if len(self.processes) < PROCESSES:
            self.processes.append(_Process(self.host.fork(parent.mm), parent.at, parent.written.copy()))

    def exit(self) -> None:
        if self.processes:
            self.host.exit(self.processes.pop(self.rng.integers(len(self.processes))).mm)

    def write(self) -> None:
        process, first, n = self._any()
        contents = _contents(self.rng.integers(0, CONTENTS, n))
        if self._attempt(self.host.write, process, first, contents):
            process.written[first : first + n] = contents

    def patch(self) -> None:
        process, first, _ = self._any()
        if self._attempt(self.host.patch, process, first, [(0, 0, 0)]):
            process.written[first, :4] = 0

    def empty(self) -> None:
        process, first, n = self._any()
        if self._attempt(self.host.madvise, process, first, n, "DONTNEED"):
            process.written[first : first + n] = 0

    def advise(self) -> None:
        self._attempt(self.host.madvise, *self._any(), ["MERGEABLE", "UNMERGEABLE"][self.rng.integers(2)])

    def swap(self) -> None:
        self._attempt([self.host.swap_out, self.host.swap_in][self.rng.integers(2)], *self._any())

    def migrate(self) -> None:
        self._attempt(self.host.migrate, *self._any())

    def lock(self) -> None:
        self._attempt([self.host.mlock, self.host.munlock][self.rng.integers(2)], *self._any())

    def check_reading(self, what: str) -> None:
        """One process looks at all it has: reading brings back what is swapped out, so not all look at any time."""
        if self.processes:
            process = self.processes[self.rng.integers(len(self.processes))]
            try:
                read = self.host.read(process.mm, process.at, REGION)
            except PksmError:  # no frames
                return
            assert np.array_equal(read, process.written), f"{what}: somebody reads other bytes than were written"

    def everybody_leaves(self) -> None:
        while self.processes:
            self.exit()
        self.host.drain()

    def check_rest(self) -> None:
        super().check_rest()
        if not self.processes and not self.host.leaks and not self.policy.hung:
            used = self.host.frames_used
            assert not used, f"{self.name}: everybody has exited, and {used} frames are in use"
