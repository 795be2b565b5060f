"""Fingerprints: scanning them is scanning the memory, and what can't be a file of them is refused."""

import copy
import json
import os
import random
import stat
import zlib
from contextlib import closing, nullcontext

import numpy as np
import pytest

from pksm.errors import PksmError, UsageError
from pksm.extents import State
from pksm.linux import memory_limits
from pksm.scan import Interrupts, Settings, scan
from pksm.scan import fingerprints as making
from pksm.scan import heaviest as heaviest_module
from pksm.scan.fingerprints import fingerprint
from pksm.scan.heaviest import heaviest
from pksm.sources import open_target
from pksm.sources.files import OpenFile
from pksm.sources.fingerprints import file as file_module
from pksm.sources.fingerprints import layout
from pksm.sources.fingerprints.file import FingerprintFile

from model import checksums
from support.memory_sources import GivenSource, Process, data
from support.writers.fingerprints import sealed, without_records

SIZE = 512


def page(text):
    return text.encode().ljust(SIZE, b"\0")


def make_prints(path, sources, **how):
    return fingerprint(sources, path, SIZE, **how)


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
    make_prints(path, make())
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
        make_prints(path, make())
    sources = [source for make in makers for source in make()]
    for source in sources[2:]:
        source._frames = [frame and frame + 1000 for frame in source._frames]
    assert without(scan_prints(*paths), "groups") == without(scan(sources, Settings(page_size=SIZE)), "groups")


def test_facts_of_processes_are_kept(tmp_path):
    path = tmp_path / "prints"
    make_prints(path, [Process("1", "web", "ann", page("a"), page("a"))])
    assert scan_prints(path)["by_command"][0]["command"] == "web"


def fail():
    raise PksmError("two: gone")


def interrupt():
    raise KeyboardInterrupt


def test_warnings_and_lost_pages_are_kept(tmp_path):
    path = tmp_path / "prints"
    fine, lossy = GivenSource("one", data(page("a"))), GivenSource("two", data(page("a")))
    fine.warnings.append("one: has no holes")
    assert not make_prints(path, [fine, GivenSource("two", data(page("b")))])["partial"]
    again = scan_prints(path)
    assert again["warnings"] == [f"{path}: one: has no holes"] and not again["partial"]
    lossy.lost, lossy.warnings = 3, ["two: 3 pages are damaged"]
    make_prints(path, [fine, lossy])
    again = scan_prints(path)
    assert again["warnings"] == [f"{path}: one: has no holes", f"{path}: two: 3 pages are damaged"] and again["partial"]


@pytest.mark.parametrize("errors", [[], [PksmError("three: no such file")]])
@pytest.mark.parametrize("then", [None, fail])
def test_what_could_not_be_read_is_kept(tmp_path, errors, then):
    path = tmp_path / "prints"
    sources = [GivenSource("one", data(page("a"))), GivenSource("two", data(page("a")), then=then)]
    result = make_prints(path, sources, errors=errors)
    again = scan_prints(path)
    assert again["partial"] == result["partial"] == bool(errors or then)
    assert again["warnings"] == [f"{path}: {line}" for line in result["warnings"]]
    assert len(again["warnings"]) == len(errors) + bool(then)


def test_a_part_that_is_cut_off_is_kept(tmp_path):
    path, short = tmp_path / "prints", GivenSource("one", data(page("a")))
    short.partial = True
    assert make_prints(path, [short])["partial"] and scan_prints(path)["partial"]


def test_pages_that_were_left_out_are_kept(tmp_path):
    path = tmp_path / "prints"
    result = make_prints(path, [GivenSource("one", data(page("a"), page("b")), [0, 0], [False, True])])
    (line,) = result["warnings"]
    again = scan_prints(path)
    assert "1 pages are left out" in line and again["warnings"] == [f"{path}: {line}"] and not again["partial"]


class Reading(nullcontext):
    warnings = ["not all stood still"]


