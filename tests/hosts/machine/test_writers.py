"""Writing from a simulator of one's own: scattered pages, content ids of 64 bits, a clock, an Mm by itself."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm import Machine, Pksmd, UsageError
from pksm.hosts.machine.content import MAX_ID, _first_words, _permuted, _small_id_of, pages_of

SIZE = 16


@given(st.data())
def test_scattered_pages_are_written_as_if_one_by_one(data):
    twins = [Machine(200, page_size=SIZE) for _ in range(2)]
    daemons = [Pksmd(machine) for machine in twins]
    mms = [machine.spawn() for machine in twins]
    starts = [[mm.mmap(20), mm.mmap(700)] for mm in mms]
    assert starts[0] == starts[1]
    places = st.tuples(st.integers(0, 1), st.integers(0, 19), st.integers(0, 5))
    for _ in range(3):
        writes = data.draw(st.lists(places, max_size=15))
        addresses = [starts[0][which] + page * 31 % 20 * SIZE for which, page, _ in writes]
        ids = [id for _, _, id in writes]
        mms[0].write_at(addresses, ids)
        for address, id in zip(addresses, ids, strict=True):
            mms[1].write(address, [id])
        for daemon in daemons:
            daemon.wake()
        for start in starts[0]:
            assert np.array_equal(mms[0].read(start, 20), mms[1].read(start, 20))
        for machine in twins:
            machine.check()
    assert twins[0].frames_used == twins[1].frames_used


def test_scattered_writes_are_done_whole_or_not_at_all():
    machine = Machine(3, page_size=SIZE)
    mm = machine.spawn()
    at = mm.mmap(10)
    for addresses, ids, message in (
        ([at, at + 1], [1, 2], "not a multiple of the page size"),
        ([at, at + 10 * SIZE], [1, 2], "nothing is mapped"),
        ([at, -SIZE], [1, 2], "not a multiple of the page size"),
        ([at], [1, 2], "2 contents for 1 addresses"),
        ([float(at)], [1], "whole numbers"),
    ):
        with pytest.raises(UsageError, match=message):
            mm.write_at(addresses, ids)
    with pytest.raises(Exception, match="out of frames"):
        mm.write_at([at + i * SIZE for i in range(4)], [1, 2, 3, 4])
    assert machine.frames_used == 0
    mm.write_at([], [])
    mm.write_at([at + 5 * SIZE, at, at + 5 * SIZE], [1, 2, 3])
    assert np.array_equal(mm.read(at + 5 * SIZE), pages_of([3], SIZE)), "the last of equals counts"


IDS = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 3000), st.integers(MAX_ID - 5, MAX_ID + 5))


@given(st.sets(IDS, max_size=50), st.sampled_from([8, 16, 4096]))
def test_no_two_content_ids_are_the_same_page(ids, page_size):
    pages = pages_of(np.array(sorted(ids), np.uint64), page_size)
    assert len({bytes(page) for page in pages}) == len(ids)
    again = pages_of(np.array(sorted(ids, reverse=True), np.uint64), page_size)
    assert np.array_equal(again[::-1], pages)


def test_an_id_whose_permutation_falls_on_a_small_id_gives_way():
    """Such an id is found by undoing the permutation, round by round."""
    from pksm.hosts.machine.content import fmix32

    small = np.arange(1, 200, dtype=np.uint64)
    words = pages_of(small, 8).view(np.uint32)
    left, right = words[:, 0].copy(), words[:, 1].copy()
    for key in (0xF39CC060, 0x7F4A7C15, 0x9E3779B9):
        left, right = right ^ fmix32(left + np.uint32(key)), left
    ids = left.astype(np.uint64) << np.uint64(32) | right
    assert np.array_equal(_permuted(ids), words) and (ids > MAX_ID).all()
    assert np.array_equal(_small_id_of(words), small)
    assert np.array_equal(_first_words(ids), _permuted(small)), "the words that its small id would have had"


def test_a_machine_goes_by_a_clock_of_somebody_elses():
    time = [100]
    machine = Machine(10, page_size=SIZE, clock=lambda: time[0])
    daemon = Pksmd(machine)
    mm = machine.spawn()
    mm.write(mm.mmap(2), [1, 1])
    time[0] = 140
    daemon.wake()
    assert machine.now == 140 and machine.merge_waits.all().tolist() == [40]
    with pytest.raises(UsageError, match="goes by a clock"):
        machine.now = 5
    for twin in (machine.snapshot(), pickle.loads(pickle.dumps(machine)), copy.deepcopy(machine)):
        assert twin.now == 140
        twin.now = 141


def test_an_mm_does_by_itself_what_its_machine_does_with_it():
    machine = Machine(50, page_size=SIZE)
    mm = machine.spawn()
    at = mm.mmap(4, mergeable=True)
    mm.write(at, [1, 2, 3, 4], [(0, 1, 7)])
    mm.touch(at, 2)
    child = mm.fork()
    child.write_bytes(at + 1, b"x")
    mm.mlock(at, 1), mm.munlock(at, 1), mm.mprotect(at, 1, False), mm.madvise(at + SIZE, 1, "DONTNEED")
    assert child.read(at)[0, 1] == ord("x") and mm.read(at)[0, 1] != ord("x")
    with pytest.raises(UsageError, match="not writable|read-only"):
        mm.write(at, [1])
    mm.munmap(at, 4)
    child.exit()
    assert machine.frames_used == 0 and not child.alive
    with pytest.raises(UsageError, match="has exited"):
        child.read(at)
    twin = machine.snapshot()
    assert twin.mms[mm.id].machine is twin
