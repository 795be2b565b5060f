"""Recordings of few bytes that would take hours: what is shared is gone through once, and the rest has a bound."""

import time

import numpy as np
import pytest

from pksm.advice.moments import seen_in
from pksm.errors import PksmError
from pksm.recording import Kind, Recording, edges, reader
from pksm.recording.events import Block
from pksm.recording.state import State
from pksm.recording.summary import summary
from pksm.simulation import replay
from pksm.simulation.replay import RecordedWrites

from support.recordings import block, recorded

MANY = 100_000


def born(ms, space, n):
    """A space that n different pages are born in."""
    start = [("start", 1, "one"), ("map", 0, n, "heap", True)]
    pages = np.arange(n, dtype=np.uint64)
    return Block(ms, space, tuple(start), pages, np.zeros(n, np.uint8), np.arange(1, n + 1, dtype=np.uint32))


def forks(n_pages, n_forks, writes=()):
    """A process that forks; the children at `writes` write their first page."""
    yield born(0, 0, n_pages)
    for child in range(1, n_forks + 1):
        events = [(0, Kind.WRITE, 7)] if child in writes else []
        yield block(1000 + child, child, [("fork", 0, child + 1, "child")], events)


def seconds(work):
    began = time.process_time()
    work()
    return time.process_time() - began


def test_what_forks_share_is_gone_through_once():
    """10,000 forks of 100,000 pages: 1,000,000,000 pages took a minute and more."""
    with recorded(forks(MANY, 10_000), 20_000) as path:
        document = []
        assert seconds(lambda: document.append(summary(path))) < 10
        assert len(document[0]["spaces"]) == 10_001
        assert document[0]["most_pages"] == 10_001 * MANY
        looked = []
        assert seconds(lambda: looked.append(seen_in(RecordedWrites.opened(path)))) < 10
    assert looked[0].shared_contents == MANY and looked[0].saved_pages == 0


def test_forks_that_write_have_pages_of_their_own():
    state = State()
    for one in forks(10, 3, writes={2}):
        state.apply(one)
    assert state.spaces[2].contents.tolist() == [7, *range(2, 11)]
    for space in (0, 1, 3):
        assert state.spaces[space].held is state.spaces[0].held
    assert state.spaces[0].contents.tolist() == list(range(1, 11)) and state.lives.spare == 1  # 7 twice
    for space in (0, 1, 3):
        state.apply(block(2000, space, [("exit",)]))
    assert state.lives.spare == 1 and state.pages == 10  # pages 0 and 6 are the child's


def test_mappings_of_a_block_are_had_in_one_go():
    operations = [("map", 2 * number, 1, "", False) for number in range(MANY)]
    state = State()
    state.apply(block(0, 0, [("start", 1, "one")]))
    assert seconds(lambda: state.apply(block(1, 0, operations))) < 3
    assert len(state.spaces[0].edges) == 2 * MANY
    with pytest.raises(PksmError, match="at 2 ms, space 0: page 4 and 0 more: something is mapped there"):
        state.apply(block(2, 0, [("map", 3, 1, "", False), ("map", 4, 1, "", False)]))


@pytest.mark.parametrize("added", [[], [(4, 5)], [(1, 3), (3, 7)], [(0, 1), (5, 6), (20, 30)], [(9, 10), (12, 20)]])
def test_ranges_toggled_at_once_are_those_one_by_one(added):
    before = np.array([1, 3, 7, 9, 10, 12], np.int64)
    ranges = np.array(added, np.int64).reshape(-1, 2)
    slow = before
    for first, end in added:
        slow = edges.toggled(slow, first, end)
    assert edges.all_toggled(before, ranges).tolist() == slow.tolist()


def test_few_bytes_that_take_long_are_refused(monkeypatch):
    """A page that is born and dies in a large space, again and again; forks that write."""
    churn = [born(0, 0, 10_000)] + [
        block(ms, 0, [], [(5, Kind.DEATH, None) if ms % 2 else (5, Kind.BIRTH, 3)]) for ms in range(1, 100)
    ]
    for story in (churn, list(forks(10_000, 100, writes=set(range(100))))):
        with recorded(story, 2000) as path, Recording(path) as recording:
            recording.check()
            monkeypatch.setattr(reader, "FREE_STEPS", 500_000)
            monkeypatch.setattr(reader, "STEPS_A_BYTE", 1)
            with pytest.raises(
                PksmError, match=r"a\.pksmrec: at [0-9]+ ms, space [0-9]+: so few bytes hold"
            ) as refused:
                recording.check()
            assert refused.value.exit_code == 1
            monkeypatch.undo()


def test_more_forks_than_can_be_played_are_refused(monkeypatch):
    with recorded(forks(1000, 100), 2000) as path:
        RecordedWrites.opened(path)
        monkeypatch.setattr(replay, "FREE_FORKED", 50_000)
        monkeypatch.setattr(replay, "FORKED_A_BYTE", 1)
        with pytest.raises(PksmError, match="forks of 100,000 pages"):
            RecordedWrites.opened(path)
