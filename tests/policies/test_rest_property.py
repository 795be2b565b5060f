"""Whatever happens to memory, of whatever page size, under refusals and calls back: at rest each content has one frame."""

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pksm import policies
from pksm.engine import native
from pksm.engine.store import Store
from pksm.errors import UsageError
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine import Machine
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd
from pksm.protocols import NO_FRAME, ZERO_FRAME

PAGES, BASE = 12, 1 << 30
SIZES = [8, 16, 64, 512, 4096, 65536, 1 << 20]
MAKERS = {
    "pksmd": lambda host: policies.make("pksmd:fixed", host),
    "ksmd": lambda host: policies.make("ksmd", host, {"use_zero_pages": 1, "smart_scan": 0}),
    "nobody": lambda host: policies.make("nobody", host),
}
parts = st.tuples(st.integers(0, PAGES - 1), st.integers(1, PAGES))
steps = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 3), parts, st.integers(0, 5)),
    st.tuples(
        st.sampled_from(["fork", "exit", "empty", "unmap", "move", "migrate", "out", "back", "pin", "unpin", "wake"]),
        st.integers(0, 3),
        parts,
        st.just(0),
    ),
    st.tuples(st.just("wake"), st.just(0), parts, st.just(0)),
)


def pages_of(ids, size):
    """Content 0 is zero; the others differ from it, and some from one another, in their last byte alone."""
    pages = np.zeros((len(ids), size), np.uint8)
    pages[:, 0], pages[:, -1] = (np.asarray(ids) + 1) // 3, np.asarray(ids)
    return pages


