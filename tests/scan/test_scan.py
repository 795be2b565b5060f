"""scan(): its totals against brute force, and its result document."""

import csv
import io
import json
import random
import re

import numpy as np
import pytest

from pksm import report
from pksm.errors import UsageError
from pksm.extents import State
from pksm.policies.pksmd.tunables import PRESETS
from pksm.scan import Settings, scan
from pksm.scan.counting import _Marks
from pksm.scan.document import SCHEMA
from pksm.scan.settings import DEFAULTS
from pksm.simulation.workloads import LOADS, make

from support.memory_sources import GivenSource, data, write_file
from support.scans import SIZE, check_against_brute_force, page, random_pages, scan_files


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
