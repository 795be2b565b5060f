"""FlatHost by itself: frames and mappings, whom it tells what, and what it refuses."""

import numpy as np
import pytest

from pksm.engine.store import Store
from pksm.errors import PageError, UsageError
from pksm.hosts.flat import FlatHost
from pksm.protocols import NO_FRAME, ZERO_FRAME

PAGE_SIZE = 16


class Listener:
    """A policy that only writes down what it is told."""

    def __init__(self):
        self.told = []

    def on_new(self, pages):
        self.told.append(("new", pages.tolist()))

    def on_free(self, pages):
        self.told.append(("free", sorted(pages.tolist())))

    def take(self):
        told, self.told = self.told, []
        return told


@pytest.fixture
def world():
    """A host with pages 0 to 9 and 64 to 66 in its store: page p holds p % 5, so 0, 5 and 65 are zero."""
    store = Store(PAGE_SIZE)
    for n_pages in (10, 3):
        first = store.n_pages
        store.add(np.repeat(np.arange(first, first + n_pages, dtype=np.uint8) % 5, PAGE_SIZE))
    host, listener = FlatHost(store), Listener()
    host.attach(listener)
    return host, listener


def uint32(*values):
    return np.array(values, np.uint32)


def counts(host):
    return host.pages_sharing, host.pages_zero_sharing, host.frames_saved


def test_pages_are_born_with_a_frame_of_their_own(world):
    host, listener = world
    host.add([3, 66, 1], anon_vma=7)
    assert listener.take() == [("new", [3, 66, 1])]
    assert host.frame_of[[3, 66, 1]].tolist() == [3, 66, 1]
    assert (host.frame_of[[0, 2, 64, 65]] == NO_FRAME).all()
    assert host.anon_vma(uint32(66, 1)).tolist() == [7, 7]
    assert counts(host) == (0, 0, 0)
    host.check()


def test_merging_frees_frames(world):
    host, listener = world
    host.add(range(10))
    listener.take()
    assert host.merge(uint32(1, 2), uint32(6, 7)) is None
    assert listener.take() == [("free", [1, 2])]
    assert host.frame_of[:8].tolist() == [0, 6, 7, 3, 4, 5, 6, 7]
    assert counts(host) == (2, 0, 2)
    assert host.merge_zero(uint32(5, 0)) is None
    assert listener.take() == [("free", [0, 5])]
    assert host.frame_of[[0, 5]].tolist() == [ZERO_FRAME] * 2
    assert counts(host) == (2, 2, 4)
    host.check()


def test_a_frame_lives_as_long_as_somebody_maps_it(world):
    host, listener = world
    host.add([1, 6, 66])
    host.merge(uint32(1, 66), uint32(6, 6))
    listener.take()
    host.free([6])
    assert listener.take() == []
    assert host.frame_of[6] == NO_FRAME and host.frame_of[1] == 6
    assert counts(host) == (1, 0, 1)
    host.check()
    with pytest.raises(PageError, match="alive"):
        host.add([6])
    host.free([1])
    host.free([66])
    assert listener.take() == [("free", [6])]
    assert counts(host) == (0, 0, 0)
    host.add([6])
    assert listener.take() == [("new", [6])]
    host.check()


def test_freeing_pages_of_all_kinds_at_once(world):
    host, listener = world
    host.add(range(10))
    host.merge(uint32(1), uint32(6))
    host.merge_zero(uint32(0))
    listener.take()
    host.free([0, 1, 2, 6])
    assert listener.take() == [("free", [2, 6])]
    assert (host.frame_of[[0, 1, 2, 6]] == NO_FRAME).all()
    assert counts(host) == (0, 0, 0)
    host.check()
    host.add([0, 1, 2, 6])
    host.check()


@pytest.mark.parametrize("pages", [[], [1], [0, 1], [0, 1, 2]])
def test_split_pages_are_born_anew(world, pages):
    host, listener = world
    host.add(range(10), anon_vma=3)
    host.merge(uint32(1, 2), uint32(6, 7))
    host.merge_zero(uint32(0))
    listener.take()
    host.split(pages)
    assert [what for what in listener.take() if what[1]] == ([("new", pages)] if pages else [])
    assert host.frame_of[pages].tolist() == pages
    assert host.anon_vma(uint32(*pages)).tolist() == [3] * len(pages)
    assert counts(host)[2] == 3 - len(pages)
    host.check()


def test_the_last_split_page_frees_the_frame(world):
    host, listener = world
    host.add([1, 6])
    host.merge(uint32(1), uint32(6))
    host.free([6])
    listener.take()
    host.split([1])
    assert listener.take() == [("free", [6]), ("new", [1])]
    host.check()


def test_references_to_anon_vmas_are_counted(world):
    host, _ = world
    host.add([1], anon_vma=2)
    host.add([3], anon_vma=40)
    host.get_anon_vma(uint32(2, 40, 2, 0))
    host.put_anon_vma(uint32(2, 0))
    host.check()
    assert host._references[[0, 2, 40]].tolist() == [0, 1, 1]
    host.put_anon_vma(uint32(0))
    with pytest.raises(AssertionError):
        host.check()


def state(host):
    return host.frame_of.tolist(), host._mapcount.tolist(), counts(host)


