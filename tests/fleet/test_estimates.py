"""Intervals of samples hold the truth as often as they say."""

import numpy as np

from pksm.fleet import estimates, tree_contents, tree_fleet, tree_vm
from pksm.fleet.tally import tally


def test_intervals_hold_the_truth():
    """Of 100 fleets with known answers; the seeds are given, so that this is no matter of luck."""
    keep, held = 1 / 16, {"vm": 0, "host": 0, "all": 0}
    for seed in range(100):
        fleet = tree_fleet(8, 400, 4, seed=seed)
        groups = {
            "vm": np.arange(8, dtype=np.uint32),
            "host": fleet.host_of.astype(np.uint32),
            "all": np.zeros(8, np.uint32),
        }
        rows = fleet.rows
        truth, sample = (
            tally(rows, groups, "vm"),
            tally(rows[rows["sum"] < np.uint64(int(keep * 2.0**64))], groups, "vm"),
        )
        for level in held:
            found = estimates.total(sample.weight[level], sample.square[level], keep)
            held[level] += found["low"] <= truth.weight[level] <= found["high"]
    assert min(held.values()) >= 93, held


def test_all_contents_leave_no_doubt():
    assert estimates.total(7, 49, 1.0) == {"value": 7, "low": 7, "high": 7}
    assert estimates.saved({"value": 9, "low": 8, "high": 12}, 10, 3) == {"value": 4, "low": 3, "high": 5}


def test_a_fleet_of_a_tree_has_the_contents_that_are_expected():
    """With fifty VMs of each release, a content that none of them has comes once in 10^13 fleets."""
    fleet = tree_fleet(600, 100, 10)
    assert (
        len(np.unique(np.concatenate(fleet.contents))) == round(tree_contents(600, 100)) == 600 * 50 + 3 * 60 + 12 * 40
    )
    assert (fleet.contents[7] == tree_vm(7, 100)).all()
