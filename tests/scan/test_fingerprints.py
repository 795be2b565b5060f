"""Fingerprints: scanning them is scanning the memory, and what can't be a file of them is refused."""

import copy
import json
import os
import random
import stat
import struct
from contextlib import nullcontext

import numpy as np
import pytest

from pksm.errors import PksmError, UsageError
from pksm.extents import State
from pksm.linux import memory_limits
from pksm.scan import Interrupts, Settings, fingerprints, scan
from pksm.sources import fingerprints as layout
from pksm.sources import open_target

from support.memory_sources import GivenSource, Process, data

SIZE = 512


def page(text):
    return text.encode().ljust(SIZE, b"\0")


def scan_and_keep(path, sources, **settings):
    with fingerprints.new_file(path) as keep:
        return scan(sources, Settings(page_size=SIZE, **settings), keep=keep)


def opened(*paths):
    return [open_target(path) for path in paths]


def scan_prints(*paths, **settings):
    return scan(opened(*paths), Settings(page_size=SIZE, **settings))


def machine(rng, names):
    """Sources of one machine, with frames in common, zero pages, holes and mappings; called again, the same."""
    contents = [bytes(SIZE), *(page(f"content {number}") for number in range(30))]
    frames = {number: rng.choice(contents) for number in range(1, 50)}
    recipe = []
    for name in names:
        numbers = [rng.choice([0, *frames]) for _ in range(rng.randrange(1, 90))]
        pages = data(*(frames[number] if number else rng.choice(contents) for number in numbers))
        where = [rng.choice(["[heap]", "anon"]) for _ in pages]
        recipe.append((name, pages, numbers, [number == 0 for number in numbers], where))
    more = [(State.ZERO, None)] * 3 + [(State.HOLE, None)] * 5 + [(State.EXCLUDED, None)] * 2

    def make():
        return [
            GivenSource(name, pages + more, numbers, exclusive, [*where, "[stack]", *(["anon"] * (len(more) - 1))])
            for name, pages, numbers, exclusive, where in recipe
        ]

    return make


def without(result, *names):
    result = copy.deepcopy(result)
    for source in result["sources"]:
        source["name"] = source["name"].rpartition(": ")[2]
    for group in result["groups"]:
        group["looks"] = ""
        for place in group["where"]:
            place["source"] = place["source"].rpartition(": ")[2]
    result["saving"].pop("engine_bytes")
    return {name: value for name, value in result.items() if name not in (*names, "cost", "fingerprints", "settings")}


@pytest.mark.parametrize("view", ["frames", "mappings"])
@pytest.mark.parametrize("seed", range(5))
def test_scanning_fingerprints_is_scanning_the_memory(tmp_path, seed, view):
    make = machine(random.Random(seed), "abc")
    path = tmp_path / "prints"
    scan_and_keep(path, make())
    result = scan(make(), Settings(page_size=SIZE, view=view, top=1000))
    again = scan_prints(path, view=view, top=1000)
    assert again["fingerprints"] and not result["fingerprints"]
    names = ("groups",)  # those of one size come in any order
    assert without(again, *names) == without(result, *names)
    key = json.dumps
    assert sorted(map(key, without(again)["groups"])) == sorted(map(key, without(result)["groups"]))


@pytest.mark.parametrize("seed", range(5))
def test_machines_together(tmp_path, seed):
    """Frames of the same number on two machines are two frames."""
    rng = random.Random(100 + seed)
    makers = [machine(rng, "ab"), machine(rng, "cd")]
    paths = [tmp_path / name for name in ("one", "two")]
    for make, path in zip(makers, paths, strict=True):
        scan_and_keep(path, make())
    sources = [source for make in makers for source in make()]
    for source in sources[2:]:
        source._frames = [frame and frame + 1000 for frame in source._frames]
    assert without(scan_prints(*paths), "groups") == without(scan(sources, Settings(page_size=SIZE)), "groups")


def test_facts_of_processes_are_kept(tmp_path):
    path = tmp_path / "prints"
    scan_and_keep(path, [Process("1", "web", "ann", page("a"), page("a"))])
    assert scan_prints(path)["by_command"][0]["command"] == "web"


def fail():
    raise PksmError("two: gone")


def interrupt():
    raise KeyboardInterrupt


def test_warnings_and_lost_pages_are_kept(tmp_path):
    path = tmp_path / "prints"
    fine, lossy = GivenSource("one", data(page("a"))), GivenSource("two", data(page("a")))
    fine.warnings.append("one: has no holes")
    assert not scan_and_keep(path, [fine, GivenSource("two", data(page("b")))])["partial"]
    again = scan_prints(path)
    assert again["warnings"] == [f"{path}: one: has no holes"] and not again["partial"]
    lossy.lost, lossy.warnings = 3, ["two: 3 pages are damaged"]
    scan_and_keep(path, [fine, lossy])
    again = scan_prints(path)
    assert again["warnings"] == [f"{path}: one: has no holes", f"{path}: two: 3 pages are damaged"] and again["partial"]


