"""ksmd by hand: its files, its settings, unmerging, and what KSM does otherwise than PKSM."""

import numpy as np
import pytest

from pksm.cli.main import main
from pksm.engine.store import Store
from pksm.errors import PksmError, UsageError
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine import Machine
from pksm.policies.ksmd import tunables as ksm_tunables
from pksm.policies.ksmd.counters import COUNTERS
from pksm.policies.ksmd.daemon import Ksmd
from pksm.policies.registry import choose
from pksm.simulation import Simulation
from pksm.simulation.run import Settings, simulate

SIZE = 64


def world(ids, preset="ksm-6.11", **settings):
    """A machine with one opted-in mapping of pages with these content ids, and ksmd."""
    machine = Machine(500, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, len(ids), mergeable=True)
    machine.write(mm, at, ids)
    return machine, mm, at, Ksmd(machine, ksm_tunables.preset(preset).with_(**settings))


def test_the_files():
    machine, mm, at, ksmd = world([1, 1, 2])
    assert list(ksmd.sysfs) == [*COUNTERS, *ksm_tunables.SETTINGS]
    assert ksmd.counters().keys() == COUNTERS.keys()
    assert ksmd.sysfs["max_page_sharing"] == 256 and ksmd.next_wake() == 20
    ksmd.sysfs["run"] = 0
    assert ksmd.next_wake() is None and ksmd.wake() == 0
    with pytest.raises(PermissionError):
        ksmd.sysfs["pages_shared"] = 1
    with pytest.raises(UsageError, match="checksum can't change"):
        ksmd.sysfs["checksum"] = "xxh3-64"
    for name, value in {"max_page_sharing": 1, "run": 3, "merge_across_nodes": 0, "stages": "none"}.items():
        with pytest.raises(UsageError, match=name):
            ksmd.sysfs[name] = value
    with pytest.raises(UsageError, match="unknown preset"):
        ksm_tunables.preset("fixed")
    with pytest.raises(UsageError, match="unknown setting"):
        ksmd.tunables.with_(order="content")


def test_memory_that_has_not_opted_in_is_left_alone():
    machine, mm, at, ksmd = world([1, 1])
    other = machine.mmap(mm, 2)
    machine.write(mm, other, [1, 1])
    for _ in range(3):
        ksmd.wake()
    assert machine.frames_used == 3 and ksmd.counters()["rmap_items"] == 2


def test_a_page_needs_two_scans_and_a_merge_of_one_of_two_ptes_frees_nothing():
    machine, mm, at, ksmd = world([1, 1])
    child = machine.fork(mm)
    ksmd.wake()
    assert (machine.frames_used, ksmd.counters()["pages_volatile"]) == (2, 4)
    ksmd.wake()
    assert (machine.frames_used, ksmd.fake_merges, ksmd.counters()["pages_sharing"]) == (1, 1, 3)
    assert ksmd.process_stat(child.id)["ksm_merging_pages"] == 2


def test_pages_that_are_mapped_once_each():
    store = Store(SIZE)
    store.add(np.repeat(np.array([1, 1, 0, 2, 0, 1], np.uint8), SIZE))
    host = FlatHost(store, static=True)
    ksmd = Ksmd(host, ksm_tunables.preset("ksm-6.11").with_(use_zero_pages=1, pages_to_scan=4))
    host.add([0, 1, 2, 4, 5])
    while not ksmd.at_rest:
        ksmd.wake()
        ksmd.check()
        host.check()
    counters = ksmd.counters()
    assert (counters["pages_sharing"], counters["ksm_zero_pages"], host.frames_saved) == (2, 2, 4)
    host.add([3])
    host.free([0])
    for _ in range(6):
        ksmd.wake()
    ksmd.check()
    assert ksmd.counters()["rmap_items"] == 3 and ksmd.counters()["pages_unshared"] == 1
    ksmd.sysfs["run"] = 2
    host.check()
    assert host.frames_saved == 0


def test_run_2_unmerges_and_forgets_everything():
    machine, mm, at, ksmd = world([1, 1, 0, 2], use_zero_pages=1)
    for _ in range(3):
        ksmd.wake()
    assert machine.frames_used == 2 and ksmd.counters()["ksm_zero_pages"] == 1
    scanned = ksmd.counters()["pages_scanned"]
    ksmd.sysfs["run"] = 2
    left = {name: count for name, count in ksmd.counters().items() if count and name in COUNTERS}
    assert machine.frames_used == 4 and left == {"pages_scanned": scanned}, (
        "what was scanned counts on, as in the kernel"
    )
    ksmd.check()
    ksmd.sysfs["run"] = 1
    for _ in range(2):
        ksmd.wake()
    assert machine.frames_used == 2


