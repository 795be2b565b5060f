"""States by themselves: what they hold, what is refused, and what comes back of checksums."""

import json
import pickle

import numpy as np
import pytest

from pksm import FlatHost, Ksmd, Machine, Pksmd, Simulation, Store, UsageError, checkpoints, checksums
from pksm.engine import native
from pksm.hosts.machine.content import pages_of
from pksm.policies.pksmd.tunables import preset
from pksm.simulation import Event

SIZE = 64


def world(ids=(1, 1, 2, 3), **how):
    host = FlatHost(Store(SIZE))
    daemon = Pksmd(host, **how)
    host.write(host.new(len(ids)), pages_of(ids, SIZE))
    return host, daemon


def test_a_state_holds_arrays_numbers_and_words():
    host, daemon = world()
    daemon.wake()
    left = json.dumps(daemon.state(), default=lambda value: value.tolist() if type(value) is np.ndarray else 1 / 0)
    assert "checksum-content" in left


def test_a_state_fits_the_host_that_it_was_taken_with_alone():
    host, daemon = world()
    daemon.wake()
    with pytest.raises(UsageError, match="its pages have 64 bytes, and the host's 16"):
        Pksmd.resume(FlatHost(Store(16)), daemon.state())
    with pytest.raises(UsageError, match="it is one of pksmd"):
        Ksmd.resume(FlatHost(Store(SIZE)), daemon.state())
    with pytest.raises(UsageError, match="not a sound state of a Pksmd"):
        Pksmd.resume(FlatHost(Store(SIZE)), daemon.state())
    with pytest.raises(UsageError, match="there is no 'policy'"):
        Pksmd.resume(host, {})


def test_no_state_is_taken_in_the_midst_of_a_wake_up():
    taken = []
    host, daemon = world(observe=lambda settled: taken.append(daemon.state()))
    with pytest.raises(UsageError, match="can't be taken while it is awake"):
        daemon.wake()


def test_a_simulation_with_functions_to_be_called_is_not_saved():
    sim = Simulation(Machine(10, page_size=SIZE))
    sim.at(5, lambda: None)
    with pytest.raises(UsageError, match="a function is still to be called at 5 ms"):
        sim.snapshot()
    sim.run(6)
    assert sim.snapshot().now == 6


def test_events_to_come_are_saved(tmp_path):
    machine = Machine(50, page_size=SIZE)
    sim = Simulation(machine, Pksmd(machine))
    for ms, op, fields in (
        (30, "set", {"name": "quirks", "value": frozenset({"no-unmerge"})}),
        (20, "write", {"process": "a", "address": "heap", "content": 2**64 - 1, "n": 4}),
        (10, "mmap", {"process": "a", "name": "heap", "n": 4}),
        (10, "read", {"label": "mapped"}),
        (10, "spawn", {"process": "b"}),
        (5, "spawn", {"process": "a"}),
    ):
        sim.at(ms, Event(None, op, fields))
    sim.run(7)
    sim.save(tmp_path / "it")
    twins = [sim, sim.snapshot(), pickle.loads(pickle.dumps(sim)), Simulation.load(tmp_path / "it")]
    for one in twins:
        one.run(2000)
        assert list(one.processes) == ["a", "b"] and [reading.ms for reading in one.readings] == [10]
        assert one.machine.frames_saved == 3 and one.policy.tunables.quirks == {"no-unmerge"}
        assert one.policy.counters() == sim.policy.counters()
    assert len({id(one.machine) for one in twins}) == 4


class Own(FlatHost):
    """A host of somebody's own."""


def test_hosts_of_ones_own_are_pickled_and_their_engine_s_state_is_saved(tmp_path):
    host = Own(Store(SIZE))
    daemon = Pksmd(host)
    pages = host.new(3)
    host.write(pages, pages_of([1, 1, 2], SIZE))
    daemon.wake()
    with pytest.raises(UsageError, match="a Own can't be saved in a checkpoint: pickle it"):
        checkpoints.save(tmp_path / "own", daemon)
    assert not (tmp_path / "own").exists()
    checkpoints.save(tmp_path / "state", daemon.state())
    again = Pksmd.resume(host, checkpoints.load(tmp_path / "state"))
    host.write(pages, pages_of([2, 2, 2], SIZE))
    while not again.at_rest:
        again.wake()
    assert host.frames_saved == 2
    again.check()


def total(rows):
    return rows.sum(axis=1, dtype=np.uint64)


@pytest.mark.parametrize(
    "checksum", ["sampled:words=3:order=sorted", "adaptive:words=4", "partial:bytes=8", "crc32c", "core", "own"]
)
def test_checksums_come_back_with_what_they_have_learned(checksum, tmp_path):
    how = {"tunables": preset("fixed").with_(checksum=checksum)}
    if checksum == "core":
        how = {"checksum": native.Checksum("sampled", [3, 1])}
    elif checksum == "own":
        checksums.register("total", total)
        how = {"checksum": checksums.make("total", SIZE)}
    host, daemon = world(range(40), seed=9, **how)
    for _ in range(3):
        daemon.wake()
    checkpoints.save(tmp_path / "it", daemon)
    twin = checkpoints.load(tmp_path / "it")
    pages = np.arange(40, dtype=np.uint32)
    assert np.array_equal(twin._summing.pages(pages), daemon._summing.pages(pages))
    if checksum.startswith("adaptive"):
        assert twin._summing.checksum.state()["tried"] == daemon._summing.checksum.state()["tried"]
        daemon._summing.checksum.set_strength(7)
        checkpoints.save(tmp_path / "it", daemon)
        assert checkpoints.load(tmp_path / "it")._summing.checksum.strength == 7


class Strange:
    name, width = "strange", 64

    def of(self, data):
        return 1

    def fill(self, store, pages, out):
        out[:] = 1


def test_a_checksum_that_nobody_knows_is_given_anew():
    host, daemon = world(checksum=Strange())
    daemon.wake()
    state = daemon.state()
    with pytest.raises(UsageError, match="'strange' is not one that pksm knows: register it, or give resume"):
        Pksmd.resume(host, state)
    assert Pksmd.resume(host, state, checksum=Strange()).counters() == daemon.counters()