class World:
    """A machine under a policy, with up to four processes of one region each."""

    def __init__(self, policy, size):
        self.machine = Machine(140, size)
        self.policy = MAKERS[policy](self.machine)
        self.size, self.mms, self.homes, self.held = size, [], {}, []
        mm = self.machine.spawn()
        self.machine.mmap(mm, PAGES, BASE, mergeable=True)
        self.mms.append(mm)
        self.homes[mm.id] = BASE

    def play(self, name, which, part, content):
        machine, mm, (first, n) = self.machine, self.mms[which % len(self.mms)], part
        n = min(n, PAGES - first)
        home = self.homes[mm.id]
        address = home + first * self.size
        there = machine.vmas.over(mm, address // self.size, address // self.size + n)
        covered = sum(
            min(end, address // self.size + n) - max(start, address // self.size)
            for start, end in map(machine.vmas.span, there)
        )
        if name == "wake":
            self.policy.wake()
        elif name == "fork" and len(self.mms) < 4:
            self.mms.append(machine.fork(mm))
            self.homes[self.mms[-1].id] = home
        elif name == "exit" and len(self.mms) > 1:
            machine.exit(self.mms.pop(which % len(self.mms)))
        elif name == "unmap" and first:  # the first page stays
            machine.munmap(mm, address, n)
        elif name == "unpin" and self.held:
            machine.unpin(self.held.pop())
        elif name == "move" and len(machine.vmas.over(mm, home // self.size, home // self.size + PAGES)) == 1:
            (vma,) = machine.vmas.over(mm, home // self.size, home // self.size + PAGES)
            start, end = machine.vmas.span(vma)
            if start * self.size == home and end - start == PAGES:
                self.homes[mm.id] = machine.mremap(mm, home, PAGES, home + 4096 * self.size)
        elif covered == n:
            self._to_memory(name, mm, address, n, (np.arange(n) + content) % 6)

    def _to_memory(self, name, mm, address, n, ids):
        if name == "write":
            self.machine.write(mm, address, pages_of(ids, self.size))
        elif name == "empty":
            self.machine.madvise(mm, address, n, "DONTNEED")
        elif name == "migrate":
            self.machine.migrate(mm, address, n)
        elif name == "out":
            self.machine.swap_out(mm, address, n)
        elif name == "back":
            self.machine.swap_in(mm, address, n)
        elif name == "pin":  # of what has a frame, and is not zero: such pages are refused until they are let go
            self.machine.write(mm, address, pages_of(ids % 5 + 1, self.size))
            self.held.append(self.machine.pin(mm, address, n))

    def rest(self):
        """Let go of everything, bring everything back, and let the policy work until it rests."""
        while self.held:
            self.machine.unpin(self.held.pop())
        for mm in self.mms:
            for vma in list(mm.vmas):
                start, end = self.machine.vmas.span(vma)
                self.machine.swap_in(mm, start * self.size, end - start)
        self.policy.written(np.flatnonzero(self.machine.frames.mapcount).astype(np.uint32))
        for _ in range(200):
            self.policy.wake()
            if self.policy.at_rest:
                return
        raise AssertionError("never at rest")

    def check(self):
        self.machine.check()
        self.policy.check()

    def read(self):
        return [
            self.machine.read(mm, start * self.size, end - start).tobytes()
            for mm in self.mms
            for start, end in map(self.machine.vmas.span, mm.vmas)
        ]


def distinct(world):
    """How many contents that are not zero the mapped frames have."""
    frames = np.flatnonzero(world.machine.frames.mapcount)
    return len({bytes(page) for page in world.machine.frames.memory[frames] if page.any()})


@pytest.mark.parametrize("policy", ["pksmd", "ksmd"])
@given(size=st.sampled_from(SIZES), plan=st.lists(steps, max_size=30))
def test_frames_saved_at_rest_are_those_of_brute_force(policy, size, plan):
    world, unmerged = World(policy, size), World("nobody", size)
    plan = [("write", 0, (0, PAGES), 0), ("wake", 0, (0, 1), 0), *plan]
    for step in plan:
        world.play(*step)
        unmerged.play(*step)
        world.check()
    world.rest()
    unmerged.rest()
    world.check()
    assert world.read() == unmerged.read(), "merging has changed what somebody reads"
    assert world.machine.frames_used == distinct(unmerged)
    if not {"move", "out"} & {
        name for name, *_ in plan
    }:  # these take merged pages apart, and what forks shared with them
        assert world.machine.frames_saved == unmerged.machine.frames_used - distinct(unmerged)
    event(f"pages of {size} bytes")


# ---- refusals, and calls back ----


class Restless(FlatHost):
    """Refuses what it likes, while it storms; and from inside every call of the policy it calls the policy back."""

    def __init__(self, store, rng, memory):
        super().__init__(store)
        self.rng, self.memory, self.daemon, self.calls = rng, memory, None, 0
        self.storm = 0.0
        self.classes = np.zeros(store.n_pages, np.uint8)
        self.untouchable = set()  # named by the call that is under way
        self.awake = False

    def _refuse(self, pages):
        refused = self.rng.random(len(pages)) < self.storm
        self.classes[pages[refused]] = native.BUSY_PAGE
        return refused

    def merge(self, pages, kpages):
        self.untouchable = {*pages.tolist(), *kpages.tolist()}
        self.call_back()
        refused = self._refuse(pages)
        super().merge(pages[~refused], kpages[~refused])
        self.call_back()
        return refused

    def merge_zero(self, pages):
        self.untouchable = set(pages.tolist())
        self.call_back()
        refused = self._refuse(pages)
        super().merge_zero(pages[~refused])
        return refused

    def anon_vma(self, pages):
        self.untouchable = set(pages.tolist())
        self.call_back()
        return super().anon_vma(pages)

    def get_anon_vma(self, anon_vmas):
        super().get_anon_vma(anon_vmas)
        self.call_back()

    def put_anon_vma(self, anon_vmas):
        super().put_anon_vma(anon_vmas)
        self.call_back()

    def call_back(self):
        """Something happens to pages that nobody is about to merge."""
        if not self.awake or self.storm == 0 or self.rng.random() < 0.5:
            return
        self.calls += 1
        alone = np.flatnonzero((self.frame_of == np.arange(len(self.frame_of))) & (self._mapcount == 1))
        alone = np.setdiff1d(alone, np.array(sorted(self.untouchable), np.int64))
        free = np.flatnonzero((self.frame_of == NO_FRAME) & (self._mapcount == 0))[:PLACES]
        free = free[free < PLACES]
        what = self.rng.integers(0, 4)
        if what == 0 and len(free):
            born = free[: self.rng.integers(1, 4)]
            self.memory[born] = pages_of(self.rng.integers(0, 8, len(born)), self.memory.shape[1])
            self.classes[born] = native.FREE
            self.add(born)
        elif what == 1:
            self.daemon.written(alone.astype(np.uint32))
        elif what == 2:
            assert self.daemon.counters()["rmap_items"] >= 0 and self.daemon.metadata_bytes >= 0
        else:
            for call in (self.daemon.wake, lambda: self.daemon.sysfs.__setitem__("run", 2)):
                with pytest.raises(UsageError, match="awake"):
                    call()


PLACES = 60


@given(
    seed=st.integers(0, 1 << 32),
    size=st.sampled_from(SIZES[:5]),
    storms=st.lists(st.sampled_from([0.0, 0.1, 0.9, 1.0]), min_size=1, max_size=20),
    preset=st.sampled_from(["immediate", "del-list"]),
)
def test_storms_of_refusals_and_calls_back_leave_the_engine_whole(seed, size, storms, preset):
    rng = np.random.default_rng(seed)
    store = Store(size)
    _, memory = store.allocate(PLACES)
    host = Restless(store, rng, memory)
    daemon = Pksmd(host, tunables.preset("fixed").with_(pages_to_scan=7, reclaim=preset))
    host.daemon = daemon
    memory[:20] = pages_of(rng.integers(0, 8, 20), size)
    host.add(np.arange(20))
    for host.storm in storms:
        host.awake = True
        daemon.wake()
        host.awake = False
        daemon.check()
        host.check()
        host.classes[:] = native.FREE  # what was busy may be merged another time
        live = np.flatnonzero(host.frame_of != NO_FRAME)
        host.free(rng.permutation(live)[: len(live) // 8])
        daemon.check()
    event(f"{host.calls > 0=}")
    host.storm = 0.0
    waiting = np.flatnonzero(host.frame_of == np.arange(len(host.frame_of))).astype(np.uint32)
    daemon.written(waiting)
    for _ in range(400):
        daemon.wake()
        if daemon.at_rest:
            break
    daemon.check()
    host.check()
    live = np.flatnonzero(host.frame_of != NO_FRAME)
    contents = {bytes(page) for page in store.bytes_of(live.astype(np.uint32)) if page.any()}
    frames = np.unique(host.frame_of[live])
    assert len(frames[frames != ZERO_FRAME]) == len(contents)
    assert host.frames_saved == len(live) - len(contents)


# ---- hours ----


@pytest.mark.parametrize("sleep", [20, 3_600_000, (1 << 31) - 1])
@given(plan=st.lists(steps, max_size=20))
@settings(max_examples=15)
def test_hours_and_years_of_virtual_time_change_nothing_about_rest(sleep, plan):
    """Milliseconds since the start go beyond 32 bits, in which chains remember when they were last pruned."""
    world = World("ksmd", 64)
    world.policy.tunables = world.policy.tunables.with_(
        sleep_millisecs=sleep, max_page_sharing=2, stable_node_chains_prune_millisecs=1000
    )
    for step in [("write", 0, (0, PAGES), 0), *plan]:
        world.play(*step)
        world.machine.now += sleep
        world.policy.wake()
        world.check()
    world.rest()
    world.check()


@given(hours=st.integers(1, 100), sleep=st.sampled_from([20_000, 600_000]))
@settings(max_examples=10)
def test_pksmd_finds_what_has_changed_within_a_period_after_hours(hours, sleep):
    world = World("pksmd", 64)
    world.policy.tunables = world.policy.tunables.with_(sleep_millisecs=sleep, period_seconds=3600)
    world.machine.write(world.mms[0], BASE, pages_of(np.arange(PAGES) % 8, 64))
    wakes = 3_600_000 // sleep
    for _ in range(min(hours * wakes, 400)):
        world.policy.wake()
    before = world.machine.frames_used
    frame = np.flatnonzero(world.machine.frames.mapcount == 1)
    world.machine.write(world.mms[0], BASE + 6 * 64, pages_of([7], 64))
    for _ in range(2 * wakes + 2):
        world.policy.wake()
    world.check()
    assert world.machine.frames_used == before - 1 and len(frame)
