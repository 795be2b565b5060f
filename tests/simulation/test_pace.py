"""The kernel's pace: work takes virtual time, and sleeps end with ticks of the timer."""

import copy
from dataclasses import replace

import pytest

from pksm.engine.cost import Prices
from pksm.errors import UsageError
from pksm.hosts.machine import Machine
from pksm.policies import make
from pksm.simulation import Simulation, compare
from pksm.simulation.pace import Followed, Pace

PRICES = Prices("a test", "6.18", 0, 0, 0, 0, 0, 0, 0, 4)
VISITS = Prices("a test", "6.18", 0, 10_000, 0, 0, 0, 0, 0, 4)  # 10 µs each


@pytest.mark.parametrize(
    "work_ms, pause_ms, wakes_at",
    [
        (0, 20, 24),  # five ticks from the last one, and the one that is under way
        (3.9, 20, 24),
        (4, 20, 28),
        (10.5, 20, 32),
        (0, 1, 8),
        (0, 18, 24),
        (2.3, 0, 2),
        (0, 0, 1),
        (0, 400, 416),  # a hundred ticks: every eighth ends such a sleep
        (0, 4000, 4096),  # a thousand: every 64th
    ],
)
def test_when_a_sleep_ends(work_ms, pause_ms, wakes_at):
    assert Pace(PRICES).next_wake(0, work_ms * 1e6, pause_ms) == wakes_at


def test_ticks_that_are_no_whole_milliseconds_do_not_drift():
    pace, now = Pace(Prices("a test", "6.18", 0, 0, 0, 0, 0, 0, 0, 10 / 3)), 0
    for _ in range(300):
        now = pace.next_wake(now, 0, 10)
    assert now == 4000, "three ticks and the one under way, 300 times"


def simulation(prices):
    machine = Machine(2000)
    policy = make("ksmd", machine, {"pages_to_scan": 100, "smart_scan": 0})
    sim = Simulation(machine, policy, prices=prices)
    process = machine.spawn()
    address = machine.mmap(process, 1000, mergeable=True)
    machine.write(process, address, list(range(1, 1001)))
    return sim


def test_without_prices_wake_ups_take_no_time():
    sim = simulation(None)
    sim.run(200)
    assert sim.wakes == 10 and sim.worked_until == sim.now


def test_work_puts_the_next_wake_up_off():
    free, dear = simulation(PRICES), simulation(replace(VISITS, visit_ns=100_000))
    free.run(240)
    dear.run(240)
    assert free.wakes == 10, "every 24 ms"
    assert dear.wakes == 8, "10 ms of work, then 20 ms from the tick before: 32 ms"


def test_a_wake_up_ends_when_its_work_is_done():
    sim = simulation(VISITS)
    sim.step()
    assert (sim.now, sim.worked_until) == (0, 1.0)


def test_a_simulation_that_goes_on_keeps_its_pace():
    sim = simulation(VISITS)
    sim.run(100)
    twin = copy.deepcopy(sim)
    for one in (sim, twin):
        one.run(1000)
    assert (twin.wakes, twin.counters(), twin.worked_until) == (sim.wakes, sim.counters(), sim.worked_until)


def test_a_document_says_what_work_costs_and_at_which_pace():
    ideal, kernel = (
        compare("b", "ksmd", {"pages_to_scan": 500}, pages=500, pace=pace, prices=VISITS)
        for pace in ("ideal", "kernel")
    )
    for document in (ideal, kernel):
        [run] = document["runs"]
        cpu = run["final"]["cpu"]
        assert document["prices"] == VISITS.as_dict()
        assert cpu["seconds"] == pytest.approx(1e-5 * run["final"]["cost"]["pages_visited"])
        assert cpu["percent"] == pytest.approx(100_000 * cpu["seconds"] / run["final"]["ms"], rel=1e-3)
        assert cpu["seconds_per_mib"] == pytest.approx(cpu["seconds"] / (125 * 4096 / 2**20))
        assert cpu["merges"] == 125 and cpu["copies"] == 0
    assert (ideal["pace"], kernel["pace"]) == ("ideal", "kernel")
    reached = [document["runs"][0]["final"]["reached_ms"] for document in (ideal, kernel)]
    assert reached[0] < reached[1]


def test_an_unknown_pace_is_refused():
    with pytest.raises(UsageError, match="unknown pace 'fast': choose from ideal, kernel"):
        compare("b", "ksmd", pages=10, pace="fast")


def test_copies_of_merged_pages_are_counted():
    machine = Machine(100)
    make("ksmd", machine, {"pages_to_scan": 100, "use_zero_pages": 1})
    process = machine.spawn()
    address = machine.mmap(process, 12, mergeable=True)
    machine.write(process, address, [0, 0, 0, 0, 1, 1, 1, 1, 2, 3, 4, 5])
    for _ in range(3):
        machine.policy.wake()
    assert machine.merges == 4 + 3, "the first of the ones stays where it is"
    assert machine.copies == 0
    machine.write(process, address, [6])  # where the zero page was
    machine.write(process, address + 5 * 4096, [6, 7])
    assert machine.copies == 3


def test_a_pace_that_is_followed_goes_on_when_the_other_did():
    visited = 0
    pace = Followed(PRICES, [10, 30, 50, 70], [0, 100, 100, 250], lambda: visited)
    assert pace.next_wake(0, 0, 20) == 30, "first seen beyond 0"
    visited = 100
    assert pace.next_wake(30, 0, 20) == 70
    visited = 180
    assert pace.next_wake(70, 0, 20) == 71, "we lag behind: at once"
    visited = 250
    assert pace.next_wake(71, 0, 20) > 1_000_000, "the other never went on"


def test_a_policy_that_follows_visits_what_the_other_visited():
    machine = Machine(64)
    policy = make("ksmd", machine, {"pages_to_scan": 10})
    mm = machine.spawn()
    mm.write(mm.mmap(40, mergeable=True), range(1, 41))
    sim = Simulation(machine, policy, prices=PRICES)
    sim.go_at(Followed(PRICES, [100, 200, 500], [10, 20, 40], lambda: policy.counters()["pages_scanned"]))
    seen = []
    for until in (50, 150, 250, 450, 1000):
        sim.run(until)
        seen.append(policy.counters()["pages_scanned"])
    assert seen == [10, 10, 20, 20, 40], (
        "as much as the other had, when that was seen; never ahead by more than a wake-up"
    )
