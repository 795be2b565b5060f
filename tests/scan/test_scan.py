"""scan(): its totals against brute force, its result document, its warnings, and rule 2 over the whole path."""

import csv
import dataclasses
import gc
import io
import json
import os
import random
import re
import tracemalloc
from contextlib import nullcontext

import numpy as np
import pytest

from pksm import checksums, extents, policies, report, sources
from pksm.engine import native
from pksm.engine.checksums import plugins
from pksm.engine.cost import Cost
from pksm.errors import BusError, PksmError, UsageError
from pksm.extents import State
from pksm.policies import Policy, nobody, registry
from pksm.policies.pksmd.quirks import QUIRKS
from pksm.policies.pksmd.tunables import PRESETS
from pksm.scan import Interrupts, Settings, scan
from pksm.scan.counting import _Marks
from pksm.scan.document import SCHEMA
from pksm.scan.settings import DEFAULTS
from pksm.simulation.workloads import LOADS, make
from pksm.sources import Region, opened

from model.oracle import answer
from support.line_events import line_events
from support.memory_sources import GivenSource, data, write_file

SIZE = 512


def page(text, size=SIZE):
    return text.encode().ljust(size, b"\0")


def scan_files(*paths, **settings):
    progress = settings.pop("progress", None)
    with opened([lambda path=path: sources.open_target(path) for path in paths]) as (found, errors):
        return scan(found, Settings(**settings), progress, errors=errors)


def random_pages(rng, n, size):
    """Pages of few contents, zero pages and holes among them; contents that differ late or early, or look alike."""
    contents = [bytes(size), bytes(size - 1) + b"\1", b"\1" + bytes(size - 1), rng.randbytes(size), None]
    contents += [rng.randbytes(8) + bytes(size - 8) for _ in range(rng.randrange(1, 6))]
    contents += [b"\7" * (size - 4) + rng.randbytes(4) for _ in range(rng.randrange(1, 6))]
    return [rng.choice(contents) for _ in range(n)]


def check_against_brute_force(result, files):
    """files: {name: pages}, a page being bytes, or None for a hole."""
    pages = [content for contents in files.values() for content in contents if content is not None]
    truth, totals = answer(pages), result["totals"]
    assert totals["pages"] == len(pages)
    assert totals["zero"] == truth.zero_pages
    assert totals["distinct"] == truth.distinct
    assert totals["duplicates"] == truth.pages_sharing
    for source, contents in zip(result["sources"], files.values(), strict=True):
        own = [content for content in contents if content is not None]
        alone = answer(own)
        assert source["pages"]["zero"] == alone.zero_pages
        assert source["pages"]["data"] == len(own) - alone.zero_pages
        assert source["pages"]["hole"] == len(contents) - len(own)
        assert source["mappings"] == len(own)
        assert source["duplicates"] == alone.pages_sharing
    sizes = sorted(map(len, truth.groups), reverse=True)
    assert result["groups_found"] == len(sizes)
    assert [group["pages"] for group in result["groups"]] == sizes[: result["settings"]["top"]]
    for group in result["groups"]:
        assert sum(place["pages"] for place in group["where"]) == group["pages"]
    return truth


@pytest.mark.parametrize("seed", range(12))
def test_random_files_against_brute_force(tmp_path, seed):
    rng = random.Random(seed)
    # A file's holes are told in blocks of the file system, so smaller pages can't be holes.
    size = rng.choice([512, 1024, 4096, 16384])
    files = {}
    for name in "abc"[: rng.randrange(1, 4)]:
        pages = random_pages(rng, rng.randrange(1, 200), size)
        files[name] = [content if content or size >= 4096 else bytes(size) for content in pages]
    paths = [write_file(tmp_path / name, pages, size) for name, pages in files.items()]
    result = scan_files(
        *paths, page_size=size, top=rng.choice([0, 1, 5, 50]), policy=f"pksmd:{rng.choice(list(PRESETS))}"
    )
    check_against_brute_force(result, files)


