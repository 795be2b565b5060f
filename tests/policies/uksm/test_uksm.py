"""UKSM: its arithmetic as recorded kernels did it, the two cells of its tree, and what its settings refuse."""

import numpy as np
import pytest

from pksm import testing
from pksm.engine.store import Store
from pksm.errors import UsageError
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine import Machine
from pksm.policies.uksm import governors
from pksm.policies.uksm.daemon import Uksm
from pksm.policies.uksm.spec import PRESETS, SPEC
from pksm.simulation import Simulation

SIZE = 256


def uksm_on(contents, preset="uksm-0.1.2", **changes):
    store = Store(SIZE)
    first, memory = store.allocate(len(contents))
    memory.view(np.uint32)[:] = np.array(contents, np.uint32)[:, np.newaxis] * np.uint32(2654435761)
    host = FlatHost(store, static=True)
    host.add(np.arange(first, first + len(contents), dtype=np.uint32))
    return host, Uksm(host, PRESETS[preset].with_(**changes))


def wake(policy, times=1):
    for _ in range(times):
        policy.wake()
        policy.check()


def test_it_keeps_to_the_contract_of_a_policy():
    testing.check_policy(SPEC, seed=0, rounds=6)


@pytest.mark.parametrize(
    "name, ratios, cover",
    [
        ("full", [20, 40, 2375, 9500], [1000, 500, 200, 50]),
        ("medium", [20, 30, 1250, 5000], [1000, 500, 400, 100]),
        ("low", [10, 20, 1000, 2000], [1500, 1000, 1000, 250]),
        ("quiet", [10, 20, 40, 75], [2000, 1000, 1000, 1000]),
    ],
)
def test_a_governor_sets_shares_and_cover_times(name, ratios, cover):
    settings = PRESETS["uksm-0.1.2"].with_(cpu_governor=name)
    assert governors.ratios_of(settings.cpu_ratios, settings.max_cpu_percentage) == ratios
    assert governors.intervals_of(settings.eval_intervals) == cover


def test_quotas_are_those_of_the_recorded_kernel():
    # mean ns of a visit, and the quotas that the kernel computed from it (governor full, 100 ms)
    for page_ns, quotas in (
        (500, [400, 803, 62291, 3800000]),
        (1000, [200, 401, 31145, 1900000]),
        (1058, [189, 379, 29438, 1795841]),
        (811, [247, 495, 38404, 2342786]),
    ):
        assert [governors.quota(100, ratio, page_ns) for ratio in (20, 40, 2375, 9500)] == quotas


def test_means_and_pauses_are_those_of_the_recorded_kernel():
    assert governors.mean(500, 4004385, 400) == 1000  # far off: doubled
    assert governors.mean(1000, 250326, 200) == 1050
    assert governors.mean(1050, 207558, 190) == 1058
    assert governors.pause(100, 4004385, 20) == 1000 and governors.pause(100, 250326, 20) == 100


def test_of_a_pair_the_first_merges_only_when_it_is_visited_again():
    host, policy = uksm_on([*range(1, 101)] * 2)
    wake(policy)  # the vma enters at the end of the first batch
    policy.rungs[0].quota = host.store.n_pages  # each page once
    wake(policy)
    assert policy.counters()["pages_sharing"] == 0 and policy.counters()["pages_unshared"] == 200
    wake(policy, 2)
    assert policy.counters()["pages_shared"] == policy.counters()["pages_sharing"] == 100


def test_with_the_first_counted_pairs_merge_at_once():
    host, policy = uksm_on([*range(1, 101)] * 2, preset="uksm-fixed")
    wake(policy)
    policy.rungs[0].quota = host.store.n_pages
    wake(policy)
    assert policy.counters()["pages_sharing"] == 100


def test_of_three_the_third_meets_the_second():
    host, policy = uksm_on([*range(1, 101)] * 3)
    wake(policy)
    policy.rungs[0].quota = host.store.n_pages
    wake(policy)
    assert policy.counters()["pages_sharing"] == 100 and policy.counters()["pages_unshared"] == 100


