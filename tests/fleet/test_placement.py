"""Placements: they fit, are near the best of all, and are never worse than first-fit."""

from itertools import product

import numpy as np
import pytest

from pksm.errors import PksmError, UsageError
from pksm.fleet.generate import Tree
from pksm.fleet.placement import at_random, first_fit, frames, greedy, improved, memories, place
from pksm.fleet.rows import grouped


def held_by(seed, vms=7):
    tree = Tree(vms=vms, fanout=(2, 2), pages=(6, 8, 10), own=4, zero=1, seed=seed)
    return memories(grouped(np.concatenate([tree.vm(number) for number in range(vms)])), vms)


def best_of_all(held, capacity):
    """The fewest frames of any placement that fits: all are tried."""
    hosts = len(capacity)
    found = (frames(held, np.array(host), hosts) for host in product(range(hosts), repeat=held.vms))
    return min(float(used.sum()) for used in found if (used <= capacity).all())


@pytest.mark.parametrize("seed", range(6))
def test_small_placements_are_within_a_tenth_of_the_best(seed):
    held, capacity = held_by(seed), np.array([75, 75, 60])
    placed = place(held, capacity)
    assert (frames(held, placed.host, 3) <= capacity).all()
    assert placed.frames <= 1.1 * best_of_all(held, capacity)
    assert placed.frames <= first_fit(held, capacity).frames


def test_no_move_betters_it_and_the_present_placement_is_never_worsened():
    held, capacity = held_by(3, vms=20), np.full(4, 160)
    now = at_random(held, capacity, seed=1)
    placed = place(held, capacity, now.host)
    assert placed.frames <= min(now.frames, improved(held, capacity, now).frames)
    assert placed.frames == improved(held, capacity, placed).frames
    assert placed.moved(now.host) == (placed.host != now.host).sum() and placed.moved(placed.host) == 0


def test_one_large_host_takes_all():
    held = held_by(0)
    assert greedy(held, np.array([1000.0])).frames == place(held, [1000, 1000]).frames == held.contents


def test_what_does_not_fit_is_said():
    held = held_by(0)
    with pytest.raises(PksmError, match="7 VMs on 2 hosts"):
        place(held, [20, 20])
    assert at_random(held, [20, 20], seed=0) is None
    with pytest.raises(UsageError, match="beyond the capacity"):
        improved(held, [20, 20], greedy(held, np.array([1000.0, 1000.0])))