def test_interrupted_reading_is_kept(tmp_path):
    path = tmp_path / "prints"
    sources = [GivenSource("one", data(page("a")), then=interrupt), GivenSource("two", data(page("a")))]
    assert make_prints(path, sources, interrupts=Interrupts(nullcontext), reading=Reading())["interrupted"]
    again = scan_prints(path)
    assert again["partial"] and not again["interrupted"]
    assert again["warnings"][0] == f"{path}: not all stood still" and len(again["warnings"]) == 2
    assert again["warnings"][1].startswith(f"{path}: interrupted: 1 of 2 sources were read")


def test_the_layout(tmp_path):
    xxhash = pytest.importorskip("xxhash")
    path = tmp_path / "prints"
    contents = [page("a"), bytes(SIZE), page("b")]
    make_prints(path, [GivenSource("one", data(*contents), names=["x", "x", "y"])])
    text = path.read_bytes()
    assert text[:8] == b"pksmhash" and np.frombuffer(text[8:16], "<u4").tolist() == [3, SIZE]
    n_records, heavy, below, key_check, table_bytes = np.frombuffer(text[16:56], "<u8").tolist()
    assert (n_records, heavy, below, key_check) == (3, 0, 0, 0) and table_bytes % 32 == 0
    partitions, crc = np.frombuffer(text[56:64], "<u4").tolist()
    records_at = 64 + table_bytes + 16 * (partitions + 1)
    assert partitions == 1 and crc == zlib.crc32(text[64:records_at], zlib.crc32(text[:60] + bytes(4)))
    table = json.loads(text[64 : 64 + table_bytes])
    (source,) = table["sources"]
    assert source["mappings"] == ["x", "y"] and (source["pages"], source["zero_pages"]) == (2, 1)
    assert np.frombuffer(text[64 + table_bytes : records_at], "<u8").tolist()[0] == 3
    records = np.frombuffer(text[records_at:], layout.RECORD)
    assert zlib.crc32(text[records_at:]) == int(np.frombuffer(text[72 + table_bytes : 76 + table_bytes], "<u4")[0])
    sums = {
        (xxhash.xxh3_64_intdigest(content), xxhash.xxh64_intdigest(content), mapping)
        for content, mapping in ((contents[0], 0), (contents[2], 1))
    }
    found = list(zip(*(records[name].tolist() for name in ("sum", "tail", "mapping")), strict=True))
    assert found == sorted(found) and set(found) == {*sums, (0, 0, 0)}
    assert records["source"].tolist() == records["frame"].tolist() == [0, 0, 0] and set(records["count"]) == {1}


def test_a_file_is_whole_and_its_owners_or_not_there(tmp_path):
    path = tmp_path / "prints"

    def broken(pages):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_prints(path, [GivenSource("one", data(page("a")))], progress=broken)
    assert os.listdir(tmp_path) == []
    make_prints(path, [GivenSource("one", data(page("a")))])
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError):
        make_prints(path, [GivenSource("one", data(page("b")))], progress=broken)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["prints"]
    make_prints(path, [GivenSource("one", data(page("a"), page("b")))])
    assert path.read_bytes() != before, "fingerprints replace fingerprints"


def test_what_is_no_fingerprints_is_not_replaced(tmp_path):
    image = tmp_path / "ram.img"
    image.write_bytes(page("precious"))
    for path in (image, tmp_path):
        with pytest.raises(UsageError):
            make_prints(path, [GivenSource("one", data(page("a")))])
    with pytest.raises(PksmError, match="cannot be written"):
        make_prints(tmp_path / "no" / "where", [GivenSource("one", data(page("a")))])
    assert image.read_bytes() == page("precious")


