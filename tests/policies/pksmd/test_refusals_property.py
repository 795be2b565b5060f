"""A host that refuses some merges: what comes out is what the model says, which settles one item at a time.

Whether a merge is refused depends on the page, on what is tried and on how often it was tried before, so batches,
single items and the model all meet the same refusals.
"""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm.engine import native
from pksm.hosts.flat import FlatHost
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd
from pksm.protocols import NO_FRAME, ZERO_FRAME

from model.pksmd import FlatHost as ModelHost
from model.settle import Class
from support.daemons import WAKES_TO_REST, Daemons, checksum_of, make_memory
from support.twins import ORDERS, PAGE_SIZE, contents

PAGES = 70


class Refusals:
    """rate: of attempts refused; patience: attempts after which a page's luck no longer changes."""

    def __init__(self, seed, rate, patience=1):
        self.seed, self.rate, self.patience = seed, rate, patience
        self.attempts = {}

    def again(self):
        """The same refusals, for another who makes the same attempts."""
        return Refusals(self.seed, self.rate, self.patience)

    def __call__(self, kind, page):
        attempt = self.attempts[kind, page] = self.attempts.get((kind, page), 0) + 1
        return random.Random(f"{self.seed} {kind} {page} {min(attempt, self.patience)}").random() < self.rate


class RefusingHost(FlatHost):
    """refuses: Refusals; busy: a page that is refused becomes busy."""

    def __init__(self, store, refuses, busy):
        super().__init__(store)
        self.refuses, self.busy = refuses, busy

    def _try(self, kind, pages):
        refused = np.array([self.refuses(kind, page) for page in pages.tolist()], bool)
        if self.busy:
            self.classes[pages[refused]] = native.BUSY_PAGE
        return refused

    def merge(self, pages, kpages):
        refused = self._try("merge", pages)
        super().merge(pages[~refused], kpages[~refused])
        return refused if refused.any() else None

    def merge_zero(self, pages):
        refused = self._try("zero", pages)
        super().merge_zero(pages[~refused])
        return refused if refused.any() else None


class BusyModelHost(ModelHost):
    """A page that is refused becomes busy."""

    def merge(self, page, kpage):
        return self._busy_unless(super().merge(page, kpage), page)

    def merge_zero(self, page):
        return self._busy_unless(super().merge_zero(page), page)

    def _busy_unless(self, done, page):
        if not done:
            self.classes[page] = Class.BUSY_PAGE
        return done


class OneByOne(Pksmd):
    """Settles and applies a batch item by item."""

    def _settle(self, ids):
        for i in range(len(ids)):
            super()._settle(ids[i : i + 1])


class RefusedDaemons(Daemons):
    """policy: class of the daemon; refuses, busy: of the hosts; then as for Daemons."""

    as_worked = False  # void verdicts are given again later

    def __init__(self, policy, refuses, busy, *how):
        self.policy, self.refuses, self.busy = policy, refuses, busy
        super().__init__(*how)
        self.set_classes({})

    def new_hosts(self, pages):
        model_host = (BusyModelHost if self.busy else ModelHost)(pages, self.refuses.again())
        return RefusingHost(self.store, self.refuses, self.busy), model_host

    def new_daemon(self, tunables, checksum):
        return self.policy(self.host, tunables, checksum=checksum, window=self.window)

    def check(self):
        super().check()
        assert self.refuses.attempts == self.model_host.refuses.attempts


steps = st.lists(
    st.one_of(
        st.tuples(st.just("wake"), st.integers(1, 3)),
        st.tuples(st.just("free"), st.sets(st.integers(0, PAGES - 1), max_size=10)),
        st.tuples(st.just("add"), st.dictionaries(st.integers(0, PAGES - 1), st.integers(0, 9), max_size=10)),
        st.tuples(st.just("write"), st.dictionaries(st.integers(0, PAGES - 1), st.integers(0, 9), max_size=5)),
        st.tuples(st.just("calm"), st.none()),
    ),
    max_size=12,
)


