"""Faults, copy on write, fork and death, told as stories."""

import numpy as np
import pytest

from pksm.errors import PksmError, UsageError
from pksm.hosts.machine import Machine
from pksm.hosts.machine.content import fmix32, pages_of

from support.machines import SIZE, Log, check, frames_of, machine_and_daemon, n_used, settle


def test_what_happens_after_copy_on_write():
    """The notes' first question. Two processes bring equal pages; one writes, writes back, and leaves."""
    machine, daemon = machine_and_daemon()
    alice, bob = machine.spawn(), machine.spawn()
    at = machine.mmap(alice, 2)
    machine.mmap(bob, 2, at)
    machine.write(alice, at, [7, 8])
    machine.write(bob, at, [7, 8])
    settle(machine, daemon)
    assert frames_of(machine, alice, at, 2) == frames_of(machine, bob, at, 2)
    assert (n_used(machine), machine.pages_sharing, machine.frames_saved) == (2, 2, 2)

    # Bob writes: the kept frame is read-only, so he gets a copy. Alice sees nothing of it.
    kept = frames_of(machine, alice, at, 1)
    before = daemon.counters()
    machine.patch(bob, at, [(0, 3, 99)])
    assert frames_of(machine, alice, at, 1) == kept != frames_of(machine, bob, at, 1)
    assert np.array_equal(machine.read(alice, at), pages_of([7], SIZE))
    assert (n_used(machine), machine.pages_sharing, machine.frames_saved) == (3, 1, 1)
    # The kept frame stays a stable node though it has one mapping left, and the copy is a new page.
    assert daemon.counters()["pages_shared"] == before["pages_shared"]
    assert daemon.counters()["new_len"] == 1
    settle(machine, daemon)
    assert daemon.counters()["pages_unshared"] == 1

    # He writes back what was there, in place this time: once the page is summed anew it joins the kept frame again.
    machine.patch(bob, at, [(0, 3, int(pages_of([7], SIZE).view(np.uint32)[0, 3]))])
    assert n_used(machine) == 3
    daemon.tunables = daemon.tunables.with_(sleep_millisecs=1000, period_seconds=1)
    daemon.wake()
    settle(machine, daemon)
    assert frames_of(machine, bob, at, 1) == kept and n_used(machine) == 2

    # Alice writes and Bob leaves: the last mapping of the kept frames goes, and everything about them with it.
    machine.write(alice, at, [1, 2])
    assert machine.pages_sharing == 0
    machine.exit(bob)
    settle(machine, daemon)
    assert (daemon.counters()["pages_shared"], daemon.counters()["stable_nodes"], n_used(machine)) == (0, 0, 2)
    assert frames_of(machine, alice, at, 1) != kept


def test_births_anonymous_leaves_copies_untracked():
    """As published: what is copied on a write never enters again."""
    machine, daemon = machine_and_daemon(births="anonymous")
    mm = machine.spawn()
    at = machine.mmap(mm, 4)
    machine.write(mm, at, [7, 7, 0])
    settle(machine, daemon)
    machine.write(mm, at, [7, 7, 0])
    settle(machine, daemon)
    assert len(daemon.items) == 0 and n_used(machine) == 3
    machine.touch(mm, at + 3 * SIZE)  # read first: then it is no first write
    machine.write(mm, at + 3 * SIZE, [7])
    assert len(daemon.items) == 0


def test_a_read_maps_the_kernels_zero_page_and_tells_nobody():
    machine = Machine(10, SIZE)
    log, mm = Log(machine), machine.spawn()
    at = machine.mmap(mm, 3)
    assert not machine.read(mm, at, 3).any()
    assert (log.new, n_used(machine), machine.pages_zero_sharing) == ([], 0, 0)
    machine.patch(mm, at, [(1, 2, 5)])
    assert len(log.new) == 1 and machine.read(mm, at, 3).view(np.uint32)[1].tolist() == [0, 0, 5] + [0] * 13


def test_zero_pages_are_merged_with_the_zero_page_and_come_back_by_writing():
    machine, daemon = machine_and_daemon()
    mm = machine.spawn()
    at = machine.mmap(mm, 10)
    machine.write(mm, at, [0] * 10)
    settle(machine, daemon)
    assert (n_used(machine), machine.pages_zero_sharing, machine.frames_saved) == (0, 10, 10)
    machine.write(mm, at, [1] * 5)
    assert (machine.pages_zero_sharing, machine.frames_saved) == (5, 5)
    machine.munmap(mm, at + 4 * SIZE, 3)
    assert machine.pages_zero_sharing == 3
    child = machine.fork(mm)
    assert (machine.pages_zero_sharing, machine.frames_saved) == (6, 3)
    machine.exit(child)
    check(machine, daemon)
    assert (machine.pages_zero_sharing, machine.frames_saved) == (3, 3)


