"""ksmd on the machine, whatever happens to it, against ksmd one page at a time over a dict."""

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pksm.engine.checksums import strategies as checksums
from pksm.hosts.machine import Machine
from pksm.policies.ksmd import tunables as ksm_tunables
from pksm.policies.ksmd.daemon import Ksmd

from model.ksmd import Ksmd as SlowKsmd
from model.ksmd import Memory

PAGE_SIZE = 64
BASE, PAGES = 500, 24  # virtual pages: over the border of two leaves
CONTENTS = [bytes([kind]) * (PAGE_SIZE - 1) + bytes([end]) for kind in (0, 1, 200) for end in (0, 1, 2)]

pages = st.integers(BASE, BASE + PAGES - 1)
steps = st.one_of(
    st.tuples(
        st.just("write"), st.integers(0, 9), pages, st.lists(st.integers(0, len(CONTENTS) - 1), min_size=1, max_size=16)
    ),
    st.tuples(st.just("wake"), st.sampled_from([1, 3, 7, 1000])),
    st.tuples(st.just("wake"), st.just(1000)),
    st.tuples(st.just("fork"), st.integers(0, 9)),
    st.tuples(st.just("unmap"), st.integers(0, 9), pages, st.integers(1, PAGES)),
    st.tuples(st.just("exit"), st.integers(0, 9)),
    st.tuples(st.just("opt out"), st.integers(0, 9)),
    st.tuples(st.just("spawn")),
)


class Twins:
    """The machine under ksmd, and the dict under the slow one."""

    def __init__(self, tunables):
        self.machine = Machine(2000, PAGE_SIZE)
        self.ksmd = Ksmd(self.machine, tunables)
        self.memory = Memory()
        stages = ksm_tunables.STAGE_ORDERS[tunables.stages]
        names = [
            "sleep_millisecs",
            "pages_to_scan",
            "smart_scan",
            "max_page_sharing",
            "stable_node_chains_prune_millisecs",
        ]
        names += [name for name in ksm_tunables.SETTINGS if name.startswith("advisor")] + ["visit_ns"]
        self.slow = SlowKsmd(
            self.memory,
            checksums.make(tunables.checksum, PAGE_SIZE).of,
            [stage for stage in stages if stage != "zero" or tunables.use_zero_pages],
            **{name: getattr(tunables, name) for name in names},
        )
        self.mms = []
        self.spawn()

    def _enter(self, mm):
        self.mms.append(mm)
        self.memory.alive.add(mm.id)

    def spawn(self):
        if len(self.mms) < 4:
            mm = self.machine.spawn()
            self._enter(mm)
            self.machine.mmap(mm, PAGES, BASE * PAGE_SIZE, mergeable=True)
            self.memory.mms.append(mm.id)

    def fork(self, which):
        mm = self.mms[which % len(self.mms)]
        if len(self.mms) < 4:
            child = self.machine.fork(mm)
            self._enter(child)
            self.memory.fork(mm.id, child.id)
            if mm.id in self.memory.mms:
                self.memory.mms.append(child.id)

    def exit(self, which):
        if len(self.mms) > 1:
            mm = self.mms.pop(which % len(self.mms))
            self.memory.unmap(mm.id, range(BASE, BASE + PAGES))
            self.memory.alive.remove(mm.id)
            self.memory.mms = [id for id in self.memory.mms if id != mm.id]
            self.machine.exit(mm)

    def opt_out(self, which):
        """Merged pages get frames of their own; the mm is left alone from now on."""
        mm = self.mms[which % len(self.mms)]
        self.machine.madvise(mm, BASE * PAGE_SIZE, PAGES, "UNMERGEABLE")
        for page in range(BASE, BASE + PAGES):
            frame = self.memory.ptes.get((mm.id, page), False)
            if frame is None or (frame and frame.node):
                self.memory.ptes[mm.id, page] = None  # not written in place
                self.memory.write(mm.id, page, frame.content if frame else bytes(PAGE_SIZE))
        self.memory.mms = [id for id in self.memory.mms if id != mm.id]

    def write(self, which, first, kinds):
        mm = self.mms[which % len(self.mms)]
        kinds = kinds[: BASE + PAGES - first]
        data = np.frombuffer(b"".join(CONTENTS[kind] for kind in kinds), np.uint8).reshape(-1, PAGE_SIZE)
        self.machine.write(mm, first * PAGE_SIZE, data)
        for page, kind in enumerate(kinds, first):
            self.memory.write(mm.id, page, CONTENTS[kind])

    def unmap(self, which, first, n):
        mm = self.mms[which % len(self.mms)]
        n = min(n, BASE + PAGES - first)
        self.machine.madvise(mm, first * PAGE_SIZE, n, "DONTNEED")
        self.memory.unmap(mm.id, range(first, first + n))

    def wake(self, n):
        if self.ksmd.tunables.advisor_mode == "none":
            self.ksmd.sysfs["pages_to_scan"] = self.slow.settings["pages_to_scan"] = n
        self.ksmd.wake()
        self.slow.wake()
        self.compare()

    def compare(self):
        self.machine.check()
        self.ksmd.check()
        counters = self.ksmd.counters()
        assert counters == counters | self.slow.counters()
        assert self.ksmd.sysfs["pages_to_scan"] == self.slow.settings["pages_to_scan"]
        for mm in self.mms:
            seen = self.machine.read(mm, BASE * PAGE_SIZE, PAGES)
            for page in range(BASE, BASE + PAGES):
                frame = self.memory.ptes.get((mm.id, page))
                assert seen[page - BASE].tobytes() == (frame.content if frame else bytes(PAGE_SIZE))
        frames = {id(frame) for frame in self.memory.ptes.values() if frame}
        assert self.machine.frames_used == len(frames)


