"""frames_saved is exact: what there would be without merging, against a machine where nothing is merged."""

import numpy as np
import pytest

from pksm.hosts.machine import Machine, origins
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd
from pksm.policies.pksmd.quirks import QUIRKS
from pksm.simulation import Simulation
from pksm.simulation.workloads import events

from support.machines import SIZE, check, frames_of, machine_and_daemon, n_used, settle


@pytest.mark.parametrize("preset", tunables.PRESETS)
@pytest.mark.parametrize("name, seed", [("churn", 1), ("churn", 2), ("fork-family", 3)])
def test_saved_is_what_a_machine_without_merging_needs_more(name, seed, preset):
    """Forks, copies, exits: the same happens on two machines, one of them without a policy."""
    used = []
    for policy in (None, preset):
        machine = Machine(8000, SIZE)
        daemon = policy and Pksmd(machine, tunables.preset(policy).with_(quirks=QUIET & tunables.preset(policy).quirks))
        sim = Simulation(machine, daemon, sample_ms=487)
        sim.play(event for event in events(name, pages=400, seed=seed, page_size=SIZE) if event.op != "until_rest")
        used.append([dict(zip(sim.columns, row, strict=True)) for row in sim.samples])
        machine.check()
    without, merged = used
    assert [row["frames_used"] + row["frames_saved"] for row in merged] == [row["frames_used"] for row in without]
    assert name != "churn" or max(row["frames_saved"] for row in merged) > 200


# quirks that keep frames, or lose pages, for ever would make the two differ in what they use
QUIET = frozenset(QUIRKS) - {"ref-leak", "mlock-hang"}


def test_a_family_that_shares_and_shrinks():
    """Two pages of a parent merge, and three children share them; one after the other writes one of its two."""
    machine, daemon = machine_and_daemon()
    mm = machine.spawn()
    at = machine.mmap(mm, 2)
    machine.write(mm, at, [7, 7])
    settle(machine, daemon)
    children = [machine.fork(mm) for _ in range(3)]
    assert (n_used(machine), machine.pages_sharing, machine.frames_saved) == (1, 7, 1), "mappings are not frames"
    for number, child in enumerate(children):
        machine.write(child, at, [100 + number])
        assert machine.frames_saved == 1
    machine.write(mm, at, [200])
    assert machine.frames_saved == 0, "nobody has the first of the two any more"
    check(machine, daemon)


def test_ids_begin_anew_when_they_run_out(monkeypatch):
    monkeypatch.setattr(origins, "N_IDS", 40)
    machine, daemon = machine_and_daemon()
    mm = machine.spawn()
    at = machine.mmap(mm, 20)
    for turn in range(10):
        machine.write(mm, at, [7 + turn] * 8 + [0] * 4 + list(range(100, 108)))
        settle(machine, daemon)
        machine.fork(mm)
        assert machine.frames_saved == 7 + 4 or turn
        machine.exit(machine.mms[machine.last_mm])
        assert machine.frames_saved == 11
        check(machine, daemon)
    assert machine.origins.next <= 40
    assert len(set(frames_of(machine, mm, at, 8))) == 1 and not np.any(machine.read(mm, at + 8 * SIZE, 4))


def test_a_frame_that_lost_the_ptes_of_others_is_another_page_once_it_is_written():
    """Without merging the child's write would have made a copy, and the parent's pages would be there, too."""
    machine = Machine(100, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, 2, mergeable=True)
    machine.write(mm, at, [7, 7])
    child = machine.fork(mm)
    first, second = frames_of(machine, mm, at, 2)
    page = at // SIZE
    assert machine.merge_ptes([mm.id], [page], [first], [first]) is None
    assert machine.merge_ptes([mm.id], [page + 1], [second], [first]) is None
    assert (n_used(machine), machine.frames_saved) == (2, 0), "the child has both"
    machine.write(child, at + SIZE, [8])
    assert (n_used(machine), machine.frames_saved) == (2, 1)
    machine.munmap(mm, at + SIZE, 1)
    assert machine.frames_saved == 0
    machine.check()