def test_stacks_merge_like_other_memory():
    """PKSM's reverse walk leaves them alone, KSM has none."""
    for first, second in ((False, True), (True, False)):
        machine = Machine(100, SIZE)
        ksmd = Ksmd(machine, ksm_tunables.preset("ksm-6.11").with_(smart_scan=0))
        mm = machine.spawn()
        for address, stack in ((0x10000, first), (0x20000, second)):
            machine.mmap(mm, 4, address, mergeable=True, stack=stack)
            machine.write(mm, address, [1, 2, 3, 4])
        for _ in range(3):
            ksmd.wake()
        assert machine.frames_used == 4 and ksmd.counters()["pages_sharing"] == 4
        machine.write(mm, 0x10000, [5, 6, 7, 8])
        for _ in range(3):
            ksmd.wake()
        assert machine.frames_used == 8 and ksmd.counters()["pages_sharing"] == 0
        ksmd.check()
        machine.check()


def test_a_pair_that_the_host_refuses_leaves_no_stable_node():
    machine, mm, at, ksmd = world([1, 1], smart_scan=0)
    merge_ptes = machine.merge_ptes
    machine.merge_ptes = lambda mms, pages, frames, kpages: np.ones(len(mms), bool)
    for _ in range(3):
        ksmd.wake()
    ksmd.check()
    assert machine.frames_used == 2 and ksmd.counters()["pages_shared"] == ksmd.counters()["pages_sharing"] == 0
    machine.merge_ptes = merge_ptes
    for _ in range(3):
        ksmd.wake()
    assert machine.frames_used == 1 and ksmd.counters()["pages_sharing"] == 1