@pytest.mark.parametrize("order", ["content", "checksum", "checksum-content"])
@pytest.mark.parametrize("pages_to_scan", [1, 7, 65536])
def test_saving_of_exact_settings(tmp_path, order, pages_to_scan):
    pages = random_pages(random.Random(99), 150, 4096)
    changes = {"order": order, "pages_to_scan": pages_to_scan}
    result = scan_files(write_file(tmp_path / "ram", pages, 4096), changes=changes, threads=2)
    truth = check_against_brute_force(result, {"ram": pages})
    totals, saving = result["totals"], result["saving"]
    assert saving["zero_pages"] == truth.zero_pages == totals["pages_zero_sharing"]
    assert saving["nonzero_pages"] == truth.pages_sharing
    assert saving["pages"] == totals["duplicates"] + truth.zero_pages == totals["pages_sharing"]
    assert saving["bytes"] == saving["pages"] * 4096
    # An item for each content but zero, a record for each page of those that have several.
    sharers = truth.pages_shared + truth.pages_sharing
    assert saving["metadata_bytes"] == 116 * (totals["distinct"] - (truth.zero_pages > 0)) + 24 * sharers
    assert saving["ksm_metadata_bytes"] == 64 * totals["pages"]
    assert saving["engine_bytes"] > 0
    assert saving["net_bytes"] == saving["bytes"] - saving["metadata_bytes"]
    assert totals["pages_shared"] == truth.pages_shared
    assert totals["pages_unshared"] == totals["pages"] - totals["pages_sharing"] - totals["pages_shared"]
    assert result["warnings"] == [] and not result["partial"] and not result["interrupted"]


@pytest.mark.parametrize("load", LOADS)
def test_loads(load):
    """The seven loads at 4096 pages, whose answer is known by construction."""
    memory = np.empty((4096, 4096), np.uint8)
    truth = make(load, memory, seed=5).expected()
    source = GivenSource(load, data(*map(bytes, memory)))
    totals = scan([source])["totals"]
    assert {name: totals[name] for name in truth} == truth


def test_the_document(tmp_path):
    path = write_file(tmp_path / "two.raw", [page("a"), bytes(SIZE), page("a"), page("b")], SIZE)
    result = scan_files(path, page_size=SIZE, seed=3)
    assert json.loads(json.dumps(result)) == result
    assert result["schema"] == SCHEMA == "pksm.scan/1"
    assert (result["page_size"], result["view"]) == (SIZE, "frames")
    assert result["sources"] == [
        {
            "name": path,
            "kind": "raw",
            "pages": {"data": 3, "zero": 1, "hole": 0, "excluded": 0},
            "mappings": 4,
            "duplicates": 1,
            "lost": 0,
            "saving_pages": 2,
            "share_bytes": 2 * SIZE,
            "out_of_reach": {},
        }
    ]
    assert result["by_mapping"] == [
        {"mapping": "two.raw", "pages": 4, "zero": 1, "merging": 3, "share_bytes": 2 * SIZE}
    ]
    assert result["by_command"] == result["by_user"] == result["unread"] == []
    assert result["matrix"] is None and result["fingerprints"] is False
    assert result["groups"] == [
        {"pages": 2, "looks": "sparse", "where": [{"source": path, "mapping": "two.raw", "pages": 2}]}
    ]
    settings = result["settings"]
    assert (settings["policy"], settings["preset"], settings["seed"]) == ("pksmd", "fixed", 3)
    assert {name: settings[name] for name in DEFAULTS} == DEFAULTS
    cost = result["cost"]
    assert cost["pages_visited"] >= 4 and cost["bytes_hashed"] >= 4 * SIZE
    assert set(cost["steps"]) >= {"read", "merge", "count", "settle"}
    assert all(step["wall_s"] >= 0 and step["cpu_s"] >= 0 for step in cost["steps"].values())


def test_zero_pages_without_bytes_count():
    pages = [(State.ZERO, None)] * 3 + data(page("a"), bytes(SIZE))
    result = scan([GivenSource("one", pages)], Settings(page_size=SIZE))
    assert result["sources"][0]["pages"] == {"data": 1, "zero": 4, "hole": 0, "excluded": 0}
    assert result["totals"]["pages"] == 5 and result["totals"]["zero"] == 4
    assert result["totals"]["distinct"] == 2 and result["totals"]["duplicates"] == 0
    assert result["totals"]["pages_zero_sharing"] == result["saving"]["zero_pages"] == 4
    assert result["saving"]["pages"] == result["totals"]["pages_sharing"] == 4


def family():
    """A fork server and a worker: frames 7 and 8 are shared, 9 and 10 are each one's own copy of the same bytes."""
    parent = GivenSource("parent", data(page("a"), page("b"), page("c")), [7, 8, 9], [0, 0, 1])
    worker = GivenSource("worker", data(page("a"), page("b"), page("c"), page("b")), [7, 8, 10, 8], [0, 0, 1, 0])
    return [parent, worker]


