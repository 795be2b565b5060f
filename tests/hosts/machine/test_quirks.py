"""The faults of the published kernels that need page tables: each switch by itself, under a preset that has it."""

import numpy as np
import pytest

from pksm.engine import native
from pksm.hosts.machine import Machine
from pksm.hosts.machine import frames as flag
from pksm.hosts.machine.quirks import Quirks
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd
from pksm.policies.pksmd.quirks import QUIRKS
from pksm.policies.uksm.spec import QUIRKS as UKSM_QUIRKS

PAGE_SIZE, WORDS = 4096, 1024
COLUMNS = ("pages_shared", "pages_sharing", "pages_unshared", "stable_nodes", "rmap_items")


class World:
    """A machine and pksmd; processes are filled with content ids."""

    def __init__(self, chosen):
        self.machine = Machine(64, PAGE_SIZE)
        self.daemon = Pksmd(self.machine, chosen)

    def process(self, ids, **kind):
        mm = self.machine.spawn()
        at = self.machine.mmap(mm, len(ids), **kind)
        self.machine.write(mm, at, ids)
        return mm, at

    def wake(self, times=3):
        for _ in range(times):
            self.daemon.wake()
            self.machine.check()
            self.daemon.check()
        return self

    def counters(self):
        return tuple(self.daemon.counters()[name] for name in COLUMNS)

    @property
    def frames(self):
        return self.machine.frames_used

    def __getattr__(self, name):
        return self.daemon.counters()[name]


def both(quirk, preset="android-3.4"):
    """Two worlds of a preset: with the quirk, and without."""
    chosen = tunables.preset(preset)
    assert quirk in chosen.quirks
    return World(chosen), World(chosen.with_(quirks=chosen.quirks - {quirk}))


def forked_pair(world):
    """Two equal pages of a process that has a living child."""
    mm, at = world.process([1, 1])
    child = world.machine.fork(mm)
    world.wake()
    return mm, at, child


@pytest.mark.parametrize("preset", ["v0.1", "v0.2", "android-3.4", "reveriel"])
def test_multi_mapped_kpage(preset):
    for world, shared in zip(both("multi-mapped-kpage", preset), (0, 1), strict=True):
        forked_pair(world)
        assert (world.pages_shared, world.pages_sharing) == (shared, 2 * shared)
        assert (world.frames, world.rmap_items) == (2 - shared, 1)


def test_half_made_kpage():
    """The page that could not be kept is a KSM page all the same, and so it can't be swapped out."""
    for world, half in zip(both("half-made-kpage"), (True, False), strict=True):
        mm, at, _ = forked_pair(world)
        assert world.pages_shared == 0
        assert int(np.count_nonzero(world.machine.frames.flags & flag.KSM)) == half
        assert world.machine.swap_out(mm, at, 2) == 2 - half
        assert world.frames == half


def split_in_three(world):
    """Pairs in a mapping whose middle third is read-only: it keeps the vma, and so it comes first in the anon_vma."""
    mm, at = world.process([1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6])
    world.machine.mprotect(mm, at + 4 * PAGE_SIZE, 4, writable=False)
    return world.wake(4)


@pytest.mark.parametrize("quirk", ["walk-stops", "split-vma"])
def test_walk_stops_and_split_vma(quirk):
    faulty, right = both(quirk)
    assert split_in_three(faulty).counters()[:2] == (2, 2) and faulty.frames == 10
    assert split_in_three(right).counters()[:2] == (6, 6) and right.frames == 6


def test_walk_stops_at_a_child():
    """A child that has written to its page ends the walk, with DROP; walking on, the other page is merged."""
    for world, merged in zip(both("walk-stops", "reveriel"), (0, 1), strict=True):
        mm, at = world.process([1])
        child = world.machine.fork(mm)
        world.machine.write(child, at, [2])
        world.wake()
        world.process([1])
        world.wake(5)
        assert world.pages_shared == merged and world.daemon.counters()["stable_nodes"] == 2 * merged


def test_partial_merge_leak():
    """W23: a process whose child has its own copies; another process brings equal pages; all end."""
    for world, leaked in zip(both("partial-merge-leak"), (4, 0), strict=True):
        b, at = world.process([1, 2, 3, 4])
        child = world.machine.fork(b)
        world.machine.write(child, at, [11, 12, 13, 14])
        world.wake()
        a, _ = world.process([1, 2, 3, 4])
        world.wake()
        assert world.counters() == (0, leaked, 4 - leaked, 0, 4 - leaked)
        assert world.frames == 12 - leaked
        for mm in (a, b, child):
            world.machine.exit(mm)
        world.wake()
        assert world.counters() == (0, leaked, 0, 0, 0) and world.frames == 0


