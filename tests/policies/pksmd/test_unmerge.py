"""run = 2 and MADV_UNMERGEABLE: everything merged has a frame of its own again; and what the notes propose instead of an
update list."""

import numpy as np
import pytest

from pksm.errors import PksmError, UsageError
from pksm.policies.pksmd import tunables

from support.machines import SIZE, check, frames_of, machine_and_daemon, n_used, settle


def shared_by_a_family(**settings):
    """Two processes, the second a child: 6 pages each, of which 3 are equal, 2 zero and 1 alone; at rest."""
    machine, daemon = machine_and_daemon(**settings)
    mm = machine.spawn()
    at = machine.mmap(mm, 6)
    machine.write(mm, at, [7, 7, 7, 0, 0, 1])
    settle(machine, daemon)
    child = machine.fork(mm)
    settle(machine, daemon)
    assert daemon.counters()["pages_sharing"] == 5 + 4 and n_used(machine) == 2
    return machine, daemon, mm, child, at


@pytest.mark.parametrize("reclaim", ["del-list", "immediate"])
@pytest.mark.parametrize("update", ["head", "rotate", "on-search"])
def test_run_2_unmerges_everything_and_pksmd_idles(reclaim, update):
    machine, daemon, mm, child, at = shared_by_a_family(reclaim=reclaim, update=update)
    before = machine.read(mm, at, 6), machine.read(child, at, 6)
    daemon.sysfs["run"] = 2
    check(machine, daemon)
    counters = daemon.counters()
    assert [counters[name] for name in ("pages_shared", "pages_sharing", "pages_zero_sharing", "stable_nodes")] == [
        0
    ] * 4
    assert counters["pages_unshared"] == 0 and n_used(machine) == 11, "6 each, but for the one they share by fork"
    assert counters["rmap_items"] == counters["new_len"] == 11, "tracked again, each as if it were new"
    assert daemon.wake() == 0 and daemon.next_wake() is None
    assert np.array_equal(machine.read(mm, at, 6), before[0]) and np.array_equal(machine.read(child, at, 6), before[1])
    daemon.sysfs["run"] = 1
    settle(machine, daemon)
    assert daemon.counters()["pages_sharing"] == 9 and n_used(machine) == 2
    machine.exit(mm)
    machine.exit(child)
    daemon.wake()
    assert daemon.counters()["rmap_items"] == 0
    assert (machine.rmap.references == 0).all(), "every reference on an anon_vma was put"


def test_run_2_tracks_pages_again_though_only_first_writes_are_births():
    machine, daemon, mm, child, at = shared_by_a_family(births="anonymous")
    daemon.sysfs["run"] = 2
    daemon.sysfs["run"] = 1
    settle(machine, daemon)
    assert daemon.counters()["pages_sharing"] == 9


def test_run_2_without_the_frames_for_it_changes_nothing():
    machine, daemon = machine_and_daemon(frames=10)
    mm = machine.spawn()
    at = machine.mmap(mm, 20)
    for start in range(0, 20, 5):
        machine.write(mm, at + start * SIZE, [3] * 5)
        settle(machine, daemon)
    before = daemon.counters()
    with pytest.raises(PksmError, match="out of frames: 20 needed, 9 of 10 free"):
        daemon.sysfs["run"] = 2
    assert daemon.sysfs["run"] == 1 and daemon.counters() == before
    check(machine, daemon)


def test_run_2_while_a_page_is_held():
    """A kept page that is pinned can't be freed: it waits, like any busy page, until it is let go."""
    machine, daemon, mm, child, at = shared_by_a_family()
    held = machine.pin(mm, at, 1)
    daemon.sysfs["run"] = 2
    check(machine, daemon)
    assert n_used(machine) == 12
    daemon.sysfs["run"] = 1
    settle(machine, daemon)
    machine.unpin(held)
    settle(machine, daemon)
    assert n_used(machine) == 2


def test_unmergeable_unmerges_a_range_and_pksmd_merges_it_again():
    """PKSM asks nobody's leave: what madvise takes apart is merged again as any other memory."""
    machine, daemon, mm, child, at = shared_by_a_family()
    machine.madvise(child, at, 2, "UNMERGEABLE")
    check(machine, daemon)
    assert n_used(machine) == 4 and len(set(frames_of(machine, child, at, 3))) == 3
    settle(machine, daemon)
    assert n_used(machine) == 2


# ---- update=on-search ----


def test_on_search_a_search_that_passes_finds_what_has_changed():
    machine, daemon = machine_and_daemon(update="on-search")
    mm = machine.spawn()
    at = machine.mmap(mm, 40)
    machine.write(mm, at, list(range(1, 21)))
    settle(machine, daemon)
    machine.patch(mm, at, [[page, 0, 77] for page in range(20)])  # in place, and nobody is told
    for _ in range(2000):
        daemon.wake()
    assert daemon.cost.pages_visited == 20, "nothing comes, so nothing is searched, so nothing is found: its weakness"
    machine.write(mm, at + 20 * SIZE, list(range(101, 121)))
    daemon.wake()
    check(machine, daemon)
    found = daemon.counters()["rescan_len"]
    assert found > 10, "twenty searches pass most of twenty items"
    settle(machine, daemon)
    assert daemon.counters()["pages_unshared"] == 40


def test_on_search_keeps_no_list():
    machine, daemon = machine_and_daemon(frames=3000, update="on-search")
    other_machine, other = machine_and_daemon(frames=3000)
    for machine_, daemon_ in ((machine, daemon), (other_machine, other)):
        mm = machine_.spawn()
        machine_.write(mm, machine_.mmap(mm, 2000), list(range(1, 2001)))
        settle(machine_, daemon_)
    assert other.engine_bytes - daemon.engine_bytes >= 4 * 2000
    daemon.sysfs["update"] = "rotate"
    check(machine, daemon)
    assert len(daemon._update) == 2000
    daemon.sysfs["update"] = "on-search"
    check(machine, daemon)
    assert len(daemon._update) == 0


def test_on_search_needs_checksums_to_search_by():
    with pytest.raises(UsageError, match="update=on-search: needs trees that are ordered by checksum"):
        tunables.preset("fixed").with_(update="on-search", order="content")
