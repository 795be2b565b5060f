"""Records of sharers are dropped when nothing is found through them, and nobody notices."""

from collections import Counter
from unittest import mock

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st

from pksm.hosts.machine import Machine
from pksm.hosts.machine.rmap import Sharers
from pksm.policies.ksmd import tunables as ksm_tunables
from pksm.policies.ksmd.daemon import Ksmd
from pksm.policies.pksmd import daemon as pksmd
from pksm.policies.pksmd import tunables

from support.machines import SIZE

PAGES, AT = 12, 0x100 * SIZE
steps = st.tuples(
    st.sampled_from(
        ["write", "write", "fork", "exit", "empty", "move", "migrate", "swap_out", "unmerge", "wake", "wake"]
    ),
    st.integers(0, 3),
    st.integers(0, PAGES - 1),
    st.integers(1, PAGES),
)


class Side:
    """A machine under a policy; slack: records before it is asked who shares still."""

    def __init__(self, policy, slack):
        self.slack = slack
        records, sharers = self.patched()
        with records, sharers:
            self.machine = Machine(600, SIZE)
            if policy == "pksmd":
                self.policy = pksmd.Pksmd(self.machine, tunables.preset("fixed"))
            else:
                self.policy = Ksmd(self.machine, ksm_tunables.preset("ksm-6.11").with_(smart_scan=0))
        self.mms = [self.machine.spawn()]
        self.machine.mmap(self.mms[0], PAGES, AT, mergeable=True)
        self.home = {self.mms[0].id: AT}

    def patched(self):
        return mock.patch.multiple(pksmd, SHARERS_SLACK=self.slack), mock.patch.object(Sharers, "SLACK", self.slack)

    def play(self, name, which, first, n):
        mm, n = self.mms[which % len(self.mms)], min(n, PAGES - first)
        address = self.home[mm.id] + first * SIZE
        if name == "write":
            self.machine.write(mm, address, (np.arange(n) + first) % 3 + 1)
        elif name == "fork" and len(self.mms) < 4:
            self.mms.append(self.machine.fork(mm))
            self.home[self.mms[-1].id] = self.home[mm.id]
        elif name == "exit" and len(self.mms) > 1:
            self.machine.exit(self.mms.pop(which % len(self.mms)))
        elif name == "empty":
            self.machine.madvise(mm, address, n, "DONTNEED")
        elif name == "move":
            self.home[mm.id] = self.machine.mremap(mm, self.home[mm.id], PAGES, self.home[mm.id] + 2 * PAGES * SIZE)
        elif name in ("migrate", "swap_out"):
            getattr(self.machine, name)(mm, address, n)
        elif name == "unmerge":
            self.machine.madvise(mm, address, n, "UNMERGEABLE")
            self.machine.madvise(mm, address, n, "MERGEABLE")
        else:
            self.policy.wake()
        self.machine.check()
        self.policy.check()


@given(policy=st.sampled_from(["pksmd", "ksmd"]), plan=st.lists(steps, max_size=40))
def test_dropping_them_changes_nothing_else(policy, plan):
    few, all_ = Side(policy, 2), Side(policy, 1 << 30)
    plan = [("write", 0, 0, PAGES), ("wake", 0, 0, 1), ("wake", 0, 0, 1), *plan, ("wake", 0, 0, 1)]
    for step in plan:
        for side in (few, all_):
            records, sharers = side.patched()
            with records, sharers:
                side.play(*step)
        counters, others = few.policy.counters(), all_.policy.counters()
        assert counters | {"stable_nodes": 0} == others | {"stable_nodes": 0}
        assert few.machine.frames_saved == all_.machine.frames_saved
    event(f"dropped: {few.machine.sharers.n < all_.machine.sharers.n}")
    if policy == "ksmd":
        return
    rmap, records = few.machine.rmap, few.policy._stable_anon
    items = few.policy.items
    held = Counter(anon_vma for id in np.flatnonzero(items.link) for anon_vma in records.of(items, id).tolist())
    lines = np.flatnonzero((rmap.root != 0) & (rmap.root != np.arange(len(rmap.root))))
    held.update(rmap.root[lines].tolist())
    assert {int(anon_vma): int(rmap.references[anon_vma]) for anon_vma in np.flatnonzero(rmap.references)} == held
    mapped = counters["pages_sharing"] + 2 * counters["pages_shared"]
    assert len(records) <= 2 * max(mapped + 2 * counters["pages_shared"], len(all_.policy.items)) + 24
