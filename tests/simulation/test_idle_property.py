"""Idle time is gone over at once, and nothing shows that it was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pksm.engine.cost import PRICES
from pksm.hosts.machine import Machine
from pksm.policies import registry
from pksm.simulation.pace import Pace
from pksm.simulation.simulation import Simulation

SIZE = 64
POLICIES = ["pksmd:fixed", "pksmd:v0.2", "pksmd:fixed update=on-search", "ksmd:ksm-6.11", "uksm:uksm-0.1.2"]


class Steps:
    """Counts the wake-ups that are made."""

    def __init__(self, policy):
        self.policy, self.made, self.wake = policy, 0, policy.wake
        policy.wake = self

    def __call__(self):
        self.made += 1
        return self.wake()


def world(name, dozes, pace, sample_ms, plan):
    """A simulation that has gone through a plan, and how many wake-ups were made."""
    machine = Machine(400, page_size=SIZE)
    name, *changes = name.split(" ")
    policy = registry.make(name, machine, changes)
    if not dozes:
        policy.doze = lambda wakes: False
    steps = Steps(policy)
    sim = Simulation(machine, policy, sample_ms=sample_ms)
    if pace:
        sim.go_at(Pace(PRICES["6.18"]))
    mms = []

    def act(kind, pages):
        if kind == "exit" and mms:
            mms.pop().exit()
        elif kind != "exit":
            mm = machine.spawn()
            mm.write(
                mm.mmap(pages, 0x40 * SIZE, mergeable=kind != "alone"),
                np.arange(pages) // (9 if kind == "equal" else 2),
            )
            mms.append(mm)

    at = 0
    for gap, kind, pages in plan:
        at += gap
        sim.at(at, lambda kind=kind, pages=pages: act(kind, pages))
    sim.run(at // 2)
    sim.run(at + 700)
    del policy.wake
    return sim, steps.made


PLANS = st.lists(
    st.tuples(st.integers(1, 900), st.sampled_from(["equal", "pairs", "alone", "exit"]), st.sampled_from([9, 18])),
    max_size=4,
)


@pytest.mark.parametrize("name", POLICIES)
@given(pace=st.booleans(), sample_ms=st.sampled_from([None, 70, 300]), plan=PLANS)
@settings(max_examples=15, deadline=None)
def test_nothing_shows_that_wake_ups_were_passed_over(name, pace, sample_ms, plan):
    (one, made), (other, all_made) = (world(name, dozes, pace, sample_ms, plan) for dozes in (True, False))
    assert one.now == other.now and one.wakes == other.wakes == all_made >= made
    assert one.samples == other.samples and one.counters() == other.counters()
    assert one.policy.cost.as_dict() == other.policy.cost.as_dict()
    one.run(one.now + 50), other.run(other.now + 50)
    assert one.wakes == other.wakes and one.now == other.now
    one.policy.check()


@pytest.mark.parametrize("name", ["pksmd:fixed", "ksmd:ksm-6.11"])
@pytest.mark.parametrize("pace", [False, True])
def test_a_machine_without_work_takes_few_wake_ups(name, pace):
    sim, made = world(name, True, pace, None, [(1000, "equal", 9), (1000, "exit", 9), (60_000, "exit", 9)])
    assert sim.wakes > 2000 and made < sim.wakes // 10


def test_a_checksum_that_adapts_may_do_so_in_any_wake_up():
    assert not registry.make("pksmd:fixed", Machine(10, page_size=SIZE), ["checksum=adaptive"]).doze(0)