def test_frames_are_counted_once():
    result = scan(family(), Settings(page_size=SIZE))
    assert result["totals"]["pages"] == 4 and result["totals"]["duplicates"] == 1
    assert [source["mappings"] for source in result["sources"]] == [3, 4]
    assert [source["pages"]["data"] for source in result["sources"]] == [3, 3]
    assert [source["duplicates"] for source in result["sources"]] == [0, 0]
    assert result["saving"]["pages"] == 1 and result["saving"]["ksm_metadata_bytes"] == 64 * 7
    assert [group["pages"] for group in result["groups"]] == [2]
    assert [place["source"] for place in result["groups"][0]["where"]] == ["parent", "worker"]


def test_mappings_are_counted_each():
    result = scan(family(), Settings(page_size=SIZE, view="mappings"))
    assert result["totals"]["pages"] == 7 and result["totals"]["duplicates"] == 4
    assert [source["duplicates"] for source in result["sources"]] == [0, 1]
    assert [group["pages"] for group in result["groups"]] == [3, 2, 2]
    assert result["saving"]["bytes"] is result["saving"]["net_bytes"] is None, "what fork shares is saved already"
    table = report.table(result)
    assert "Mappings merged" in table and "Not bytes saved" in table and not re.search(r"\d (KiB|MiB|B)\b.*%", table)
    for name in ("saving_bytes", "net_bytes"):
        assert {row[name] for row in csv.DictReader(io.StringIO(report.csv(result)))} == {""}


OPTED = "merges only memory that has opted in"


def opted_in(name, pages, opted):
    source = GivenSource(name, data(*pages))
    source.facts = lambda: {"pid": 1, "command": name, "user": "root", "opted_in": opted}
    return source


@pytest.mark.parametrize(("opted", "said"), [(0, "2 resident pages"), (1, "1 resident pages"), (2, None)])
def test_a_scan_with_a_policy_that_needs_opting_in_says_what_has_not(opted, said):
    pages = page("a"), page("a")
    result = scan([opted_in("one", pages, opted)], Settings(page_size=SIZE, policy="ksmd"))
    lines = [line for line in result["warnings"] if OPTED in line]
    assert [said in line and "MADV_MERGEABLE" in line for line in lines] == ([True] if said else [])
    result = scan([opted_in("one", pages, opted)], Settings(page_size=SIZE))
    assert not any(OPTED in line for line in result["warnings"]), "PKSM asks nobody"


def test_of_files_nobody_knows_what_has_opted_in():
    result = scan([GivenSource("one", data(page("a")))], Settings(page_size=SIZE, policy="ksmd"))
    assert ["of files it is not known" in line for line in result["warnings"] if OPTED in line] == [True]


def test_duplicates_are_one_thing_in_the_document_and_in_the_table():
    pages = data(*[bytes(SIZE)] * 5, *[page("a")] * 3, page("b"))
    result = scan([GivenSource("one", pages)], Settings(page_size=SIZE))
    assert result["totals"]["duplicates"] == result["sources"][0]["duplicates"] == 2
    assert result["saving"]["nonzero_pages"] == 2 and result["sources"][0]["saving_pages"] == 7
    assert re.search(r"^  duplicates +2 ", report.table(result), re.MULTILINE)
    (one, total) = csv.DictReader(io.StringIO(report.csv(result)))
    assert one["duplicates"] == total["duplicates"] == "2" and one["distinct"] == total["distinct"] == "3"


@pytest.mark.parametrize(("use_zero_pages", "zero_saved"), [(0, 4), (1, 5)])
@pytest.mark.parametrize("view", ["frames", "mappings"])
def test_zero_pages_are_no_duplicates_whatever_page_they_are_merged_into(use_zero_pages, zero_saved, view):
    pages = data(*[bytes(SIZE)] * 5, *[page("a")] * 3, page("b"))
    settings = Settings(page_size=SIZE, policy="ksmd", changes={"use_zero_pages": use_zero_pages}, view=view)
    result = scan([GivenSource("one", pages)], settings)
    totals, saving = result["totals"], result["saving"]
    assert (totals["zero"], totals["duplicates"]) == (5, 2)
    assert (saving["zero_pages"], saving["nonzero_pages"], saving["pages"]) == (zero_saved, 2, zero_saved + 2)
    assert totals["pages_zero_sharing"] == (5 if use_zero_pages else 0)
    table = report.table(result)
    assert re.search(r"^  duplicates +2 ", table, re.MULTILINE)
    assert re.search(rf"^  zero pages +{zero_saved} .*%{'' if use_zero_pages else '  of 5'}$", table, re.MULTILINE)
    total = list(csv.DictReader(io.StringIO(report.csv(result))))[-1]
    assert (total["duplicates"], total["saving_nonzero_pages"]) == ("2", "2")