@pytest.mark.parametrize("preset", PRESETS)
def test_at_rest_each_content_has_one_frame(preset):
    contents = [*range(1, 60)] * 2 + [*range(60, 90)] * 5 + [0] * 40 + [*range(90, 200)]
    host, policy = uksm_on(contents, preset)
    for _ in range(500):
        if policy.at_rest:
            break
        wake(policy)
    counters = policy.counters()
    assert (counters["pages_shared"], counters["pages_sharing"]) == (59 + 30, 59 + 30 * 4)
    assert counters["uksm_zero_pages"] == 40 and host.frames_saved == 59 + 120 + 40


def test_pages_on_their_way_to_the_lru_lists_are_let_go_of_when_an_evaluation_round_ends(monkeypatch):
    host, policy = uksm_on([*range(1, 50)] * 2)
    rounds = []
    monkeypatch.setattr(host, "drain", lambda: rounds.append(policy.counters()["eval_round"]))
    wake(policy, 8)
    ended = policy.counters()["eval_round"]
    assert ended > 2 and rounds == [*range(2, ended + 1)]


def machine_with(n):
    machine = Machine(4 * n, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, n)
    machine.write(mm, at, [*range(1, n // 2 + 1)] * 2)
    return machine, mm, at


def test_equal_pages_of_an_orphan_never_merge_unless_it_has_written_them_itself():
    machine, mm, at = machine_with(40)
    child = machine.fork(mm)
    machine.exit(mm)
    policy = Uksm(machine, PRESETS["uksm-0.1.2"])
    wake(policy, 12)
    assert policy.counters()["pages_sharing"] == 0
    machine.write(child, at, [*range(1, 21)])  # the first of each, in place
    wake(policy, 12)
    assert policy.counters()["pages_sharing"] == 20
    assert machine.frames_used == 20


def test_a_first_slot_may_leave_before_slots_that_are_passed_over():
    """The kernel enters each slot but the first at its second page: those of one page are never visited there."""
    machine = Machine(400, SIZE)
    mm = machine.spawn()
    at = [machine.mmap(mm, n) for n in (40, 1, 1)]
    for one, n in zip(at, (40, 1, 1), strict=True):
        machine.write(mm, one, [7] * n)
    policy = Uksm(machine, PRESETS["uksm-0.1.2"])
    wake(policy, 12)
    assert policy.counters()["vma_slots"] == 3 and policy.counters()["pages_sharing"] == 39
    machine.munmap(mm, at[0], 40)
    wake(policy, 12)
    assert policy.counters()["vma_slots"] == 2 and policy.counters()["pages_unshared"] == 1


def test_a_sparse_vma_visits_pages_twice_and_counts_no_pte_twice():
    machine = Machine(2000, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, 1000)
    machine.write(mm, at, [0] * 1000)
    policy = Uksm(machine, PRESETS["uksm-0.1.2"])
    wake(policy, 20)
    machine.write(mm, at, [*range(1, 501)])
    wake(policy, 60)
    counters = policy.counters()
    assert counters["uksm_zero_pages"] == 500 and counters["pages_unshared"] > 500
    machine.write(mm, at, [0] * 500)
    wake(policy, 60)
    machine.check()
    assert policy.counters()["uksm_zero_pages"] == 1000


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("sleep_millisecs", [100, 1000])
def test_a_simulation_comes_to_rest_though_full_scans_stall(preset, sleep_millisecs):
    machine = Machine(1000, SIZE)
    sim = Simulation(machine, Uksm(machine, PRESETS[preset].with_(sleep_millisecs=sleep_millisecs)))
    mm = machine.spawn()
    for first, n in ((0, 200), (1000, 600)):
        machine.write(mm, machine.mmap(mm, n), np.arange(first, first + n) % 1500 + 1)
    assert sim.run_until_rest(limit_ms=600_000)
    sim.run(sim.now + 50_000)  # the pass that is under way may still count
    before = sim.policy.counters()["full_scans"]
    sim.run(sim.now + 100_000)
    if "stall" in sim.policy.tunables.quirks:
        assert sim.policy.counters()["full_scans"] == before


def test_pages_that_have_just_been_written_lose_their_first_round():
    """Whoever meets one that waits is in no tree, and so is what it has met: both start anew, until the round ends."""
    seen = {}
    for quirk in (True, False):
        machine = Machine(80, SIZE)
        quirks = PRESETS["uksm-0.1.2"].quirks
        policy = Uksm(machine, PRESETS["uksm-0.1.2"].with_(quirks=quirks if quirk else quirks - {"pagevec"}))
        mm = machine.spawn()
        machine.write(mm, machine.mmap(mm, 2), [1, 1])
        wake(policy)
        seen[quirk] = []
        for _ in range(2):
            wake(policy)
            machine.check()
            seen[quirk].append(policy.counters()["pages_sharing"])
    assert seen == {True: [0, 1], False: [1, 1]}
    assert "pagevec" not in PRESETS["uksm-fixed"].quirks


def test_a_page_that_waits_merges_with_no_kept_page_and_goes_on_to_the_unstable_tree():
    machine = Machine(80, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, 42)
    machine.write(mm, at, [*range(1, 21)] * 2)
    policy = Uksm(machine, PRESETS["uksm-0.1.2"])
    wake(policy, 12)
    machine.write(mm, at + 40 * SIZE, [1])
    seen = []
    for _ in range(2):
        wake(policy)
        machine.check()
        seen.append((policy.counters()["pages_sharing"], policy.counters()["pages_unshared"]))
    assert seen == [(20, 1), (21, 0)]


def test_memory_that_has_opted_out_is_out_for_good():
    machine, mm, at = machine_with(40)
    policy = Uksm(machine, PRESETS["uksm-0.1.2"])
    wake(policy, 12)
    assert policy.counters()["pages_sharing"] == 20
    machine.madvise(mm, at, 40, "UNMERGEABLE")
    machine.madvise(mm, at, 40, "MERGEABLE")
    wake(policy, 12)
    assert policy.counters()["pages_sharing"] == policy.counters()["pages_unshared"] == 0
    assert machine.frames_used == 40


def test_copies_on_write_come_back():
    machine, mm, at = machine_with(40)
    policy = Uksm(machine, PRESETS["uksm-0.1.2"])
    wake(policy, 12)
    machine.write(mm, at, [*range(101, 121)])
    assert policy.counters()["pages_sharing"] == 20  # until the pages are visited
    wake(policy, 12)
    assert policy.counters() | {"pages_shared": 20, "pages_sharing": 0, "pages_unshared": 20} == policy.counters()
    machine.write(mm, at, [*range(1, 21)])
    wake(policy, 12)
    assert policy.counters() | {"pages_shared": 20, "pages_sharing": 20, "pages_unshared": 0} == policy.counters()


def test_who_comes_upon_a_kept_page_that_is_gone_lets_go_of_all_that_hung_on_it():
    machine = Machine(400, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, 80)
    machine.write(mm, at, [*range(1, 21)] * 4)
    policy = Uksm(machine, PRESETS["uksm-0.1.2"])
    wake(policy, 12)
    assert (policy.counters()["pages_shared"], policy.counters()["pages_sharing"]) == (20, 60)
    machine.write(mm, at, [*range(101, 181)])
    for visited in range(1, 4):
        policy.rungs[0].quota = 1  # visits
        wake(policy)
        shared, sharing = policy.counters()["pages_shared"], policy.counters()["pages_sharing"]
        assert 20 - visited <= shared < 20 and sharing == 3 * shared
    policy.rungs[0].quota = 80
    wake(policy)
    assert policy.counters()["pages_shared"] == policy.counters()["pages_sharing"] == 0
    machine.write(mm, at, [1, 1, *range(1, 79)])  # as a kept page was that is gone
    wake(policy, 12)
    machine.check()
    assert policy.counters()["pages_shared"] == 1 and policy.counters()["pages_sharing"] == 2


def test_sysfs_takes_what_the_kernel_takes():
    _, policy = uksm_on([1])
    sysfs = policy.sysfs
    for name, value in (("max_cpu_percentage", 10), ("max_cpu_percentage", 99), ("sleep_millisecs", 1000), ("run", 0)):
        sysfs[name] = value
        assert sysfs[name] == value
    for name, value in (("sleep_millisecs", 1001), ("abundant_threshold", 100), ("run", 2), ("cpu_ratios", "1 2 3")):
        with pytest.raises(UsageError):
            sysfs[name] = value
    sysfs["cpu_governor"] = "quiet"
    assert sysfs["max_cpu_percentage"] == 1 and sysfs["cpu_ratios"] == "10 20 40 75"
