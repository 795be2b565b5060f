"""Whatever processes do between two wake-ups, the kernel's ksmd and ours count the same after each."""

import itertools
import os
import random

import pytest

from pksm.errors import UnsupportedError
from pksm.hosts.machine.mm import WRITABLE
from pksm.linux.ksm import Borrowed
from pksm.validation.kernel.both_sides import PAGE_SIZE, Pair
from pksm.validation.kernel.validate import BASE

pytestmark = pytest.mark.kernel
# PKSM_LAST_SEED=1000: so many stories; PKSM_FIRST_SEED: not from the beginning
SEEDS = range(int(os.environ.get("PKSM_FIRST_SEED", 0)), int(os.environ.get("PKSM_LAST_SEED", 15)))
STEPS, MOST_PROCESSES = 60, 5
SCANS = {"scan": 4, "part": 3}
EVENTS = {
    **SCANS,
    "write": 4,
    "zero": 1,
    "fork": 1,
    "region": 1,
    "spawn": 1,
    "exit": 1,
    "unmap": 1,
    "empty": 1,
    "move": 2,
    "opt_out": 2,
    "opt_in": 2,
    "read_only": 1,
    "read_write": 1,
    "switch_zero_pages": 1,
    "switch_smart_scan": 1,
    "limit_sharing": 1,
    "unmerge": 0.3,
}


@pytest.fixture(scope="module")
def ksm():
    try:
        with Borrowed() as borrowed:
            yield borrowed
    except UnsupportedError as error:
        pytest.skip(str(error))


class Story:
    """Processes, and what happens to them. One of them, which nothing happens to, always has something to scan."""

    def __init__(self, pair, rng):
        self.pair, self.rng = pair, rng
        self.processes, self.free = [], BASE  # where nothing is mapped yet, in any process
        witness = pair.spawn()
        witness.mmap(self._take(3), 3)
        witness.write(BASE, [1, 0, 5])
        self.spawn()

    def _take(self, n):
        address = self.free
        self.free += (n + self.rng.choice([0, 1, 600])) * PAGE_SIZE
        return address

    def _any(self):
        return self.rng.choice(self.processes)

    def _part(self, process, most=None, flag=0):
        """Return (address, pages) of a part of one of a process's vmas, one with this flag; None if there is none."""
        vmas = [vma for vma in process.mm.vmas if not flag or self.pair.machine.vmas.has(vma, flag)]
        if not vmas:
            return None
        start, end = self.pair.machine.vmas.span(self.rng.choice(vmas))
        first = self.rng.choice([start, self.rng.randrange(start, end)])
        n = self.rng.choice([end - first, self.rng.randint(1, end - first)])
        return first * PAGE_SIZE, min(n, most or n)

    def region(self, process=None):
        process = process or self._any()
        n = self.rng.choice([3, 10, 40, 600])
        process.mmap(self._take(n), n)
        self.write(process)

    def spawn(self):
        if len(self.processes) < MOST_PROCESSES:
            self.processes.append(self.pair.spawn())
            self.region(self.processes[-1])

    def write(self, process=None, kinds=None):
        process = process or self._any()
        part = self._part(process, most=60, flag=WRITABLE)
        if part:
            address, n = part
            low, kinds = (0, 1) if kinds else (self.rng.choice([0, 1]), self.rng.choice([2, 5, 30, 1000]))
            process.write(address, [self.rng.randrange(low, low + kinds) for _ in range(n)])

    def zero(self):
        self.write(kinds=1)

    def fork(self):
        if len(self.processes) < MOST_PROCESSES:
            self.processes.append(self._any().fork())

    def exit(self):
        if len(self.processes) > 1:
            process = self._any()
            self.processes.remove(process)
            process.exit()

    def _to_a_part(self, name, *arguments):
        process = self._any()
        part = self._part(process)
        if part:
            getattr(process, name)(*part, *arguments)

    def unmap(self):
        self._to_a_part("munmap")

    def empty(self):
        self._to_a_part("madvise", "DONTNEED")

    def opt_out(self):
        self._to_a_part("madvise", "UNMERGEABLE")

    def opt_in(self):
        self._to_a_part("madvise", "MERGEABLE")

    def read_only(self):
        self._to_a_part("mprotect", False)

    def read_write(self):
        self._to_a_part("mprotect", True)

    def move(self):
        """Move a part to where nothing is, or has been."""
        process = self._any()
        part = self._part(process)
        if not part:
            return
        address, n = part
        spans = [self.pair.machine.vmas.span(vma) for vma in process.mm.vmas]
        holes = [end for (_, end), (start, _) in itertools.pairwise(spans) if start - end >= n]
        to = self.rng.choice([*holes, None])
        process.mremap(address, n, self._take(n) if to is None else to * PAGE_SIZE)

    def switch_zero_pages(self):
        self.pair.set(use_zero_pages=self.rng.choice([0, 1]))

    def switch_smart_scan(self):
        self.pair.set(smart_scan=self.rng.choice([0, 1]))

    def limit_sharing(self):
        self.pair.set(max_page_sharing=self.rng.choice([2, 3, 5, 256]))

    def unmerge(self):
        self.pair.unmerge()
        if self.rng.choice([0, 1]):
            self.limit_sharing()

    def scan(self):
        self.pair.scan()

    def part(self):
        self.pair.scan_pages(self.rng.randint(1, 60))

    def go_on(self):
        """Something happens; returns what."""
        (what,) = self.rng.choices(list(EVENTS), list(EVENTS.values()))
        getattr(self, what)()
        return what


@pytest.mark.parametrize("seed", SEEDS)
def test_all_counters_are_equal_after_every_wake_up(ksm, seed):
    rng = random.Random(seed)
    knobs = {
        "smart_scan": rng.choice([0, 1]),
        "use_zero_pages": rng.choice([0, 1]),
        "max_page_sharing": rng.choice([256, 2, 3, 5]),
        "stable_node_chains_prune_millisecs": rng.choice([0, 1_000_000_000]),
    }
    told = []
    with Pair(ksm, 6000, **knobs) as pair:
        story = Story(pair, rng)
        for _ in range(STEPS):
            told.append(story.go_on())
            if told[-1] in SCANS:
                differences = {name: pair_ for name, pair_ in pair.compare().items() if pair_[0] != pair_[1]}
                assert not differences, f"{knobs}, after {told}: (kernel, ours)"
                pair.ksmd.check()
                pair.machine.check()
        pair.check_bytes()
