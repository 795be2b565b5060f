"""What every policy can be set to: to merge zero pages alone, or within one process, one salt, or parts of real memory."""

import numpy as np
import pytest

from pksm import policies
from pksm.engine.store import Store
from pksm.errors import UsageError
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine import Machine
from pksm.policies.nobody import Nobody
from pksm.protocols import WITHIN

MERGING = ["pksmd", "ksmd", "uksm", "cksm"]
PAGES, SIZE = 40, 64
ZERO = 10  # of them


def contents(of):
    """Zero pages, pages that all processes have, pairs within one, and pages that nobody else has."""
    ids = np.arange(PAGES) + 1
    ids[:ZERO] = 0
    ids[20:30] = np.arange(10) // 2 + 1000
    ids[30:] += 10_000 * (of + 1)
    return ids.tolist()


def rest(daemon):
    daemon.wake()
    for _ in range(20_000):
        if daemon.at_rest:
            return
        daemon.wake()
    pytest.fail("it does not come to rest")


WITHIN_ONE = 5  # pages that merge within one process
PAIRS_OF_ALL = 25  # those, and their equals in the others
ACROSS = 10  # pages that are equal in all processes, and nowhere within one


def world(policy, salts=(0, 0, 0), **changes):
    """Return a machine with a process per salt at rest under a policy."""
    machine = Machine(1000, SIZE)
    daemon = policies.make(policy, machine, changes)
    for number, salt in enumerate(salts):
        mm = machine.spawn(salt)
        machine.write(mm, machine.mmap(mm, PAGES, mergeable=True), contents(number))
    rest(daemon)
    daemon.check()
    machine.check()
    return machine


def saved(machine):
    """Frames saved, but for those of zero pages."""
    return machine.frames_saved - machine.pages_zero_sharing


def test_every_policy_that_merges_has_both_settings():
    merging = [name for name in policies.names() if policies.spec(name).name != Nobody.spec.name]
    assert merging == MERGING
    for name in merging:
        spec = policies.spec(name)
        assert {"within", "zero_only"} <= spec.settings.entries().keys() & spec.fixed
        assert spec.settings.entries()["within"].metadata["choices"] == WITHIN


@pytest.mark.parametrize("policy", MERGING)
def test_without_any_everything_equal_merges(policy):
    machine = world(policy)
    assert saved(machine) == 2 * ACROSS + PAIRS_OF_ALL + (3 * ZERO - 1) * (policy == "ksmd")


@pytest.mark.parametrize("policy", MERGING)
def test_zero_pages_alone_merge(policy):
    machine = world(policy, zero_only=1)
    assert saved(machine) == 0 and machine.pages_zero_sharing == 3 * ZERO


@pytest.mark.parametrize("policy", MERGING)
def test_pages_merge_within_one_process_alone(policy):
    changes = {"use_zero_pages": 1} if policy == "ksmd" else {}
    machine = world(policy, within="process", **changes)
    assert saved(machine) == 3 * WITHIN_ONE
    assert machine.pages_zero_sharing == 3 * ZERO, "the zero page belongs to everybody"


@pytest.mark.parametrize("policy", MERGING)
def test_pages_merge_within_processes_of_one_salt_alone(policy):
    changes = {"use_zero_pages": 1} if policy == "ksmd" else {}
    machine = world(policy, salts=(7, 8, 7), within="salt", **changes)
    assert saved(machine) == ACROSS + (2 * 2 * WITHIN_ONE - WITHIN_ONE) + WITHIN_ONE


@pytest.mark.parametrize("policy", MERGING)
def test_children_have_the_salt_of_their_parent(policy):
    machine = Machine(1000, SIZE)
    exact = "uksm:uksm-fixed" if policy == "uksm" else policy  # as published, contents may be kept twice
    daemon = policies.make(exact, machine, {"within": "salt"})
    parent, other = machine.spawn(3), machine.spawn(4)
    at = machine.mmap(parent, 10, mergeable=True)
    machine.write(parent, at, [1] * 10)
    child = machine.fork(parent)
    machine.write(child, at, [2] * 10)
    machine.write(parent, at, [2] * 10)
    machine.write(other, machine.mmap(other, 10, mergeable=True), [2] * 10)
    rest(daemon)
    assert machine.frames_saved == 19 + 9


