"""A run that is saved in the middle goes on as the one that was not: counter for counter, byte for byte."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pksm import FlatHost, Ksmd, Machine, Pksmd, Simulation, Store, checkpoints
from pksm.engine import native
from pksm.hosts.machine.content import pages_of
from pksm.policies.cksm.daemon import Cksm
from pksm.policies.cksm.spec import PRESETS as CKSM_PRESETS
from pksm.policies.ksmd.tunables import PRESETS as KSM_PRESETS
from pksm.policies.pksmd.tunables import PRESETS
from pksm.policies.pksmd.tunables import preset as pksm_preset
from pksm.policies.uksm.daemon import Uksm
from pksm.policies.uksm.spec import PRESETS as UKSM_PRESETS
from pksm.protocols import NO_FRAME
from pksm.simulation import workloads

SIZE = 64

SETTINGS = {
    **{f"pksmd:{name}": tunables for name, tunables in PRESETS.items()},
    "pksmd:content": pksm_preset("fixed").with_(order="content", n=2, retry="new"),
    "pksmd:on-search": pksm_preset("fixed").with_(update="on-search", order="checksum"),
    "pksmd:sampled": pksm_preset("fixed").with_(checksum="sampled:words=4"),
    **{f"ksmd:{name}": tunables for name, tunables in KSM_PRESETS.items()},
    **{f"uksm:{name}": tunables for name, tunables in UKSM_PRESETS.items()},
    "uksm:quiet": UKSM_PRESETS["uksm-0.1.2"].with_(cpu_governor="quiet"),
    **{f"cksm:{name}": tunables for name, tunables in CKSM_PRESETS.items()},
    "cksm:sampled": CKSM_PRESETS["fixed"].with_(checksum="sampled:words=4"),
    "ksmd:chains": KSM_PRESETS["ksm-6.11"].with_(max_page_sharing=2, use_zero_pages=1),
    "ksmd:advised": KSM_PRESETS["ksm-6.11"].with_(advisor_mode="scan-time", advisor_target_scan_time=1),
}


class OnFlat:
    """Pages that come, go and are written on a FlatHost."""

    def __init__(self, rng, n):
        self.host = FlatHost(Store(SIZE))
        first, rows = self.host.store.allocate(n)
        rows[:] = pages_of(rng.integers(0, 9, n), SIZE)
        self.host.add(np.arange(first, first + n // 2), anon_vma=3)

    def act(self, rng):
        host = self.host
        alive = np.flatnonzero(host.frame_of < NO_FRAME).astype(np.uint32)
        some = rng.permutation(alive)[: rng.integers(0, 15)]
        what = rng.integers(0, 4)
        if what == 0:
            host.free(some)
        elif what == 1:
            host.new(int(rng.integers(0, 9)))
        else:
            host.write(some, pages_of(rng.integers(0, 9, len(some)), SIZE))

    def memory(self):
        alive = np.flatnonzero(self.host.frame_of != NO_FRAME)
        return alive.tolist(), self.host.frame_of[alive].tolist(), self.host.read(alive).tobytes()


class OnMachine:
    """Processes that fork, write, move and exit."""

    def __init__(self, rng, n):
        self.host = Machine(4 * n + 200, page_size=SIZE, pagevec=bool(rng.integers(2)))
        mm = self.host.spawn()
        mm.write(mm.mmap(n, 0x40 * SIZE, mergeable=True), rng.integers(0, 9, n))

    def act(self, rng):
        machine = self.host
        mms = list(machine.mms.values())
        mm = mms[rng.integers(len(mms))]
        vma = mm.vmas[rng.integers(len(mm.vmas))]
        first, end = machine.vmas.span(vma)
        at = int(rng.integers(first, end))
        n, at = int(rng.integers(1, end - at + 1)), at * SIZE
        what = rng.integers(0, 9)
        if what < 4:
            mm.write(at, rng.integers(0, 9, n))
        elif what == 4 and len(mms) < 3:
            mm.fork()
        elif what == 5 and len(mms) > 1:
            mm.exit()
        elif what == 6:
            machine.migrate(mm, at, n)
        elif what == 7:
            mm.mlock(at, min(n, 3))
        else:
            machine.swap_out(mm, at, min(n, 5))

    def memory(self):
        machine, seen = self.host, []
        for mm in machine.mms.values():
            for vma in mm.vmas:
                first, end = machine.vmas.span(vma)
                slots = machine.tables.slots(mm.root, np.arange(first, end))
                seen.append(machine.tables.ptes[slots].tobytes())
        return seen, machine.frames_saved, machine.frames.n_free, machine.merge_waits.all().tolist()


WORLDS = {"cksm": [OnFlat]}  # where not every world will do


def everything(world, daemon):
    """All that can be seen of an engine and its host, but for times."""
    items = daemon.items
    trees = [native.tree_items(items.table, which).tolist() for which in (native.UNSTABLE, native.STABLE)]
    nodes = items._nodes[: items._top].copy()
    if isinstance(daemon, Pksmd):
        nodes["link"] = nodes["link"] != 0  # records lie elsewhere
        nodes = nodes.tobytes(), [daemon._stable_anon.of(items, id).tolist() for id in np.flatnonzero(nodes["link"])]
    else:
        nodes = nodes.tobytes()
    return (
        daemon.counters(),
        daemon.cost.as_dict(),
        daemon.cost.entries_asserted,
        daemon.tunables,
        daemon.at_rest,
        daemon.hung,
        daemon.fake_merges,
        daemon.metadata_bytes,
        trees,
        nodes,
        world.memory(),
    )


def made(name, host, threads=1):
    if name.startswith("pksmd"):
        return Pksmd(host, SETTINGS[name].with_(pages_to_scan=1 + 17 * threads), seed=5, threads=threads)
    if name.startswith("uksm"):
        return Uksm(host, SETTINGS[name], seed=5)
    if name.startswith("cksm"):
        return Cksm(host, SETTINGS[name].with_(unmerge_pages_to_scan=9), seed=5)
    changes = {} if SETTINGS[name].advisor_mode == "scan-time" else {"pages_to_scan": 23}
    return Ksmd(host, SETTINGS[name].with_(**changes))


def by_file(pair, folder):
    path = folder / "checkpoint"
    checkpoints.save(path, pair)
    return checkpoints.load(path)


def by_state(pair, folder):
    host, daemon = pair
    twin, _ = by_file((host, None), folder)
    checkpoints.save(folder / "state", daemon.state())
    return twin, type(daemon).resume(twin, checkpoints.load(folder / "state"))


WAYS = {
    "file": by_file,
    "state": by_state,
    "pickle": lambda pair, _: pickle.loads(pickle.dumps(pair)),
    "pickled engine first": lambda pair, _: pickle.loads(pickle.dumps(pair[::-1]))[::-1],
    "deepcopy": lambda pair, _: copy.deepcopy(pair),
}


@pytest.mark.parametrize("name", SETTINGS)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=12, deadline=None)
def test_a_saved_run_goes_on_as_the_one_that_was_not(name, data, seed, tmp_path_factory):
    where = data.draw(st.sampled_from(WORLDS.get(name.partition(":")[0], [OnFlat, OnMachine])))
    way = data.draw(st.sampled_from(sorted(WAYS)))
    levels = native.cpu_levels()
    level = data.draw(st.sampled_from(levels))
    rng = np.random.default_rng(seed)
    worlds = [where(np.random.default_rng(seed), 90)]
    threads = data.draw(st.sampled_from([1, 2]))
    daemons = [made(name, worlds[0].host, threads)]

    def go_on(turns):
        for turn in range(turns):
            turn_seed = int(rng.integers(1 << 32))
            for world, daemon in zip(worlds, daemons, strict=True):
                random = np.random.default_rng(turn_seed)
                world.act(random)
                for _ in range(random.integers(1, 4)):
                    daemon.wake()
                if turn == 3 and random.random() < 0.3:
                    daemon.sysfs["run"] = 0 if name.startswith("uksm") else 2
                    daemon.sysfs["run"] = 1

    go_on(data.draw(st.integers(0, 12)))
    twin = where.__new__(where)
    twin.host, daemon = WAYS[way]((worlds[0].host, daemons[0]), tmp_path_factory.mktemp("saved"))
    assert daemon is not daemons[0] and type(daemon) is type(daemons[0])
    worlds.append(twin), daemons.append(daemon)
    assert everything(worlds[0], daemons[0]) == everything(twin, daemon)
    try:
        native.select_cpu(level)
        go_on(10)
    finally:
        native.select_cpu(levels[-1])
    assert everything(worlds[0], daemons[0]) == everything(twin, daemon)
    for thing in (twin.host, daemon):
        thing.check()


@pytest.mark.parametrize("policy", ["pksmd", "ksmd", None])
def test_a_simulation_s_snapshot_goes_on_like_the_simulation(policy, tmp_path):
    machine = Machine(3000, page_size=SIZE)
    daemon = {"pksmd": Pksmd, "ksmd": Ksmd, None: lambda machine: None}[policy](machine)
    sim = Simulation(machine, daemon, sample_ms=50)
    events = list(workloads.events("fork-server", 600, 1, SIZE)) if "fork-server" in workloads.WORKLOADS else None
    if events is None:
        name = next(iter(workloads.WORKLOADS))
        events = list(workloads.events(name, 600, 1, SIZE))
    sim.play(events[: len(events) // 2])
    sim.read("half")
    path = tmp_path / "simulation"
    checkpoints.save(path, sim)
    twins = [sim.snapshot(), pickle.loads(pickle.dumps(sim)), checkpoints.load(path)]
    for one in (sim, *twins):
        one.play(events[len(events) // 2 :])
        one.run(one.now + 500)
        one.read("end")
    for twin in twins:
        assert twin.machine is not machine
        assert twin.readings == sim.readings and twin.samples == sim.samples
        assert (twin.now, twin.wakes, twin.reached_ms) == (sim.now, sim.wakes, sim.reached_ms)
        assert twin.merge_waits().tolist() == sim.merge_waits().tolist()
        assert list(twin.processes) == list(sim.processes) and twin.mappings == sim.mappings
        for name, mm in sim.processes.items():
            for vma in mm.vmas:
                first, end = machine.vmas.span(vma)
                pages = first * SIZE, end - first
                assert np.array_equal(machine.read(mm, *pages), twin.machine.read(twin.process(name), *pages))
        twin.machine.check(), twin.policy.check()
