"""Whatever processes do between two wake-ups, the kernel's ksmd and ours count the same after each."""

import os
import random

import pytest

from pksm.errors import UnsupportedError
from pksm.linux.ksm.borrow import LiveKsm
from pksm.validation.kernel.both_sides import PAGE_SIZE, Pair
from pksm.validation.kernel.validate import BASE

pytestmark = pytest.mark.kernel
SEEDS = range(int(os.environ.get("PKSM_LAST_SEED", 15)))


@pytest.fixture(scope="module")
def ksm():
    try:
        with LiveKsm() as borrowed:
            yield borrowed
    except UnsupportedError as error:
        pytest.skip(str(error))


class Story:
    """Processes with a few regions each, and what happens to them. One of them keeps its memory to the end."""

    def __init__(self, pair, rng):
        self.pair, self.rng = pair, rng
        self.regions, self.free = {}, BASE  # process -> [(address, pages)]; where nothing is mapped yet
        self.spawn()
        self.witness = next(iter(self.regions))

    def region(self, process):
        n, address = self.rng.choice([3, 10, 40, 600]), self.free
        self.free += (n + self.rng.choice([1, 600])) * PAGE_SIZE
        process.mmap(address, n)
        self.regions[process].append((address, n))
        self.write(process)

    def spawn(self):
        if len(self.regions) < 4:
            process = self.pair.spawn()
            self.regions[process] = []
            self.region(process)

    def write(self, process):
        address, n = self.rng.choice(self.regions[process])
        first, kinds, low = self.rng.randrange(n), self.rng.choice([2, 5, 30, 1000]), self.rng.choice([0, 1])
        count = self.rng.randint(1, min(n - first, 60))
        process.write(address + first * PAGE_SIZE, [self.rng.randrange(low, low + kinds) for _ in range(count)])

    def fork(self, process):
        if len(self.regions) < 5:
            self.regions[process.fork()] = list(self.regions[process])

    def exit(self, process):
        if process is not self.witness:
            del self.regions[process]
            process.exit()

    def munmap(self, process):
        if process is not self.witness:
            process.munmap(*self.regions[process].pop())

    def empty(self, process):
        address, n = self.rng.choice(self.regions[process])
        first = self.rng.randrange(n)
        process.madvise(address + first * PAGE_SIZE, self.rng.randint(1, n - first), "DONTNEED")

    def move(self, process):
        address, n = self.regions[process].pop()
        process.mremap(address, n, self.free)
        self.regions[process].append((self.free, n))
        self.free += (n + 600) * PAGE_SIZE

    def go_on(self):
        """Something happens; returns whether ksmd has worked."""
        what = self.rng.choice(
            [
                "scan",
                "scan",
                "scan",
                "part",
                "part",
                "write",
                "write",
                "write",
                "fork",
                "region",
                "spawn",
                "exit",
                "munmap",
                "empty",
                "move",
            ]
        )
        if what == "scan":
            self.pair.scan()
        elif what == "part":
            self.pair.scan_pages(self.rng.randint(1, 50))
        elif what == "spawn":
            self.spawn()
        else:
            able = [process for process in self.regions if what in ("region", "exit") or self.regions[process]]
            getattr(self, what)(self.rng.choice(able))
        return what in ("scan", "part")


@pytest.mark.parametrize("seed", SEEDS)
def test_all_counters_are_equal_after_every_wake_up(ksm, seed):
    rng = random.Random(seed)
    knobs = {
        "smart_scan": rng.choice([0, 1]),
        "use_zero_pages": rng.choice([0, 1]),
        "max_page_sharing": rng.choice([256, 2, 3, 5]),
        "stable_node_chains_prune_millisecs": rng.choice([0, 1_000_000_000]),
    }
    with Pair(ksm, 4000, **knobs) as pair:
        story = Story(pair, rng)
        for step in range(60):
            if story.go_on():
                differences = {name: pair_ for name, pair_ in pair.compare().items() if pair_[0] != pair_[1]}
                assert not differences, f"{knobs}, step {step}: (kernel, ours)"
                pair.ksmd.check()
                pair.machine.check()
        pair.check_bytes()
