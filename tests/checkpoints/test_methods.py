"""save and load as methods of what can be saved; and pages that an engine finds when it is made."""

import copy

import numpy as np
import pytest

from pksm import FlatHost, Ksmd, Machine, Pksmd, Simulation, Store, UsageError, checkpoints
from pksm.engine import native
from pksm.hosts.machine.content import pages_of
from pksm.policies.ksmd.tunables import PRESETS

SIZE = 64


def test_everything_that_can_be_saved_has_both_methods(tmp_path):
    host = FlatHost(Store(SIZE))
    daemon = Pksmd(host)
    host.write(host.new(4), pages_of([1, 1, 2, 2], SIZE))
    sim = Simulation(Machine(50, page_size=SIZE))
    sim.run(70)
    for thing in (daemon, host, host.store, sim, sim.machine, Ksmd(Machine(50, page_size=SIZE))):
        thing.save(tmp_path / "it")
        assert type(thing.load(tmp_path / "it")) is type(thing)
    assert Simulation.load(checkpoints_of(tmp_path, sim)).now == 70
    again = Pksmd.load(checkpoints_of(tmp_path, daemon))
    while not again.at_rest:
        again.wake()
    assert again.host.frames_saved == 2 and host.frames_saved == 0


def checkpoints_of(folder, thing):
    thing.save(folder / "it")
    return folder / "it"


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    path = checkpoints_of(tmp_path, Store(SIZE))
    with pytest.raises(UsageError, match=r"it: holds a Store, not a Pksmd: checkpoints.load returns it"):
        Pksmd.load(path)
    assert isinstance(checkpoints.load(path), Store)


def test_chains_whose_duplicates_are_gone_come_back():
    machine = Machine(200, page_size=SIZE)
    daemon = Ksmd(machine, PRESETS["ksm-6.11"].with_(max_page_sharing=2, pages_to_scan=3))
    gone, kept = machine.spawn(), machine.spawn()
    kept.write(kept.mmap(9, mergeable=True), [2] * 9)
    at = gone.mmap(9, mergeable=True)
    gone.write(at, [1] * 9)
    while daemon.counters()["stable_node_chains"] < 2 or not daemon.at_rest:
        daemon.wake()
    gone.write(at, range(10, 19))
    empty = 0
    for _ in range(20):
        daemon.wake()
        chains = np.flatnonzero(daemon.items.flags & native.CHAIN)
        empty += bool((daemon.items._columns["next"][chains] == 0).any())
        twin = copy.deepcopy(daemon)
        assert twin.counters() == daemon.counters()
    assert empty


@pytest.mark.parametrize("engine", [Pksmd, Ksmd])
def test_an_engine_merges_the_pages_that_it_finds(engine):
    store = Store(SIZE)
    first, rows = store.allocate(5)
    rows[:] = pages_of([1, 1, 2, 2, 2], SIZE)
    host = FlatHost(store)
    host.add(np.arange(first, first + 5))
    machine = Machine(50, page_size=SIZE)
    mm = machine.spawn()
    mm.write(mm.mmap(5, mergeable=True), [1, 1, 2, 2, 2])
    for found in (host, machine):
        daemon = engine(found)
        for _ in range(8):
            daemon.wake()
        daemon.check()
        assert found.frames_saved == 3


def test_a_second_engine_leaves_what_the_first_has_merged():
    host = FlatHost(Store(SIZE))
    first = Pksmd(host)
    pages = host.new(6)
    host.write(pages, pages_of([1, 1, 1, 2, 3, 0], SIZE))
    while not first.at_rest:
        first.wake()
    assert host.frames_saved == 3
    host.detach()
    second = Pksmd(host)
    host.write(pages[3:5], pages_of([4, 4], SIZE))
    while not second.at_rest:
        second.wake()
    assert host.frames_saved == 4
    host.free(pages)
    assert host.frames_saved == 0 and len(second.items) == 0
    for thing in (host, second):
        thing.check()