@pytest.mark.parametrize("errors", [[], [PksmError("three: no such file")]])
@pytest.mark.parametrize("then", [None, fail])
def test_what_could_not_be_read_is_kept(tmp_path, errors, then):
    path = tmp_path / "prints"
    sources = [GivenSource("one", data(page("a"))), GivenSource("two", data(page("a")), then=then)]
    with fingerprints.new_file(path) as keep:
        result = scan(sources, Settings(page_size=SIZE), errors=errors, keep=keep)
    again = scan_prints(path)
    assert again["partial"] == result["partial"] == bool(errors or then)
    assert again["warnings"] == [f"{path}: {line}" for line in result["warnings"]]
    assert len(again["warnings"]) == len(errors) + bool(then)


def test_a_part_that_is_cut_off_is_kept(tmp_path):
    path, short = tmp_path / "prints", GivenSource("one", data(page("a")))
    short.partial = True
    assert scan_and_keep(path, [short])["partial"] and scan_prints(path)["partial"]


def test_pages_that_were_left_out_are_kept(tmp_path):
    path = tmp_path / "prints"
    result = scan_and_keep(path, [GivenSource("one", data(page("a"), page("b")), [0, 0], [False, True])])
    (line,) = result["warnings"]
    again = scan_prints(path)
    assert "1 pages are left out" in line and again["warnings"] == [f"{path}: {line}"] and not again["partial"]


class Reading(nullcontext):
    warnings = ["not all stood still"]


def test_interrupted_reading_is_kept_and_interrupted_merging_is_not(tmp_path):
    path = tmp_path / "prints"
    for source, progress, line in (
        (GivenSource("one", data(page("a")), then=interrupt), None, "interrupted: 1 of 2 sources were read"),
        (GivenSource("one", data(page("a"))), interrupt_merging, None),
    ):
        with fingerprints.new_file(path) as keep:
            result = scan([source, GivenSource("two", data(page("a")))], Settings(page_size=SIZE), progress, keep=keep,
                          interrupts=Interrupts(nullcontext), reading=Reading())  # fmt: skip
        assert result["interrupted"]
        again = scan_prints(path)
        assert again["partial"] == bool(line) and not again["interrupted"]
        assert again["warnings"][0] == f"{path}: not all stood still" and len(again["warnings"]) == 1 + bool(line)
        assert not line or again["warnings"][1].startswith(f"{path}: {line}")


def interrupt_merging(stage, pages, total):
    if stage == "merge":
        raise KeyboardInterrupt


def test_the_layout(tmp_path):
    xxhash = pytest.importorskip("xxhash")
    path = tmp_path / "prints"
    contents = [page("a"), bytes(SIZE), page("b")]
    scan_and_keep(path, [GivenSource("one", data(*contents), names=["x", "x", "y"])])
    text = path.read_bytes()
    assert text[:8] == b"pksmhash" and np.frombuffer(text[8:16], "<u4").tolist() == [2, SIZE]
    n_records, table_bytes = np.frombuffer(text[16:32], "<u8").tolist()
    assert n_records == 3 and table_bytes % 32 == 0
    assert json.loads(text[32 : 32 + table_bytes])["sources"][0]["mappings"] == ["x", "y"]
    records = np.frombuffer(text[32 + table_bytes :], layout.RECORD)
    sums = [(xxhash.xxh3_64_intdigest(content), xxhash.xxh64_intdigest(content)) for content in contents]
    sums[1] = 0, 0
    assert list(zip(records["xxh3"].tolist(), records["xxh64"].tolist(), strict=True)) == sums
    assert records["mapping"].tolist() == [0, 0, 1] and records["source"].tolist() == [0, 0, 0]
    assert records["flags"].tolist() == [2, 3, 2] and len(set(records["frame"].tolist())) == 3


def test_a_file_is_whole_and_its_owners_or_not_there(tmp_path):
    path = tmp_path / "prints"
    with pytest.raises(ZeroDivisionError), fingerprints.new_file(path):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []
    scan_and_keep(path, [GivenSource("one", data(page("a")))])
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), fingerprints.new_file(path):
        raise KeyboardInterrupt
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["prints"]
    scan_and_keep(path, [GivenSource("one", data(page("a"), page("b")))])
    assert path.read_bytes() != before, "fingerprints replace fingerprints"


def test_what_is_no_fingerprints_is_not_replaced(tmp_path):
    image = tmp_path / "ram.img"
    image.write_bytes(page("precious"))
    for path in (image, tmp_path):
        with pytest.raises(UsageError), fingerprints.new_file(path):
            pass
    with pytest.raises(PksmError, match="cannot be written"), fingerprints.new_file(tmp_path / "no" / "where"):
        pass
    assert image.read_bytes() == page("precious")


