"""UKSM's wake-ups in one call: they do what as many calls of wake do, and stop where something else happens."""

import numpy as np
import pytest

from pksm.engine import native
from pksm.engine.store import Store
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine import Machine
from pksm.policies.uksm import onward
from pksm.policies.uksm.daemon import Uksm
from pksm.policies.uksm.spec import PRESETS

SIZE, PAGES = 64, 6000


def daemon_on(seed, settings, distinct):
    rng = np.random.default_rng(seed)
    store = Store(SIZE)
    first, memory = store.allocate(PAGES)
    memory.view(np.uint32)[:] = rng.integers(0, distinct, PAGES)[:, np.newaxis] * np.uint32(2654435761)
    host = FlatHost(store)
    daemon = Uksm(host, settings, seed=seed)
    host.add(np.arange(first, first + PAGES, dtype=np.uint32))
    return host, daemon, rng


def all_of(host, daemon):
    rungs = [(rung.step, rung.quota, rung.offset, rung.current, rung.finished) for rung in daemon.rungs]
    slots = [(one.cursor, one.sampled, one.merged, one.cycles, one.scanned_in) for one in daemon.slots.by_key.values()]
    work = {name: int(daemon._tables.work[name][0]) for name in ("positive", "negative", "hashed", "compares")}
    return (
        daemon.counters(), daemon.cost.as_dict(), work, rungs, slots, daemon.next_wake(), daemon._virtual,
        daemon._course.state, daemon.slots.permutation.tolist(), host.frame_of.tolist(),
    )  # fmt: skip


def disturb(host, rng):
    """Write to some pages, the same on both sides."""
    pages = rng.choice(PAGES, 50, replace=False).astype(np.uint32)
    host.write(pages, rng.integers(0, 3, (50, SIZE)).astype(np.uint8))


@pytest.mark.parametrize("seed, distinct", [(0, 5), (1, 3000), (2, 100_000), (3, 2)])
@pytest.mark.parametrize("preset", PRESETS)
def test_wake_ups_in_one_call_do_what_single_ones_do(preset, seed, distinct):
    settings = PRESETS[preset].with_(sleep_millisecs=[100, 20, 0, 7][seed], cpu_governor=["full", "quiet"][seed % 2])
    one, other = daemon_on(seed, settings, distinct), daemon_on(seed, settings, distinct)
    made = calls = 0
    for number in range(4):
        for _ in range(12):
            wakes, visits = other[1].wake_on(60)
            assert visits == sum(one[1].wake() for _ in range(wakes))
            made, calls = made + wakes, calls + 1
            assert all_of(*one[:2]) == all_of(*other[:2])
        one[1].check()
        other[1].check()
        if number % 2:
            disturb(one[0], one[2])
            disturb(other[0], other[2])
    assert made > calls or distinct < 10, "several have been made in one call"


def test_they_are_no_more_than_asked_for():
    _, daemon, _ = daemon_on(0, PRESETS["uksm-0.1.2"], 100_000)
    daemon.wake()
    daemon.wake()
    made = [daemon.wake_on(3)[0] for _ in range(6)]
    assert max(made) == 3 and daemon.sleep_times == 2 + sum(made)


def test_a_daemon_that_is_stopped_makes_none():
    _, daemon, _ = daemon_on(0, PRESETS["uksm-0.1.2"].with_(run=0), 5)
    assert daemon.wake_on(10) == (1, 0) and daemon.sleep_times == 0


def test_new_memory_enters_at_the_end_of_the_next_wake_up():
    machine = Machine(5000, SIZE)
    daemon = Uksm(machine, PRESETS["uksm-0.1.2"])
    mm = machine.spawn()
    machine.write(mm, machine.mmap(mm, 3000), np.arange(3000) + 1)
    for _ in range(5):
        daemon.wake_on(4)
    machine.write(mm, machine.mmap(mm, 100), np.arange(100) + 5000)
    before = daemon.counters()["vma_slots"]
    daemon.wake_on(50)
    assert daemon.counters()["vma_slots"] == before + 1
    daemon.check()


def test_pages_that_are_gone_end_them_where_single_ones_end(tmp_path):
    path = tmp_path / "memory"
    path.write_bytes(np.arange(4096 * 3000 // 4, dtype=np.uint32).tobytes())
    store = Store(4096)
    first = store.add(np.memmap(path, np.uint8, "r"))
    host = FlatHost(store, static=True)
    daemon = Uksm(host, PRESETS["uksm-0.1.2"])
    host.add(np.arange(first, first + 3000, dtype=np.uint32))
    daemon.wake()
    daemon.wake()
    with open(path, "r+b") as file:
        file.truncate(4096 * 100)
    with pytest.raises(Exception, match="could not be read|gone|shrank|shrunk"):
        for _ in range(3):
            daemon.wake_on(5)
    daemon.check()


def test_a_pace_that_leads_nowhere_is_refused():
    _, daemon, _ = daemon_on(0, PRESETS["uksm-0.1.2"], 100)
    daemon.wake()
    tables = daemon._tables
    seen = tables.view(10)
    nothing = native.uksm_pace({"most_wakes": 1})
    rung = daemon.rungs[0]
    one = onward._pace(daemon, rung, rung.slots[rung.current], 1)
    one.first_page_ns = one.most_page_ns = 0  # what the mean begins anew with
    for pace in (nothing, one):
        with pytest.raises(ValueError):
            native.uksm_visit(
                daemon.host.store.view, daemon.items.table, seen, (tables.checksum, tables.full), tables.fields, None, 0,
                np.arange(10, dtype=np.uint32), np.ones(10, bool), tables.work, pace)  # fmt: skip