def test_what_does_not_go_with_fingerprints(tmp_path):
    path = tmp_path / "prints"
    make_prints(path, [GivenSource("one", data(page("a")))])
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
    make_prints(path, [GivenSource("one", data(page("a")))])
    before = path.read_bytes()
    for target in (path, other):
        with pytest.raises(UsageError, match="fingerprints already"):
            make_prints(target, [*opened(path), GivenSource("two", data(page("a")))])
    with pytest.raises(UsageError, match="nothing to read"):
        make_prints(other, [])
    with pytest.raises(UsageError, match="keep: must be more than 0"):
        make_prints(other, opened(path), keep=0)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["prints"]


@pytest.mark.parametrize("seal", [bytes, sealed], ids=["sums as they were", "sums made right"])
def test_damaged_files(tmp_path, seal):
    """Cut off anywhere, and with any field changed: refused, or scanned to some answer where its sums are right."""
    path, wrong = tmp_path / "prints", tmp_path / "wrong"
    make_prints(path, machine(random.Random(1), "ab")())
    whole, rng, refused = path.read_bytes(), random.Random(2), 0
    for number in range(600):
        text = bytearray(whole)
        if number % 3 == 0:
            del text[rng.randrange(len(text)) :]
        elif number % 3 == 1:
            at = rng.randrange(64)
            text[at] = (text[at] + rng.randrange(1, 256)) % 256
        else:
            text[rng.randrange(len(text))] ^= 1 << rng.randrange(8)
        wrong.write_bytes(seal(bytes(text)))
        try:
            scan_prints(wrong)
        except PksmError as error:
            refused += 1
            assert (str(wrong) in str(error) or isinstance(error, UsageError)) and "\n" not in str(error)
    # What is changed within the magic, or behind it cut off, is raw memory.
    assert refused > 350 if seal is sealed else refused > 550


def written(path, sources, warnings=()):
    """A file of fingerprints without any: a table of the sources."""
    about = {"kind": "raw", "mappings": [], "pages": 0, "zero_pages": 0, "zero": [], "lost": 0, "out_of_reach": {}}
    table = {
        "sources": [{"name": "one", **about, "facts": {}, "warnings": [], **source} for source in sources],
        "warnings": list(warnings),
    }
    path.write_bytes(without_records(table, SIZE))
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
    monkeypatch.setattr(file_module, "SMALL_TABLE_BYTES", 0)
    monkeypatch.setattr(memory_limits, "available_bytes", lambda enough=None: 1000)
    with pytest.raises(PksmError, match="MiB of memory are needed and 0 MiB available"):
        scan_prints(path)


def test_no_file_is_made_that_could_not_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(making, "MOST_SOURCES", 1)
    with pytest.raises(UsageError, match="holds those of 1 sources, not 2: make several files"):
        make_prints(tmp_path / "prints", [GivenSource("one", data(page("a"))), GivenSource("two", data(page("b")))])
    assert not os.listdir(tmp_path)


# ---- samples and keys ----


def read(path):
    """(file, its records, those of heavy contents)."""
    file = FingerprintFile(OpenFile(path))
    with closing(file.file):
        return file, np.concatenate(list(file.records())), file.heavy()