def test_what_does_not_go_with_fingerprints(tmp_path):
    path = tmp_path / "prints"
    scan_and_keep(path, [GivenSource("one", data(page("a")))])
    with pytest.raises(UsageError, match="together"):
        scan([*opened(path), GivenSource("two", data(page("a")))], Settings(page_size=SIZE))
    with pytest.raises(UsageError, match="pages of 512 bytes"):
        scan(opened(path), Settings(page_size=4096))
    with pytest.raises(UsageError, match="equal pages only"):
        scan_prints(path, policy="pksmd:v0.2")
    with pytest.raises(UsageError, match="show_bytes: fingerprints hold no bytes"):
        scan_prints(path, show_bytes=True)


def test_what_no_fingerprints_are_made_of(tmp_path):
    path, other = tmp_path / "prints", tmp_path / "other"
    scan_and_keep(path, [GivenSource("one", data(page("a")))])
    before = path.read_bytes()
    for target in (path, other):
        with pytest.raises(UsageError, match="fingerprints already"):
            scan_and_keep(target, opened(path))
        with pytest.raises(UsageError, match="together"):
            scan_and_keep(target, [*opened(path), GivenSource("two", data(page("a")))])
        with pytest.raises(UsageError, match="keep: take the view frames"):
            scan_and_keep(target, [GivenSource("two", data(page("a")))], view="mappings")
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["prints"]


def test_damaged_files(tmp_path):
    """Cut off anywhere, and with any field changed: refused, or scanned to some answer."""
    path, wrong = tmp_path / "prints", tmp_path / "wrong"
    scan_and_keep(path, machine(random.Random(1), "ab")())
    whole, rng, refused = path.read_bytes(), random.Random(2), 0
    for number in range(600):
        text = bytearray(whole)
        if number % 3 == 0:
            del text[rng.randrange(len(text)) :]
        elif number % 3 == 1:
            text[rng.randrange(32)] = rng.randrange(256)
        else:
            text[rng.randrange(len(text))] ^= 1 << rng.randrange(8)
        wrong.write_bytes(text)
        try:
            scan_prints(wrong)
        except PksmError as error:
            refused += 1
            assert (str(wrong) in str(error) or isinstance(error, UsageError)) and "\n" not in str(error)
    assert refused > 350


def written(path, sources, warnings=()):
    """A file of fingerprints without any, by its layout: 32 bytes of numbers, and a table of the sources."""
    about = {"kind": "raw", "mappings": [], "records": 0, "zero": [], "lost": 0, "out_of_reach": {}, "facts": {}}
    table = {
        "sources": [{"name": "one", **about, "warnings": [], **source} for source in sources],
        "partial": False,
        "warnings": list(warnings),
    }
    text = json.dumps(table).encode()
    text = text.ljust(-(-len(text) // 32) * 32)
    path.write_bytes(struct.pack("<8s2I2Q", b"pksmhash", 2, SIZE, 0, len(text)) + text)
    return path


@pytest.mark.parametrize(
    "sources",
    [
        [{}] * 33_000,
        [{"name": "\u202e" * 70_000}],
        [{"warnings": ["w" * 70_000]}],
        [{"out_of_reach": {"w" * 70_000: 1}}],
        [{"warnings": ["w" * 60_000] * 300}],
        [{"warnings": ["w"] * 600_000}],
        [{"mappings": [""] * 2_200_000, "zero": [0] * 2_200_000}] * 2,
    ],
    ids=["sources", "name", "warning", "reason", "all texts", "lines", "mappings"],
)
def test_tables_that_would_take_minutes_are_refused(tmp_path, sources):
    path = written(tmp_path / "prints", sources)
    with pytest.raises(PksmError, match="its table of sources can't be right"):
        scan_prints(path)


def test_lines_about_the_whole_file_count_too(tmp_path):
    path = written(tmp_path / "prints", [{}], ["w"] * 600_000)
    with pytest.raises(PksmError, match="its table of sources can't be right"):
        scan_prints(path)


def test_large_tables_are_read(tmp_path):
    path = written(tmp_path / "prints", [{"name": "n" * 5000, "warnings": ["w" * 5000]}] * 100)
    assert len(scan_prints(path)["sources"]) == 100


def test_what_a_table_takes_when_it_is_parsed_has_to_be_there(tmp_path, monkeypatch):
    path = written(tmp_path / "prints", [{}])
    monkeypatch.setattr(memory_limits, "available_bytes", lambda enough=None: 1000)
    with pytest.raises(PksmError, match="MiB of memory are needed and 0 MiB available"):
        scan_prints(path)


def test_no_file_is_made_that_could_not_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "MOST_SOURCES", 1)
    with pytest.raises(UsageError, match="holds those of 1 sources, not 2: make several files"):
        scan_and_keep(tmp_path / "prints", [GivenSource("one", data(page("a"))), GivenSource("two", data(page("b")))])
    assert not os.listdir(tmp_path)
