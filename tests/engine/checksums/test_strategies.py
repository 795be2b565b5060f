"""Strategies by name: options, what is known of each, and the strength that adapts."""

import numpy as np
import pytest

import pksm
from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.checksums.adaptive import Adaptive
from pksm.engine.summing import Summing
from pksm.errors import UsageError
from pksm.scan import Settings, scan
from pksm.simulation.workloads import make
from pksm.sources import open_target, opened

from model import checksums as model

PAGE = np.random.default_rng(0).bytes(4096)


def test_every_name_has_its_seed_and_its_users():
    assert list(checksums.ABOUT) == checksums.names()[: len(checksums.ABOUT)]
    for name in checksums.ABOUT:
        about = checksums.describe(name, 4096)
        assert about["name"] == name and about["seed"] and about["users"]
        assert about["width"] == checksums.widths()[name] and checksums.make(name, 4096).width == about["width"]


@pytest.mark.parametrize("page_size", [8, 64, 4096])
@pytest.mark.parametrize("name", list(checksums.ABOUT))
def test_every_strategy_is_made_for_every_page_size(name, page_size):
    page = PAGE[:page_size]
    made = checksums.make(name, page_size)
    assert made.of(page) >> made.width == 0
    assert made.of(page) == checksums.make(name, page_size).of(page)
    about = checksums.describe(name, page_size)
    assert 0 < about["bytes"] <= page_size and 0 < about["lines"] <= max(1, page_size // 64)


def test_what_is_said_to_be_read_is_read():
    """Bytes by asking for each whether it matters; lines by the same, over many seeds for those that draw them."""
    for name in ("sampled", "sampled:words=10", "sampled-lines", "sampled-lines:words=33", "partial:bytes=100:at=40"):
        lines = []
        for seed in range(30):
            made = checksums.make(name, 512, seed)
            words = {word + k for word in made.words.tolist() for k in range(made.run)}
            lines.append(len({word // 16 for word in words}))
            matters = set()
            for at in range(512):
                changed = bytearray(PAGE[:512])
                changed[at] ^= 1
                if made.of(changed) != made.of(PAGE[:512]):
                    matters.add(at // 4)
            assert matters == words
        about = checksums.describe(name, 512)
        assert about["bytes"] == 4 * len(words)
        assert abs(np.mean(lines) - about["lines"]) < 0.5


def test_pksm_s_sample_touches_forty_of_sixty_four_lines():
    about = checksums.describe("sampled", 4096)
    assert about["bytes"] == 256 and 40 < about["lines"] < 42
    assert checksums.describe("sampled-lines", 4096)["lines"] == 4
    assert checksums.describe("partial", 4096)["lines"] == 4
    assert checksums.describe("partial:bytes=8:at=60", 4096)["lines"] == 2


def test_options():
    drawn = checksums.make("sampled:words=1024:seed=5", 4096).words
    assert sorted(drawn.tolist()) == list(range(1024))
    assert checksums.make("sampled:words=9999", 64).words.size == 16
    first = checksums.make("sampled:words=50", 4096, seed=5)
    assert first.words.tolist() == drawn[:50].tolist()
    ordered = checksums.make("sampled:words=50:order=sorted", 4096, seed=5)
    assert ordered.words.tolist() == sorted(drawn[:50].tolist())
    assert ordered.of(PAGE) == model.sampled(PAGE, sorted(drawn[:50].tolist()))
    lines = checksums.make("sampled-lines:words=40", 4096)
    assert lines.words.size == 2 and lines.run == 16 and not (lines.words % 16).any()
    assert checksums.make("partial:bytes=32:at=64", 4096).of(PAGE) == model.partial(PAGE, 16, 8)
    assert checksums.make("partial:bytes=2048", 64).run == 16  # no more than there is
    assert checksums.make("adaptive:words=8", 4096).strength == 8


@pytest.mark.parametrize(
    "name, said",
    [
        ("md5", "unknown checksum 'md5'"),
        ("", "unknown checksum ''"),
        ("xxh64:seed=1", "xxh64 has none"),
        ("sampled:bytes=1", "unknown option 'bytes': choose from words, order, seed"),
        ("sampled:words=0", "words is a whole number"),
        ("sampled:words=-1", "words is a whole number"),
        ("sampled:words", "words is a whole number"),
        ("sampled:order=random", "order is one of permutation, sorted"),
        ("partial:bytes=30", "whole words within a page"),
        ("partial:bytes=0", "whole words within a page"),
        ("partial:at=4090", "whole words within a page"),
        ("partial:at=4096", "whole words within a page"),
    ],
)
def test_what_is_no_name_is_refused(name, said):
    with pytest.raises(UsageError, match=said):
        checksums.make(name, 4096)


# ---- adaptive ------------------------------------------------------------------------------------------------


def periods(cost, start, n, words=1024):
    """The strengths in use over n periods, where cost(strength, period) is what a page costs."""
    adaptive = Adaptive(np.arange(words), start)
    used = []
    for period in range(n):
        used.append(adaptive.strength)
        adaptive.set_strength(adaptive.next_strength(cost(adaptive.strength, period)))
    return used


@pytest.mark.parametrize("strength", [0, -1, 9, 1 << 40])
def test_adaptive_looks_at_words_that_there_are(strength):
    with pytest.raises(ValueError, match=f"strength {strength}"):
        Adaptive(np.arange(8), strength)
    adaptive = Adaptive(np.arange(8), 8)
    with pytest.raises(ValueError, match=f"strength {strength}"):
        adaptive.set_strength(strength)
    assert adaptive.strength == 8


def test_adaptive_climbs_while_it_gets_cheaper_and_then_holds():
    used = periods(lambda strength, _: strength + 4096 / strength, 4, 12)  # the least at 64
    assert used == [4, 8, 16, 32, 64, 128, 64, 64, 64, 64, 64, 64]


def test_adaptive_falls_too_and_stays_within_the_page():
    assert periods(lambda strength, _: strength, 8, 8) == [8, 16, 4, 2, 1, 1, 1, 1]
    assert periods(lambda strength, _: 1 / strength, 256, 5) == [256, 512, 1024, 1024, 1024]


def test_adaptive_holds_when_neither_is_better_by_a_twentieth():
    costs = {32: 96, 64: 100, 128: 96}
    assert periods(lambda strength, _: costs[strength], 64, 6) == [64, 128, 32, 64, 64, 64]
    costs[32] = 94
    costs[16] = 200
    assert periods(lambda strength, _: costs[strength], 64, 6) == [64, 128, 32, 16, 32, 32]


def test_adaptive_tries_again_when_the_load_has_changed():
    def cost(strength, period):
        best = 64 if period < 8 else 16
        return 10 + abs(np.log2(strength / best))

    used = periods(cost, 64, 20)
    assert used[:8] == [64, 128, 32, 64, 64, 64, 64, 64]
    assert used[-1] == 16


@pytest.mark.parametrize("order", ["content", "checksum", "checksum-content"])
def test_pksmd_with_adaptive_strength_sums_anew_and_ends_where_others_do(order, monkeypatch):
    """A clock by which summing costs nothing and compares a lot: collisions drive the strength up."""
    ticks = iter(range(10**9))
    monkeypatch.setattr(Summing.__init__, "__defaults__", (1, lambda: next(ticks) * 1000))
    array = np.zeros((600, 256), np.uint8)
    array.view(np.uint16)[:, 0] = np.arange(600) % 500 + 1  # all differ in the first word only, but for 100 pairs
    store = pksm.Store(256)
    first = store.add(array)
    host = pksm.FlatHost(store)
    daemon = pksm.Pksmd(host, pksm.preset("fixed").with_(checksum="adaptive:words=2", order=order))
    adaptive = daemon._summing.checksum
    host.add(np.arange(first, first + 600, dtype=np.uint32))
    strengths = set()
    for _ in range(200):
        daemon.wake()
        daemon.check()
        strengths.add(adaptive.strength)
    assert len(strengths) > 1
    host.check()
    if order != "checksum":  # there, of several contents with one checksum only one can be in a tree
        assert host.frames_saved == 100
    ids = np.concatenate([native.tree_items(daemon.items.table, which) for which in (native.STABLE, native.UNSTABLE)])
    view = store.view
    assert (daemon.items.checksum[ids] == native.checksum_pages(view, adaptive, daemon.items.page[ids])).all()


def test_a_period_without_a_visit_goes_on(monkeypatch):
    """Stable pages that collide are compared when they are sorted in again, and nobody is visited after that."""
    ticks = iter(range(10**9))
    monkeypatch.setattr(Summing.__init__, "__defaults__", (1, lambda: next(ticks) * 1000))
    array = np.zeros((12, 256), np.uint8)
    array.view(np.uint32)[:, 5] = np.arange(12) // 2 + 5
    store = pksm.Store(256)
    store.add(array)
    host = pksm.FlatHost(store)
    values = pksm.preset("fixed").with_(checksum="adaptive:words=1:seed=3", pages_to_scan=12)
    daemon = pksm.Pksmd(host, values)
    host.add(np.arange(12))
    daemon.wake()
    assert daemon._summing.checksum.strength == 2, "another strength is on trial, and the stable tree sorted by it"
    assert daemon.cost.futile_compares
    for _ in range(2 * 60 * 1000 // values.sleep_millisecs):
        daemon.wake()
    daemon.check(), host.check()
    assert daemon.items.n_stable == host.frames_saved == 6
    assert daemon._summing.checksum.strength == 2


# ---- every strategy in every order ---------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["content", "checksum", "checksum-content"])
@pytest.mark.parametrize("name", list(checksums.ABOUT))
def test_every_strategy_drives_pksmd_and_a_scan_in_every_order(name, order, tmp_path):
    """Exactly the equal pages end up shared; by checksum alone, where no two contents have the same one."""
    array = np.zeros((400, 512), np.uint8)
    load = make("f", array, seed=2)
    expected = load.expected()
    saving = expected["duplicates"] + expected["zero"]
    store = pksm.Store(512)
    first = store.add(array)
    host = pksm.FlatHost(store, static=True)
    daemon = pksm.Pksmd(host, pksm.preset("fixed").with_(checksum=name, order=order, pages_to_scan=70))
    host.add(np.arange(first, first + 400, dtype=np.uint32))
    for _ in range(100):
        daemon.wake()
    daemon.check(), host.check()
    array.tofile(tmp_path / "image")
    settings = Settings(page_size=512, changes={"checksum": name, "order": order})
    with opened([lambda: open_target(tmp_path / "image")]) as (sources, _):
        result = scan(sources, settings)
    tells_all_apart = (
        len(np.unique(native.checksum_pages(store.view, checksums.make(name, 512), np.arange(400))))
        == (expected["distinct"])
    )
    if order != "checksum" or (tells_all_apart and name != "adaptive"):
        assert daemon.at_rest
        assert host.frames_saved == saving == result["saving"]["pages"]
    else:
        assert max(host.frames_saved, result["saving"]["pages"]) <= saving
