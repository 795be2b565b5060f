"""Address spaces: vmas that split and merge, the order of an anon_vma's chain, mremap, mlock."""

import numpy as np
import pytest

from pksm.errors import UsageError
from pksm.hosts.machine import Machine
from pksm.hosts.machine.frames import MLOCKED
from pksm.hosts.machine.rmap import Outcome, Walk

from support.machines import SIZE, check, frames_of, machine_and_daemon, n_used, settle


@pytest.fixture
def written():
    """A machine with a mapping of 12 pages, all written: (machine, mm, address)."""
    machine = Machine(100, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, 12)
    machine.write(mm, at, list(range(1, 13)))
    return machine, mm, at


def spans(machine, mm, at):
    """(first, end, id) of every vma, first and end in pages from `at`."""
    page = at // SIZE
    return [(machine.vmas.span(vma)[0] - page, machine.vmas.span(vma)[1] - page, vma) for vma in mm.vmas]


def chain(machine, vma):
    vmas, starts = machine.rmap.chains()
    anon_vma = int(machine.vmas.anon_vma[vma])
    return vmas[starts[anon_vma] : starts[anon_vma + 1]].tolist()


def test_mprotect_splits_and_the_changed_part_keeps_the_vma(written):
    machine, mm, at = written
    (original,) = mm.vmas
    machine.mprotect(mm, at + 4 * SIZE, 4, False)
    machine.check()
    (_, _, low), (_, _, middle), (_, _, high) = spans(machine, mm, at)
    assert [span[:2] for span in spans(machine, mm, at)] == [(0, 4), (4, 8), (8, 12)]
    assert middle == original and chain(machine, original) == [original, low, high]
    machine.mprotect(mm, at + 4 * SIZE, 4, True)
    assert spans(machine, mm, at) == [(0, 12, low)]
    machine.check()


def test_mprotect_of_parts_moves_the_border(written):
    machine, mm, at = written
    machine.mprotect(mm, at, 4, False)
    machine.mprotect(mm, at + 4 * SIZE, 2, False)
    assert [span[:2] for span in spans(machine, mm, at)] == [(0, 6), (6, 12)]
    machine.mprotect(mm, at + 3 * SIZE, 3, True)
    assert [span[:2] for span in spans(machine, mm, at)] == [(0, 3), (3, 12)]
    machine.check()
    machine.mprotect(mm, at, 12, True)
    assert [span[:2] for span in spans(machine, mm, at)] == [(0, 12)]
    machine.check()


def test_munmap_keeps_the_original_below_a_hole_and_above_a_lost_head(written):
    machine, mm, at = written
    (original,) = mm.vmas
    machine.munmap(mm, at + 5 * SIZE, 2)
    (_, _, low), (_, _, high) = spans(machine, mm, at)
    assert low == original and chain(machine, low) == [low, high]
    machine.munmap(mm, at, 2)
    assert spans(machine, mm, at) == [(2, 5, original), (7, 12, high)]
    machine.check()
    assert n_used(machine) == 8


def test_read_only_pages_can_be_written_again_in_place(written):
    machine, mm, at = written
    before = frames_of(machine, mm, at, 12)
    machine.mprotect(mm, at, 12, False)
    with pytest.raises(UsageError, match="read-only"):
        machine.write(mm, at, [5])
    machine.mprotect(mm, at, 12, True)
    machine.write(mm, at, [5])
    assert frames_of(machine, mm, at, 12) == before
    machine.check()


def test_neighbours_that_were_mapped_apart_become_one():
    machine = Machine(50, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, 4)
    machine.mmap(mm, 4, at + 8 * SIZE)
    machine.mmap(mm, 4, at + 4 * SIZE)
    assert [span[:2] for span in spans(machine, mm, at)] == [(0, 12)]
    machine.mmap(mm, 1, at + 12 * SIZE, writable=False)
    machine.write(mm, at, [1])
    machine.mprotect(mm, at + 12 * SIZE, 1, True)  # no anon_vma of its own: it can join
    assert [span[:2] for span in spans(machine, mm, at)] == [(0, 13)]
    machine.check()