def counted(sources):
    """{(source, sum, tail): frames} without zero pages, each frame counted for the first source that has it: slow."""
    found, seen = {}, set()
    for number, source in enumerate(sources):
        contents = [content for state, content in source._pages if state == State.DATA]
        frames = source._frames or [0] * len(contents)
        for content, frame, alone in zip(contents, frames, source._exclusive or [True] * len(contents), strict=True):
            if not content.strip(b"\0") or (not alone and frame in seen):
                continue
            seen |= set() if alone else {frame}
            key = number, checksums.xxh3_64(content), checksums.xxh64(content)
            found[key] = found.get(key, 0) + 1
    return found


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_is_what_lies_below_a_sum(tmp_path, seed):
    make = machine(random.Random(seed), "abc")
    result = make_prints(tmp_path / "prints", make(), keep=0.4)
    file, records, heavy = read(tmp_path / "prints")
    truth = counted(make())
    found = {(int(r["source"]), int(r["sum"]), int(r["tail"])): int(r["count"]) for r in records}
    assert len(found) == len(records) and file.keep == pytest.approx(0.4)
    assert found == {key: count for key, count in truth.items() if key[1] < file.below} and len(found) < len(truth)
    kept_besides = {(int(r["source"]), int(r["sum"]), int(r["tail"])): int(r["count"]) for r in heavy}
    frames = {}
    for (_, *content), count in truth.items():
        frames[tuple(content)] = frames.get(tuple(content), 0) + count
    assert kept_besides == {key: n for key, n in truth.items() if key[1] >= file.below and frames[key[1:]] > 1}
    for number, source in enumerate(result["sources"]):
        assert source["pages"] - source["zero_pages"] == sum(n for key, n in truth.items() if key[0] == number)
    again = make_prints(tmp_path / "prints", make())
    assert again["sources"] == result["sources"], "totals are exact"


def test_heavy_contents_are_the_heaviest():
    rng = np.random.default_rng(1)
    words = rng.integers(0, 1 << 64, 300, np.uint64)
    counts = rng.permutation(np.arange(1, 301))
    sums = np.repeat(np.stack([words, words], axis=1), counts, axis=0)
    below = 1 << 62
    best = sorted((-count, word) for word, count in zip(words.tolist(), counts.tolist(), strict=True) if word >= below)
    assert sorted(heaviest(sums, below).tolist()) == sorted(word for _, word in best[: layout.HEAVY])


def test_a_scan_takes_no_sample(tmp_path):
    make_prints(tmp_path / "prints", [GivenSource("one", data(page("a")))], keep=1 / 4096)
    with pytest.raises(PksmError, match=r"holds a sample of contents \(1/4096\), which pksm fleet counts"):
        scan_prints(tmp_path / "prints")


def test_a_key_hides_sums_and_changes_no_answer(tmp_path):
    make, paths = machine(random.Random(1), "ab"), [tmp_path / name for name in ("plain", "one", "other")]
    for path, key in zip(paths, (None, b"k" * 16, b"o" * 16), strict=True):
        make_prints(path, make(), key=key)
    plain, one, other = (read(path) for path in paths)
    assert without(scan_prints(paths[0]), "groups") == without(scan_prints(paths[1]), "groups")
    sums = [set(records["sum"].tolist()) - {0} for _, records, _ in (plain, one, other)]
    assert not sums[0] & sums[1] and not sums[1] & sums[2] and len(sums[0]) == len(sums[1])
    assert len({file.key_check for file, _, _ in (plain, one, other)}) == 3
    for path in paths:
        assert b"k" * 16 not in path.read_bytes() and b"o" * 16 not in path.read_bytes(), "it is not stored"
    for pair in (paths[:2], paths[1:]):
        with pytest.raises(UsageError, match="made with different keys"):
            scan_prints(*pair)
    with pytest.raises(UsageError, match="key: a key has 16 bytes, not 3"):
        make_prints(tmp_path / "none", make(), key=b"abc")


def test_partitions_cut_the_sums(tmp_path, monkeypatch):
    make = machine(random.Random(1), "abc")
    make_prints(tmp_path / "one", make())
    monkeypatch.setattr(layout, "PARTITION_RECORDS", 4)
    monkeypatch.setattr(heaviest_module, "FEWEST", 10)
    make_prints(tmp_path / "many", make())
    (one, records, _), (many, others, _) = read(tmp_path / "one"), read(tmp_path / "many")
    assert one.partitions == 1 and many.partitions >= 16 and layout.in_order(others)
    names = ["sum", "tail", "source", "mapping", "count"]
    assert sorted(records[names].tolist()) == sorted(others[names].tolist())
    assert without(scan_prints(tmp_path / "one"), "groups") == without(scan_prints(tmp_path / "many"), "groups")