def test_counters_drift():
    """A merged pair in two processes, by fork: three ptes beyond the first, and one was replaced."""
    for world, forked in zip(both("counters-drift"), (1, 3), strict=True):
        mm, _ = world.process([1, 1])
        world.wake()
        assert world.pages_sharing == 1
        child = world.machine.fork(mm)
        assert world.wake().pages_sharing == forked
        world.machine.exit(child)
        assert world.wake().pages_sharing == 1
        world.machine.exit(mm)
        assert world.wake().counters() == (0, 0, 0, 0, 0)


def test_first_break_uncounted():
    for world, counted in zip(both("first-break-uncounted"), (1, 0), strict=True):
        mm, at = world.process([1, 1])
        world.wake()
        world.machine.write(mm, at, [2])
        assert world.wake().counters()[:2] == (1, counted)
        world.machine.write(mm, at + PAGE_SIZE, [3])
        assert world.wake().counters()[:2] == (0, 0) and world.frames == 2


def test_births_missed():
    """A member of a merged pair is written, and gets its old bytes back."""
    for world, frames in zip(both("births-missed"), (2, 1), strict=True):
        mm, at = world.process([1, 1])
        world.wake()
        world.machine.write(mm, at, [2])
        world.wake()
        world.machine.write(mm, at, [1])
        assert world.wake().frames == frames


def test_useless_rmap():
    for world, frames in zip(both("useless-rmap"), (2, 0), strict=True):
        mm, at = world.process([1, 1, 2, 2])
        world.wake()
        world.machine.swap_out(mm, at, 4)
        assert world.frames == frames
        assert world.machine.migrate(mm, at, 4) == 0


@pytest.mark.parametrize("how", ["run", "madvise"])
def test_no_unmerge(how):
    for world, merged in zip(both("no-unmerge"), (True, False), strict=True):
        mm, at = world.process([1, 1, 0])
        world.wake()
        assert (world.pages_sharing, world.frames) == (2, 1)
        if how == "run":
            world.daemon.sysfs["run"] = 2
        else:
            world.machine.madvise(mm, at, 3, "UNMERGEABLE")
        assert (world.pages_sharing, world.frames) == ((2, 1) if merged else (0, 3))


@pytest.mark.parametrize("preset", ["v0.1", "v0.2", "android-3.4", "reveriel"])
@pytest.mark.parametrize("joined", [False, True])
def test_mlock_hang(preset, joined):
    """Of a pair, or of three, the one that is to be merged is mlocked, and the one that is kept is not."""
    for world, hangs in zip(both("mlock-hang", preset), (True, False), strict=True):
        if joined:
            world.process([1, 1])
            world.wake()
        locked, at = world.process([1])
        world.machine.mlock(locked, at, 1)
        world.wake()
        world.process([1])
        world.wake()
        assert bool(world.daemon.hung) == hangs
        assert world.pages_shared == (joined or not hangs)
        assert world.pages_sharing == 1 + joined + (joined and not hangs)
        if hangs:
            assert "hangs" in world.daemon.hung and world.daemon.wake() == 0
            before = world.counters()
            world.process([1])
            assert world.wake().counters()[:4] == before[:4]
        world.machine.check()


def test_mlocked_on_both_sides_does_not_hang():
    """W9, and what a copy on write does: it munlocks the kept page, so that the next one hangs."""
    world, _ = both("mlock-hang")
    mm, at = world.process([1, 1, 1])
    world.machine.mlock(mm, at, 3)
    world.wake()
    assert not world.daemon.hung and world.counters()[:2] == (1, 2)
    world.machine.write(mm, at, [2])
    new, at = world.process([1])
    world.machine.mlock(new, at, 1)
    world.daemon.wake()
    assert world.daemon.hung


def test_ref_leak():
    """A search meets a page that is no anonymous page at the moment, and keeps its reference."""
    for world, leaked in zip(both("ref-leak"), (1, 0), strict=True):
        mm, at = world.process([1])
        world.wake()
        frame = world.machine.frames
        kept = np.flatnonzero(frame.mapcount)
        other, _ = world.process([1])
        frame.classes[kept] = native.NOT_ANON
        world.daemon.wake()
        frame.reclassify(kept)
        assert (frame.classes[kept] == native.BUSY_PAGE) == leaked
        world.machine.exit(mm)
        world.machine.exit(other)
        assert world.wake().frames == leaked


