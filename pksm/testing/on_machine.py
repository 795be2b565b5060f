"""A policy played on a simulated machine: processes that write, fork, exit, opt in and out, swap and migrate."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pksm.arrays import Pages, U8Array
from pksm.errors import PksmError
from pksm.hosts.machine.machine import Machine
from pksm.hosts.machine.mm import Mm
from pksm.testing.play import CONTENTS, SIZE, Play, contents_of

REGION = 24  # pages of a process
PROCESSES = 4
FRAMES = 512


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


class OnMachine(Play):
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
        contents = contents_of(self.rng.integers(0, CONTENTS, n))
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
