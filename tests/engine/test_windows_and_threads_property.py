"""How many searches are in flight and how many threads sum pages changes the time, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm import FlatHost, Pksmd, Store, preset
from pksm.engine import native, summing
from pksm.engine.checksums import strategies as checksums
from pksm.errors import UsageError

PAGES, PAGE_SIZE = 200, 64
WAYS = [(window, threads) for window in (1, 2, 16, 64) for threads in (1, 2)]

pages_of = st.sets(st.integers(0, PAGES - 1), max_size=60)
scripts = st.lists(
    st.one_of(
        st.tuples(st.just("add"), pages_of, st.integers(1, 40)),
        st.tuples(st.just("free"), pages_of, st.none()),
        st.tuples(st.just("change"), pages_of, st.integers(1, 40)),  # and tell
        st.tuples(st.just("change silently"), pages_of, st.integers(1, 40)),
        st.tuples(st.just("wake"), st.none(), st.integers(1, 4)),
    ),
    min_size=4,
    max_size=14,
)


class Engine:
    """One way to run a script."""

    def __init__(self, window, threads, order, strategy, batch, forest=0):
        self.store = Store(PAGE_SIZE)
        first, self.memory = self.store.allocate(PAGES)
        assert first == 0
        self.host = FlatHost(self.store, static=True)
        settings = preset("fixed").with_(order=order, pages_to_scan=batch, sleep_millisecs=1000)
        checksum = checksums.sampled_at([0]) if strategy == "weak" else checksums.make(strategy, PAGE_SIZE)
        self.daemon = Pksmd(self.host, settings, checksum=checksum, threads=threads, window=window, forest=forest)

    def fill(self, pages, spread):
        """Contents by page: the same for all that are equal modulo spread; 0 is the zero page."""
        for page in pages:
            content = page % spread
            self.memory[page] = 0
            self.memory[page][[0, 20]] = content % 7, content  # few different first words: weak sums collide
            self.memory[page][40] = content

    def run(self, what, pages, how):
        if what == "wake":
            for _ in range(how):
                self.daemon.wake()
            return
        frames = self.host.frame_of[:PAGES] if len(self.host.frame_of) else np.full(PAGES, 0xFFFFFFFE, np.uint32)
        if what == "add":
            pages = [page for page in pages if frames[page] == 0xFFFFFFFE and self.unused(page)]
            self.fill(pages, how)
            self.host.add(np.array(pages, np.uint32))
        elif what == "free":
            self.host.free(np.array([page for page in pages if frames[page] != 0xFFFFFFFE], np.uint32))
        else:
            pages = [page for page in pages if frames[page] == page and self.writable(page)]
            self.fill(pages, how)
            if what == "change":
                self.daemon.written(np.array(pages, np.uint32))

    def unused(self, page):
        return not len(self.host._mapcount) or not self.host._mapcount[page]

    def writable(self, page):
        ids = self.daemon.items.item_of(np.array([page], np.uint32))
        return not (self.daemon.items.flags[ids] & native.STABLE).any()

    def state(self):
        """All that may not depend on the way: links and colours of both trees, verdicts' effects, lists, counters."""
        daemon = self.daemon
        lists = [queue.ids().tolist() for queue in (daemon._new, daemon._rescan, daemon._update, daemon._deleted)]
        return (
            daemon.items.table.nodes[: len(daemon.items.table.nodes)].tobytes(),
            None if daemon.items.table.forest is None else daemon.items.table.forest.tobytes(),
            self.host.frame_of.tobytes(),
            lists,
            daemon.counters(),
            daemon.cost.pages_visited,
        )


@pytest.mark.parametrize("order", ["checksum", "checksum-content", "content"])
@given(
    script=scripts,
    strategy=st.sampled_from(["xxh3-64", "weak"]),
    batch=st.sampled_from([3, 50, 1000]),
    forest=st.sampled_from([0, 3, 12]),
)
def test_every_way_ends_alike(order, script, strategy, batch, forest):
    before = summing.PARALLEL_PAGES
    summing.PARALLEL_PAGES = 1
    try:
        engines = [Engine(*way, order, strategy, batch, forest) for way in WAYS]
        for what, pages, how in [("add", range(0, PAGES, 2), 30), *script, ("wake", None, 3)]:
            if order == "content" and "change" in what:
                continue  # in order of content, one by one is the only exact way while pages change
            for engine in engines:
                engine.run(what, pages, how)
                engine.daemon.check()
            first = engines[0].state()
            for way, engine in zip(WAYS[1:], engines[1:], strict=True):
                assert engine.state() == first, way
        for engine in engines:
            engine.host.check()
    finally:
        summing.PARALLEL_PAGES = before


@pytest.mark.parametrize("order", ["checksum", "checksum-content"])
@given(script=scripts, batch=st.sampled_from([3, 50, 1000]))
def test_a_forest_ends_as_one_tree_does(order, script, batch):
    """Links differ, and the steps that searches take; verdicts' effects, lists and counters do not."""
    engines = [Engine(16, 1, order, "xxh3-64", batch, forest) for forest in (0, 3, 12)]
    for what, pages, how in [("add", range(0, PAGES, 2), 30), *script, ("wake", None, 3)]:
        for engine in engines:
            engine.run(what, pages, how)
            engine.daemon.check()
        one_tree, *forests = [engine.state()[2:] for engine in engines]
        assert forests == [one_tree, one_tree]
        frames = [engine.host.frame_of.tolist() for engine in engines]
        assert frames[1:] == frames[:-1]


def test_trees_by_content_take_no_notice_of_a_forest():
    engine = Engine(16, 1, "content", "xxh3-64", 50, forest=12)
    assert engine.daemon.items.forest == 0
    with pytest.raises(UsageError, match="forest 25"):
        Engine(16, 1, "checksum", "xxh3-64", 50, forest=25)
