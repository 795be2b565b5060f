"""Virtual time: what happens when, and in which order; traces by name of their operations."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from pksm.errors import PksmError, UsageError
from pksm.hosts.machine import Machine
from pksm.policies import Policy, nobody
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd
from pksm.simulation import workloads
from pksm.simulation.clock import Over
from pksm.simulation.operations import Event
from pksm.simulation.simulation import Simulation

from support.line_events import line_events

SIZE = 64


class Alarm(Policy):
    """A policy that only notes when it is woken."""

    spec = replace(nobody.SPEC, name="alarm", counters={"pages": "alive"})

    def __init__(self, machine, pause=10):
        self.machine, self.pause, self.woken, self.counted = machine, pause, [], 0
        machine.attach(self)

    def on_new(self, pages):
        self.counted += len(pages)

    def on_free(self, pages):
        self.counted -= len(pages)

    def wake(self):
        self.woken.append(self.machine.now)
        return 0

    def next_wake(self):
        return self.pause

    def counters(self):
        return {"pages": self.counted}


def world(frames=100, sample_ms=None, end_ms=None, **settings):
    machine = Machine(frames, SIZE)
    daemon = Pksmd(machine, tunables.preset("fixed").with_(**settings))
    return Simulation(machine, daemon, sample_ms=sample_ms, end_ms=end_ms)


def alarm(pause=10, **more):
    machine = Machine(10, SIZE)
    return Simulation(machine, Alarm(machine, pause), **more)


def written(sim, ids, process="p0"):
    sim.play([
        Event(None, "spawn", {"process": process}),
        Event(None, "mmap", {"process": process, "n": len(ids), "name": "a"}),
        Event(None, "write", {"process": process, "address": "a", "content": ids}),
    ])  # fmt: skip


def test_it_wakes_at_once_and_then_every_pause():
    sim = alarm()
    sim.run(np.int64(35))
    assert sim.policy.woken == [0, 10, 20, 30] and sim.now == 35 and sim.wakes == 4
    assert sim.peek() == 40
    sim.run(40)
    assert sim.policy.woken[-1] == 30, "what comes at the time given comes after"


def test_a_pause_of_nothing_takes_a_tick():
    sim = alarm(pause=0)
    sim.run(3)
    assert sim.policy.woken == [0, 1, 2]


def test_events_come_before_a_wake_up_of_the_same_time_and_samples_after():
    sim, seen = alarm(sample_ms=10), []
    sim.at(10, lambda: seen.append(("event", len(sim.policy.woken))))
    sim.at(10, lambda: seen.append(("second", len(sim.samples))))
    while sim.now <= 10:
        sim.step()
    assert seen == [("event", 1), ("second", 1)]
    assert [ms for ms, *_ in sim.samples][:2] == [0, 10]


def test_nothing_ever_happens_without_policy_and_events():
    sim = Simulation(Machine(10, SIZE))
    assert sim.peek() is None and sim.step() is False
    sim.run(1000)
    assert sim.now == 1000 and sim.counters() == {"frames_used": 0, "frames_saved": 0}
    with pytest.raises(UsageError, match="nobody has no settings"):
        sim.set("run", 0)


@pytest.mark.parametrize("ms", [-1, 4, 5.5, True, None])
def test_time_does_not_go_back(ms):
    sim = alarm()
    sim.run(5)
    with pytest.raises(UsageError, match="whole number of milliseconds from 5"):
        sim.run(ms)
    with pytest.raises(UsageError, match="whole number of milliseconds from 5"):
        sim.at(ms, lambda: None)


@pytest.mark.parametrize("wrong", [{"sample_ms": 0}, {"sample_ms": -5}, {"end_ms": -1}, {"end_ms": 1.0}])
def test_wrong_times_of_a_simulation(wrong):
    with pytest.raises(UsageError, match="whole number of milliseconds"):
        alarm(**wrong)


def test_settled_is_unchanged_for_so_long():
    """Three wake-ups of work, at 0, 20 and 40 ms, then nothing."""
    sim = world(pages_to_scan=4)
    written(sim, list(range(1, 13)))
    assert sim.run_until_rest(2500)
    assert sim.now == 40 + 2500
    assert sim.counters()["pages_unshared"] == 12


def test_settled_at_once_if_nothing_is_to_come():
    sim = Simulation(Machine(10, SIZE))
    assert sim.run_until_rest(2500) and sim.now == 2500


def test_never_settled_is_said_at_the_limit():
    sim = alarm()
    sim.policy.wake = lambda: setattr(sim.policy, "counted", sim.policy.counted + 1)
    assert not sim.run_until_rest(100, 1000)
    assert sim.now == 1000
    with pytest.raises(PksmError, match="until_rest: not settled after 50 ms"):
        sim.play([Event(None, "until_rest", {"limit_ms": 50})])


def test_stopped_and_set_going_again_it_wakes_at_once():
    sim = world(sleep_millisecs=50)
    sim.run(10)
    sim.set("run", 0)
    sim.run(500)
    assert sim.wakes == 2, "the one that was due came and found nothing to do"
    assert sim.peek() is None
    written(sim, [1, 1, 2])
    sim.set("run", 1)
    assert sim.peek() == 500
    sim.run(501)
    assert sim.counters()["pages_sharing"] == 1


def test_settings_by_name():
    sim = world()
    sim.set("pages_to_scan", 7)
    assert sim.policy.tunables.pages_to_scan == 7
    for name, value, said in (
        ("pages_to_scan", 0, "from 1"),
        ("period_seconds", 0, "from 1"),
        ("sleep_millisecs", -1, "from 0"),
        ("speed", 1, "unknown tunable 'speed'"),
        ("pages_shared", 1, "can only be read"),
    ):
        with pytest.raises(UsageError, match=said):
            sim.set(name, value)


def test_readings_and_samples():
    sim = world(sample_ms=30)
    written(sim, [1, 1, 2, 0])
    before = sim.read("before")
    sim.run(100)
    sim.read("after")
    assert (before.label, before.ms, before.counters["pages_sharing"]) == ("before", 0, 0)
    after = sim.readings[1]
    assert (after.label, after.ms) == ("after", 100)
    assert (after.counters["pages_sharing"], after.counters["pages_zero_sharing"]) == (2, 1)
    assert (after.counters["frames_used"], after.counters["frames_saved"]) == (2, 2)
    assert [row[0] for row in sim.samples] == [0, 30, 60, 90]
    assert dict(zip(sim.columns, sim.samples[-1], strict=True)) == {"ms": 90, **after.counters}


def test_the_end_is_never_passed():
    sim = alarm(end_ms=25)
    with pytest.raises(Over):
        sim.run(100)
    assert sim.policy.woken == [0, 10, 20] and sim.now == 25
    with pytest.raises(Over):
        sim.run_until_rest(2500)


def test_waits_from_birth_to_merge():
    """Zero pages wait for themselves, copies for the later of the two."""
    sim = world()
    sim.run(5)
    written(sim, [1, 0])  # seen at 20 ms
    sim.run(30)
    written(sim, [1, 2], "p1")  # seen at 40 ms
    sim.run(100)
    assert sorted(sim.merge_waits().tolist()) == [10, 15]


# ---- events ----


def test_events_wait_for_their_time_and_for_each_other():
    sim, times = alarm(), []
    sim.read = lambda label: times.append((label, sim.now))
    sim.play([
        Event(10, "read", {"label": "a"}),
        Event(None, "wait", {"ms": 50}),
        Event(20, "read", {"label": "late"}),
        Event(100, "read", {"label": "b"}),
    ])  # fmt: skip
    assert times == [("a", 10), ("late", 60), ("b", 100)]
    with pytest.raises(UsageError, match="t=-1"):
        sim.play([Event(-1, "wait", {"ms": 1})])


def test_fork_copies_names_and_exit_forgets_them():
    sim = world()
    written(sim, [1, 2, 3])
    sim.play([
        Event(None, "fork", {"process": "p0", "child": "p1"}),
        Event(None, "write", {"process": "p1", "address": "a", "first": 2, "content": 9}),
        Event(None, "exit", {"process": "p0"}),
        Event(None, "munmap", {"process": "p1", "address": "a", "n": 2}),
    ])  # fmt: skip
    assert sim.counters()["frames_used"] == 1
    assert list(sim.processes) == ["p1"] and list(sim.mappings) == [("p1", "a")]
    sim.machine.check()


def test_every_machine_operation_is_there():
    sim = world(frames=2000)
    sim.play([
        Event(0, "spawn", {"process": "p"}),
        Event(0, "mmap", {"process": "p", "n": 8, "address": 4096 * SIZE, "name": "a"}),
        Event(0, "write", {"process": "p", "address": "a", "n": 8, "content": {"base": 1, "mod": 2}}),
        Event(0, "patch", {"process": "p", "address": "a", "patches": [[0, 3, 5]]}),
        Event(0, "touch", {"process": "p", "address": "a", "n": 8}),
        Event(0, "read", {"process": "p", "address": "a", "n": 8}),
        Event(0, "mprotect", {"process": "p", "address": "a", "n": 2, "writable": False}),
        Event(0, "mlock", {"process": "p", "address": "a", "first": 4, "n": 2}),
        Event(0, "munlock", {"process": "p", "address": "a", "first": 4, "n": 2}),
        Event(0, "pin", {"process": "p", "address": "a", "first": 4, "name": "held"}),
        Event(0, "unpin", {"name": "held"}),
        Event(0, "lock_page", {"process": "p", "address": "a", "first": 4, "name": "held"}),
        Event(0, "unlock_page", {"name": "held"}),
        Event(0, "swap_out", {"process": "p", "address": "a", "first": 4, "n": 4}),
        Event(0, "swap_in", {"process": "p", "address": "a", "first": 4, "n": 4}),
        Event(0, "migrate", {"process": "p", "address": "a", "n": 8}),
        Event(0, "madvise", {"process": "p", "address": "a", "first": 7, "n": 1, "advice": "DONTNEED"}),
        Event(0, "mmap", {"process": "p", "n": 512, "address": 512 * 100 * SIZE, "name": "huge"}),
        Event(0, "thp_fault", {"process": "p", "address": "huge"}),
        Event(0, "thp_split", {"process": "p", "address": "huge"}),
        Event(0, "mremap", {"process": "p", "address": "huge", "n": 512, "new_n": 500}),
        Event(0, "munmap", {"process": "p", "address": "huge", "n": 500}),
        Event(0, "fork", {"process": "p", "child": "c"}),
        Event(0, "exit", {"process": "p"}),
        Event(0, "set", {"name": "pages_to_scan", "value": 3}),
        Event(0, "until_rest", {"quiet_ms": 100}),
        Event(0, "read", {"label": "end"}),
    ])  # fmt: skip
    sim.machine.check()
    counters = sim.readings[0].counters
    # page 0 alone, pages 2 4 6 and 1 3 5 shared, page 7 empty
    assert (counters["pages_shared"], counters["pages_sharing"], counters["pages_unshared"]) == (2, 4, 1)


WRONG = [
    ((0, "fly", {}), "field op: unknown operation 'fly': choose from spawn, fork"),
    ((0, "exit", {"process": "p9"}), "exit: no process 'p9'"),
    ((0, "spawn", {"process": "p0"}), "spawn: there is a process 'p0' already"),
    ((0, "spawn", {}), "field process: missing, and spawn needs it"),
    ((0, "spawn", {"process": "p1", "n": 3}), "field n: spawn has no such field, but process"),
    ((0, "munmap", {"process": "p0", "address": "b", "n": 1}), "munmap: process 'p0' has no mapping 'b'"),
    ((0, "mmap", {"process": "p0", "n": 1, "name": "a"}), "has a mapping 'a' already"),
    ((0, "read", {}), "give a label"),
    ((0, "read", {"label": "x", "process": "p0", "address": "a"}), "give a label"),
    ((0, "unpin", {"name": "x"}), "no frames are held under the name 'x'"),
    ((0, "write", {"process": "p0", "address": "a", "content": [1, 2], "n": 3}), "2 contents for 3 pages"),
    ((0, "write", {"process": "p0", "address": "a", "content": {"base": 1, "mod": 1}}), "needs n"),
    ((0, "write", {"process": "p0", "address": "a", "first": 3, "content": 1}), "nothing is mapped at"),
    ((0, "madvise", {"process": "p0", "address": "a", "n": 1, "advice": "FREE"}), "advice 'FREE'"),
]


@pytest.mark.parametrize("event, said", WRONG)
def test_what_is_wrong_with_an_event(event, said):
    sim = world()
    written(sim, [1, 2, 3])
    before = sim.counters()
    with pytest.raises(UsageError) as caught:
        sim.play([Event(*event, where="line 7")])
    assert str(caught.value).startswith("line 7: ") and said in str(caught.value)
    assert sim.counters() == before
    sim.machine.check()
    sim.policy.check()


def test_frames_held_twice_under_a_name():
    sim = world()
    written(sim, [1, 2])
    pin = Event(0, "pin", {"process": "p0", "address": "a", "name": "x"})
    with pytest.raises(UsageError, match="held under the name 'x' already"):
        sim.play([pin, pin])
    sim.machine.check()


# ---- copies of the machine ----


def test_a_snapshot_goes_its_own_way():
    sim = world()
    written(sim, [1, 1, 2, 0, 0])
    sim.run(50)
    sim.play([Event(None, "fork", {"process": "p0", "child": "p1"}),
              Event(None, "swap_out", {"process": "p1", "address": "a", "first": 2, "n": 1})])  # fmt: skip
    machine, mm, at = sim.machine, sim.processes["p1"], sim.mappings["p1", "a"]
    for twin in (machine.snapshot(), pickle.loads(pickle.dumps(machine))):
        twin.check()
        other = machine.snapshot()
        assert np.array_equal(twin.read(twin.mms[mm.id], at, 5), other.read(other.mms[mm.id], at, 5))
        twin.write(twin.mms[mm.id], at, [7, 7, 7, 7, 7])
        daemon = Pksmd(twin, tunables.preset("fixed"))
        while not daemon.at_rest:
            daemon.wake()
        twin.check()
        daemon.check()
        assert daemon.counters()["rmap_items"] == twin.frames_used == 2, "1 and 7; 2 is swapped out"
    assert np.array_equal(machine.read(mm, at, 2), machine.read(sim.processes["p0"], at, 2))
    machine.check()
    sim.policy.check()


@pytest.mark.parametrize("name", ["b", "fork-family", "churn"])
def test_no_statement_runs_once_a_page(name):
    """Line events of a whole simulation at 1024 pages and at 16384: a few more, as work is done in parts of 8192 pages."""
    lines = []
    for pages in (1 << 10, 1 << 10, 1 << 14):
        machine = Machine(8 * pages, SIZE)
        sim = Simulation(machine, Pksmd(machine, tunables.preset("fixed").with_(pages_to_scan=1 << 20)), sample_ms=100)

        def play():
            sim.play(workloads.events(name, pages=pages, page_size=SIZE))
            sim.merge_waits()

        lines.append(line_events(play))
    assert lines[2] < 1.2 * lines[1] + 8000, lines
