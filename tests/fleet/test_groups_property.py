"""Groups of VMs equal the slow twin, and find the families of a fleet that has some."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pksm.fleet import tree_fleet
from pksm.fleet.groups import groups
from pksm.fleet.incidence import Incidence
from pksm.fleet.tally import COMMON, tally

from model import fleet as model

VMS = st.lists(st.sets(st.integers(0, 12)), min_size=2, max_size=9)


def incidence(vms, n_contents, share=1.0):
    index = [content for contents in vms for content in sorted(contents)]
    owner = np.repeat(np.arange(len(vms)), [len(one) for one in vms])
    return Incidence(share, np.array(index, np.uint32), owner, n_contents, len(vms))


def overlap(vms, most):
    return np.array(model.overlap([sorted(one) for one in vms], most))


@given(VMS, st.integers(2, 9))
def test_groups(vms, most):
    names = [f"vm{number}" for number in range(len(vms))]
    made = groups(incidence(vms, 13), overlap(vms, most), 1.0, most, names)
    twin = model.groups(vms, most)
    assert [([int(name[2:]) for name in one["names"]], one["gain_pages"]) for one in made] == twin
    kept = [content for contents in vms for content in contents if sum(content in vm for vm in vms) <= most]
    for one, (units, gains) in zip(made, twin, strict=True):
        assert one["saving_pages"]["value"] == one["saving_pages"]["low"] == sum(gains)
        held = [content for unit in units for content in vms[unit] if content in kept]
        assert one["share"] == sum(gains) / len(held) and sum(gains) == len(held) - len(set(held))


def test_families_of_a_fleet():
    """VMs of one system are a group; nobody of another one is in it."""
    made = tree_fleet(24, 2000, 6, systems=3, releases=1, seed=5)
    rows = made.rows
    members = np.arange(24, dtype=np.uint32)
    counted = tally(rows, {"vm": members, "host": members}, "vm")
    _, index = np.unique(rows["sum"], return_inverse=True)
    order = np.argsort(rows["member"], kind="stable")
    one = Incidence(
        1.0, index[order].astype(np.uint32), rows["member"][order].astype(np.int64), int(index.max()) + 1, 24
    )
    system_of = [frozenset(map(int, contents)) for contents in made.contents]
    found = groups(one, counted.overlap, 1.0, min(COMMON, 12), [str(vm) for vm in range(24)])
    assert sum(len(group["names"]) for group in found) == 24
    for group in found:
        inside = [int(name) for name in group["names"]]
        alike = {vm for vm in range(24) if len(system_of[vm] & system_of[inside[0]]) > 100}
        assert set(inside) == alike


def test_a_sample_is_scaled():
    """Half of the contents: twice as much, with an interval that holds what all of them come to."""
    vms = [set(range(number, 100 + number)) for number in range(3)]
    whole = groups(incidence(vms, 102), overlap(vms, 3), 1.0, 3, ["a", "b", "c"])
    half = [{content for content in vm if content % 2} for vm in vms]
    [sampled] = groups(incidence(half, 102, 0.5), overlap(half, 3), 0.5, 3, ["a", "b", "c"])
    saved = whole[0]["saving_pages"]["value"]
    assert sampled["saving_pages"]["low"] <= saved <= sampled["saving_pages"]["high"]
    assert (
        abs(sampled["saving_pages"]["value"] - saved) < 10
        and sum(sampled["gain_pages"]) == sampled["saving_pages"]["value"]
    )


def test_hosts_are_units_too():
    one = incidence([{1, 2}, {2, 3}, {3}], 4).of_groups(np.array([0, 0, 1], np.uint32), 2)
    assert [part.tolist() for part in one.of_members] == [[1, 2, 3], [3]]