def test_every_quirk_of_the_machine_is_a_quirk():
    of_pksmd = set(Quirks.IDS) & set(QUIRKS)
    assert set(Quirks.IDS) - of_pksmd <= set(UKSM_QUIRKS)
    assert {quirk for quirk, (anywhere, _) in QUIRKS.items() if not anywhere} == of_pksmd | {"ref-leak"}


def test_quirks_can_change_while_it_runs():
    """Books are opened when they are to be kept, and the reach of every page is looked at anew."""
    world = World(tunables.preset("fixed"))
    forked_pair(world)
    assert world.pages_sharing == 3
    world.daemon.tunables = world.daemon.tunables.with_(quirks={"walk-stops", "multi-mapped-kpage", "counters-drift"})
    assert world.wake().pages_sharing == 3
    world.process([5, 5])
    assert world.wake().pages_sharing == 4
    world.daemon.tunables = tunables.preset("fixed")
    assert world.wake().pages_sharing == 4


@pytest.mark.parametrize("preset", ["android-3.4", "reveriel", "v0.1", "fixed"])
def test_pages_that_wait_on_a_pagevec_have_no_pte_in_reach(preset):
    machine = Machine(50, PAGE_SIZE, pagevec=True)
    pksmd = Pksmd(machine, tunables.preset(preset))
    mm = machine.spawn()
    at = machine.mmap(mm, 4)
    machine.mlock(mm, at, 4)
    machine.write(mm, at, [1, 1, 2, 3])
    for _ in range(4):
        pksmd.wake()
        machine.check()
        pksmd.check()


def waiting_machine():
    """One whose new pages wait, with a process of 20 pages, of which the last 6 do."""
    machine = Machine(64, PAGE_SIZE)
    machine.set_quirks({"pagevec"})
    mm = machine.spawn()
    at = machine.mmap(mm, 40)
    machine.write(mm, at, [*range(1, 21)])
    return machine, mm, at


def busy_pages(machine):
    machine.check()
    return np.flatnonzero(machine.classes == native.BUSY_PAGE).tolist()


def test_of_new_pages_up_to_13_wait_and_are_busy():
    machine, mm, at = waiting_machine()
    assert busy_pages(machine) == [*range(14, 20)]
    machine.write(mm, at + 20 * PAGE_SIZE, [*range(30, 38)])  # the 28th lets all go
    assert busy_pages(machine) == []
    machine.write(mm, at, [9])  # in place
    assert busy_pages(machine) == []
    machine.write(mm, at + 28 * PAGE_SIZE, [7])
    assert busy_pages(machine) == [28]
    machine.drain()
    assert busy_pages(machine) == []


def test_pages_of_others_wait_before_them():
    machine, mm, at = waiting_machine()
    machine.drain()
    machine.new_pages.others = 12
    machine.write(mm, at + 20 * PAGE_SIZE, [1, 2, 3])
    assert busy_pages(machine) == [22]


def let_go(what):
    machine, mm, at = waiting_machine()
    if what == "exit":
        machine.exit(machine.spawn())
    elif what == "munmap":
        machine.munmap(mm, at + 39 * PAGE_SIZE, 1)
    elif what == "dontneed":
        machine.madvise(mm, at + 39 * PAGE_SIZE, 1, "DONTNEED")
    elif what == "mlock":
        machine.mlock(mm, at, 1)
    elif what == "without":
        machine.set_quirks(())
    return machine


@pytest.mark.parametrize("what", ["exit", "munmap", "dontneed", "mlock", "without"])
def test_what_unmaps_or_locks_lets_new_pages_go(what):
    assert busy_pages(let_go(what)) == []


def test_nothing_waits_where_memory_is_locked_or_the_quirk_is_off():
    machine, mm, at = waiting_machine()
    machine.mlock(mm, at + 20 * PAGE_SIZE, 5)
    assert busy_pages(machine) == []
    other = Machine(64, PAGE_SIZE)
    mm = other.spawn()
    other.write(mm, other.mmap(mm, 5), [1] * 5)
    assert busy_pages(other) == []


def test_a_page_that_dies_while_it_waits_is_free_once_it_is_let_go():
    machine, mm, at = waiting_machine()
    child = machine.fork(mm)
    machine.write(child, at, [77])  # a copy, which waits
    fresh = int(np.flatnonzero(machine.classes == native.BUSY_PAGE)[-1])
    machine.zap_at(child, [at])
    assert machine.frames.count[fresh] == 1 and machine.frames_used == 21
    machine.drain()
    machine.check()
    assert machine.frames_used == 20
