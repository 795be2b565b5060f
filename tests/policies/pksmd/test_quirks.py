"""The faults of the published kernels: what they did when they were measured, and each fault's switch by itself.

W1, W2 … are workloads that were run on a booted kernel with PKSM as of 2013 (preset android-3.4): all pages are filled
while pksmd is stopped, then it runs until nothing changes any more. The figures are what its counters showed, less the
few pages of the init process. Only phases before a write to a merged page can be had here: a flat host has no
copy-on-write.
"""

import numpy as np
import pytest

from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.store import Store
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine.quirks import Quirks
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd
from pksm.policies.pksmd.quirks import IMPLIED, QUIRKS, Faults
from pksm.policies.uksm.spec import QUIRKS as UKSM_QUIRKS
from pksm.protocols import NO_FRAME, ZERO_FRAME

PUBLISHED = tunables.preset("android-3.4")
PAGE_SIZE, WORDS = 4096, 1024
# what the kernel that ran W11, W12 and W15 had drawn at boot
SAMPLED = [
    *(8, 25, 27, 30, 41, 63, 72, 135, 145, 149, 151, 169, 199, 242, 250, 260, 263, 268, 277, 325, 332, 343),
    *(347, 379, 386, 410, 419, 423, 442, 449, 474, 487, 488, 490, 493, 500, 520, 522, 547, 562, 574, 579, 588, 590),
    *(619, 645, 665, 667, 688, 691, 730, 771, 775, 783, 792, 800, 827, 840, 850, 923, 936, 970, 977, 986),
]
UNSAMPLED = min(set(range(WORDS)) - set(SAMPLED))
COLUMNS = ("pages_shared", "pages_sharing", "pages_zero_sharing", "pages_unshared", "stable_nodes", "rmap_items")


