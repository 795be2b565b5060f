"""The recorded workloads at other sizes, paces and samples, against the rules that were read off the kernels.

K1 is android-3.4, K2 reveriel with the reverse walk of 3.4. Where a number stands in the recording, test_truth.py has it.
"""

import numpy as np
import pytest

from pksm.hosts.machine import Machine
from pksm.policies.pksmd.daemon import Pksmd
from pksm.validation.recorded import workloads

KERNELS = ("K1", "K2")
OTHER_SAMPLE = list(range(5, 1024, 16))  # 64 words, no kernel's


def played(kernel, name, size, sampled=workloads.SAMPLED, **changes):
    return workloads.play(name, workloads.preset_of(kernel).with_(**changes), size, sampled)


def counted(sim, phase):
    """(shared, sharing, zero sharing, unshared, stable nodes, rmap items)."""
    return tuple(sim.phases[phase][name] for name in workloads.COUNTERS)


def wake_ups(contents, quota):
    """The counters after each wake-up, by the rules: batches of quota + 2, in reverse, freed items go at its end."""
    unstable, stable, items, nodes, sharing = {}, set(), len(contents), 0, 0
    for start in range(0, len(contents), quota + 2):
        freed = 0
        for content in reversed(contents[start : start + quota + 2]):
            if content in stable:
                nodes, sharing, freed = nodes + 1, sharing + 1, freed + 1
            elif unstable.pop(content, None):
                stable.add(content)
                nodes, sharing, freed = nodes + 2, sharing + 1, freed + 1
            else:
                unstable[content] = True
        items -= freed
        yield len(stable), sharing, 0, len(unstable), nodes, items


@pytest.mark.parametrize("pages_to_scan", [37, 250])
@pytest.mark.parametrize(
    ("name", "size", "contents"),
    [
        ("W2", 600, [p % 300 for p in range(600)]),
        ("W2_adjacent", 600, [p // 2 for p in range(600)]),
        ("W3", 640, [p % 40 for p in range(640)]),
        ("W3", 320, [p % 20 for p in range(320)]),
    ],
)
def test_every_wake_up(name, size, contents, pages_to_scan):
    sim = played("K1", name, size, pages_to_scan=pages_to_scan, sleep_millisecs=30)
    expected = list(wake_ups(contents, pages_to_scan))
    boundaries = [tuple(counters[name] for name in workloads.COUNTERS) for counters in sim.wakes_after("series")]
    assert boundaries[1 : len(expected) + 1] == expected
    assert counted(sim, "settled") == expected[-1]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [64, 700])
def test_one_process(kernel, size):
    half = size // 2
    assert counted(played(kernel, "W1", size), "settled_undrained") == (0, 0, 0, size - 2, 0, size)
    assert counted(played(kernel, "W1", size), "settled_drained") == (0, 0, 0, size, 0, size)
    pairs = played(kernel, "W2", size)
    assert counted(pairs, "settled") == (half, half, 0, 0, size, half)
    assert counted(pairs, "after_exit_now") == (half, 0, 0, 0, size, half)
    assert counted(pairs, "after_exit_settled") == (0,) * 6
    differing = played(kernel, "W11", size)
    assert counted(differing, "settled") == (half, 0, 0, 0, size, size)
    assert differing.census["settled", "p0"] == (size, half)


@pytest.mark.parametrize("kernel", KERNELS)
def test_zero_pages(kernel):
    sim = played(kernel, "W4", 400)
    merged = {"settled": 400, "cow500_now": 200, "rezero_settled": 200, "munmap250_now": 150, "after_exit_now": 0}
    assert {phase: counted(sim, phase) for phase in merged} == {
        phase: (0, zero, zero, 0, 0, 0) for phase, zero in merged.items()
    }


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [40, 300])
def test_forks(kernel, size):
    half = size // 2
    merged = played(kernel, "W5a", size)
    for phase in ("merged", "fork3_now", "fork3_settled", "kid1_dead", "kids_dead"):
        assert counted(merged, phase) == (half, half, 0, 0, size, half), phase
    forked = played(kernel, "W5b", size)
    assert counted(forked, "fork3_settled") == (0, 0, 0, half, 0, half)
    assert forked.census["fork3_settled", "p0"] == (size, half)
    assert counted(forked, "parent_wrote_all") == (0, 0, 0, half, 0, half)
    zero = played(kernel, "W5c", size)
    assert [zero.phases[phase]["pages_sharing"] for phase in ("merged0", "fork3_now", "kid1_dead", "kids_dead")] == [
        size, 4 * size, 3 * size, size]  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS)