@st.composite
def worlds(draw, policy, order):
    """RefusedDaemons with pages born and waiting, and the contents its pages can have."""
    words = st.integers(0, PAGE_SIZE // 4 - 2).map(lambda word: [0, word])
    checksum = draw(st.one_of(st.just("xxh3-64"), words))
    bases = draw(st.lists(contents, min_size=3, max_size=3))
    if order == "checksum":  # there, what only looks like zeros would be in the way of a page refused as zero
        bases = [bytes([base[0] or 1]) + base[1:] for base in bases]
    # three pages that differ in the last word only, which is never sampled, of each base
    palette = [bytes(PAGE_SIZE), *(base[:-1] + bytes([last]) for base in bases for last in (1, 2, 3))]
    changes = st.fixed_dictionaries(
        {
            "pages_to_scan": st.sampled_from([5, 100]),
            "reclaim": st.sampled_from(["immediate", "del-list"]),
            "sleep_millisecs": st.sampled_from([0, 1000]),
            "quirks": st.sets(st.sampled_from(["collision-is-success", "lifo-batch"])),
        }
    )
    both = RefusedDaemons(
        policy,
        Refusals(draw(st.integers(0, 1 << 32)), rate=0.3, patience=draw(st.sampled_from([1, 4]))),
        draw(st.booleans()),
        tunables.preset("fixed").with_(order=order, **draw(changes)),
        checksum_of(checksum),
        draw(st.sampled_from([1, 32])),
    )
    pages = draw(st.lists(st.sampled_from(palette), min_size=20, max_size=PAGES))
    for page, content in enumerate(pages):
        both.write(page, content)
    both.add(list(range(len(pages))))
    return both, palette


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("policy", [Pksmd, OneByOne], ids=["batch", "one by one"])
@given(data=st.data(), steps=steps)
def test_refused_merges_leave_what_one_by_one_leaves(policy, order, data, steps):
    both, palette = data.draw(worlds(policy, order))
    both.wake()
    both.check()
    for what, how in steps:
        if what == "wake":
            for _ in range(how):
                both.wake()
                both.check()
        elif what == "free":
            both.free([page for page in both.live() if page in how])
        elif what == "add":
            pages = [page for page in both.unborn() if page in how]
            for page in pages:
                both.write(page, palette[how[page]])
            both.add(pages)
        elif what == "write":
            both.set_classes({})
            pages = [page for page in both.live() if page in how and both.may_be_written(page)]
            for page in pages:
                both.write(page, palette[how[page]])
            both.written(pages)
        else:
            both.set_classes({})  # nobody is busy any more
        both.check()


@pytest.mark.parametrize("kind", ["merge", "zero"])
def test_rest_is_reached_though_a_host_refuses_for_ever(kind):
    refuses = Refusals(0, rate=1)
    both = RefusedDaemons(Pksmd, refuses, False, tunables.preset("fixed"), checksum_of("xxh3-64"))
    for page in range(10):
        both.write(page, bytes(PAGE_SIZE) if kind == "zero" else b"\1" * PAGE_SIZE)
    both.add(list(range(10)))
    wakes = 0
    while not both.daemon.at_rest and wakes < WAKES_TO_REST:
        both.wake()
        both.check()
        wakes += 1
    assert both.daemon.at_rest
    assert both.host.frames_saved == 0
    assert both.daemon.counters()["rescan_len"] == 9
    refuses.rate = both.model_host.refuses.rate = 0
    both.wake()
    both.check()
    assert both.host.frames_saved == 9


class DyingHost(RefusingHost):
    """Pages die while it merges others; what names a dead page is refused."""

    def __init__(self, store, refuses):
        super().__init__(store, refuses, busy=False)
        self.at_peace = False

    def unmerged(self):
        return np.flatnonzero(self.frame_of == np.arange(len(self.frame_of))).astype(np.uint32)

    def _try(self, kind, pages):
        refused = super()._try(kind, pages)
        if not self.at_peace:
            dying = [page for page in self.unmerged().tolist() if self.refuses("death", page)]
            self.free(dying[:3])
        return refused | ~np.isin(pages, self.unmerged())

    def merge(self, pages, kpages):
        refused = self._try("merge", pages) | (self._mapcount[kpages] == 0)
        FlatHost.merge(self, pages[~refused], kpages[~refused])
        return refused if refused.any() else None


@pytest.mark.parametrize("quirk", ["none", "drop-is-final"])
@pytest.mark.parametrize("reclaim", ["immediate", "del-list"])
@given(
    seed=st.integers(0, 1 << 32), pages=st.lists(st.integers(0, 8), min_size=10, max_size=PAGES), words=st.booleans()
)
def test_pages_may_die_while_others_are_merged(reclaim, quirk, seed, pages, words):
    store, memory = make_memory()
    host = DyingHost(store, Refusals(seed, rate=0.1, patience=20))
    checksum = checksum_of([0] if words else "xxh3-64")[0]
    settings = tunables.preset("fixed").with_(reclaim=reclaim, quirks={quirk} - {"none"}, pages_to_scan=30)
    daemon = Pksmd(host, settings, checksum=checksum)
    for page, content in enumerate(pages):
        memory[page][20] = content
    host.add(np.arange(len(pages)))
    for at_peace in (False, False, False, False, True, True, True, True):
        host.at_peace = at_peace
        host.refuses.rate = 0 if at_peace else 0.1
        host.classes = np.zeros(store.n_pages, np.uint8)
        host.classes[::3] = native.FREE if at_peace else native.WALK_FAILS
        daemon.wake()
        daemon.check()
        host.check()
    assert daemon.at_rest
    frames = {}
    for page, content in enumerate(pages):
        if host.frame_of[page] not in (NO_FRAME, ZERO_FRAME):
            frames.setdefault(content, set()).add(int(host.frame_of[page]))
    assert quirk == "drop-is-final" or all(len(shared) == 1 for shared in frames.values())