def test_the_view_of_mappings_promises_no_bytes():
    """What fork shares already is merged in this view, and saves nothing."""
    result = scan(family(), Settings(page_size=SIZE, view="mappings"))
    assert result["saving"]["bytes"] is result["saving"]["net_bytes"] is None
    rows = [*result["sources"], *result["by_mapping"]]
    assert [row["share_bytes"] for row in rows] == [None] * len(rows)
    assert [row["share_mappings"] for row in result["sources"]] == pytest.approx([1.667, 2.333], abs=1e-3)
    for row in csv.DictReader(io.StringIO(report.csv(result))):
        assert row["saving_bytes"] == row["net_bytes"] == row["share_bytes"] == ""
    body = report.table(result).split("Mappings merged")[1].rsplit("\n\n", 1)[0]
    assert not re.search(r"\d (B|KiB|MiB)\b", body), "numbers of mappings, not sizes"


@pytest.mark.parametrize("policy", ["pksmd", "ksmd"])
def test_a_checksum_that_does_not_follow_from_the_bytes_is_refused(policy, monkeypatch):
    """Its sums would hide equal pages from each other, and zero pages."""
    monkeypatch.setattr(plugins, "_registered", {})
    rng = np.random.default_rng(0)
    checksums.register("random", lambda pages: rng.integers(0, 1 << 63, len(pages)).astype(np.uint64))
    checksums.register("first", lambda pages: pages[:, 0].astype(np.uint64))
    with pytest.raises(PksmError, match="checksum plug-in random: gives different sums for the same page"):
        Settings(policy=policy, changes={"checksum": "random"})
    assert Settings(policy=policy, changes={"checksum": "first"}).choice.settings.checksum == "first"


def test_frames_that_are_not_told_are_warned_of_once():
    sources_ = [GivenSource(name, data(page("a"), page("b")), [0, 0], [1, 0]) for name in ("one", "two")]
    result = scan(sources_, Settings(page_size=SIZE))
    assert result["totals"]["pages"] == 2 and [source["pages"]["excluded"] for source in result["sources"]] == [1, 1]
    assert len(result["warnings"]) == 1
    for word in ("2 pages", "CAP_SYS_ADMIN", "root", "view `mappings`"):
        assert word in result["warnings"][0]


def test_where_and_how_groups_look(tmp_path):
    noise = random.Random(1).randbytes(4096)
    text = b"words and words\n" * 256
    one = GivenSource("one", data(noise, text, noise, text, noise), names=["heap", "heap", "anon", "stack", "anon"])
    two = GivenSource("two", data(text, noise, bytes(4096), bytes(4096)), names=["heap", "lib", "lib", "lib"])
    groups = scan([one, two])["groups"]
    assert [(group["pages"], group["looks"]) for group in groups] == [(4, "high entropy"), (3, "text")]
    assert groups[0]["where"] == [
        {"source": "one", "mapping": "anon", "pages": 2},
        {"source": "one", "mapping": "heap", "pages": 1},
        {"source": "two", "mapping": "lib", "pages": 1},
    ]
    assert {(place["source"], place["mapping"]) for place in groups[1]["where"]} == {
        ("one", "heap"), ("one", "stack"), ("two", "heap"),
    }  # fmt: skip