def test_parts_written_while_their_protection_differs_share_an_anon_vma():
    machine = Machine(50, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, 8)
    machine.mprotect(mm, at, 4, False)
    machine.write(mm, at + 4 * SIZE, [1] * 4)
    machine.mprotect(mm, at + 4 * SIZE, 4, False)
    machine.mprotect(mm, at, 2, True)
    machine.write(mm, at, [2, 2])
    machine.mprotect(mm, at, 8, True)
    assert len(mm.vmas) == 1
    machine.check()


def test_fork_appends_to_every_chain_and_gives_an_anon_vma_of_its_own(written):
    machine, mm, at = written
    child = machine.fork(mm)
    grandchild = machine.fork(child)
    (parents,), (childs,), (grandchilds,) = mm.vmas, child.vmas, grandchild.vmas
    assert chain(machine, parents) == [parents, childs, grandchilds]
    assert chain(machine, childs) == [childs, grandchilds]
    machine.write(child, at, [9])
    assert machine.frames.anon_vma[frames_of(machine, child, at, 1)[0]] == machine.vmas.anon_vma[childs]
    machine.exit(mm)
    assert chain(machine, grandchilds) == [grandchilds]
    machine.check()


def test_an_anon_vma_lives_while_it_is_referenced(written):
    machine, mm, at = written
    anon_vma = machine.anon_vma(np.array(frames_of(machine, mm, at, 1)))
    machine.get_anon_vma(anon_vma)
    machine.exit(mm)
    machine.check()
    assert machine.rmap.is_alive(anon_vma).all()
    machine.put_anon_vma(anon_vma)
    assert not machine.rmap.is_alive(anon_vma).any()
    machine.check()


def test_the_walk_has_an_outcome_for_each_page_and_keeps_the_order_of_the_chain(written):
    machine, mm, at = written
    child = machine.fork(mm)
    machine.mprotect(mm, at, 6, False)
    machine.write(child, at, [5])
    frames = np.array(frames_of(machine, mm, at, 12), np.uint32)
    walk = Walk(machine, frames)
    assert (walk.outcome == Outcome.COMPLETE).all()
    # three vmas are looked at for each page: the part that kept the vma, the child's, and the other part
    vmas = [walk.vma[walk.position == i].tolist() for i in range(12)]
    assert all(order == [mm.vmas[0], child.vmas[0], mm.vmas[1]] for order in vmas)
    assert walk.holds[walk.position == 0].tolist() == [True, True, False]
    assert walk.maps[walk.position == 0].tolist() == [True, False, False]  # the child has written
    assert walk.maps[walk.position == 11].tolist() == [False, True, True]
    # a pte that can't be found is told
    machine.tables.ptes[walk.slot[(walk.position == 3) & walk.maps][:1]] = 0
    assert Walk(machine, frames).outcome.tolist() == [0, 0, 0, Outcome.INCOMPLETE] + [0] * 8


@pytest.mark.parametrize("merged", [False, True])
def test_frames_of_several_lines_of_forks_are_walked_as_those_of_each_alone(written, merged):
    machine, mm, at = written
    child, other = machine.fork(mm), machine.spawn()
    machine.mprotect(mm, at, 6, False)
    there = machine.mmap(other, 5)
    machine.write(other, there, [1, 2, 3, 14, 15])
    theirs = np.array(frames_of(machine, other, there, 5), np.uint32)
    ours = np.array(frames_of(machine, mm, at, 12), np.uint32)
    if merged:
        assert machine.merge(ours[3:5], ours[[7, 8]]) is None
        ours = np.delete(ours, [3, 4])
    assert len(set(machine.frames.anon_vma[ours].tolist())) == 1
    machine.write(child, at + 11 * SIZE, [5])
    alone, both = [Walk(machine, ours), Walk(machine, theirs)], Walk(machine, np.concatenate((ours, theirs)))
    assert len(alone[1].vma) == 5
    assert np.array_equal(np.concatenate((alone[0].position, alone[1].position + len(ours))), both.position)
    for name in ("vma", "page", "anon_vma", "holds", "slot", "maps"):
        assert np.array_equal(np.concatenate([getattr(walk, name) for walk in alone]), getattr(both, name)), name
    assert np.array_equal(np.concatenate([walk.slots for walk in alone]), both.slots)
    assert np.array_equal(np.concatenate([walk.outcome for walk in alone]), both.outcome)


