"""What happens after copy-on-write, under every preset: the notes' first question, told with the counters that the booted
kernel gave (workloads W6 and W6_groups, here with fewer pages)."""

import pytest

from pksm.hosts.machine import Machine
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd

SIZE = 4096
PUBLISHED = [name for name in tunables.PRESETS if name != "fixed"]
PAIRS, GROUPS, MEMBERS = 100, 20, 16


class World:
    """One process with pages by content id, settled."""

    def __init__(self, name, contents, **settings):
        self.machine = Machine(4 * len(contents), SIZE)
        self.daemon = Pksmd(self.machine, tunables.preset(name).with_(**settings))
        self.mm = self.machine.spawn()
        self.at = self.machine.mmap(self.mm, len(contents))
        self.machine.write(self.mm, self.at, contents)
        self.settle()

    def settle(self, wakes=60):
        for _ in range(wakes):
            self.daemon.wake()
        self.machine.check()
        self.daemon.check()

    def change(self, pages):
        """One word of each page, to something that nobody else has."""
        self.machine.patch(self.mm, self.at, [(page, 0, 1_000_000 + page) for page in pages])

    def restore(self, pages, contents):
        for page in pages:
            self.machine.write(self.mm, self.at + page * SIZE, [contents[page]])

    def state(self):
        counters = self.daemon.counters()
        names = ("pages_shared", "pages_sharing", "stable_nodes", "rmap_items")
        return (*(counters[name] for name in names), self.machine.frames_used)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_a_copy_is_never_tracked_again(name):
    """W6: sharing is the same before and after half of the pages are copied; then it is all gone at once."""
    pairs = [1 + page // 2 for page in range(2 * PAIRS)]
    world = World(name, pairs)
    merged = (PAIRS, PAIRS, 2 * PAIRS, PAIRS)
    assert world.state() == (*merged, PAIRS)
    firsts, seconds = range(0, 2 * PAIRS, 2), range(1, 2 * PAIRS, 2)
    world.change(firsts)
    assert world.state() == (*merged, 2 * PAIRS), "not one break is counted, though every frame is apart"
    world.settle()
    assert world.state() == (*merged, 2 * PAIRS)
    world.restore(firsts, pairs)
    world.settle(300)
    assert world.state() == (*merged, 2 * PAIRS), "equal pages again, and for ever apart"
    world.change(seconds)
    assert world.state()[1] == 0
    world.settle()
    assert world.state() == (0, 0, 0, 0, 2 * PAIRS), "nothing is tracked any more, and the memory is all there"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_the_first_break_of_a_group_is_not_counted(name):
    """W6_groups: 1500, 1500, 1400, 1300 ... 100, 0 with 100 groups of 16."""
    world = World(name, [1 + page // MEMBERS for page in range(GROUPS * MEMBERS)])
    seen = [world.state()[1]]
    for member in range(MEMBERS):
        world.change(range(member, GROUPS * MEMBERS, MEMBERS))
        seen.append(world.state()[1])
    assert seen == [GROUPS * n for n in (MEMBERS - 1, *range(MEMBERS - 1, -1, -1))]
    world.settle()
    assert world.state()[:4] == (0, 0, 0, 0)


def test_ours_every_break_counts_and_copies_merge_again():
    pairs = [1 + page // 2 for page in range(2 * PAIRS)]
    world = World("fixed", pairs, sleep_millisecs=1000, period_seconds=2)
    assert world.state() == (PAIRS, PAIRS, 2 * PAIRS, PAIRS, PAIRS)
    firsts, seconds = range(0, 2 * PAIRS, 2), range(1, 2 * PAIRS, 2)
    world.change(firsts)
    assert world.state() == (PAIRS, 0, 2 * PAIRS, 2 * PAIRS, 2 * PAIRS), "the copies are tracked from birth"
    world.settle()
    world.restore(firsts, pairs)
    world.settle()
    assert world.state()[1] == PAIRS and world.state()[4] == PAIRS, "found by the update period, and merged again"
    world.change(firsts)
    world.change(seconds)
    world.settle()
    assert world.state() == (0, 0, 0, 2 * PAIRS, 2 * PAIRS)


def test_ours_groups_lose_one_with_each_break():
    world = World("fixed", [1 + page // MEMBERS for page in range(GROUPS * MEMBERS)])
    seen = [world.state()[1]]
    for member in range(MEMBERS):
        world.change(range(member, GROUPS * MEMBERS, MEMBERS))
        seen.append(world.state()[1])
    assert seen == [GROUPS * n for n in (*range(MEMBERS - 1, -1, -1), 0)]