def test_settings_that_miss_something_say_so():
    """Pages that differ only where the checksum does not look: by checksum alone one content of them is found."""
    sampled = checksums.make("sampled", 4096, seed=1)
    blind = next(word for word in range(1024) if word not in sampled.words)
    contents = [bytes(4 * blind) + bytes([number]) * 4 + bytes(4096 - 4 * blind - 4) for number in range(1, 9)]
    contents = [b"\1" + content[1:] if blind else content for content in contents]
    pages = data(*contents * 3)
    result = scan([GivenSource("one", pages)], Settings(policy="pksmd:v0.2", seed=1))
    totals, saving = result["totals"], result["saving"]
    assert (totals["pages"], totals["distinct"], totals["duplicates"]) == (24, 8, 16)
    assert result["sources"][0]["duplicates"] == 16 and result["groups_found"] == 8
    assert saving["pages"] < 16
    assert any(f"save {saving['pages']} pages of the 16" in warning for warning in result["warnings"])
    assert "exact" in result["cost"]["steps"]
    exact = scan([GivenSource("one", pages)], Settings(changes={"checksum": "sampled"}, seed=1))
    assert exact["saving"]["pages"] == 16 and exact["warnings"] == [] and "exact" not in exact["cost"]["steps"]


@pytest.mark.parametrize("preset", PRESETS)
def test_quirks_without_effect_are_warned_of(preset):
    result = scan([GivenSource("one", data(page("a")))], Settings(page_size=SIZE, policy=f"pksmd:{preset}"))
    without_effect = [quirk for quirk in result["settings"]["quirks"] if not QUIRKS[quirk][0]]
    told = [warning for warning in result["warnings"] if "page tables" in warning]
    assert len(told) == bool(without_effect)
    assert all(warning.startswith(f"{len(without_effect)} quirks") and preset in warning for warning in told)


EVERY_POLICY = [f"{name}:{preset}" for name in policies.names() for preset in policies.spec(name).presets]


@pytest.mark.parametrize("policy", EVERY_POLICY)
def test_every_policy_comes_to_rest_and_contents_are_counted_all_the_same(policy):
    rng = random.Random(policy)
    contents = [bytes(SIZE), *(page(str(number)) for number in range(20))]
    pages = [rng.choice(contents) for _ in range(300)] + [page("alone")]
    result = scan([GivenSource("one", data(*pages))], Settings(page_size=SIZE, policy=policy))
    truth, totals, saving = answer(pages), result["totals"], result["saving"]
    assert (totals["pages"], totals["zero"], totals["distinct"]) == (301, truth.zero_pages, truth.distinct)
    assert [group["pages"] for group in result["groups"]] == sorted(map(len, truth.groups), reverse=True)[:10]
    name, _, preset = policy.partition(":")
    assert (result["settings"]["policy"], result["settings"]["preset"]) == (name, preset)
    assert not any("come to rest" in warning for warning in result["warnings"])
    if name == "nobody":
        assert saving["pages"] == totals["pages_shared"] == 0 and totals["pages_unshared"] == 301
        assert any("leaves the other equal pages apart" in warning for warning in result["warnings"])
    elif preset == "rhel-9.9-zero":
        assert (saving["nonzero_pages"], saving["zero_pages"]) == (0, truth.zero_pages)
    else:
        assert saving["nonzero_pages"] + saving["zero_pages"] == saving["pages"] <= 301 - truth.distinct + 1
        lossy = Settings(policy=policy).is_lossy and name == "pksmd"
        assert lossy or saving["pages"] >= 301 - truth.distinct, (
            "all contents are duplicates of some page, but for the zero page"
        )


class Restless(Policy):
    """Works for ever and merges nothing."""

    def __init__(self, host):
        self.cost = Cost()
        host.attach(self)

    tunables = property(lambda self: nobody.NoSettings())
    at_rest = property(lambda self: False)
    metadata_bytes = property(lambda self: 0)

    def wake(self):
        return 3

    def next_wake(self):
        return 20

    def counters(self):
        return {}


def test_a_policy_that_never_rests_is_stopped_and_named(monkeypatch):
    spec = dataclasses.replace(nobody.SPEC, name="restless", make=lambda host, *_: Restless(host))
    monkeypatch.setitem(registry._registered, "restless", spec)
    result = scan([GivenSource("one", data(page("a"), page("a")))], Settings(page_size=SIZE, policy="restless"))
    assert result["saving"]["pages"] == 0 and result["totals"]["duplicates"] == 1
    assert any(warning.startswith("restless did not come to rest") for warning in result["warnings"])


def test_what_fails_is_told_and_the_rest_counts():
    def fail():
        raise PksmError("two: gone")

    broken = GivenSource("two", data(page("a")), then=fail)
    result = scan([GivenSource("one", data(page("a"))), broken], Settings(page_size=SIZE), errors=[PksmError("three")])
    assert result["partial"] and result["warnings"] == ["three", "two: gone"]
    assert result["totals"]["pages"] == 2
    lost = GivenSource("lost", data(page("a")))
    lost.lost = 5
    assert scan([lost], Settings(page_size=SIZE))["partial"]


