"""CKSM beside its slow twin: the same births, deaths, writes and wake-ups, the same counters and frames."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pksm.engine.checksums import strategies
from pksm.engine.store import Store
from pksm.hosts.flat import FlatHost
from pksm.policies.cksm.daemon import Cksm
from pksm.policies.cksm.spec import PRESETS, QUIRKS
from pksm.protocols import NO_FRAME

from model.cksm import SlowCksm

PAGES, SIZE = 80, 64
CHECKSUM = "sampled:words=2:seed=3"  # of 16 words: pages that differ elsewhere collide


class World:
    """A flat host with a policy, and what happens to it."""

    def __init__(self, make, static):
        store = Store(SIZE)
        self.first, self.memory = store.allocate(PAGES)
        self.host = FlatHost(store, static=static)
        self.policy = make(self.host)

    def _frames(self):
        frames = np.full(PAGES, NO_FRAME, np.uint32)
        known = self.host.frame_of[self.first : self.first + PAGES]
        frames[: len(known)] = known
        return frames

    def _chosen(self, pages, able):
        pages = np.unique(np.array(pages, np.uint32)) % PAGES
        pages = np.unique(pages)
        return (pages[able[pages]] + self.first).astype(np.uint32)

    def _serving(self):
        frames = self._frames()
        serving = np.zeros(PAGES, bool)
        serving[frames[frames < NO_FRAME] - self.first] = True
        return serving

    def births(self, pages, contents):
        pages = self._chosen(pages, (self._frames() == NO_FRAME) & ~self._serving())
        self._put(pages, contents)
        self.host.add(pages)

    def _put(self, pages, contents):
        for page, content in zip(pages.tolist(), contents * PAGES, strict=False):
            self.memory[page - self.first] = 0
            self.memory[page - self.first, :12] = content  # where the checksum looks, or not
            self.memory[page - self.first, 40] = content % 3

    def deaths(self, pages, contents):
        self.host.free(self._chosen(pages, self._frames() != NO_FRAME))

    def writes(self, pages, contents):
        if self.host.static:
            return
        own = self._frames() == np.arange(PAGES) + self.first
        kept = np.zeros(PAGES, bool)
        frames = self._frames()
        merged = frames[(frames < NO_FRAME) & ~own] - self.first
        kept[merged] = True
        ever_kept = np.array([self.is_kept(page + self.first) for page in range(PAGES)])
        pages = self._chosen(pages, own & ~kept & ~ever_kept)
        self._put(pages, contents)
        self.policy.written(pages)

    def is_kept(self, page):
        if isinstance(self.policy, SlowCksm):
            entry = self.policy.entries.get(page)
            return bool(entry and entry.kept)
        item = self.policy._item_of_page[page] if page < len(self.policy._item_of_page) else 0
        return bool(self.policy.items.flags[item] & 2)

    def copies(self, pages, contents):
        frames = self._frames()
        able = (frames != NO_FRAME) & (frames != np.arange(PAGES) + self.first) & ~self._serving()
        self.host.split(self._chosen(pages, able))

    def wakes(self, pages, contents):
        self.policy.wake()


EVENTS = ("births", "births", "deaths", "writes", "copies", "wakes", "wakes", "wakes")
events = st.lists(
    st.tuples(
        st.sampled_from(EVENTS),
        st.lists(st.integers(0, PAGES - 1), min_size=1, max_size=40),
        st.lists(st.integers(0, 5), min_size=1, max_size=6),
    ),
    min_size=4,
    max_size=30,
)


@given(
    events=events, quirks=st.sets(st.sampled_from(sorted(QUIRKS))), unmerged=st.integers(1, 40), static=st.booleans()
)
def test_it_does_what_its_slow_twin_does(events, quirks, unmerged, static):
    settings = PRESETS["fixed"].with_(quirks=quirks, unmerge_pages_to_scan=unmerged, checksum=CHECKSUM)
    sum_of = strategies.make(CHECKSUM, SIZE).of
    quick = World(lambda host: Cksm(host, settings), static)
    slow = World(lambda host: SlowCksm(host, settings, sum_of), static)
    for number, (event, pages, contents) in enumerate(events):
        for world in (quick, slow):
            getattr(world, event)(pages, contents)
        quick.policy.check()
        counters = quick.policy.counters()
        expected = slow.policy.counters()
        assert {name: counters[name] for name in expected} == expected, f"after {number}: {event}"
        assert np.array_equal(quick._frames(), slow._frames()), f"after {number}: {event}"
