"""IdQueue against plain lists: several queues over one item table, ids that come, go and come again."""

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pksm.engine import native, queues
from pksm.engine.queues import IdQueue
from pksm.policies.pksmd.items import Items

# name -> (flag, stamp column); an item is on at most one queue of a column
QUEUES = {
    "new": (native.NEWLIST, "list_stamp"),
    "rescan": (native.RESCAN, "list_stamp"),
    "update": (native.CHECKSUM_LIST, "list_stamp"),
    "deleted": (native.DELLIST, "del_stamp"),
}
names = st.sampled_from(sorted(QUEUES))
WRAP_SOON = 200  # positions


def uint32(ids):
    return np.array(ids, np.uint32)


class QueueMachine(RuleBasedStateMachine):
    @initialize(wrap=st.sampled_from([WRAP_SOON, queues._WRAP]))
    def start(self, wrap):
        self._wrap, queues._WRAP = queues._WRAP, wrap
        self.items = Items(capacity=8)
        self.queues = {name: IdQueue(self.items, *how) for name, how in QUEUES.items()}
        self.lists = {name: [] for name in QUEUES}
        self.ids = []
        self.next_page = 0

    def teardown(self):
        if hasattr(self, "_wrap"):
            queues._WRAP = self._wrap

    def column(self, name):
        """The ids on any queue that shares the stamps of this one."""
        sharing = [other for other, (_, stamp) in QUEUES.items() if stamp == QUEUES[name][1]]
        return {id for other in sharing for id in self.lists[other]}

    def some(self, data, ids):
        return data.draw(st.lists(st.sampled_from(sorted(ids)), unique=True)) if ids else []

    @rule(n=st.integers(0, 150))
    def allocate(self, n):
        ids = self.items.allocate(np.arange(self.next_page, self.next_page + n, dtype=np.uint32))
        self.next_page += n
        assert not set(ids.tolist()) & set(self.ids)
        assert not self.items.flags[ids].any()
        self.ids += ids.tolist()

    @rule(data=st.data(), name=names)
    def push_some(self, data, name):
        self.push(name, self.some(data, set(self.ids) - self.column(name)))

    @rule(data=st.data(), name=names, on=names)
    def push_where(self, data, name, on):
        ids = self.some(data, set(self.ids) - self.column(name))
        self.queues[name].push_where(uint32(ids), QUEUES[on][0], QUEUES[on][0])
        self.lists[name] += [id for id in ids if id in self.lists[on]]

    @rule(name=names)
    def push_all(self, name):
        self.push(name, sorted(set(self.ids) - self.column(name)))

    def push(self, name, ids):
        self.queues[name].push(uint32(ids))
        self.lists[name] += ids

    @rule(name=names, n=st.one_of(st.integers(0, 5), st.integers(0, 200)))
    def take(self, name, n):
        taken = self.queues[name].take(n)
        assert taken.dtype == np.uint32
        assert taken.tolist() == self.lists[name][:n]
        del self.lists[name][:n]

    @rule(name=names, n=st.one_of(st.integers(0, 5), st.integers(0, 200)))
    def peek(self, name, n):
        assert self.queues[name].peek(n).tolist() == self.lists[name][:n]

    @rule(name=names, n=st.integers(0, 50))
    def rotate(self, name, n):
        """What the update period does with a list: what was looked at goes to the tail."""
        head = self.queues[name].peek(n)
        self.queues[name].discard(head)
        self.queues[name].push(head)
        self.lists[name] = self.lists[name][n:] + self.lists[name][:n]

    @rule(name=names, to=names)
    def move(self, name, to):
        """All at once from the one list to the other."""
        if QUEUES[name][1] == QUEUES[to][1]:
            ids = self.queues[name].take(len(self.lists[name]))
            self.lists[name] = []
            self.push(to, ids.tolist())

    @rule(data=st.data(), name=names)
    def discard(self, data, name):
        """Those that are on other queues, or on none, stay where they are."""
        gone = self.some(data, self.ids)
        self.queues[name].discard(uint32(gone))
        self.lists[name] = [id for id in self.lists[name] if id not in gone]

    @rule(name=names, step=st.integers(1, 4))
    def discard_every_nth(self, name, step):
        gone = self.lists[name][::step]
        self.queues[name].discard(uint32(gone[::-1]))
        self.lists[name] = [id for id in self.lists[name] if id not in gone]

    @rule(data=st.data())
    def free(self, data):
        gone = self.some(data, set(self.ids) - self.column("new") - self.column("deleted"))
        self.items.detach(self.items.page[uint32(gone)])
        self.items.free(uint32(gone))
        self.ids = [id for id in self.ids if id not in gone]

    @invariant()
    def queues_are_the_lists(self):
        self.items.check("checksum")
        assert len(self.items) == len(self.ids)
        for name, queue in self.queues.items():
            queue.check()
            assert len(queue) == len(self.lists[name])
            assert queue.ids().tolist() == self.lists[name]
            flagged = np.flatnonzero(self.items.flags & QUEUES[name][0])
            assert flagged.tolist() == sorted(self.lists[name])


TestQueues = QueueMachine.TestCase


@pytest.fixture
def queue():
    items = Items()
    items.allocate(np.arange(500, dtype=np.uint32))
    return IdQueue(items, native.NEWLIST, "list_stamp")


def test_a_ring_is_no_larger_than_what_it_holds(queue):
    """Pushing and taking for ever takes no more room than the longest queue did."""
    for start in range(0, 100_000, 50):
        ids = uint32([1 + (start + i) % 500 for i in range(50)])
        queue.push(ids)
        assert queue.take(50).tolist() == ids.tolist()
    assert queue.nbytes <= 1024
    queue.push(uint32(range(1, 501)))
    assert queue.nbytes <= 2 * 4 * 500
    queue.take(500)
    assert queue.nbytes <= 1024


def test_positions_are_numbered_anew_before_they_run_out(queue, monkeypatch):
    monkeypatch.setattr(queues, "_WRAP", WRAP_SOON)
    queue.push(uint32(range(1, 101)))
    for _ in range(50):
        queue.push(queue.take(30))
        queue.check()
    assert queue.ids().tolist() == [1 + (i + 1500) % 100 for i in range(100)]
    assert int(queue._items.list_stamp.max()) < WRAP_SOON


def test_a_check_finds_what_is_wrong(queue):
    queue.push(uint32([1, 2, 3]))
    queue.check()
    queue._items.set_flags(uint32([4]), native.NEWLIST)
    with pytest.raises(AssertionError):
        queue.check()
    queue._items.clear_flags(uint32([4, 2]), native.NEWLIST)
    with pytest.raises(AssertionError):
        queue.check()
    queue._items.set_flags(uint32([2]), native.NEWLIST)
    queue.check()
    queue._items.list_stamp[3] = 1
    with pytest.raises(AssertionError):
        queue.check()