def contents(ids):
    """Pages of these content ids: words that are never zero, and that differ everywhere from id to id. 0: zeros."""
    ids = np.asarray(ids, np.uint32)
    words = ids[:, None] * np.uint32(WORDS) + np.arange(WORDS, dtype=np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        words ^= words >> np.uint32(shift)
        words *= np.uint32(factor)
    words[ids == 0] = 0
    return words


class World:
    """A daemon over pages given as an array of 32-bit words, one row a page; all born, none visited.

    checksum: None for the one that the tunables name.
    """

    def __init__(self, chosen, words, checksum=SAMPLED):
        self.store = Store(PAGE_SIZE)
        self.words = words
        self.store.add(words, writable=True)
        self.host = FlatHost(self.store)
        checksum = None if checksum is None else checksums.sampled_at(checksum)
        self.daemon = Pksmd(self.host, chosen, checksum=checksum)
        self.host.add(range(len(words)))

    def wake(self, times=1):
        for _ in range(times):
            self.daemon.wake()
        self.daemon.check()
        self.host.check()
        return self

    def settle(self):
        """Return the number of wake-ups it took until nothing waited."""
        wakes = 0
        while not self.daemon.at_rest:
            self.wake()
            wakes += 1
            assert wakes < 1000
        return wakes

    def counters(self):
        return tuple(self.daemon.counters()[name] for name in COLUMNS)

    def __getattr__(self, name):
        return self.daemon.counters()[name]

    def frames(self):
        frames = self.host.frame_of[: len(self.words)]
        return len(np.unique(frames[(frames != NO_FRAME) & (frames != ZERO_FRAME)]))


# ---- what was measured ----


def w11():
    """1000 pairs that differ only in the last 8 bytes."""
    words = contents(np.repeat(np.arange(1, 1001), 2))
    words[1::2, -2:] ^= 1
    return words


def w12():
    """1024 pairs: pair i differs in word i."""
    words = contents(np.repeat(np.arange(1, 1025), 2))
    words[np.arange(1, 2048, 2), np.arange(1024)] ^= 1
    return words


def w12_triples():
    """400 triples A, A', A': A' differs from A in word 0, which the kernel did not sample."""
    words = contents(np.repeat(np.arange(1, 401), 3))
    words[1::3, 0] ^= 1
    words[2::3, 0] ^= 1
    return words


def w15():
    """1024 sparse pages, each twice: page i is zero but for word i."""
    words = np.zeros((2048, WORDS), np.uint32)
    words[np.arange(2048), np.arange(2048) // 2] = 0x5A5A5A5A
    return words


def w20():
    """100 groups each of 2, 3, 4 and 5 equal pages."""
    return contents(np.repeat(np.arange(1, 401), np.repeat([2, 3, 4, 5], 100)))


# name -> (pages; shared, sharing, zero sharing, unshared, stable nodes, rmap items when settled; frames in use)
MEASURED = {
    "W1": (lambda: contents(range(1, 2001)), (0, 0, 0, 2000, 0, 2000), 2000),
    "W2": (lambda: contents(1 + np.arange(2000) % 1000), (1000, 1000, 0, 0, 2000, 1000), 1000),
    "W2 adjacent": (lambda: contents(1 + np.arange(2000) // 2), (1000, 1000, 0, 0, 2000, 1000), 1000),
    "W3": (lambda: contents(1 + np.arange(1600) % 100), (100, 1500, 0, 0, 1600, 100), 100),
    "W4": (lambda: contents(np.zeros(1000)), (0, 1000, 1000, 0, 0, 0), 0),
    "W11": (w11, (1000, 0, 0, 0, 2000, 2000), 2000),
    "W12": (w12, (960, 0, 0, 128, 1920, 2048), 2048),
    "W12 triples": (w12_triples, (400, 400, 0, 0, 1200, 800), 800),
    "W15": (w15, (64, 64, 0, 0, 128, 1984), 1984),
    "W20": (w20, (400, 1000, 0, 0, 1400, 400), 400),
}


@pytest.mark.parametrize("name", MEASURED)
def test_settled_as_measured(name):
    make, settled, frames = MEASURED[name]
    world = World(PUBLISHED, make())
    world.settle()
    assert world.counters() == settled
    assert world.frames() == frames
    world.wake(20)
    assert world.counters() == settled, "and so it stays"


@pytest.mark.parametrize("name", MEASURED)
def test_after_exit_as_measured(name):
    """At once, what is shared is gone, and the items wait for the next wake-up on the del list."""
    make, settled, _ = MEASURED[name]
    world = World(PUBLISHED, make())
    world.settle()
    world.host.free(np.flatnonzero(world.host.frame_of != NO_FRAME))
    shared, _, _, unshared, stable_nodes, rmap_items = settled
    assert world.counters() == (shared, 0, 0, unshared, stable_nodes, rmap_items)
    assert world.del_len == rmap_items
    world.wake()
    assert world.counters() == (0, 0, 0, 0, 0, 0)


# name -> {wake-up: counters after it}, and how many wake-ups it takes
SERIES = {
    "W1": ({k: (0, 0, 0, 102 * k, 0, 2000) for k in range(1, 20)}, 20),
    "W2": (
        {k: (0, 0, 0, 102 * k, 0, 2000) for k in range(1, 10)}
        | {10: (20, 20, 0, 980, 40, 1980)}
        | {10 + k: (20 + 102 * k, 20 + 102 * k, 0, 980 - 102 * k, 40 + 204 * k, 1980 - 102 * k) for k in range(1, 10)},
        20,
    ),
    "W2 adjacent": ({k: (51 * k, 51 * k, 0, 0, 102 * k, 2000 - 51 * k) for k in range(1, 20)}, 20),
    "W3": (
        {1: (2, 2, 0, 98, 4, 1598), 2: (100, 104, 0, 0, 204, 1496)}
        | {2 + k: (100, 104 + 102 * k, 0, 0, 204 + 102 * k, 1496 - 102 * k) for k in range(1, 14)},
        16,
    ),
    "W4": ({k: (0, 102 * k, 102 * k, 0, 0, 1000 - 102 * k) for k in range(1, 10)}, 10),
}


@pytest.mark.parametrize("name", SERIES)
def test_every_wake_up_as_measured(name):
    series, wakes = SERIES[name]
    make, settled, _ = MEASURED[name]
    world, seen = World(PUBLISHED, make()), {}
    for k in range(1, wakes + 1):
        assert not world.daemon.at_rest
        seen[k] = world.wake().counters()
    assert {k: seen[k] for k in series} == series
    assert seen[wakes] == settled and world.daemon.at_rest


@pytest.mark.parametrize(
    "name, pages_to_scan, wakes", [("W2", 200, 10), ("W3", 100, 16), ("W4", 50, 20), ("W4", 10, 84)]
)
def test_wake_ups_are_what_the_batch_size_gives(name, pages_to_scan, wakes):
    make, settled, _ = MEASURED[name]
    world = World(PUBLISHED.with_(pages_to_scan=pages_to_scan), make())
    assert world.settle() == wakes
    assert world.counters() == settled


INIT_PAGES = 5  # of the init process: unshared, unchanged, at the head of every list


@pytest.mark.parametrize("unique, merged", [(300, 0), (50, 25)])
def test_pages_turned_into_pairs_in_place_as_measured(unique, merged):
    """W18: of 300 nothing is ever found; of fewer than pages_to_scan the whole list is looked at in each wake-up."""
    world = World(PUBLISHED, contents(range(1, INIT_PAGES + unique + 1)))
    world.daemon.sysfs["pages_to_scan"] = INIT_PAGES - 2
    world.wake()
    world.daemon.sysfs["pages_to_scan"] = 100
    world.settle()
    world.words[INIT_PAGES:] = contents(1000 + np.arange(unique) // 2)
    world.wake(4 if merged else 100)
    assert (world.pages_shared, world.pages_sharing) == (merged, merged)


# ---- one switch at a time ----


def without(quirk):
    return PUBLISHED.with_(quirks=PUBLISHED.quirks - {quirk})


def alike(*ids, unsampled=()):
    """Pages by content id; those at the positions `unsampled` differ from it in a word that is not sampled."""
    words = contents(ids)
    words[list(unsampled), UNSAMPLED] ^= 1
    return words


def both(quirk, words, checksum=SAMPLED):
    """A world with all that is published, and one without this fault."""
    return World(PUBLISHED, words.copy(), checksum), World(without(quirk), words.copy(), checksum)


def test_collision_is_success():
    """Two pages of equal checksum: booked as merged, and never looked at again; or the newcomer tries again."""
    faulty, right = both("collision-is-success", alike(1, 1, unsampled=[0]))
    faulty.wake(3)
    assert (faulty.pages_shared, faulty.stable_nodes, faulty.pages_sharing) == (1, 2, 0)
    assert (faulty.pages_unshared, faulty.rescan_len) == (0, 0)
    right.wake(3)
    assert (right.pages_shared, right.stable_nodes, right.pages_sharing) == (0, 0, 0)
    assert (right.pages_unshared, right.rescan_len) == (1, 1)


def test_sparse_zero_lost():
    words = np.zeros((2, WORDS), np.uint32)
    words[:, UNSAMPLED] = 1
    faulty, right = both("sparse-zero-lost", words)
    faulty.wake()
    assert (faulty.rmap_items, faulty.pages_shared, faulty.pages_unshared, faulty.frames()) == (2, 0, 0, 2)
    right.wake()
    assert (right.rmap_items, right.pages_shared, right.pages_sharing, right.frames()) == (1, 1, 1, 1)


def test_one_content_per_hash():
    """Four pages of one checksum and two contents: only one content can be shared, or both are."""
    faulty, right = both("one-content-per-hash", alike(1, 1, 1, 1, unsampled=[1, 2]))
    faulty.wake(3)
    assert (faulty.pages_sharing, faulty.frames()) == (1, 3)
    right.wake(3)
    assert (right.pages_sharing, right.frames()) == (2, 2)


def test_blind_sample():
    """A change where the checksum does not look is not seen."""
    unsampled = min(set(range(WORDS)) - set(checksums.make("sampled", PAGE_SIZE).words.tolist()))
    for world, seen in zip(both("blind-sample", contents([1, 2, 3]), checksum=None), (0, 1), strict=True):
        world.settle()
        world.words[1, unsampled] ^= 1
        world.wake()
        assert world.rescan_len == seen
        world.words[1, SAMPLED] ^= 1
        world.wake()
        assert world.rescan_len == 1, "but elsewhere it is"


def test_drop_is_final():
    """A page that can't be merged for a while has a twin."""
    for world, kept in zip(both("drop-is-final", contents([1, 1])), (False, True), strict=True):
        world.host.classes = np.zeros(world.store.n_pages, np.uint8)
        world.host.classes[0] = native.WALK_FAILS
        world.wake(2)
        assert (world.rmap_items, world.rescan_len, world.pages_unshared) == (1 + kept, kept, 1)
        world.host.classes[0] = native.FREE
        world.wake(2)
        assert world.pages_sharing == kept
        world.host.free([0, 1])
        assert world.wake().rmap_items == 0


def test_head_of_list():
    """With 300 unshared pages three are looked at a wake-up: the first three, or others each time."""
    faulty, right = both("head-of-list", contents(range(1, 301)))
    for world in (faulty, right):
        world.settle()
        last = world.daemon.items.page[world.daemon._update.ids()[-1]]
        world.words[last] = contents([1000])
        before = world.daemon.cost.pages_visited
        world.wake(110)
        assert (world.daemon.cost.pages_visited - before) == (world is right)


def test_period_not_kept():
    """With 150 unshared pages the quota is 0.75 a wake-up: rounded down to none, or carried over."""
    for world, visits in zip(both("period-not-kept", contents(range(1, 151))), (0, 1), strict=True):
        world.settle()
        first = world.daemon.items.page[world.daemon._update.ids()[0]]
        world.words[first] = contents([1000])
        before = world.daemon.cost.pages_visited
        world.wake(300)
        assert world.daemon.cost.pages_visited - before == visits


def test_period_not_kept_when_it_is_short():
    """With 300 unshared pages and one wake-up a period, all of them are due; 102 are looked at."""
    for world, visits in zip(both("period-not-kept", contents(range(1, 301))), (1, 2), strict=True):
        world.settle()
        world.daemon.sysfs["sleep_millisecs"] = 10_000
        listed = world.daemon.items.page[world.daemon._update.ids()]
        world.words[listed[[101, 102]]] = contents([1000, 1001])
        before = world.daemon.cost.pages_visited
        world.wake(2)
        assert world.daemon.cost.pages_visited - before == visits


def test_stale_hash_reentry():
    """A page changes, is found, and changes again to another's content before its visit."""
    for world, merged in zip(both("stale-hash-reentry", contents([1, 2, 3])), (0, 1), strict=True):
        world.settle()
        world.words[0] = contents([1000])
        world.wake()
        assert world.rescan_len == 1
        world.words[0] = world.words[2]
        world.wake()
        assert (world.pages_shared, world.pages_sharing) == (merged, merged)


def test_lifo_batch():
    """Of pages with one checksum, the content that comes first as a pair wins: A A B B B, or B B B A A."""
    faulty, right = both("lifo-batch", alike(1, 1, 1, 1, 1, unsampled=[2, 3, 4]))
    assert faulty.wake().frames() == 3
    assert right.wake().frames() == 4


def test_batch_plus_two():
    faulty, right = both("batch-plus-two", contents(range(1, 251)))
    assert (faulty.daemon.wake(), right.daemon.wake()) == (102, 100)
    assert (faulty.pages_unshared, right.pages_unshared) == (102, 100)
    assert [world.settle() for world in (faulty, right)] == [2, 2]


def test_ageing_defeated():
    """Three visits are over in one wake-up, or take three; a page that is alone gets one a wake-up either way."""
    preset = tunables.preset("reveriel")
    for quirks, first in ((preset.quirks, 40), (preset.quirks - {"ageing-defeated"}, 0)):
        world = World(preset.with_(quirks=quirks), contents(range(1, 41)))
        assert world.wake().pages_unshared == first
        assert world.wake(2).pages_unshared == 40
        world.words = np.concatenate((world.words, contents([100])))
        lone = world.store.add(contents([100]), writable=True)
        world.host.add([lone])
        assert world.wake(2).pages_unshared == 40
        assert world.wake().pages_unshared == 41


def test_quadratic_assert():
    """Each of 50 pages that joins a list of 50, or leaves it, has all of it looked at."""
    preset = tunables.preset("reveriel")
    for quirks, walked in ((preset.quirks, True), (preset.quirks - {"quadratic-assert"}, False)):
        world = World(preset.with_(quirks=quirks), contents(range(1, 51)))
        assert world.daemon.cost.entries_asserted == (50 * 49 // 2 if walked else 0)
        world.wake()
        assert (world.daemon.cost.entries_asserted >= 3 * (50 * 49 // 2)) == walked


def not_anonymous(world, *pages):
    world.host.classes = np.zeros(world.store.n_pages, np.uint8)
    world.host.classes[list(pages)] = native.NOT_ANON


def test_stale_node_aborts():
    """A page meets a twin in the unstable tree that is no anonymous page at the moment: a third one finds nobody."""
    for world, waiting in zip(both("stale-node-aborts", contents([1])), (0, 1), strict=True):
        world.settle()
        more = world.store.add(contents([1, 1]), writable=True)
        not_anonymous(world, 0)
        world.host.add([more])
        world.wake()
        not_anonymous(world)
        assert world.pages_unshared == 1
        world.host.add([more + 1])
        world.wake()
        assert world.pages_sharing == 1 + waiting


def test_skipped_vanish():
    """A page that is no anonymous page at its visit, and one later on."""
    for world, seen in zip(both("skipped-vanish", contents([1, 1])), (0, 1), strict=True):
        not_anonymous(world, 0)
        world.wake()
        assert world.rmap_items == 2
        not_anonymous(world)
        world.wake()
        assert world.pages_sharing == seen


def test_sharers_for_life(monkeypatch):
    """One page that stays, and others like it that come and go: a record for each of them, or for those there are."""
    monkeypatch.setattr("pksm.policies.pksmd.daemon.SHARERS_SLACK", 0)
    faulty, right = both("sharers-for-life", contents([1] * 40))
    for world in (faulty, right):
        world.wake(2)
        others = np.delete(np.arange(40), world.host.frame_of[0])
        for _ in range(5):
            world.host.free(others)
            world.host.add(others)
            world.wake(2)
        assert (world.pages_shared, world.pages_sharing) == (1, 39)
        world.daemon.check()
    assert faulty.stable_nodes == 40 + 5 * 39
    assert right.stable_nodes <= 2 * 41 + 40 // 8


ON_ANY_HOST = {quirk for quirk, (on_any_host, _) in QUIRKS.items() if on_any_host}


def test_every_quirk_of_any_host_is_tested():
    assert {f"test_{quirk.replace('-', '_')}" for quirk in ON_ANY_HOST} <= set(globals())


@pytest.mark.parametrize("name", tunables.PRESETS)
def test_quirks_that_need_page_tables_do_nothing_to_pages_mapped_once(name):
    preset, seen = tunables.preset(name), []
    needing = set(QUIRKS) - ON_ANY_HOST
    for quirks in (preset.quirks - needing, preset.quirks | needing):
        words = alike(0, 1, 1, 2, 3, 3, 3, 0, *range(100, 400), unsampled=[4, 20])
        world = World(preset.with_(quirks=quirks), words)
        world.wake(5)
        world.words[8:100] = contents(range(500, 592))
        world.host.free([1, 5, 300])
        world.wake(100)
        seen.append((world.daemon.counters(), world.host.frame_of.tolist()))
    assert seen[0] == seen[1]


def test_every_quirk_is_a_fault_of_somebody_or_a_value_of_a_setting():
    ours, machines, values = set(Faults.ids()), set(Quirks.IDS) - set(UKSM_QUIRKS), set(IMPLIED)
    assert ours | machines | values == set(QUIRKS)
    assert Faults.of(QUIRKS) == Faults(**dict.fromkeys(Faults.ids().values(), True))
    assert Faults.of([]) == Faults() and not Faults().lossy and not Faults().loses_items


@pytest.mark.parametrize("quirk", sorted(Faults.ids()))
def test_a_quirk_is_one_switch(quirk):
    faults = tunables.preset("fixed").with_(quirks={quirk}).faults
    assert [name for name, field in Faults.ids().items() if getattr(faults, field)] == [quirk]
    assert faults.lossy == (quirk in {"collision-is-success", "sparse-zero-lost", "one-content-per-hash"})