def test_a_page_of_a_fork_family_merges_with_all_its_ptes_or_not_at_all():
    machine, daemon = machine_and_daemon()
    mm = machine.spawn()
    at = machine.mmap(mm, 2)
    machine.write(mm, at, [7, 7])
    family = [mm, machine.fork(mm), machine.fork(mm)]
    settle(machine, daemon)
    frames = {frame for one in family for frame in frames_of(machine, one, at, 2)}
    assert len(frames) == 1 and n_used(machine) == 1
    assert (machine.pages_sharing, machine.frames_saved) == (5, 1)  # six ptes, and one frame less


def test_fork_shares_until_one_side_writes():
    machine = Machine(20, SIZE)
    log, mm = Log(machine), machine.spawn()
    at = machine.mmap(mm, 3)
    machine.write(mm, at, [1, 2, 3])
    child = machine.fork(mm)
    assert frames_of(machine, child, at, 3) == frames_of(machine, mm, at, 3) and n_used(machine) == 3
    first = frames_of(machine, mm, at, 3)
    machine.write(mm, at, [9])
    assert frames_of(machine, child, at, 3) == first  # the child keeps the page, the writer gets another
    machine.write(child, at, [8])
    assert frames_of(machine, child, at, 1) == first[:1]  # sole owner now: written in place
    machine.exit(mm)
    assert sorted(log.freed) == [log.new[3]] and n_used(machine) == 3
    machine.check()


def test_a_vma_never_written_is_not_copied_by_fork():
    machine = Machine(20, SIZE)
    mm = machine.spawn()
    read, written = machine.mmap(mm, 2), machine.mmap(mm, 2)
    machine.touch(mm, read, 2)
    machine.touch(mm, written, 2)
    machine.touch(mm, written, write=True)
    child = machine.fork(mm)
    second_pages = np.array([read, written]) // SIZE + 1
    assert machine.tables.ptes[machine.tables.slots(mm.root, second_pages)].astype(bool).tolist() == [True, True]
    assert machine.tables.ptes[machine.tables.slots(child.root, second_pages)].astype(bool).tolist() == [False, True]
    machine.check()


def test_content_ids_are_what_the_traces_say():
    words = pages_of([0, 1, 77], 4096).view(np.uint32)
    assert not words[0].any() and words.shape == (3, 1024)

    def mixed(h):
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            h = ((h ^ h >> shift) * factor) & 0xFFFFFFFF
        return h ^ h >> 16

    assert words[2, [0, 5, 1023]].tolist() == [mixed(1024 * 77 + i) for i in (0, 5, 1023)]
    assert len(np.unique(words[1:])) == 2048 and words[1:].all()
    assert fmix32(np.array([1], np.uint32))[0] == mixed(1)


def test_write_takes_ids_bytes_and_pages_and_patches():
    machine = Machine(20, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, 5)
    machine.write(mm, at, [3, 4], patches=[(1, 2, 0xABCD), (1, 2, 0xABCE)])
    expected = pages_of([3, 4], SIZE)
    expected.view(np.uint32)[1, 2] = 0xABCE
    assert np.array_equal(machine.read(mm, at, 2), expected)
    machine.write(mm, at, expected[::-1].tobytes())
    assert np.array_equal(machine.read(mm, at, 2), expected[::-1])
    machine.write(mm, at, expected)
    assert np.array_equal(machine.read(mm, at, 2), expected)


@pytest.mark.parametrize("offset, length", [(0, 4), (60, 8), (10, 3 * SIZE), (SIZE, SIZE), (5, SIZE - 5), (7, 3)])
def test_write_bytes_goes_to_any_address(offset, length):
    machine = Machine(20, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, 4)
    machine.write(mm, at, [1, 2, 3, 4])
    expected = bytearray(machine.read(mm, at, 4).tobytes())
    data = bytes(range(100, 100 + length % 100)) + bytes(length - length % 100)
    expected[offset : offset + length] = data
    machine.write_bytes(mm, at + offset, data)
    assert machine.read(mm, at, 4).tobytes() == bytes(expected)


