"""Rule 2, batches and never pages: no Python statement and next to no memory for each page, on any path.

Line events of a path at 1024 and at 65536 pages may differ by what a growing array costs, never by pages. Sixty-four
times as many pages would be sixty thousand events and more, if there was one statement for every page.
"""

import tracemalloc
from contextlib import nullcontext

import numpy as np
import pytest

from pksm import profiler
from pksm.cli import main as cli
from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.store import Store
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine import Machine
from pksm.policies.ksmd import tunables as ksm_tunables
from pksm.policies.ksmd.daemon import Ksmd
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd
from pksm.profiler import consequence
from pksm.profiler.subject import of_load

from support.line_events import line_events

FEW, MANY = 1 << 10, 1 << 16
PAGE_SIZE = 64
SLACK = 400  # line events: arrays grown here, a ring renewed there


def mixed(n_pages):
    """A fifth of the pages zero, a third in pairs, the rest alone; in no order."""
    page = np.arange(n_pages, dtype=np.uint64)
    kind = page % 10
    content = np.where(kind < 2, 0, np.where(kind < 5, page // 20 * 20 + kind, page))
    return np.random.default_rng(1).permutation(content)


def unique(n_pages):
    return np.arange(1, n_pages + 1, dtype=np.uint64)


def pairs(n_pages):
    return 1 + np.arange(n_pages, dtype=np.uint64) // 2


class World:
    """Pages by content, none born yet; a wake-up takes pages_to_scan of them."""

    def __init__(self, content, chosen, pages_to_scan=MANY):
        self.words = np.zeros((len(content), PAGE_SIZE // 8), np.uint64)
        self.words[:, 0] = content * np.uint64(0x9E3779B97F4A7C15)
        self.store = Store(PAGE_SIZE)
        self.store.add(self.words)
        self.host = FlatHost(self.store)
        self.daemon = Pksmd(self.host, chosen.with_(pages_to_scan=pages_to_scan))
        self.pages = np.arange(len(content), dtype=np.uint32)
        self.unshared = None

    # ---- the paths ----

    def birth(self):
        self.host.add(self.pages)

    def wake_to_rest(self):
        while not self.daemon.at_rest:
            self.daemon.wake()

    def announced_writes(self):
        flags, items = self.daemon.items.flags, self.daemon.items
        self.unshared = items.page[np.flatnonzero(flags & native.UNSTABLE)]
        self.words[self.unshared, 1] += np.uint64(1)
        self.daemon.written(self.unshared)

    def silent_writes(self):
        self.words[self.unshared, 1] += np.uint64(1)

    def update_period(self):
        """One wake-up that looks at every unshared page and finds all of them changed, and their visits."""
        self.daemon.sysfs["sleep_millisecs"] = 1000 * self.daemon.sysfs["period_seconds"]
        self.daemon.wake()
        self.wake_to_rest()

    def split(self):
        frames = self.host.frame_of[self.pages]
        self.host.split(self.pages[(frames != self.pages) & (frames < len(self.pages))])

    def death(self):
        self.host.free(self.pages)

    def after_death(self):
        self.daemon.wake()

    PATHS = (
        *("birth", "wake_to_rest", "announced_writes", "wake_to_rest", "silent_writes", "update_period"),
        *("split", "wake_to_rest", "death", "after_death"),
    )

    def walk(self, measure):
        """Take all paths in order, each within measure(); return [(path, what measure gave)]."""
        return [(path, measure(getattr(self, path))) for path in self.PATHS]


def peak_bytes(path):
    """Memory that a path takes for a while, besides what it leaves behind or found."""
    tracemalloc.start()
    try:
        path()
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - left


SETTINGS = {
    "fixed": tunables.preset("fixed"),
    "fixed, del-list": tunables.preset("fixed").with_(reclaim="del-list"),
    "fixed, on-search": tunables.preset("fixed").with_(update="on-search"),
    "fixed, content": tunables.preset("fixed").with_(order="content"),
    "android-3.4": tunables.preset("android-3.4").with_(quirks=()),
}


def small_world(chosen):
    return World(mixed(FEW), chosen)


@pytest.fixture(params=SETTINGS)
def chosen(request):
    chosen = SETTINGS[request.param]
    small_world(chosen).walk(line_events)  # whatever is imported or cached at the first call
    return chosen


def test_statements_do_not_depend_on_pages(chosen):
    few, many = small_world(chosen), World(mixed(MANY), chosen)
    # searches find changed pages wave by wave, a wake-up each, and go down step by step: both by the logarithm of pages
    slack = 8 * SLACK if chosen.update == "on-search" else SLACK
    for (path, events), (_, more_events) in zip(few.walk(line_events), many.walk(line_events), strict=True):
        assert more_events <= events + slack, path
    assert many.daemon.counters()["rmap_items"] == 0


@pytest.mark.parametrize("name", ["v0.2", "android-3.4", "reveriel"])
def test_statements_of_the_published_presets_do_not_depend_on_pages(name):
    """Down to pages in limbo: most of these look alike to a sample of two words."""
    events = {}
    for n_pages in (FEW, FEW, MANY):
        world = World(mixed(n_pages), tunables.preset(name))
        world.words[::7, 4] = 1
        events[n_pages] = line_events(lambda: (world.birth(), world.wake_to_rest(), world.death()))
    assert events[MANY] <= events[FEW] + SLACK


@pytest.mark.parametrize("batches", [(100, 1000), (1000, 20_000)])
def test_statements_of_a_wake_up_do_not_depend_on_the_batch(batches):
    """The costliest wake-up of each: the one where all verdicts come up."""
    most = []
    for pages_to_scan in batches:
        world = World(mixed(MANY), tunables.preset("fixed"), pages_to_scan)
        world.birth()
        most.append(0)
        while not world.daemon.at_rest:
            most[-1] = max(most[-1], line_events(world.daemon.wake))
    assert most[1] <= most[0] + SLACK


def test_statements_do_not_depend_on_what_a_host_refuses():
    """A host has to say by the page's class what it refuses: else each page that comes is a round of its own."""

    class RefusingHost(FlatHost):
        """Refuses every third page, which is busy from then on."""

        def _refuse(self, pages):
            refused = pages % 3 == 0
            self.classes[pages[refused]] = native.BUSY_PAGE
            return refused

        def merge(self, pages, kpages):
            refused = self._refuse(pages)
            super().merge(pages[~refused], kpages[~refused])
            return refused

        def merge_zero(self, pages):
            refused = self._refuse(pages)
            super().merge_zero(pages[~refused])
            return refused

    events = {}
    for n_pages in (FEW, FEW, MANY):
        world = World(mixed(n_pages), tunables.preset("fixed"))
        world.host = RefusingHost(world.store)
        world.host.classes = np.zeros(world.store.n_pages, np.uint8)
        world.daemon = Pksmd(world.host, world.daemon.tunables)
        world.birth()
        events[n_pages] = line_events(world.daemon.wake)
        world.daemon.check()
        assert world.daemon.counters()["rescan_len"] > n_pages // 20
    assert events[MANY] <= events[FEW] + SLACK


def test_memory_for_a_while_is_64_bytes_a_page_at_most(chosen):
    for path, peak in World(mixed(MANY), chosen).walk(peak_bytes):
        assert peak <= 64 * MANY, path


def test_statements_of_a_profile_do_not_depend_on_pages(monkeypatch):
    big = {name: tunables.preset(name).with_(pages_to_scan=MANY) for name in tunables.PRESETS}
    monkeypatch.setattr(consequence, "preset", big.get)

    def profiled(n_pages, name):
        subject = of_load("f", n_pages, PAGE_SIZE)
        return line_events(lambda: profiler.profile([nullcontext(subject)], [name]))

    checksums.register("first", lambda pages: pages[:, 0])
    for name in ("xxh3-64", "sampled", "first"):
        profiled(FEW, name)
        # an engine for each preset, whose columns and lists grow by steps
        assert profiled(MANY, name) <= profiled(FEW, name) + 4 * SLACK, name


def test_statements_of_sums_do_not_depend_on_pages(tmp_path):
    events = {}
    for n_pages in (FEW, FEW, MANY):
        path = tmp_path / "memory"
        path.write_bytes(bytes(n_pages * 512))
        options = ["checksum", "sum", "crc32", str(path), "--page-size", "512"]
        events[n_pages] = line_events(lambda: cli.main(options))
    assert events[MANY] <= events[FEW] + SLACK


class OptedIn:
    """Memory of two processes, one a fork of the other, visited by ksmd."""

    def __init__(self, content):
        self.machine = Machine(4 * len(content), PAGE_SIZE)
        self.ksmd = Ksmd(self.machine, ksm_tunables.preset("ksm-6.11").with_(pages_to_scan=1 << 30, use_zero_pages=1))
        self.content = content
        self.mm = self.machine.spawn()
        self.at = self.machine.mmap(self.mm, len(content), mergeable=True)

    def write(self):
        self.machine.write(self.mm, self.at, self.content.astype(np.uint32))

    def first_scan(self):
        self.ksmd.wake()

    def merging_scan(self):
        self.ksmd.wake()

    def write_again(self):
        self.machine.fork(self.mm)
        self.machine.write(self.mm, self.at, (self.content[::-1] + np.uint64(1)).astype(np.uint32))

    def scan_of_what_changed(self):
        self.ksmd.wake()

    def scans_with_skips(self):
        for _ in range(5):
            self.ksmd.wake()

    def unmap(self):
        self.machine.munmap(self.mm, self.at, len(self.content))

    def scan_of_what_is_gone(self):
        self.ksmd.wake()

    PATHS = (
        *("write", "first_scan", "merging_scan", "write_again", "scan_of_what_changed", "scans_with_skips", "unmap"),
        "scan_of_what_is_gone",
    )
    walk = World.walk


def test_statements_of_ksmd_do_not_depend_on_pages():
    OptedIn(mixed(FEW)).walk(line_events)
    few, many = OptedIn(mixed(FEW)), OptedIn(mixed(MANY))
    for (path, events), (_, more_events) in zip(few.walk(line_events), many.walk(line_events), strict=True):
        if "scan" in path:  # the machine's own paths go in parts of a few leaves
            assert more_events <= events + SLACK, path
    assert many.ksmd.counters()["full_scans"] == 9 and many.ksmd.counters()["pages_skipped"] > MANY // 4


@pytest.mark.parametrize("content, most", [(mixed, 64), (pairs, 96)], ids=["mixed", "pairs"])
def test_memory_of_ksmd(content, most):
    """A mapping has 56 bytes, a stable page as many, a frame 4; and there is room for half as much again."""
    world = OptedIn(content(MANY))
    world.write()
    for _ in range(3):
        world.ksmd.wake()
        assert world.ksmd.engine_bytes <= 1.5 * most * MANY + 4 * world.machine.frames.n


@pytest.mark.parametrize("content", [mixed, unique, pairs], ids=lambda content: content.__name__)
def test_memory_is_64_bytes_a_page_at_most(content):
    world = World(content(MANY), tunables.preset("fixed"), pages_to_scan=1000)
    world.daemon.items.reserve(MANY)
    world.birth()
    while not world.daemon.at_rest:
        assert world.daemon.engine_bytes <= 64 * MANY
        world.daemon.wake()
    assert world.daemon.engine_bytes <= 64 * MANY


def test_memory_that_grows_by_steps_has_room_for_half_as_much_again():
    world = World(unique(MANY), tunables.preset("fixed"))
    for start in range(0, MANY, 1000):
        world.host.add(world.pages[start : start + 1000])
        world.daemon.wake()
        if start >= MANY // 4:
            assert world.daemon.engine_bytes <= 1.5 * 64 * (start + 1000)


def test_memory_is_what_the_columns_hold():
    """Nothing per page hides outside what engine_bytes counts: all that is left behind by births and visits."""
    small_world(tunables.preset("fixed")).walk(line_events)
    world = World(pairs(MANY), tunables.preset("fixed"))
    world.host.store.view
    tracemalloc.start()
    try:
        world.birth()
        world.wake_to_rest()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held <= world.daemon.engine_bytes + world.host.nbytes + 100_000


def test_a_node_has_32_bytes():
    assert native.NODE.itemsize == 32
