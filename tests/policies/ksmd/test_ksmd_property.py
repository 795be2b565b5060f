"""ksmd on the machine, whatever happens to it, against ksmd one page at a time over a dict."""

from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pksm.engine.checksums import strategies as checksums
from pksm.errors import UsageError
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
    st.tuples(st.just("opt out"), st.integers(0, 9), pages, st.integers(1, PAGES)),
    st.tuples(st.just("opt out"), st.integers(0, 9), st.just(BASE), st.just(PAGES)),
    st.tuples(st.just("opt in"), st.integers(0, 9), pages, st.integers(1, PAGES)),
    st.tuples(st.just("unmerge")),
    st.tuples(st.just("limit sharing"), st.sampled_from([0, 2, 3])),
    st.tuples(st.just("switch zero pages")),
    st.tuples(st.just("spawn")),
)


class Twins:
    """The machine under ksmd, and the dict under the slow one."""

    def __init__(self, tunables):
        self.machine = Machine(2000, PAGE_SIZE)
        self.ksmd = Ksmd(self.machine, tunables)
        self.memory = Memory()
        self.zero_only, self.stages = tunables.zero_only, ksm_tunables.STAGE_ORDERS[tunables.stages]
        names = [
            "sleep_millisecs",
            "pages_to_scan",
            "smart_scan",
            "max_page_sharing",
            "stable_node_chains_prune_millisecs",
            "unmerged_items",
        ]
        names += [name for name in ksm_tunables.SETTINGS if name.startswith("advisor")] + ["visit_ns"]
        self.slow = SlowKsmd(
            self.memory,
            checksums.make(tunables.checksum, PAGE_SIZE).of,
            self._stages(tunables.use_zero_pages),
            **{name: getattr(tunables, name) for name in names},
        )
        self.mms = []
        self.spawn()

    def _stages(self, use_zero_pages):
        if self.zero_only:
            return ["unchanged", "zero"]
        return [stage for stage in self.stages if stage != "zero" or use_zero_pages]

    def spawn(self):
        if len(self.mms) < 4:
            mm = self.machine.spawn()
            self.mms.append(mm)
            self.memory.alive.add(mm.id)
            self.machine.mmap(mm, PAGES, BASE * PAGE_SIZE, mergeable=True)
            self.memory.opt_in(mm.id, range(BASE, BASE + PAGES))

    def fork(self, which):
        mm = self.mms[which % len(self.mms)]
        if len(self.mms) < 4:
            child = self.machine.fork(mm)
            self.mms.append(child)
            self.memory.fork(mm.id, child.id)

    def exit(self, which):
        if len(self.mms) > 1:
            mm = self.mms.pop(which % len(self.mms))
            self.memory.exit(mm.id)
            self.machine.exit(mm)

    def opt_out(self, which, first, n):
        self._advise(which, first, n, "UNMERGEABLE", self.memory.opt_out)

    def opt_in(self, which, first, n):
        self._advise(which, first, n, "MERGEABLE", self.memory.opt_in)

    def _advise(self, which, first, n, advice, of_model):
        mm = self.mms[which % len(self.mms)]
        n = min(n, BASE + PAGES - first)
        self.machine.madvise(mm, first * PAGE_SIZE, n, advice)
        of_model(mm.id, range(first, first + n))

    def unmerge(self):
        self.ksmd.sysfs["run"] = 2
        self.slow.unmerge()
        self.compare()
        self.ksmd.sysfs["run"] = 1

    def limit_sharing(self, n):
        may = self.slow.limit_sharing(n)
        event(f"max_page_sharing may change: {may}")
        with nullcontext() if may else pytest.raises(UsageError, match="max_page_sharing: can't change while"):
            self.ksmd.sysfs["max_page_sharing"] = n
        self.compare()

    def switch_zero_pages(self):
        self.ksmd.sysfs["use_zero_pages"] ^= 1
        self.slow.stages = self._stages(self.ksmd.sysfs["use_zero_pages"])

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