def test_opened_closes_all_and_raises_the_first_error(tmp_path):
    made = []

    def make_source():
        made.append(GivenSource("one", []))
        return made[-1]

    def missing():
        return sources.open_target(tmp_path / "missing")

    with opened([make_source, missing, make_source]) as (found, errors):
        assert found == made and len(errors) == 1 and "missing" in str(errors[0])
    assert [source.closed for source in made] == [True, True]
    with pytest.raises(PksmError, match="missing"), opened([missing]):
        pass
    with pytest.raises(UsageError, match="directory"), opened([make_source, lambda: sources.open_target(tmp_path)]):
        pass
    assert made[-1].closed


def test_openers_that_fail_otherwise_are_errors_of_their_source(tmp_path):
    made = GivenSource("one", data(page("a")))

    def fail():
        raise ZeroDivisionError("in a reader")

    with opened([lambda: made, fail]) as (found, errors):
        result = scan(found, Settings(page_size=SIZE), errors=errors)
    assert result["partial"] and any("ZeroDivisionError: in a reader" in line for line in result["warnings"])
    with pytest.raises(ZeroDivisionError), opened([fail, fail]):
        pass


def test_memory_that_runs_out_is_no_error_of_a_source():
    def fail():
        raise MemoryError

    with pytest.raises(MemoryError), opened([lambda: GivenSource("one", data(page("a"))), fail]):
        pass


def test_a_source_that_does_not_close_changes_no_result(tmp_path):
    class Stuck(GivenSource):
        def close(self):
            raise OSError("stuck")

    with pytest.warns(UserWarning, match="one: its reader failed with OSError: stuck"):
        with opened([lambda: Stuck("one", data(page("a")))]) as (found, _):
            result = scan(found, Settings(page_size=SIZE))
    assert result["totals"]["pages"] == 1


def test_a_file_that_shrinks_is_named(tmp_path):
    native.catch_bus_errors()
    path = write_file(tmp_path / "ram", [page(str(number), 4096) for number in range(64)], 4096)
    other = write_file(tmp_path / "other", [page("a", 4096)], 4096)
    shrinking = GivenSource("last", data(page("x", 4096)), then=lambda: os.truncate(path, 4096))
    with opened([lambda: sources.open_target(path), lambda: sources.open_target(other)]) as (found, _):
        with pytest.raises(BusError, match="ram: the file became shorter"):
            scan([*found, shrinking])


class InterruptAt:
    """Raises KeyboardInterrupt the n-th time that a stage tells its progress."""

    def __init__(self, stage, count):
        self.stage, self.left = stage, count

    def __call__(self, stage, pages, total):
        if stage == self.stage:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


