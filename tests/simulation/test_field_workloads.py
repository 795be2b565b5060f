"""Workloads as they are met in the field: they play at any size, repeat from their seed, and do what they say."""

import pytest

from pksm.hosts.machine import Machine
from pksm.policies import make
from pksm.simulation import Simulation, workloads
from pksm.simulation.workloads.field import MAKERS


def played(name, pages=300, seed=0, policy="ksmd", **settings):
    machine = Machine(4 * pages + 2000)
    sim = Simulation(machine, make(policy, machine, settings or {"pages_to_scan": 200}))
    sim.play(workloads.events(name, pages, seed))
    return sim


def test_all_are_known_by_name():
    assert set(MAKERS) <= set(workloads.WORKLOADS) and len(MAKERS) == 7


@pytest.mark.parametrize("name", MAKERS)
def test_a_seed_gives_the_same_events(name):
    def told(seed):
        return [(event.ms, event.op, str(event.fields)) for event in workloads.events(name, 200, seed)]

    assert told(1) == told(1) != told(2)
    times = [ms for ms, _, _ in told(1) if ms is not None]
    assert times == sorted(times)


@pytest.mark.parametrize("name", MAKERS)
def test_it_plays_under_both_policies_and_all_counts_hold(name):
    for policy in ("ksmd", "pksmd"):
        sim = played(name, policy=policy)
        sim.policy.check()
        sim.machine.check()
        assert sim.readings and sim.machine.merges > 0


@pytest.mark.parametrize("name", MAKERS)
def test_it_plays_at_the_smallest_size(name):
    assert played(name, pages=1).readings


def test_a_database_saves_its_tables():
    sim = played("database", pages=1000)
    assert sim.machine.frames_saved >= 300, "three fifths of 500 pages are equal in both"
    assert sim.machine.frames_saved <= 320


def test_a_storm_copies_what_was_merged():
    sim = played("cow-storm", pages=400)
    merged = sim.readings[0].counters
    assert merged["frames_saved"] == 300
    assert sim.machine.copies >= 10 * 4 * 25 * 0.9, "four processes write to a quarter of 100 pages, ten times"


def test_functions_may_die_before_they_are_merged():
    def saved(pages_to_scan):
        sim = played("functions", pages=1200, pages_to_scan=pages_to_scan)
        return sim.machine.frames_saved

    assert saved(5) < saved(2000) / 2


def test_what_was_swapped_comes_back_unmerged():
    sim = played("swapping", pages=400)
    assert sim.machine.frames_saved < 200 and sim.machine.merges > 200 * 0.9


def test_guests_share_their_image():
    sim = played("vm-boots", pages=800)
    assert sim.readings[-1].counters["frames_saved"] > 3 * 50 * 0.5
