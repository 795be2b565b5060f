"""How public objects look, what tables they make, the family of errors, and checksums of one's own by name."""

import json

import numpy as np
import pytest

import pksm
from pksm import FlatHost, Ksmd, Machine, Pksmd, Simulation, Store, UsageError, checksums, errors, policies, simulation
from pksm.policies.pksmd.tunables import preset

SIZE = 64


def at_rest(daemon):
    while not daemon.at_rest:
        daemon.wake()
    return daemon


def test_what_an_engine_looks_like():
    host = FlatHost(Store(SIZE))
    daemon = Pksmd(host)
    contents = np.repeat(np.array([1] * 5 + [2, 3, 0], np.uint8)[:, np.newaxis], SIZE, axis=1)
    host.write(host.new(8), contents)
    assert repr(daemon) == "<Pksmd fixed: 0 stable, 0 unshared, 8 pages, at work>"
    at_rest(daemon)
    assert repr(daemon) == "<Pksmd fixed: 1 stable, 2 unshared, 3 pages, at rest>"
    assert repr(host) == "<FlatHost: 8 pages in 3 frames, 1 zero>"
    assert repr(host.store) == "<Store: 8 pages of 64 bytes in 1 regions>"
    daemon.tunables = daemon.tunables.with_(pages_to_scan=7)
    assert daemon.preset == "fixed pages_to_scan=7"
    assert repr(daemon.cost).startswith("<Cost: ") and "8 pages_visited" in repr(daemon.cost)
    host.store.close()
    assert repr(host.store) == "<Store: closed>"


def test_what_a_machine_and_a_simulation_look_like():
    machine = Machine(100, page_size=SIZE)
    sim = Simulation(machine, Ksmd(machine), sample_ms=10)
    mm = machine.spawn()
    mm.write(mm.mmap(4, mergeable=True), [1, 1, 1, 2])
    sim.run(200)
    assert repr(mm) == "<Mm 1>"
    assert repr(machine) == "<Machine: 1 processes, 2 of 100 frames used, 2 pages merged>"
    assert repr(sim.policy).startswith("<Ksmd ksm-6.11: 1 shared, 2 sharing, 0 unshared, 4 pages, at ")
    assert repr(sim) == f"<Simulation at 200 ms, 10 wake-ups: {machine!r}, {sim.policy!r}>"
    assert repr(Simulation(Machine(10, page_size=SIZE)).policy) == "<Nobody none: nobody>"


@pytest.mark.parametrize("name", ["xxh3-64", "adaptive", "sampled:words=4"])
def test_checksums_say_their_name(name):
    assert name.partition(":")[0] in repr(checksums.make(name, SIZE)) and "bits" in repr(checksums.make(name, SIZE))


def test_everything_that_is_a_row_or_a_table_is_plain():
    machine = Machine(100, page_size=SIZE)
    daemon = Pksmd(machine)
    sim = Simulation(machine, daemon, sample_ms=10)
    sim.run(100)
    for thing in (daemon, machine, FlatHost(Store(SIZE)), Store(SIZE)):
        row = thing.to_dict()
        assert json.loads(json.dumps(row)) == row
        assert all(isinstance(value, (int, str, bool)) for value in row.values())
    assert daemon.to_dict()["policy"] == "pksmd" and daemon.to_dict().items() >= daemon.counters().items()
    table = sim.to_dict()
    assert list(table) == list(sim.columns) and {len(column) for column in table.values()} == {len(sim.samples)}
    assert [list(row) for row in zip(*table.values(), strict=True)] == [list(row) for row in sim.samples]


