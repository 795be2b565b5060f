"""UKSM beside its slow twin: the same life of processes, the same counters, rungs, trees and frames after each wake-up."""

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pksm.engine import native
from pksm.hosts.machine import Machine
from pksm.policies.uksm import slots
from pksm.policies.uksm.daemon import Uksm
from pksm.policies.uksm.spec import PRESETS, QUIRKS
from pksm.protocols import NO_FRAME, ZERO_FRAME

from model.uksm import SlowUksm

SIZE, BASE, PAGES, POOL = 64, 1 << 30, 40, 8
WORDS = SIZE // 4

parts = st.tuples(st.integers(0, PAGES - 1), st.integers(1, PAGES))
OTHERS = "fork exit mmap munmap empty migrate swap_out swap_in opt_out pin unpin tune".split()
steps = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 5), parts, st.integers(0, 11)),
    st.tuples(st.just("wake"), st.just(0), parts, st.integers(1, 12)),
    st.tuples(st.sampled_from(OTHERS), st.integers(0, 5), parts, st.integers(0, 5)),
)
tunes = st.fixed_dictionaries({
    "cpu_governor": st.sampled_from(["full", "medium", "low", "quiet"]),
    "sleep_millisecs": st.sampled_from([0, 2, 5, 20, 100, 1000]),
    "abundant_threshold": st.sampled_from([0, 1, 10]),
    "thrash_threshold": st.sampled_from([0, 1, 50]),
})  # fmt: skip


def pages_of(ids):
    """Content 0 is zero; many agree in most of their words, so that weak hashes collide."""
    pages = np.zeros((len(ids), WORDS), np.uint32)
    ids = np.asarray(ids)
    pages[ids != 0] = 5
    pages[:, 3] = ids // 4
    pages[:, 11] = ids
    return pages.view(np.uint8)