def test_breaks(kernel):
    sim = played(kernel, "W6", 300)
    for phase in ("merged", "cow_even_now", "cow_even_settled", "restore_even_settled"):
        assert counted(sim, phase) == (150, 150, 0, 0, 300, 150), phase
    assert counted(sim, "cow_odd_settled") == (0,) * 6
    assert sim.census["cow_even_settled", "p0"] == (300, 150) and sim.census["cow_odd_settled", "p0"] == (300, 0)
    groups = played(kernel, "W20_groups", 20)
    assert counted(groups, "sizes2to5_x100_settled") == (80, 200, 0, 0, 280, 80)
    assert counted(groups, "wrote_every7th") == (80, 200, 0, 0, 280, 80)  # 40 first breaks
    assert groups.census["wrote_every7th", "p0"] == (120, 240)
    assert counted(groups, "wrote_all_settled") == (0,) * 6


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sampled", [OTHER_SAMPLE, workloads.SAMPLED[:40]])
def test_what_the_sample_does_not_see(kernel, sampled):
    """512 pairs that differ in word i, and 512 pairs of pages that are zero but for word i."""
    seen = sum(word < 512 for word in sampled)
    sim = played(kernel, "W12", 1024, sampled)
    assert counted(sim, "settled") == (512 - seen, 0, 0, 2 * seen, 2 * (512 - seen), 1024)
    assert counted(played(kernel, "W15_sparse", 1024, sampled), "settled") == (seen, seen, 0, 0, 2 * seen, 1024 - seen)


@pytest.mark.parametrize("kernel", KERNELS)
def test_leak(kernel):
    sim = played(kernel, "W23_leak", 33)
    assert counted(sim, "B_and_child_settled") == (0, 0, 0, 33, 0, 33)
    for phase in ("A_settled", "A_dead", "all_dead", "after_exit_settled"):
        assert counted(sim, phase) == (0, 33, 0, 0, 0, 0), phase


@pytest.mark.parametrize(
    ("size", "pages_to_scan", "merged"),
    [(50, 100, 25), (50, 40, 0), (150, 100, 0), (150, 200, 75), (300, 100, 0)],
)
def test_recheck_of_the_first_kernel(size, pages_to_scan, merged):
    """Fewer than pages_to_scan are rechecked all; of more, the first few: never the changed ones."""
    sim = played("K1", f"W18_u{50 if size == 50 else 300}_period10", size, pages_to_scan=pages_to_scan)
    assert counted(sim, "made_pairs_40s") == (merged, merged, 0, size - 2 * merged, 2 * merged, size - merged)


def test_recheck_of_the_later_kernel():
    """Below 50 unshared pages (with init's) nothing is rechecked; one that is noticed brings the others with it."""
    for size, merged in ((42, 0), (80, 40)):
        sim = played("K2", "W18_u50_period10", size)
        assert counted(sim, "made_pairs_40s") == (merged, merged, 0, size - 2 * merged, 2 * merged, size - merged)


def test_a_lone_page_of_the_later_kernel_waits_three_wake_ups():
    machine = Machine(100)
    daemon = Pksmd(machine, workloads.preset_of("K2"))
    mm = machine.spawn()
    for n in (1, 2, 5):
        machine.write(mm, machine.mmap(mm, n), np.arange(n) + 100 * n)
        waiting = []
        for _ in range(3):
            daemon.wake()
            waiting.append(daemon.counters()["new_len"])
        assert waiting == ([1, 1, 0] if n == 1 else [0, 0, 0])