def test_tables_and_rows_go_into_data_frames():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    polars = pytest.importorskip("polars", reason="polars is not installed")
    machine = Machine(100, page_size=SIZE)
    sim = Simulation(machine, Pksmd(machine), sample_ms=10)
    mm = machine.spawn()
    mm.write(mm.mmap(4), [1, 1, 1, 2])
    sim.run(100)
    for frame in (pandas.DataFrame(sim.to_dict()), polars.DataFrame(sim.to_dict())):
        assert list(frame.columns) == list(sim.columns) and len(frame) == len(sim.samples)
        assert frame["frames_saved"].to_list()[-1] == 2
    described = checksums.describe("crc32c", SIZE)
    for row in (sim.policy.to_dict(), sim.policy.cost.to_dict(), machine.to_dict(), described):
        assert pandas.DataFrame([row]).iloc[0].to_dict().keys() == row.keys()
        assert polars.DataFrame([row]).to_dicts() == [row]
    assert sim.policy.cost.to_dict()["pages_visited"] >= 4 and sim.policy.cost.to_dict()["settle_wall_s"] > 0


def test_errors_are_one_family():
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert issubclass(kind, pksm.PksmError), name
    assert issubclass(errors.UsageError, ValueError) and issubclass(errors.PageError, ValueError)
    with pytest.raises(ValueError, match="page size 3"):
        Store(3)


def test_a_checksum_is_registered_above_its_function_and_forgotten():
    @checksums.register("the-sum", width=32, about="this test")
    def total(rows):
        return rows.sum(axis=1, dtype=np.uint64)

    assert total(np.ones((1, 4), np.uint8)).tolist() == [4], "the function is still a function"
    assert "the-sum" in checksums.names() and checksums.describe("the-sum", SIZE)["width"] == 32
    checksums.unregister("the-sum")
    assert "the-sum" not in checksums.names()
    with pytest.raises(UsageError, match="'the-sum': nobody has registered that"):
        checksums.unregister("the-sum")
    with pytest.raises(UsageError, match="one of pksm's own"):
        checksums.register("xxh3-64")
    with pytest.raises(UsageError, match="neither the address"):
        checksums.register("five")(5.5)


@pytest.mark.parametrize("engine", [Pksmd, Ksmd])
def test_an_engine_takes_a_checksum_by_name_or_as_a_function(engine):
    calls = []

    def total(rows):
        calls.append(len(rows))
        return rows.sum(axis=1, dtype=np.uint64)

    saved = set()
    for checksum in ("crc32c", total, checksums.make("crc32c", SIZE), None):
        machine = Machine(100, page_size=SIZE)
        daemon = engine(machine, checksum=checksum)
        mm = machine.spawn()
        mm.write(mm.mmap(6, mergeable=True), [1, 2, 1, 2, 3, 1])
        for _ in range(8):
            daemon.wake()
        daemon.check()
        saved.add(machine.frames_saved)
    assert saved == {3} and sum(calls)
    with pytest.raises(UsageError, match="unknown checksum 'nothing'"):
        engine(Machine(10, page_size=SIZE), checksum="nothing")
    with pytest.raises(UsageError, match="neither the address of a C function nor a callable"):
        engine(Machine(10, page_size=SIZE), checksum=5.5)


def test_policies_are_compared_on_a_workload():
    document = simulation.compare("b", "pksmd:fixed,ksmd:ksm-6.11", {"ksmd.pages_to_scan": 500}, **SMALL)
    assert [run["policy"] for run in document["runs"]] == ["pksmd:fixed", "ksmd:ksm-6.11"]
    assert document["runs"][1]["tunables"]["pages_to_scan"] == 500
    settings = simulation.Settings("b", **SMALL)
    choices = policies.choose("pksmd:fixed,ksmd:ksm-6.11", {"ksmd.pages_to_scan": 500})
    assert [run["series"] for run in simulation.simulate(settings, choices)["runs"]] == [
        run["series"] for run in document["runs"]
    ]
    with pytest.raises(UsageError, match="unknown setting 'page'"):
        simulation.compare("b", "pksmd", page=3)


SMALL = {"pages": 500, "page_size": SIZE, "until_ms": 3000}


def test_presets_are_named_by_what_differs():
    daemon = Pksmd(FlatHost(Store(SIZE)), preset("v0.2"))
    assert daemon.preset == "v0.2"