@pytest.mark.parametrize("pages", [[10], [63], [67], [1, 1], [2, 0, 2], [3], [6], [5], [-1], [1 << 32]])
def test_births_that_can_not_be(world, pages):
    """Outside the store, twice, alive, or where a frame still serves others."""
    host, listener = world
    host.add([3, 5, 6])
    host.merge_zero(uint32(5))
    listener.take()
    before = state(host)
    with pytest.raises((PageError, ValueError)):
        host.add(pages)
    assert state(host) == before and not listener.take()
    host.add([1, 2, 0])
    host.check()


@pytest.mark.parametrize("pages", [[1], [3, 3], [3, 1], [1 << 20], [63]])
def test_deaths_that_can_not_be(world, pages):
    host, listener = world
    host.add([3, 5, 6])
    listener.take()
    before = state(host)
    for call in (host.free, host.split):
        with pytest.raises(PageError):
            call(pages)
    assert state(host) == before and not listener.take()
    host.check()


@pytest.mark.parametrize(
    "pages, kpages",
    [
        ([1], [6]),  # merged already
        ([7], [7]),  # into itself
        ([2], [7]),  # 7 has been freed
        ([2], [1]),  # 1 has no frame of its own any more
        ([6], [2]),  # 6 serves 1
        ([9, 8], [9, 3]),  # one of two
        ([4, 4], [9, 9]),  # twice
        ([4, 9], [9, 3]),  # into one that is merged at once
        ([0], [5]),  # 0 is merged with the zero page
        ([66], [6]),  # never born
    ],
)
def test_merges_that_can_not_be(world, pages, kpages):
    host, listener = world
    host.add(range(10))
    host.merge(uint32(1), uint32(6))
    host.merge_zero(uint32(0))
    host.free([7])
    listener.take()
    before = state(host)
    with pytest.raises(PageError):
        host.merge(uint32(*pages), uint32(*kpages))
    assert state(host) == before and not listener.take()
    host.check()


@pytest.mark.parametrize("pages", [[1], [0], [7], [64], [5, 1]])
def test_zero_merges_that_can_not_be(world, pages):
    host, listener = world
    host.add(range(10))
    host.merge(uint32(1), uint32(6))
    host.merge_zero(uint32(0))
    host.free([7])
    listener.take()
    before = state(host)
    with pytest.raises(PageError):
        host.merge_zero(uint32(*pages))
    assert state(host) == before and not listener.take()


def test_splits_that_can_not_be(world):
    host, _ = world
    host.add(range(10))
    host.merge(uint32(1), uint32(6))
    before = state(host)
    for pages in ([6], [2], [1, 2]):
        with pytest.raises(PageError):
            host.split(pages)
    assert state(host) == before


def test_regions_may_come_later(world):
    host, _ = world
    host.add(range(10))
    first = host.store.add(bytes(PAGE_SIZE * 70))
    host.add(range(first, first + 70))
    host.merge_zero(np.arange(first, first + 70, dtype=np.uint32))
    assert counts(host) == (0, 70, 70)
    host.check()


@pytest.mark.parametrize("alive, pages", [([50], range(100)), ([150], range(60, 151)), ([], range(101, 203))])
def test_a_long_run_of_births_that_can_not_be(alive, pages):
    """Consecutive pages go a shorter way; one of them is alive, or behind the end of the region."""
    store, listener = Store(PAGE_SIZE), Listener()
    store.add(bytes(201 * PAGE_SIZE))
    host = FlatHost(store)
    host.attach(listener)
    host.add(alive)
    listener.take()
    before = state(host)
    with pytest.raises(PageError):
        host.add(pages)
    assert state(host) == before and not listener.take()
    if not alive:
        host.add(range(101, 201), anon_vma=np.arange(100))
        assert listener.take() == [("new", list(range(101, 201)))]
        assert host.anon_vma(uint32(101, 200)).tolist() == [0, 99]
        host.free(range(101, 201))
        assert listener.take() == [("free", list(range(101, 201)))]
    host.check()


def test_a_check_finds_a_merge_that_changed_bytes(world):
    host, _ = world
    host.add(range(10))
    host.merge(uint32(1), uint32(6))
    host.check()
    host.merge(uint32(2), uint32(8))
    with pytest.raises(AssertionError, match="differs"):
        host.check()


def test_a_check_finds_a_page_that_was_not_zero(world):
    host, _ = world
    host.add(range(10))
    host.merge_zero(uint32(3))
    with pytest.raises(AssertionError, match="zero"):
        host.check()


@pytest.mark.parametrize("column, page", [("frame_of", 4), ("_mapcount", 4)])
def test_a_check_finds_wrong_counts(world, column, page):
    host, _ = world
    host.add(range(10))
    getattr(host, column)[page] += 1
    with pytest.raises(AssertionError):
        host.check()


@pytest.mark.parametrize("anon_vma", [[1, 2], [], -1, [1, 2, -1], [1, 2, 1 << 32], [1, 2, 1 << 24]])
def test_anon_vmas_that_can_not_be_change_nothing(world, anon_vma):
    host, listener = world
    with pytest.raises((UsageError, PageError)):
        host.add([1, 2, 3], anon_vma=anon_vma)
    assert not listener.take() and (host.frame_of == NO_FRAME).all()
    host.check()
    host.add([1, 2, 3], anon_vma=[1, 2, 3])
    host.check()


@pytest.mark.parametrize("kpages", [(6,), (6, 7, 6)])
def test_a_kpage_for_each_page(world, kpages):
    host, listener = world
    host.add(range(10))
    listener.take()
    with pytest.raises(PageError):
        host.merge(uint32(1, 2), uint32(*kpages))
    assert not listener.take() and counts(host) == (0, 0, 0)
    host.check()