def test_mremap_moves_frames_and_the_walk_finds_them(written):
    machine, mm, at = written
    child = machine.fork(mm)
    frames = frames_of(machine, mm, at, 12)
    to = machine.mremap(mm, at + 2 * SIZE, 4, at + (1 << 20))
    assert to == at + (1 << 20) and frames_of(machine, mm, to, 4) == frames[2:6]
    assert frames_of(machine, child, at, 12) == frames
    machine.check()
    with pytest.raises(UsageError, match="nothing is mapped"):
        machine.read(mm, at + 2 * SIZE)
    with pytest.raises(UsageError, match="several mappings"):
        machine.munmap(mm, at + 7 * SIZE, 1)
        machine.mmap(mm, 1, at + 7 * SIZE, writable=False)
        machine.mremap(mm, at + 6 * SIZE, 3)
    machine.write(mm, to, [50])
    machine.check()


def test_mremap_shrinks_and_grows(written):
    machine, mm, at = written
    assert machine.mremap(mm, at, 12, new_n=8) == at and n_used(machine) == 8
    assert machine.mremap(mm, at, 8, new_n=10) == at
    assert not machine.read(mm, at + 8 * SIZE, 2).any()
    machine.mmap(mm, 1, at + 11 * SIZE, writable=False)
    content = machine.read(mm, at, 10)
    to = machine.mremap(mm, at, 10, new_n=15)
    assert to != at and np.array_equal(machine.read(mm, to, 15)[:10], content)
    assert machine.mremap(mm, to, 15, at, new_n=3) == at and n_used(machine) == 3
    assert np.array_equal(machine.read(mm, at, 3), content[:3])
    machine.check()


def test_dontneed_empties_and_the_pages_are_born_again():
    machine, daemon = machine_and_daemon()
    mm = machine.spawn()
    at = machine.mmap(mm, 4)
    machine.write(mm, at, [1, 1, 2, 2])
    settle(machine, daemon)
    machine.madvise(mm, at + SIZE, 2, "DONTNEED")
    assert not machine.read(mm, at + SIZE, 2).any() and daemon.counters()["pages_sharing"] == 0
    machine.write(mm, at + SIZE, [1, 2])
    settle(machine, daemon)
    assert n_used(machine) == 2 and daemon.counters()["pages_sharing"] == 2


def test_mlock_faults_in_and_moves_to_the_kept_page():
    machine, daemon = machine_and_daemon()
    mm = machine.spawn()
    at, other = machine.mmap(mm, 3), machine.mmap(mm, 3)
    machine.write(mm, at, [1, 2, 3])
    settle(machine, daemon)
    machine.mlock(mm, other, 3)
    assert n_used(machine) == 6
    machine.write(mm, other, [1, 2, 3])  # mlocked pages into kept ones that are not, or the other way round
    daemon.tunables = daemon.tunables.with_(sleep_millisecs=1000, period_seconds=1)
    settle(machine, daemon)
    daemon.wake()
    settle(machine, daemon)
    kept = frames_of(machine, mm, at, 3)
    assert frames_of(machine, mm, other, 3) == kept and machine.frames.has(np.array(kept), MLOCKED).all()
    assert machine.swap_out(mm, at, 3) == 0  # mlocked pages stay
    machine.write(mm, other, [4])  # the last mlocked pte of the first goes
    assert machine.frames.has(np.array(kept), MLOCKED).tolist() == [False, True, True]
    machine.munlock(mm, other, 3)
    assert not machine.frames.has(np.array(kept), MLOCKED).any()
    check(machine, daemon)
