"""A FlatHost that is written through, against pages that are kept one by one in a dictionary."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pksm import FlatHost, Ksmd, Pksmd, Store
from pksm.errors import PageError, UsageError
from pksm.policies.ksmd.tunables import preset as ksm_preset
from pksm.policies.pksmd.tunables import preset
from pksm.protocols import NO_FRAME, ZERO_FRAME

SIZE = 16


class Books:
    """A policy that stands between a host and another policy, and knows which frames should be tracked."""

    opted_in_only = False

    def __init__(self):
        self.alive = set()
        self.policy = None

    def on_new(self, pages):
        assert not self.alive & set(pages.tolist())
        self.alive |= set(pages.tolist())
        self.policy.on_new(pages)

    def on_free(self, pages):
        assert set(pages.tolist()) <= self.alive
        self.alive -= set(pages.tolist())
        self.policy.on_free(pages)

    def written(self, pages):
        assert set(pages.tolist()) <= self.alive
        self.policy.written(pages)

    def moved(self, old, new):
        self.policy.moved(old, new)


def contents_of(ids):
    return np.repeat(np.array(ids, np.uint8)[:, np.newaxis], SIZE, axis=1)


def engines():
    return {
        "pksmd": lambda host: Pksmd(host, preset("fixed").with_(pages_to_scan=7, period_seconds=1)),
        "pksmd in content order": lambda host: Pksmd(host, preset("fixed").with_(pages_to_scan=7, order="content")),
        "pksmd with a del list": lambda host: Pksmd(host, preset("v0.2").with_(pages_to_scan=7)),
        "ksmd": lambda host: Ksmd(host, ksm_preset("ksm-6.11").with_(pages_to_scan=9, use_zero_pages=1, smart_scan=0)),
    }


@pytest.mark.parametrize("engine", engines())
@given(seed=st.integers(0, 2**32 - 1), foreign=st.booleans())
@settings(max_examples=25)
def test_writers_see_their_own_bytes_and_the_policy_every_birth_and_death(engine, seed, foreign):
    rng = np.random.default_rng(seed)
    store = Store(SIZE)
    host = FlatHost(store)
    daemon = engines()[engine](host)
    books = Books()
    books.policy = daemon
    host.attach(books)
    model = {}  # page -> content id
    if foreign:  # memory of somebody else's, part of it used
        first, rows = store.allocate(20)
        rows[:] = contents_of(rng.integers(0, 4, 20))
        host.add(np.arange(first, first + 10))
        model.update({page: int(rows[page - first, 0]) for page in range(first, first + 10)})
    for _ in range(40):
        pages = np.array(sorted(model), np.uint32)
        some = rng.permutation(pages)[: rng.integers(0, 12)]
        what = rng.integers(0, 6)
        if what == 0:
            new = host.new(int(rng.integers(0, 10)))
            assert not set(new.tolist()) & model.keys()
            model.update(dict.fromkeys(new.tolist(), 0))
        elif what == 1:
            host.free(some)
            for page in some.tolist():
                del model[page]
        elif what <= 4:
            ids = rng.integers(0, 5, len(some))
            host.write(some, contents_of(ids))
            model.update(zip(some.tolist(), ids.tolist(), strict=True))
        elif rng.random() < 0.2:
            host.unmerge_all()
            assert host.frames_saved == 0 or engine == "ksmd"
        for _ in range(rng.integers(0, 4)):
            daemon.wake()
        check(host, books, model)
    if engine == "pksmd with a del list":
        return  # it has the faults of the published kernels
    for _ in range(3000):
        daemon.wake()
        if daemon.at_rest:
            break
    for _ in range(60):  # a period, in which silent changes would be found
        daemon.wake()
    daemon.check()
    check(host, books, model)
    assert host.frames_saved == len(model) - len(set(model.values()) - {0}), "at rest all is shared that can be"


def check(host, books, model):
    pages = np.array(sorted(model), np.uint32)
    assert np.array_equal(host.read(pages), contents_of([model[page] for page in pages.tolist()]))
    frames = host.frame_of[pages] if len(pages) else pages
    assert books.alive == set(frames[frames != ZERO_FRAME].tolist()), "frames in use are those the policy knows"
    assert not (frames == NO_FRAME).any()
    assert host.frames_saved == len(pages) - len(set(frames[frames != ZERO_FRAME].tolist()))
    host.check()


def test_a_kept_page_is_written_and_its_sharers_keep_theirs():
    host = FlatHost(Store(SIZE))
    daemon = Pksmd(host)
    pages = host.new(4)
    host.write(pages, contents_of([1, 1, 1, 2]))
    while not daemon.at_rest:
        daemon.wake()
    (kept,) = [page for page in pages[:3].tolist() if host.frame_of[page] == page]
    host.write([kept], contents_of([3]))
    assert host.read(pages)[:, 0].tolist() == [3 if page == kept else 1 for page in pages[:3].tolist()] + [2]
    assert host.frame_of[kept] != kept, "its own frame serves the others"
    host.write([kept], contents_of([2]))
    for _ in range(3):
        daemon.wake()
    assert host.frame_of[kept] == host.frame_of[pages[3]] and host.frames_saved == 2
    host.check()


def test_an_unmerged_page_is_written_in_place_and_announced():
    host = FlatHost(Store(SIZE))
    daemon = Pksmd(host)
    pages = host.new(2)
    host.write(pages, contents_of([1, 2]))
    daemon.wake()
    assert daemon.counters()["pages_unshared"] == 2
    host.write(pages[:1], contents_of([2]))
    assert daemon.counters()["rescan_len"] == 1
    daemon.wake()
    assert host.frames_saved == 1


def test_freed_memory_is_used_again():
    host = FlatHost(Store(SIZE))
    for _ in range(50):
        pages = host.new(100)
        host.write(pages, np.full((100, SIZE), 7, np.uint8))
        host.free(pages)
    assert host.store.n_pages < 400
    assert not host.read(host.new(100)).any(), "used again, it is zero again"


def test_content_ids_are_pages_of_eight_bytes():
    host = FlatHost(Store(8))
    pages = host.new(3)
    host.write(pages, np.array([5, 2**64 - 1, 5], np.uint64))
    assert host.read(pages).view(np.uint64)[:, 0].tolist() == [5, 2**64 - 1, 5]


def test_what_can_not_be_written_is_refused_and_nothing_changes():
    read_only = Store(SIZE)
    read_only.add(bytes(2 * SIZE))
    cases = []
    host = FlatHost(read_only)
    host.add([0, 1])
    cases.append((host, [0], contents_of([1]), UsageError, "read-only"))
    static = FlatHost(Store(SIZE), static=True)
    static.store.allocate(2)
    static.add([0, 1])
    cases.append((static, [0], contents_of([1]), UsageError, "static"))
    usual = FlatHost(Store(SIZE))
    pages = usual.new(3)
    cases.append((usual, pages[:2], contents_of([1]), UsageError, "1 contents for 2 pages"))
    cases.append((usual, [pages[0], pages[0]], contents_of([1, 2]), PageError, "twice"))
    cases.append((usual, [63], contents_of([1]), PageError, "not alive"))
    cases.append((usual, pages[:1], np.zeros((1, 3), np.uint8), UsageError, "uint8 array"))
    cases.append((usual, pages[:1], bytes(SIZE + 1), UsageError, "whole number of pages"))
    for one, where, what, error, message in cases:
        with pytest.raises(error, match=message):
            one.write(where, what)
        alive = np.flatnonzero(one.frame_of != NO_FRAME)
        assert not one.read(alive).any()
        one.check()
    with pytest.raises(UsageError, match="-1 new pages"):
        usual.new(-1)
