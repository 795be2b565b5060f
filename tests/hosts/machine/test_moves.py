"""Swap, migration, huge pages: for pages alone, shared by forks, and merged."""

import numpy as np
import pytest

from pksm.errors import PksmError, UsageError
from pksm.hosts.machine import Machine
from pksm.hosts.machine.content import pages_of
from pksm.hosts.machine.frames import KSM, SWAP_CACHE

from support.machines import SIZE, Log, check, frames_of, machine_and_daemon, n_used, settle


def test_a_swapped_page_of_a_family_comes_back_as_one_frame():
    machine = Machine(20, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, 2)
    machine.write(mm, at, [1, 2])
    child = machine.fork(mm)
    assert machine.swap_out(child, at, 2) == 2
    assert (n_used(machine), len(machine.swap)) == (0, 2)
    machine.check()
    machine.read(child, at)  # the child first: the parent's reverse map must find it all the same
    (frame,) = frames_of(machine, child, at, 1)
    assert machine.frames.has(np.array([frame]), SWAP_CACHE).all()
    machine.check()
    machine.read(mm, at)
    assert frames_of(machine, mm, at, 1) == [frame] and (n_used(machine), len(machine.swap)) == (1, 1)
    machine.check()
    machine.write(child, at, [3])
    machine.swap_in(child, at, 2)
    machine.exit(mm)
    machine.check()
    assert np.array_equal(machine.read(child, at, 2), pages_of([3, 2], SIZE))
    assert len(machine.swap) == 0


def test_the_cached_frame_goes_when_its_last_pte_does_and_the_slot_stays():
    machine = Machine(20, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, 1)
    machine.write(mm, at, [1])
    child = machine.fork(mm)
    machine.swap_out(mm, at, 1)
    machine.read(child, at)
    machine.madvise(child, at, 1, "DONTNEED")
    assert (n_used(machine), len(machine.swap)) == (0, 1)
    machine.check()
    machine.read(mm, at)
    assert (n_used(machine), len(machine.swap)) == (1, 0)
    machine.check()


def test_merged_pages_swap_out_whole_and_strangers_get_copies():
    machine, daemon = machine_and_daemon()
    mm, stranger = machine.spawn(), machine.spawn()
    at = machine.mmap(mm, 3)
    machine.mmap(stranger, 3, at)
    machine.write(mm, at, [7, 7, 7])
    machine.write(stranger, at, [7])
    settle(machine, daemon)
    child = machine.fork(mm)
    assert n_used(machine) == 1 and machine.pages_sharing == 6
    assert machine.swap_out(stranger, at, 3) == 1
    check(machine, daemon)
    assert (n_used(machine), len(machine.swap), machine.pages_sharing) == (0, 1, 0)
    assert daemon.counters()["pages_shared"] == 0
    for one, n in ((mm, 3), (stranger, 1), (child, 3)):
        assert np.array_equal(machine.read(one, at, n), pages_of([7] * n, SIZE))
        check(machine, daemon)
    first, second, third = frames_of(machine, mm, at, 3)
    assert len({first, second, third}) == 3  # another index is a stranger too
    assert frames_of(machine, child, at, 1) == [first] and len(machine.swap) == 0
    settle(machine, daemon)
    assert n_used(machine) == 1


def test_births_of_what_comes_back_or_moves():
    for births, n_told in (("all", 2), ("anonymous", 0)):
        machine = Machine(20, SIZE, births=births)
        mm = machine.spawn()
        at = machine.mmap(mm, 2)
        machine.write(mm, at, [1, 2])
        log = Log(machine)
        machine.swap_out(mm, at, 2)
        assert len(log.freed) == 2
        machine.swap_in(mm, at, 2)
        assert len(log.new) == n_told
        machine.migrate(mm, at, 2)
        assert len(log.new) == 2 * n_told and len(log.freed) == 4
        machine.check()


def test_a_merged_page_that_migrates_stays_merged_and_is_found():
    machine, daemon = machine_and_daemon()
    mm = machine.spawn()
    at, other = machine.mmap(mm, 4), machine.mmap(mm, 4)
    machine.write(mm, at, [7, 7, 7, 8])
    settle(machine, daemon)
    child = machine.fork(mm)
    (before,) = set(frames_of(machine, mm, at, 3))
    assert machine.migrate(child, at, 1) == 1
    check(machine, daemon)
    (after,) = set(frames_of(machine, mm, at, 3) + frames_of(machine, child, at, 3))
    assert after != before and machine.frames.has(np.array([after]), KSM).all()
    # other equal pages are merged into it, or it into theirs, sharers and all
    machine.write(mm, other, [7, 7])
    settle(machine, daemon)
    (kept,) = set(frames_of(machine, mm, at, 3) + frames_of(machine, child, at, 3) + frames_of(machine, mm, other, 2))
    assert n_used(machine) == 2 and machine.pages_sharing == 7
    assert machine.migrate(mm, at, 4) == 2
    check(machine, daemon)
    machine.split(np.array([frames_of(machine, mm, at, 1)[0]], np.uint32))
    assert n_used(machine) == 9
    check(machine, daemon)