class World:
    """A machine under a policy, and what happens to it."""

    def __init__(self, make):
        self.machine = Machine(800, SIZE)
        self.policy = make(self.machine)
        self.mms, self.held = [self.machine.spawn()], []
        self.machine.mmap(self.mms[0], PAGES, BASE)

    def play(self, name, which, part, number, settings):
        """Do it, as far as it can be done."""
        machine, mm, first = self.machine, self.mms[which % len(self.mms)], part[0]
        n = min(part[1], PAGES - first)
        address = BASE + first * SIZE
        if name == "wake":
            self.policy.wake()
        elif name == "tune":
            self.tune(settings)
        elif name == "fork" and len(self.mms) < 5:
            self.mms.append(machine.fork(mm))
        elif name == "exit" and len(self.mms) > 1:
            machine.exit(self.mms.pop(which % len(self.mms)))
        elif name == "munmap":
            machine.munmap(mm, address, n)
        elif name == "mmap":
            if not self.covered(mm, address, n):
                machine.mmap(mm, n, address)
        elif name == "unpin" and self.held:
            machine.unpin(self.held.pop())
        elif name in ("write", "empty", "migrate", "swap_out", "swap_in", "opt_out", "pin"):
            if self.covered(mm, address, n) == n:
                self.to_memory(name, mm, address, n, number)

    def covered(self, mm, address, n):
        first, vmas = address // SIZE, self.machine.vmas
        spans = map(vmas.span, vmas.over(mm, first, first + n))
        return sum(min(end, first + n) - max(start, first) for start, end in spans)

    def to_memory(self, name, mm, address, n, number):
        machine = self.machine
        if name == "write":
            machine.write(mm, address, pages_of((np.arange(n) * (number % 3)) % 16 + number))
            if number == 11:
                machine.write(mm, address, pages_of(np.zeros(n, int)))
        elif name == "empty":
            machine.madvise(mm, address, n, "DONTNEED")
        elif name == "opt_out":
            machine.madvise(mm, address, n, "UNMERGEABLE")
        elif name == "pin":
            machine.write(mm, address, pages_of(np.arange(n) % 16 + 1))
            self.held.append(machine.pin(mm, address, n))
        else:
            getattr(machine, name)(mm, address, n)

    def tune(self, settings):
        if isinstance(self.policy, SlowUksm):
            self.policy.set(settings)
        else:
            self.policy.tunables = settings

    def mapped(self):
        """Which virtual pages share a frame: [number of the frame, by first mapping]; -1: zero page; -2: none."""
        names, seen = {ZERO_FRAME: -1, NO_FRAME: -2}, []
        for mm in self.mms:
            frames, _ = self.machine.pages_at(np.full(PAGES, mm.id), BASE // SIZE + np.arange(PAGES))
            seen += [names.setdefault(frame, len(names)) for frame in frames.tolist()]
        return seen


def quick_rungs(policy):
    """What the ladder knows."""
    return [
        (rung.step, rung.quota, rung.finished, rung.offset if rung.n else 0,
         [(slot.number, slot.cursor, slot.sampled, slot.merged, slot.copied) if slot else None for slot in rung.slots])
        for rung in policy.rungs
    ]  # fmt: skip


def slow_rungs(twin):
    return [
        (rung.step, rung.quota, rung.finished, rung.offset if rung.slots else 0,
         [(slot.number, slot.cursor, slot.sampled, slot.merged, slot.copied) if slot else None for slot in rung.places])
        for rung in twin.rungs
    ]  # fmt: skip


def quick_trees(policy):
    """What each tree holds, by the key of a hash: how many items without a full hash, and the full hashes of the others, in order."""
    items, tables, found = policy.items, policy._tables, []
    for flag in (native.UNSTABLE, native.STABLE):
        tree = {}
        for id in np.flatnonzero(items.flags & flag).tolist():
            node = int(tables.column("node")[id])
            if node:
                total, full = int(items.checksum[node]), int(tables.column("full")[id])
                tree.setdefault(total, []).append(0 if tables.column("first")[node] == id else full)
        found.append({total: sorted(fulls) for total, fulls in tree.items()})
    return found


def key_of(total):
    """What C sorts a node of this hash by."""
    key = total << 32
    for shift, factor in ((31, 0x9E3779B97F4A7C15), (29, 0xBF58476D1CE4E5B9)):
        key = (key ^ key >> shift) * factor % 2**64
    return key ^ key >> 32


def slow_trees(twin):
    return [
        {key_of(total): sorted([*node.by_full, *([0] if node.first else [])]) for total, node in tree.items()}
        for tree in (twin.trees.unstable, twin.trees.stable)
    ]


def quick_balance(policy):
    work, strength = policy._tables.work, policy._tables.strength
    names = "positive", "negative", "hashed", "full_sums", "compares"
    return [int(work[name][0]) for name in names], strength.words, strength.stable_benefit, policy._pause_ms


def slow_balance(twin):
    trees, strength = twin.trees, twin.strength
    counts = [trees.positive, trees.negative, trees.hashed, trees.full_sums, trees.compares]
    return counts, strength.at, strength.stable_benefit, twin.pause


def assert_same(quick, slow, when):
    policy, twin = quick.policy, slow.policy
    policy.check()
    expected, counters = twin.counters(), policy.counters()
    assert {name: counters[name] for name in expected} == expected, when
    assert quick_rungs(policy) == slow_rungs(twin), when
    assert quick_trees(policy) == slow_trees(twin), when
    if twin.pause is not None:
        assert quick_balance(policy) == slow_balance(twin), when
    assert quick.mapped() == slow.mapped(), when


def play_both(story, chosen, seed):
    """Play it on both sides, and compare them after each wake-up, until one may differ. Return the counters."""
    begins = chosen[0]
    quick = World(lambda host: Uksm(host, begins, seed=seed))
    random = np.random.Generator(np.random.PCG64(seed))
    slow = World(lambda host: SlowUksm(host, begins, random, slots.POOL_ENTRIES))
    tuned = 0
    for at, (name, which, part, number) in enumerate(story):
        tuned += name == "tune"
        for _ in range(number if name == "wake" else 1):
            for world in (quick, slow):
                world.play(name, which, part, number, chosen[tuned % len(chosen)])
            if slow.policy.met_twice:
                return quick.policy.counters()
            if name == "wake":
                assert_same(quick, slow, f"after {at}: {name}")
    return quick.policy.counters()


@given(
    story=st.lists(steps, min_size=4, max_size=30),
    tuned=st.lists(tunes, min_size=1, max_size=3),
    quirks=st.sets(st.sampled_from(sorted(QUIRKS))),
    seed=st.integers(0, 1000),
)
@settings(max_examples=20, deadline=None)
def test_it_does_what_its_slow_twin_does(monkeypatch_pools, story, tuned, quirks, seed):
    base = PRESETS["uksm-fixed"].with_(quirks=quirks)
    counters = play_both(story, [base.with_(**one) for one in tuned], seed)
    event("merged" if counters["pages_sharing"] else "nothing merged")
    event("full scans" if counters["full_scans"] > 1 else "no full scan")


@pytest.fixture(scope="module")
def monkeypatch_pools():
    """Pools of few entries, so that small vmas have several of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slots, "POOL_ENTRIES", POOL)
        yield


@pytest.mark.parametrize("quirk", [*sorted(QUIRKS), "none", "all"])
def test_each_quirk_alone_over_a_long_life(monkeypatch_pools, quirk):
    """Many wake-ups: strengths move, slots climb and fall, means begin anew."""
    quirks = {"none": set(), "all": set(QUIRKS)}.get(quirk, {quirk})
    base = PRESETS["uksm-fixed"].with_(quirks=quirks, cpu_governor="full", sleep_millisecs=5)
    rng = np.random.default_rng(7)
    story = [("write", 0, (0, 30), 4), ("wake", 0, (0, 1), 12)]
    for _ in range(12):
        first = int(rng.integers(PAGES))
        part = first, int(rng.integers(1, PAGES))
        name = str(rng.choice(["write", "write", "write", "fork", "exit", "empty", "munmap", "mmap", "tune"]))
        story += [(name, int(rng.integers(6)), part, int(rng.integers(12))), ("wake", 0, part, int(rng.integers(1, 9)))]
    other = base.with_(cpu_governor="quiet", abundant_threshold=2)
    counters = play_both(story, [base, other], seed=3)
    assert counters["full_scans"] > 1