@pytest.mark.parametrize("policy", MERGING)
def test_pages_of_a_flat_host_merge_within_one_salt(policy):
    store = Store(SIZE)
    first, memory = store.allocate(30)
    memory[:] = 5
    host = FlatHost(store)
    daemon = policies.make(policy, host, {"within": "salt"})
    pages = np.arange(first, first + 30, dtype=np.uint32)
    host.add(pages[:10], salt=1)
    host.add(pages[10:], salt=np.repeat([2, 1], 10).astype(np.uint32))
    rest(daemon)
    assert host.frames_saved == 19 + 9
    host.write(pages[:2], np.full((2, SIZE), 6, np.uint8))
    host.write(pages[10:12], np.full((2, SIZE), 6, np.uint8))
    rest(daemon)
    assert host.frames_saved == 17 + 1 + 7 + 1
    daemon.check()
    host.check()


@pytest.mark.parametrize("policy", MERGING)
def test_pages_that_strayed_keep_their_salt_in_a_checkpoint(policy, tmp_path):
    store = Store(SIZE)
    first, memory = store.allocate(20)
    memory[:] = 5
    host = FlatHost(store)
    daemon = policies.make(policy, host, {"within": "salt"})
    pages = np.arange(first, first + 20, dtype=np.uint32)
    host.add(pages, salt=np.repeat([1, 2], 10).astype(np.uint32))
    rest(daemon)
    serving = pages[host.frame_of[pages] == pages]  # others are merged into their frames, so written they stray
    host.write(serving, np.full((len(serving), SIZE), 6, np.uint8))
    daemon.save(tmp_path / "saved")
    resumed = type(daemon).load(tmp_path / "saved")
    rest(resumed)
    assert resumed.host.frames_saved == 2 * (10 - 2)
    resumed.check()
    resumed.host.check()


@pytest.mark.parametrize("policy", MERGING)
def test_migrated_pages_keep_their_salt(policy):
    machine = Machine(1000, SIZE)
    daemon = policies.make(policy, machine, {"within": "process"})
    mms = [machine.spawn() for _ in range(2)]
    places = [machine.mmap(mm, 10, mergeable=True) for mm in mms]
    for mm, at in zip(mms, places, strict=True):
        machine.write(mm, at, [1] * 10)
    rest(daemon)
    machine.migrate(mms[0], places[0], 10)
    rest(daemon)
    daemon.check()
    assert machine.frames_saved == 18


@pytest.mark.parametrize("policy", MERGING)
def test_a_host_without_processes_refuses_them(policy):
    with pytest.raises(UsageError, match="within=process: this memory has no such parts: choose from all, salt"):
        policies.make(policy, FlatHost(Store(SIZE)), {"within": "process"})


@pytest.mark.parametrize("policy", MERGING)
@pytest.mark.parametrize("changes", [{"within": "process"}, {"zero_only": 1}])
def test_neither_can_change_while_the_trees_are_in_use(policy, changes):
    daemon = policies.make(policy, Machine(10, SIZE))
    with pytest.raises(UsageError, match="can't change while the trees are in use"):
        daemon.tunables = daemon.tunables.with_(**changes)


@pytest.mark.parametrize("policy", MERGING)
def test_the_policy_that_comes_next_merges_everything_again(policy):
    machine = world(policy, within="process")
    machine.detach()
    daemon = policies.make(policy, machine)
    rest(daemon)
    assert saved(machine) > 3 * WITHIN_ONE


@pytest.mark.parametrize("salt", [-1, 1 << 32, "a", 1.5])
def test_a_salt_is_a_whole_number(salt):
    with pytest.raises(UsageError, match="must be a whole number from 0, below"):
        Machine(10, SIZE).spawn(salt)


def test_v02_books_no_page_in_limbo_beyond_its_process():
    """Its trees have one page per checksum, and pages that differ count as merged: those of another process don't."""
    machine = world("pksmd:v0.2", within="process")
    assert saved(machine) == WITHIN_ONE