def test_waiting_pages_that_migrate_are_found_where_they_are():
    machine, mm, at, ksmd = world([1, 2, 1], smart_scan=0)
    ksmd.wake()
    ksmd.sysfs["pages_to_scan"] = 1
    ksmd.wake()
    old = machine.tables.ptes[machine.tables.slots(mm.root, np.array([at // SIZE]))]
    machine.migrate(mm, at, 1)
    assert machine.tables.ptes[machine.tables.slots(mm.root, np.array([at // SIZE]))] != old
    other = machine.spawn()
    machine.write(other, machine.mmap(other, 1), [9])  # gets the old frame
    ksmd.sysfs["pages_to_scan"] = 100
    ksmd.wake()
    ksmd.check()
    assert ksmd.counters()["pages_sharing"] == 1


@pytest.mark.parametrize("limit", [256, 2])
def test_merged_pages_that_migrate_keep_their_nodes(limit):
    """In chains too, one node of which every chain shows."""
    machine, mm, at, ksmd = world([1] * 8 + [2] * 4 + [0, 5], smart_scan=0, max_page_sharing=limit)
    for _ in range(3):
        ksmd.wake()
    before = ksmd.counters()
    for _ in range(2):
        assert machine.migrate(mm, at, 14)
        ksmd.check()
        machine.check()
        for _ in range(2):
            ksmd.wake()
        ksmd.check()
        after = ksmd.counters()
        same = before.keys() - ksmd.spec.work
        assert {name: after[name] for name in same} == {name: before[name] for name in same}
    machine.write(mm, at, [1])
    machine.write(mm, at + 13 * SIZE, [1, 2][:1])
    for _ in range(3):
        ksmd.wake()
    ksmd.check()
    assert machine.frames_used == {256: 3, 2: 8}[limit]


def test_a_search_ends_at_a_waiting_page_that_has_opted_out_in_mid_scan():
    machine, mm, at, ksmd = world([1, 1], smart_scan=0)
    ksmd.wake()
    ksmd.sysfs["pages_to_scan"] = 1
    ksmd.wake()  # the first page waits
    machine.madvise(mm, at, 1, "UNMERGEABLE")
    ksmd.wake()  # the second one meets it
    assert machine.frames_used == 2 and ksmd.counters()["pages_sharing"] == 0
    machine.madvise(mm, at, 1, "MERGEABLE")
    ksmd.sysfs["pages_to_scan"] = 100
    ksmd.wake()
    ksmd.wake()
    ksmd.wake()
    assert machine.frames_used == 1 and ksmd.counters()["pages_sharing"] == 1


def test_a_story_that_the_kernel_has_played():
    """Of two processes one opts out in mid-scan; the figures are those of the kernel's ksmd after the same."""
    machine = Machine(6000)
    settings = {"smart_scan": 0, "max_page_sharing": 2, "stable_node_chains_prune_millisecs": 0}
    ksmd = Ksmd(machine, ksm_tunables.preset("ksm-6.11").with_(pages_to_scan=1 << 30, **settings))
    mm, size = machine.spawn(), 4096
    at = machine.mmap(mm, 520, mergeable=True)
    ids = [5, 3, 4, 3, 0, 0, 1, 4, 5, 1, 1, 4, 1, 2, 4, 2, 4, 4, 1, 1, 1, 0, 2, 3, 5, 3, 2, 4, 3, 0, 0, 2, 4]
    machine.write(mm, at + 477 * size, ids)
    child = machine.fork(mm)
    ksmd.wake()
    machine.madvise(mm, at + 471 * size, 19, "DONTNEED")
    ksmd.sysfs["pages_to_scan"] = 27
    ksmd.wake()
    machine.madvise(mm, at + 508 * size, 3, "UNMERGEABLE")
    ksmd.sysfs["pages_to_scan"] = 1 << 30
    ksmd.wake()
    counters = ksmd.counters()
    assert counters["pages_shared"] == 12 and counters["pages_sharing"] == 19
    assert counters["pages_unshared"] == 3 and counters["pages_volatile"] == 19
    assert counters["stable_node_dups"] == 11 and counters["stable_node_chains"] == 5
    assert counters["general_profit"] == 74432
    merging = [ksmd.process_stat(process.id)["ksm_merging_pages"] for process in (mm, child)]
    assert merging == [19, 12]


def test_the_cursor_stands_behind_the_last_page_visited_and_not_before_the_next():
    """What is written into the hole between two wake-ups is visited in the same full scan, as the kernel does it."""
    machine = Machine(500, SIZE)
    ksmd = Ksmd(machine, ksm_tunables.preset("ksm-6.11").with_(smart_scan=0, pages_to_scan=1))
    mm = machine.spawn()
    at = machine.mmap(mm, 20, mergeable=True)
    machine.write(mm, at, [1])
    machine.write(mm, at + 10 * SIZE, [2, 3])
    ksmd.wake()
    machine.write(mm, at + 2 * SIZE, [4, 5, 6])
    ksmd.sysfs["pages_to_scan"] = 100
    ksmd.wake()
    counters = ksmd.counters()
    assert counters["full_scans"] == 1 and counters["pages_scanned"] == 6
    assert counters["rmap_items"] == counters["pages_volatile"] == 6


def test_what_others_map_of_a_merged_page_stays_merged_where_it_has_not_opted_in():
    machine, mm, at, ksmd = world([1, 1], smart_scan=0)
    child = machine.fork(mm)
    machine.madvise(child, at, 2, "UNMERGEABLE")
    for _ in range(3):
        ksmd.wake()
    assert ksmd.counters()["pages_sharing"] == 1
    assert machine.frames_used == 2, "one page was kept and the child maps it; of the other it still has the frame"
    machine.madvise(child, at, 2, "UNMERGEABLE")  # has not opted in: nothing to do
    ksmd.sysfs["run"] = 2
    assert machine.frames_used == 4 and ksmd.counters()["pages_shared"] == 0
    with pytest.raises(UsageError, match="max_page_sharing: can't change while pages are shared"):
        ksmd.sysfs["max_page_sharing"] = 2
    machine.exit(child)
    ksmd.sysfs["max_page_sharing"] = 2
    ksmd.check()


def test_max_page_sharing_can_not_change_while_pages_are_shared():
    machine, mm, at, ksmd = world([1, 1, 1], smart_scan=0)
    ksmd.wake()
    ksmd.sysfs["max_page_sharing"] = 2
    ksmd.wake()
    for value in (0, 3, 256):
        with pytest.raises(UsageError, match="max_page_sharing: can't change while pages are shared"):
            ksmd.sysfs["max_page_sharing"] = value
    ksmd.sysfs["max_page_sharing"] = 2  # no change
    assert ksmd.sysfs["max_page_sharing"] == 2
    ksmd.sysfs["run"] = 2
    ksmd.sysfs["max_page_sharing"] = 3
    assert ksmd.sysfs["max_page_sharing"] == 3


def test_the_child_of_an_mm_that_has_opted_out_is_visited_where_it_was_forked():
    machine, mm, at, ksmd = world([1, 2], smart_scan=0)
    ksmd.wake()
    machine.madvise(mm, at, 2, "UNMERGEABLE")
    child = machine.fork(mm)
    other = machine.spawn()
    machine.write(other, machine.mmap(other, 1, mergeable=True), [5])
    machine.madvise(child, at, 2, "MERGEABLE")
    assert machine.mergeable_mms() == [mm.id, child.id, other.id]
    ksmd.wake()
    assert machine.mergeable_mms() == [child.id, other.id]


def test_run_2_that_finds_too_few_frames_changes_nothing():
    machine = Machine(12, SIZE)
    ksmd = Ksmd(machine, ksm_tunables.preset("ksm-6.11").with_(smart_scan=0))
    mm = machine.spawn()
    at = machine.mmap(mm, 10, mergeable=True)
    machine.write(mm, at, [1] * 10)
    for _ in range(3):
        ksmd.wake()
    other = machine.mmap(mm, 11)
    machine.write(mm, other, np.arange(2, 13))
    before = ksmd.counters()
    with pytest.raises(PksmError, match="out of frames"):
        ksmd.sysfs["run"] = 2
    with pytest.raises(PksmError, match="out of frames"):
        machine.mremap(mm, at, 10, 0x4000000, 9)
    assert machine.read(mm, at + 9 * SIZE, 1).tobytes() == machine.read(mm, at, 1).tobytes(), "it is mapped still"
    assert ksmd.sysfs["run"] == 1 and ksmd.counters() == before
    machine.munmap(mm, other, 11)
    ksmd.sysfs["run"] = 2
    assert machine.frames_used == 10
    ksmd.check()
    machine.check()


def test_pages_that_merge_with_the_zero_page_have_waited_too():
    machine, mm, at, ksmd = world([0, 0, 0, 1], use_zero_pages=1)
    sim = Simulation(machine, ksmd)
    assert sim.run_until_rest(100, 10_000)
    assert ksmd.counters()["ksm_zero_pages"] == 3 and len(sim.merge_waits()) == 3


@pytest.mark.parametrize("mergeable, run", [(False, 1), (True, 0), (False, 0)])
def test_settled_is_also_what_is_never_scanned(mergeable, run):
    machine = Machine(50, SIZE)
    sim = Simulation(machine, Ksmd(machine, ksm_tunables.preset("ksm-6.11").with_(run=run)), sample_ms=100)
    mm = machine.spawn()
    machine.write(mm, machine.mmap(mm, 4, mergeable=mergeable), [1, 1, 2, 3])
    assert sim.run_until_rest(2500, 100_000) and sim.now <= 2600


def test_what_opts_in_late_is_scanned_before_it_is_settled():
    machine = Machine(50, SIZE)
    sim = Simulation(machine, Ksmd(machine, ksm_tunables.preset("ksm-6.11").with_(sleep_millisecs=4000)))
    mm = machine.spawn()
    at = machine.mmap(mm, 4)
    machine.write(mm, at, [1, 1, 2, 3])
    sim.at(4100, lambda: machine.madvise(mm, at, 4, "MERGEABLE"))
    assert sim.run_until_rest(4200, 1_000_000)
    assert machine.frames_used == 3


def test_the_stable_tree_is_searched_before_the_checksum_until_6_11():
    for preset, used in {"ksm-6.11": 2, "ksm-4.20": 1, "ksm-3.x": 1}.items():
        machine, mm, at, ksmd = world([1, 1, 2], preset, smart_scan=0)
        for _ in range(2):
            ksmd.wake()
        machine.write(mm, at + 2 * SIZE, [1])
        ksmd.wake()  # it has changed since its last visit
        assert machine.frames_used == used, preset
        ksmd.wake()
        assert machine.frames_used == 1


def test_max_page_sharing_makes_more_stable_pages_of_one_content():
    for limit, pages in {0: 1, 2: 6, 5: 3, 256: 1}.items():
        machine, mm, at, ksmd = world([1] * 12, max_page_sharing=limit)
        for _ in range(2):
            ksmd.wake()
        counters = ksmd.counters()
        assert machine.frames_used == counters["pages_shared"] == pages
        assert counters["stable_node_dups"] == (pages if pages > 1 else 0)
        assert counters["stable_node_chains"] == (pages > 1)


def test_a_page_that_is_busy_is_left_for_the_next_scan():
    machine, mm, at, ksmd = world([1, 1, 0], use_zero_pages=1)
    held = machine.pin(mm, at, 3)
    for _ in range(3):
        ksmd.wake()
    assert machine.frames_used == 3
    machine.unpin(held)
    for _ in range(2):
        ksmd.wake()
    assert machine.frames_used == 1
    ksmd.check()


def test_what_waits_is_held_against_the_page_it_maps_now():
    """Between two wake-ups of one scan the waiting page is copied on write: the old frame is the child's."""
    machine, mm, at, ksmd = world([1, 2, 1], smart_scan=0)
    child = machine.fork(mm)
    machine.madvise(child, at, 3, "UNMERGEABLE")
    ksmd.wake()
    ksmd.sysfs["pages_to_scan"] = 1
    ksmd.wake()
    machine.write(mm, at, [3])
    for _ in range(2):
        ksmd.wake()
    assert np.array_equal(machine.read(mm, at, 3)[1:], machine.read(child, at, 3)[1:])
    assert ksmd.counters()["pages_sharing"] == 0
    ksmd.check()


def test_a_simulation_settles_though_the_work_goes_on():
    machine, mm, at, ksmd = world([1, 1, 2, 3])
    sim = Simulation(machine, ksmd)
    assert sim.run_until_rest(quiet_ms=100, limit_ms=10_000)
    assert machine.frames_used == 3 and ksmd.counters()["full_scans"] >= 4


def test_policies_side_by_side_get_the_same_memory():
    choices = choose("ksmd:ksm-6.11,pksmd:fixed", ["sleep_millisecs=10", "max_page_sharing=0"])
    assert [choice.name for choice in choices] == ["ksmd:ksm-6.11", "pksmd:fixed"]
    assert choices[0].settings.max_page_sharing == 0 and choices[1].settings.sleep_millisecs == 10
    document = simulate(Settings("fork-family", pages=600, page_size=SIZE), choices)
    ksm, pksm = (run["final"] for run in document["runs"])
    assert {then["label"]: then["frames_used"] for then in document["unmerged"]}["forked"] == 600
    assert 0 < pksm["counters"]["frames_used"] <= ksm["counters"]["frames_used"] < 600
    assert ksm["fake_merges"] > 300 and pksm["fake_merges"] == 0
    document = simulate(Settings("opted-in", pages=2000, page_size=SIZE), choices)
    ksm, pksm = (run["final"] for run in document["runs"])
    assert ksm["counters"]["frames_used"] == pksm["counters"]["frames_used"] == 1950
    assert ksm["metadata_bytes"] < pksm["metadata_bytes"]
    for final, item, node, nodes in ((ksm, 64, 64, "pages_shared"), (pksm, 116, 24, "stable_nodes")):
        counters = final["counters"]
        kernels = item * counters["rmap_items"] + node * counters[nodes]
        assert 0 <= final["metadata_bytes"] - kernels <= 48, "an mm_slot for the one process of ksmd"
        assert final["metadata_bytes_peak"] >= final["metadata_bytes"] and final["engine_bytes"] > 0
    assert pksm["metadata_bytes_peak"] == 116 * 2000 > pksm["metadata_bytes"], "all pages, before they merge"


def test_policies_on_the_command_line(capsys):
    assert main(["simulate", "b", "--pages", "200", "--policy", "ksmd,pksmd:android-3.4"]) == 0
    table = capsys.readouterr().out
    assert "nobody" in table and "ksmd:ksm-6.11" in table and "fake merges" in table
    assert main(["simulate", "b", "--pages", "200", "--policy", "ksmd,pksmd", "--csv", "--sample", "1000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("policy,label,reached_ms,ms,") and {line.split(",")[0] for line in lines[1:]} == {
        "ksmd:ksm-6.11",
        "pksmd:fixed",
    }
    for wrong, message in {
        ("--policy", "unknown"): "unknown policy",
        ("--policy", "ksmd:fixed"): "unknown preset",
        ("--policy", "ksmd", "--set", "quirks=x"): "write name=value",
    }.items():
        assert main(["simulate", "b", *wrong]) == 2
        assert message in capsys.readouterr().err