def test_sharers_move_on_when_a_merged_page_is_merged_into_another():
    machine = Machine(50, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, 6)
    machine.write(mm, at, [7] * 6)
    frames = np.array(frames_of(machine, mm, at, 6), np.uint32)
    assert machine.merge(frames[[1, 2]], frames[[0, 0]]) is None
    assert machine.merge(frames[[4]], frames[[3]]) is None
    assert machine.merge(frames[[3]], frames[[0]]) is None
    machine.check()  # the reverse walk finds all five
    assert (n_used(machine), machine.pages_sharing, machine.frames_saved) == (2, 4, 4)
    machine.madvise(mm, at, 5, "DONTNEED")
    # the frame is used again: what was recorded about it is void
    machine.write(mm, at, [8, 8])
    first, second = frames_of(machine, mm, at, 2)
    machine.merge([first], [second])
    assert len(machine.sharers.of(np.array([second]))[0]) == 1
    machine.check()


def test_sharer_records_that_are_void_are_dropped():
    machine, daemon = machine_and_daemon()
    mm = machine.spawn()
    at = machine.mmap(mm, 40)
    machine.write(mm, at, [1] * 10)
    settle(machine, daemon)
    for round in range(40):
        machine.write(mm, at + 20 * SIZE, [round + 2] * 20)
        settle(machine, daemon)
    assert machine.sharers.nbytes < 40 * 20 * 16 and n_used(machine) == 2
    assert machine.pages_sharing == 9 + 19


@pytest.mark.parametrize("hold", ["pin", "lock_page"])
def test_busy_pages_stay(hold):
    machine, daemon = machine_and_daemon()
    mm = machine.spawn()
    at = machine.mmap(mm, 3)
    machine.write(mm, at, [7, 7, 8])
    held = getattr(machine, hold)(mm, at, 1)
    assert machine.swap_out(mm, at, 1) == machine.migrate(mm, at, 1) == 0
    assert machine.merge(held, frames_of(machine, mm, at + SIZE, 1)).tolist() == [True]
    settle(machine, daemon)
    assert n_used(machine) == 3 and daemon.counters()["rescan_len"] == 1
    machine.munmap(mm, at, 1)  # the holder's reference keeps the frame
    assert n_used(machine) == 3
    check(machine, daemon)
    (machine.unpin if hold == "pin" else machine.unlock_page)(held)
    assert n_used(machine) == 2
    check(machine, daemon)


def huge_machine(births="all"):
    machine, daemon = machine_and_daemon(frames=1700, births=births, pages_to_scan=3000)
    mm = machine.spawn()
    at = machine.mmap(mm, 1200)
    machine.thp_fault(mm, at)
    return machine, daemon, mm, at


def test_a_huge_page_is_unknown_until_it_is_split():
    for births, n_tracked in (("all", 512), ("anonymous", 0)):
        machine, daemon, mm, at = huge_machine(births)
        machine.write(mm, at, [7] * 512)
        settle(machine, daemon)
        assert (len(daemon.items), n_used(machine)) == (0, 512)
        machine.thp_split(mm, at + 5 * SIZE)
        settle(machine, daemon)
        assert n_used(machine) == (1 if n_tracked else 512)
        assert machine.pages_sharing == max(n_tracked - 1, 0)


def test_a_huge_page_is_split_before_one_of_its_pages_goes():
    for end in (
        lambda machine, mm, at: machine.munmap(mm, at + 100 * SIZE, 1),
        lambda machine, mm, at: machine.swap_out(mm, at + 100 * SIZE, 1),
        lambda machine, mm, at: machine.migrate(mm, at + 100 * SIZE, 1),
        lambda machine, mm, at: machine.write(machine.fork(mm), at + 100 * SIZE, [1]),
        lambda machine, mm, at: machine.merge_ptes(
            [mm.id], [at // SIZE], frames_of(machine, mm, at, 1), frames_of(machine, mm, at + SIZE, 1)
        ),
    ):
        machine, daemon, mm, at = huge_machine()
        end(machine, mm, at)
        check(machine, daemon)
        assert len(daemon.items) >= 511
    machine, daemon, mm, at = huge_machine()
    machine.exit(mm)
    check(machine, daemon)
    assert (n_used(machine), len(daemon.items)) == (0, 0)


def test_where_no_huge_page_fits():
    machine, _, mm, at = huge_machine()
    for page, message in ((0, "mapped there already"), (1, "multiple of 512"), (1024, "nothing is mapped")):
        address = at + page * SIZE
        with pytest.raises(UsageError, match=message):
            machine.thp_fault(mm, address)
    machine.touch(mm, at + 512 * SIZE, 600, write=True)
    more = machine.mmap(mm, 512)
    with pytest.raises(PksmError, match="in a row"):
        machine.thp_fault(mm, more)
    machine.check()


def test_a_frame_that_a_range_maps_twice_is_locked_once():
    machine, daemon = machine_and_daemon()
    mm = machine.spawn()
    at = machine.mmap(mm, 4)
    machine.write(mm, at, [8, 7, 7, 9])
    settle(machine, daemon)
    held = machine.lock_page(mm, at, 4)
    assert held.tolist() == list(dict.fromkeys(frames_of(machine, mm, at, 4)))
    machine.unlock_page(held)
    check(machine, daemon)
    machine.exit(mm)
    assert n_used(machine) == 0
