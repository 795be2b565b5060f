"""A million births and deaths, and what is kept about pages stays as large as what is mapped asks for."""

import numpy as np
import pytest

from pksm.engine.store import Store
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine import Machine
from pksm.policies.ksmd import tunables as ksm_tunables
from pksm.policies.ksmd.daemon import Ksmd
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd

PAGES, SIZE = 10_000, 64
ROUNDS = {"million": 100, "ten": 10}


def rest(daemon):
    while not daemon.at_rest:
        daemon.wake()


def contents():
    """Half of them alone, the others 50 times each."""
    ids = np.arange(PAGES)
    ids[::2] = ids[::2] % 200
    return ids + 1


def of_machine(machine):
    """Bytes of everything in it that may grow."""
    columns = [machine.sharers.nbytes, machine.tables.ptes.nbytes, machine.rmap.root.nbytes, machine.vmas.start.nbytes]
    return sum(columns) + machine.merge_waits.nbytes


def flat(daemon_of):
    """Pages come and go round two that stay. Yields what is kept, after each round."""
    store = Store(SIZE)
    _, memory = store.allocate(PAGES + 2)
    host = FlatHost(store)
    daemon = daemon_of(host)
    memory[:2], memory[2:, :4] = 7, contents().astype(np.uint32).view(np.uint8).reshape(-1, 4)
    memory[2:1000] = 7
    host.add([0, 1])
    rest(daemon)
    while True:
        host.add(np.arange(2, PAGES + 2))
        rest(daemon)
        yield daemon.engine_bytes + host.nbytes
        host.free(np.arange(2, PAGES + 2))
        daemon.check()


def processes(daemon_of):
    """Processes come and go beside one that stays, and a child of it. Yields what is kept, after each round."""
    machine = Machine(3 * PAGES, SIZE)
    daemon = daemon_of(machine)
    parent = machine.spawn()
    at = machine.mmap(parent, 2, mergeable=True)
    machine.write(parent, at, [5, 5])
    rest(daemon)
    while True:
        child, other = machine.fork(parent), machine.spawn()
        machine.write(child, machine.mmap(child, PAGES // 2, mergeable=True), contents()[: PAGES // 2])
        machine.write(other, machine.mmap(other, PAGES // 2, mergeable=True), [5] * (PAGES // 2))
        rest(daemon)
        yield daemon.engine_bytes + of_machine(machine)
        machine.exit(child)
        machine.exit(other)
        machine.now += 20
        daemon.wake()
        assert np.count_nonzero(machine.rmap.is_alive(np.arange(len(machine.rmap.root)))) < 100


def pksmd(host):
    return Pksmd(host, tunables.preset("fixed").with_(pages_to_scan=1 << 20))


def ksmd(host):
    return Ksmd(host, ksm_tunables.preset("ksm-6.11").with_(pages_to_scan=1 << 20, smart_scan=0))


@pytest.mark.parametrize("story", [flat, processes])
@pytest.mark.parametrize("daemon_of", [pksmd, ksmd])
def test_what_is_kept_stays_flat_over_a_million_births_and_deaths(story, daemon_of):
    kept = story(daemon_of)
    few = max(next(kept) for _ in range(ROUNDS["ten"]))
    many = max(next(kept) for _ in range(ROUNDS["million"] - ROUNDS["ten"]))
    assert many < 1.01 * few


def test_a_published_kernel_keeps_records_of_sharers_for_life():
    kept = flat(
        lambda host: Pksmd(host, tunables.preset("fixed").with_(pages_to_scan=1 << 20, quirks="sharers-for-life"))
    )
    sizes = [next(kept) for _ in range(20)]
    assert sizes[-1] > sizes[0] + 8 * 15 * 900
