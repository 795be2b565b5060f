"""Presets made from descriptions: what they are to do, in small. No kernel has confirmed them yet."""

from pksm.hosts.machine import Machine
from pksm.policies import make


def scanned(preset, contents, scans=3, **changes):
    machine = Machine(200)
    policy = make(f"ksmd:{preset}", machine, {"pages_to_scan": 1000, **changes})
    process = machine.spawn()
    address = machine.mmap(process, len(contents), mergeable=True)
    machine.write(process, address, contents)
    for _ in range(scans):
        policy.wake()
    policy.check()
    return machine, policy, process, address


def merged_again_after(preset):
    """Full scans until two pages that were merged, parted and are equal again are merged again."""
    machine, policy, process, address = scanned(preset, [5, 5], scans=12)
    assert policy.counters()["pages_sharing"] == 1
    machine.write(process, address, [6, 6])
    for scan in range(1, 40):
        policy.wake()
        policy.check()
        if policy.counters()["pages_sharing"]:
            return scan
    raise AssertionError("never")


def test_an_item_that_leaves_the_stable_tree_is_visited_as_a_new_one():
    """Its checksum is forgotten: one scan to sum it, one to find it unchanged. That of 6.11 is what it was before."""
    assert merged_again_after("ksm-7.3") == 2


def test_an_item_that_leaves_keeps_no_age():
    machine, policy, process, address = scanned("ksm-7.3", [5, 5], scans=12)
    machine.write(process, address, [7, 8])
    policy.wake()
    ids = policy.items.of(policy.items.mm[1])
    assert (policy.items.visits[ids] <= 1).all()


def test_contents_that_come_back_are_not_taken_for_unchanged():
    """6.11 remembers the checksum of before the merge; 7.3 forgets it."""

    def stale(preset):
        machine, policy, process, address = scanned(preset, [5, 5, 9, 9], scans=3, smart_scan=0)
        machine.write(process, address, [9, 5])  # the first one joins a stable page as soon as it is unchanged
        machine.write(process, address, [5])
        policy.wake()
        return policy.counters()["pages_volatile"]

    assert stale("ksm-6.11") == 0 and stale("ksm-7.3") > 0


def test_rhel_merges_zero_pages_alone():
    """Equal pages are left where they are, in no tree, though nothing else speaks against them."""
    machine, policy, process, address = scanned("rhel-9.9-zero", [5, 5, 0, 0, 0], scans=6, smart_scan=0)
    counters = policy.counters()
    assert counters["ksm_zero_pages"] == 3
    assert counters["pages_shared"] == counters["pages_sharing"] == counters["pages_unshared"] == 0
    assert counters["pages_volatile"] == 2
    assert machine.frames_used == 2
    assert policy.at_rest
    assert not policy.cost.futile_compares


def test_rhel_takes_two_scans_to_merge_a_zero_page():
    machine, policy, process, address = scanned("rhel-9.9-zero", [0], scans=1)
    assert policy.counters()["ksm_zero_pages"] == 0
    policy.wake()
    assert policy.counters()["ksm_zero_pages"] == 1