def test_out_of_frames_does_nothing():
    machine, daemon = machine_and_daemon(frames=5)
    mm = machine.spawn()
    at = machine.mmap(mm, 10)
    machine.write(mm, at, [1, 1, 2])
    child = machine.fork(mm)
    before = machine.read(mm, at, 10)
    for operation in (
        lambda: machine.write(mm, at, [5, 5, 5]),
        lambda: machine.touch(mm, at, 10, write=True),
        lambda: machine.mlock(child, at, 3),
        lambda: machine.migrate(mm, at, 3),
        lambda: machine.patch(mm, at, [(0, 0, 1), (1, 0, 1), (9, 0, 1)]),
    ):
        with pytest.raises(PksmError, match="out of frames: .* needed, 2 of 5 free"):
            operation()
        check(machine, daemon)
    assert np.array_equal(machine.read(mm, at, 10), before) and n_used(machine) == 3
    machine.write(mm, at, [5, 5])
    settle(machine, daemon)
    with pytest.raises(PksmError, match="out of frames"):
        machine.touch(mm, at, 6, write=True)
        machine.unmerge_all()
    check(machine, daemon)


def test_what_can_not_be_asked_for():
    machine = Machine(20, SIZE)
    mm, gone = machine.spawn(), machine.spawn()
    at = machine.mmap(mm, 4)
    machine.mmap(mm, 2, at + 6 * SIZE, writable=False)
    machine.exit(gone)
    for operation, message in (
        (lambda: machine.fork(gone), "mm 2 has exited"),
        (lambda: machine.read(gone, at), "mm 2 has exited"),
        (lambda: machine.exit(gone), "mm 2 has exited"),
        (lambda: machine.mmap(mm, 3, at + SIZE), "overlap"),
        (lambda: machine.mmap(mm, 9, at - 8 * SIZE), "overlap"),
        (lambda: machine.read(mm, at, 5), "nothing is mapped at"),
        (lambda: machine.read(mm, at - SIZE, 2), "nothing is mapped at"),
        (lambda: machine.write(mm, at, [1] * 7), "nothing is mapped at"),
        (lambda: machine.patch(mm, at, [(0, 0, 1), (5, 0, 1)]), "nothing is mapped at"),
        (lambda: machine.write(mm, at + 6 * SIZE, [1]), "read-only"),
        (lambda: machine.madvise(mm, at, 5, "DONTNEED"), "nothing is mapped at"),
        (lambda: machine.madvise(mm, at, 1, "WILLNEED"), "advice"),
        (lambda: machine.mprotect(mm, at, 5, False), "nothing is mapped at"),
        (lambda: machine.mlock(mm, at, 5), "nothing is mapped at"),
        (lambda: machine.mremap(mm, at, 8), "nothing is mapped at"),
        (lambda: machine.mremap(mm, at, 2, at + SIZE), "overlap"),
        (lambda: machine.read(mm, at + 1), "not a multiple of the page size"),
        (lambda: machine.read(mm, -SIZE), "not a multiple of the page size"),
        (lambda: machine.read(mm, at, 0), "at least one page"),
        (lambda: machine.mmap(mm, 1 << 36), "at least one page and ends below"),
        (lambda: machine.write(mm, at, b"abc"), "whole number of pages"),
        (lambda: machine.write(mm, at, [-1]), "content ids"),
        (lambda: machine.write(mm, at, [1], [(0, 16, 1)]), "does not fit"),
        (lambda: machine.pin(mm, at, 4), "has a frame"),
        (lambda: machine.unpin([0]), "not pinned"),
        (lambda: machine.unlock_page([0]), "not locked"),
        (lambda: Machine(0), "at least 1"),
        (lambda: Machine(5, births="some"), "births"),
    ):
        with pytest.raises(UsageError, match=message) as error:
            operation()
        assert "\n" not in str(error.value)
        machine.check()
    assert n_used(machine) == 0 and len(mm.vmas) == 2


def test_a_sparse_tebibyte_costs_what_it_touches():
    machine = Machine(50)
    mm = machine.spawn()
    n = 1 << 28  # pages of 4 KiB
    at = machine.mmap(mm, n)
    for page in range(0, n, n // 16):
        machine.touch(mm, at + page * 4096, write=True)
    assert machine.tables.n_leaves == 16
    child = machine.fork(mm)
    machine.mprotect(mm, at, n, False)
    machine.madvise(mm, at, n // 2, "DONTNEED")
    assert machine.tables.n_leaves == 32 and machine.tables.nbytes < 512 * 1024
    machine.check()
    machine.munmap(child, at, n)
    machine.exit(mm)
    machine.check()
    assert machine.tables.n_leaves == 0 and n_used(machine) == 0