@pytest.mark.parametrize(("stage", "reached"), [("exact", 0), ("exact", 20), ("merge", 0), ("merge", 30)])
def test_an_interrupted_scan_is_exact_about_what_it_reached(monkeypatch, stage, reached):
    monkeypatch.setitem(DEFAULTS, "pages_to_scan", 10)
    rng = random.Random(3)
    contents = [page(str(rng.randrange(12))) for _ in range(75)] + [bytes(SIZE)]
    rng.shuffle(contents)
    settings = Settings(page_size=SIZE, policy="pksmd:v0.2", changes={"quirks": ["one-content-per-hash"]})
    result = scan(
        [GivenSource("one", data(*contents))],
        settings,
        InterruptAt(stage, reached // 10 + 1),
        interrupts=Interrupts(nullcontext),
    )
    truth = answer(contents[:reached])
    assert result["interrupted"] and any("interrupted" in warning for warning in result["warnings"])
    assert result["totals"]["pages"] == result["sources"][0]["mappings"] == reached
    assert result["totals"]["distinct"] == truth.distinct
    assert result["saving"]["nonzero_pages"] == truth.pages_sharing
    assert result["groups_found"] == truth.pages_shared


def test_an_interrupt_goes_through_where_nobody_holds_it_back():
    with pytest.raises(KeyboardInterrupt):
        scan([GivenSource("one", data(page("a")))], Settings(page_size=SIZE), InterruptAt("merge", 1))


def test_progress_is_told():
    told = []
    source = GivenSource("one", data(*[page(str(number)) for number in range(50)]), cuts=[20])
    scan([source], Settings(page_size=SIZE, changes={"pages_to_scan": 20}), lambda *args: told.append(args))
    assert told == [("read", 20, None), ("read", 50, None), ("merge", 0, 50), ("merge", 20, 50), ("merge", 40, 50)]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"page_size": 1000}, "power of two"),
        ({"page_size": 256}, "512"),
        ({"page_size": 4 << 20}, "2097152"),
        ({"view": "pages"}, "frames, mappings"),
        ({"threads": 0}, "one at least"),
        ({"top": -1}, "from 0"),
        ({"policy": "pksmd:new"}, "fixed, v0.1"),
        ({"policy": "nothing"}, "unknown policy"),
        ({"policy": "ksmd,pksmd"}, "one policy"),
        ({"changes": ["pages_to_scan=0"]}, "from 1"),
        ({"changes": {"checksum": "md5"}}, "xxh3-64"),
        ({"changes": {"order": "random"}}, "checksum-content"),
        ({"changes": {"run": 0}}, "run=0"),
        ({"changes": {"run": 2}}, "run=2"),
        ({"changes": {"pages_to_scan": 0}}, "from 1"),
        ({"changes": {"speed": 1}}, "pages_to_scan"),
    ],
)
def test_settings_that_cannot_be(wrong, words):
    with pytest.raises(UsageError, match=words):
        Settings(**wrong)


def test_nothing_to_scan():
    with pytest.raises(UsageError, match="nothing to scan"):
        scan([])
    result = scan([GivenSource("none", [(State.HOLE, None)] * 5)])
    assert result["totals"]["pages"] == 0 and result["sources"][0]["pages"]["hole"] == 5
    assert result["saving"]["pages"] == result["saving"]["net_bytes"] == 0 and result["groups"] == []


def test_marks_survive_a_wrap():
    marks = _Marks(10)
    numbers = np.array([3, 4, 3], np.uint32)
    marks.start()
    assert marks.first_met(numbers).sum() == 2
    marks._next = (1 << 32) - 2
    assert marks.first_met(np.array([4, 5], np.uint32)).tolist() == [False, True]
    marks.start()
    assert marks.first_met(numbers).sum() == 2
    assert marks.first_met(numbers).sum() == 0


# ---- rule 2: batches, never pages ----


def write_load(path, n_pages):
    memory = np.empty((n_pages, 4096), np.uint8)
    make("f", memory, seed=7)
    memory.tofile(path)
    return os.fspath(path)


def test_no_python_per_page(tmp_path):
    few, many = (write_load(tmp_path / str(n), n) for n in (1024, 16384))
    scan_files(few)  # whatever is loaded late is loaded now
    events = {path: line_events(lambda path=path: scan_files(path)) for path in (few, many)}
    assert 0 < events[many] <= events[few] * 1.1, events


def test_no_python_per_page_of_a_process():
    def lines(n):
        contents = np.random.Generator(np.random.PCG64(1)).integers(0, 200, (n, SIZE), np.uint8)
        frames, exclusive = np.arange(1, n + 1) // 2, np.zeros(n, bool)

        class Live(GivenSource):
            def regions(self, page_size, allocate, progress):
                copies = allocate(n)
                copies.array[:] = contents
                runs = extents.make_runs([State.DATA], [0], [0], [n])
                yield Region(runs, copies=copies, frames=frames.astype(np.uint64), exclusive=exclusive)

        pair = [Live("one", [], names=["heap"]), Live("two", [], names=["heap"])]
        return line_events(lambda: scan(pair, Settings(page_size=SIZE)))

    lines(1024)
    few, many = lines(1024), lines(16384)
    assert 0 < many <= few * 1.1, (few, many)


def test_memory_a_page(tmp_path):
    batch = {"pages_to_scan": 4096}  # what a batch needs besides doesn't grow with the pages
    few, many = (write_load(tmp_path / str(n), n) for n in (16384, 65536))
    scan_files(few)
    peaks = {}
    for path in (few, many):
        gc.collect()
        tracemalloc.start()
        try:
            scan_files(path, changes=batch)
            peaks[path] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    a_page = (peaks[many] - peaks[few]) / (65536 - 16384)
    assert a_page <= 64, f"{a_page:.1f} bytes a page beside the store"