def run_until_quiet(daemon, wakes=80):
    for _ in range(wakes):
        daemon.wake()
    return tuple(daemon.counters()[name] for name in workloads.COUNTERS)


def first_kernel(frames=6000):
    machine = Machine(frames)
    return machine, Pksmd(machine, workloads.preset_of("K1")), machine.spawn()


def test_mlock_of_one_side_hangs_in_the_second_wake_up():
    """W9: 200 pages mlocked, 200 equal ones not. At the first merge: shared 0, sharing 1, nothing drained."""
    machine, daemon, mm = first_kernel()
    locked = machine.mmap(mm, 200, 0x10000000)
    machine.write(mm, locked, np.arange(1, 201))
    machine.mlock(mm, locked, 200)
    machine.write(mm, machine.mmap(mm, 200, 0x20000000), np.arange(1, 201))
    assert run_until_quiet(daemon) == (0, 1, 0, 101, 0, 400)
    assert daemon.hung and daemon.next_wake() is None


def test_a_stable_node_may_save_nothing():
    """W7: all members of 100 groups but one are unmapped; the node stays, and new duplicates join it."""
    machine, daemon, mm = first_kernel()
    at = [machine.mmap(mm, 100, 0x10000000 * (i + 1)) for i in range(4)]
    for address in at:
        machine.write(mm, address, np.arange(1, 101))
    assert run_until_quiet(daemon)[:2] == (100, 300)
    for address in at[:3]:
        machine.munmap(mm, address, 100)
    assert run_until_quiet(daemon) == (100, 0, 0, 0, 400, 100)
    machine.write(mm, machine.mmap(mm, 100), np.arange(1, 101))
    assert run_until_quiet(daemon) == (100, 100, 0, 0, 500, 100)


def test_emptied_and_filled_again():
    """W13: 200 pairs, one half of them emptied."""
    machine, daemon, mm = first_kernel()
    at = machine.mmap(mm, 400)
    machine.write(mm, at, np.repeat(np.arange(1, 201), 2))
    assert run_until_quiet(daemon) == (200, 200, 0, 0, 400, 200)
    machine.madvise(mm, at, 200, "DONTNEED")
    assert daemon.counters()["pages_shared"] == 200 and daemon.counters()["pages_sharing"] == 100
    assert run_until_quiet(daemon) == (100, 100, 0, 0, 200, 100)
    machine.write(mm, at, np.repeat(np.arange(1, 101), 2))
    assert run_until_quiet(daemon) == (200, 200, 0, 0, 400, 200)


def test_what_is_not_tracked():
    """W13, W14, W16: read-only mappings and moved ones are; swapped-in, huge and copied pages are not."""
    machine, daemon, mm = first_kernel()
    at = machine.mmap(mm, 400)
    machine.write(mm, at, np.repeat(np.arange(1, 201), 2))
    machine.mprotect(mm, at, 400, writable=False)
    machine.mremap(mm, at, 400, 0x70000000)
    assert run_until_quiet(daemon) == (200, 200, 0, 0, 400, 200)
    unique = machine.mmap(mm, 1000)
    machine.write(mm, unique, np.arange(1000, 2000))
    assert run_until_quiet(daemon)[3] == 1000
    assert machine.swap_out(mm, 0x70000000, 400) == 0, "a merged page can't be swapped out"
    assert machine.swap_out(mm, unique, 1000) == 1000
    machine.swap_in(mm, unique, 1000)
    assert run_until_quiet(daemon) == (200, 200, 0, 0, 400, 200)
    huge = machine.mmap(mm, 512, 0x40000000)
    machine.thp_fault(mm, huge)
    machine.thp_split(mm, huge, 512)
    assert run_until_quiet(daemon) == (200, 200, 0, 0, 400, 200)