def play(tunables, steps):
    twins = Twins(tunables)
    for name, *arguments in steps:
        getattr(twins, name.replace(" ", "_"))(*arguments)
        if twins.ksmd.items.chains:
            event("chains")
    for _ in range(3):
        twins.wake(1000)
    return twins


@given(
    st.sampled_from(list(ksm_tunables.PRESETS)),
    st.sampled_from([0, 1]),
    st.sampled_from([0, 1]),
    st.sampled_from([0, 2, 3, 4]),
    st.sampled_from([0, 40, 100000]),
    st.lists(st.integers(0, 3), min_size=8, max_size=PAGES),
    st.lists(steps, max_size=40),
)
def test_whatever_happens_ksmd_does_what_the_slow_one_does(preset, smart_scan, zero, sharing, prune, kinds, steps):
    tunables = ksm_tunables.preset(preset).with_(
        smart_scan=smart_scan, use_zero_pages=zero, max_page_sharing=sharing, stable_node_chains_prune_millisecs=prune
    )
    play(tunables, [("write", 0, BASE, kinds), ("wake", 1000), ("wake", 1000), *steps])


@given(st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=PAGES), min_size=1, max_size=3))
@settings(max_examples=20)
def test_at_rest_everything_equal_is_shared(written):
    twins = Twins(ksm_tunables.preset("ksm-6.11").with_(smart_scan=0))
    for _ in written[1:]:
        twins.spawn()
    for which, kinds in enumerate(written):
        twins.write(which, BASE, kinds)
    while not twins.ksmd.at_rest:
        twins.wake(1000)
    assert twins.machine.frames_used == len({kind for kinds in written for kind in kinds})


@given(
    st.lists(steps, max_size=40),
    st.integers(1, 20),
    st.integers(1, 40),
    st.sampled_from([12, 40, 30000]),
    st.integers(0, 100),
    st.integers(1, 9),
    st.sampled_from([0, 3_000_000, 40_000_000, 100_000_000]),
    st.sampled_from([20, 700, 2500]),
)
def test_the_advisor_sets_pages_to_scan_as_the_slow_one_does(steps, n, first, most, cpu, target, visit_ns, sleep):
    tunables = ksm_tunables.preset("ksm-6.11").with_(
        advisor_mode="scan-time",
        advisor_min_pages_to_scan=first,
        advisor_max_pages_to_scan=most,
        advisor_max_cpu=cpu,
        advisor_target_scan_time=target,
        visit_ns=visit_ns,
        sleep_millisecs=sleep,
    )
    wakes = [("wake", 1)] * n
    twins = play(tunables, [("write", 0, BASE, list(range(9))), *wakes, *steps, *wakes])
    event(f"{len(twins.slow.advice) > 3=}, {twins.ksmd.tunables.pages_to_scan=}")
