"""Sizes, rates, columns and names as people read them; what tables do where room is short."""

import copy
import csv
import io

import pytest

from pksm import report
from pksm.report import text
from pksm.report.scan import SOURCES_SHOWN
from pksm.report.simulate import of_equals
from pksm.scan import Settings, scan

from support.memory_sources import GivenSource, data


@pytest.mark.parametrize(
    ("n_bytes", "said"),
    [
        (0, "0 B"),
        (640, "640 B"),
        (-116, "-116 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (12 << 10, "12.0 KiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        (1 << 20, "1.0 MiB"),
        (-(3 << 19), "-1.5 MiB"),
        (3 << 29, "1.50 GiB"),
        (1 << 40, "1.00 TiB"),
        (5000 << 50, "5000.00 PiB"),
    ],
)
def test_size(n_bytes, said):
    assert text.size(n_bytes) == said


@pytest.mark.parametrize(
    ("per_second", "said"),
    [(0.4, "0"), (850, "850"), (12_340, "12.3 k"), (999_940, "999.9 k"), (999_960, "1.00 M"), (1_423_000, "1.42 M")],
)
def test_rate(per_second, said):
    assert text.rate(per_second) == said


def test_plain_text_steers_no_terminal():
    assert text.plain("a\x1b[2Jb\nc\td\x00\x9b") == "a\\x1b[2Jb\\nc\\td\\x00\\x9b"
    assert text.plain("ünï\udcff") == "ünï\\udcff"
    assert text.plain("/ram.img (pid 5)") == "/ram.img (pid 5)"


def test_cut_keeps_both_ends():
    assert text.cut("abcdefghij", 10) == "abcdefghij"
    assert text.cut("abcdefghijk", 10) == "abcd...ijk"
    assert [len(text.cut("abcdefghijk", width)) for width in range(3, 12)] == list(range(3, 12))


def test_names_are_cut_between_two():
    names = "pid 41 (python3), pid 42 (python3), pid 43 (python3)"
    assert text.cut_names(names, 60) == names
    assert text.cut_names(names, 45) == "pid 41 (python3), pid 42 (python3) and others"
    assert text.cut_names(names, 44) == text.cut_names(names, 27) == "pid 41 (python3) and others"
    assert text.cut_names(names, 26) == text.cut(names, 26)


@pytest.mark.parametrize("width", [10, 40, 100])
def test_a_list_of_names_has_whole_sentences(width):
    rows = [
        {"kind": "workload", "name": "f", "about": "The realistic mix of all that memory of live programs is like."},
        {"kind": "workload", "name": "opted-in", "about": ""},
    ]
    shown = report.table({"schema": "pksm.names/1", "names": rows}, width).splitlines()
    assert [line[2:10].strip() for line in shown] == ["rkload", "f", *[""] * (len(shown) - 3), "opted-in"]
    assert " ".join(line[12:] for line in shown[1:]).strip() == rows[0]["about"]
    assert max(map(len, shown)) <= max(width, 32)


def test_each_sentence_about_equals_says_what_pages_had():
    spread = {"p50": 1.0, "p90": 2.0, "p99": 3.0}
    equals = {"mean_bytes": 4096, "ended": 0, "ended_s": None, "lasting": 12, "lasting_s": spread}
    assert "12 pages had an equal at the end, half of them for 1.00 s so far." in of_equals(equals)


def test_columns_are_aligned():
    lines = text.columns([("name", "n", "note"), ("a", "100", ""), ("long name", "5", "x")], right=(1,))
    assert lines == ["name         n  note", "a          100", "long name    5  x"]


@pytest.fixture(scope="module")
def result():
    contents = [bytes([number]) * 512 for number in range(40)] * 2
    return scan([GivenSource("one", data(*contents))], Settings(page_size=512, top=1000))


def test_groups_that_look_and_live_alike_are_one_row(result):
    shown = report.table(result)
    assert "39 of 2 pages" in shown and shown.count("one byte repeated") == 1
    assert "The 39 groups of equal pages" in shown
    assert "39 of 2" not in report.table(result, top=0)


def test_no_more_rows_than_wanted(result):
    several = copy.deepcopy(result)
    for number, group in enumerate(several["groups"]):
        group["looks"] = f"kind {number % 5}"
    several["groups_found"] = 5000
    shown = report.table(several, top=3)
    assert sum("kind" in line for line in shown.splitlines()) == 3
    assert "The 39 largest of 5,000 groups" in shown


class Process(GivenSource):
    def facts(self):
        return {"pid": 5, "command": "worker", "user": "someone"}


@pytest.mark.parametrize(("files", "processes"), [(13, 1), (2, 13), (0, 13)])
def test_files_are_told_however_many_processes_there_are(files, processes):
    page = data(b"a" * 512)
    sources = [GivenSource(f"/ram{number}.img", page) for number in range(files)]
    sources += [Process(f"pid {number} (worker)", page) for number in range(processes)]
    shown = report.table(scan(sources, Settings(page_size=512, top=0)))
    assert all(f"/ram{number}.img " in shown for number in range(files))
    crowd = processes > SOURCES_SHOWN
    assert ("worker of someone" in shown) == crowd and ("pid 0 (worker)" in shown) != crowd
    assert ("Source, by itself" in shown) == (files > 0 or not crowd)


def test_savings_stand_apart(result):
    lines = report.table(result).splitlines()
    row = {line.split("  ")[1]: line.split() for line in lines if line.startswith("  ")}
    assert row["zero pages"][2:5] == ["2", "1.0", "KiB"]
    assert row["duplicates"][1:4] == ["39", "19.5", "KiB"]
    assert row["together"][1:4] == ["41", "20.5", "KiB"]
    assert row["metadata"][1:3] == ["-6.2", "KiB"], "39 items of 116 bytes, 78 sharers of 24"
    assert row["left over"][2:4] == ["14.3", "KiB"]


def test_names_are_made_plain_and_cut_in_tables_but_whole_in_csv(result):
    odd = copy.deepcopy(result)
    name = "/very/long/" + "directory/" * 20 + "\x1b[31m.img"
    odd["sources"][0]["name"] = name
    shown = report.table(odd, 80)
    assert "\x1b" not in shown and max(map(len, shown.splitlines())) <= 80 and "\\x1b[31m.img" in shown
    rows = list(csv.DictReader(io.StringIO(report.csv(odd))))
    assert [row["name"] for row in rows] == [name.replace("\x1b", "\\x1b"), "total"]


def test_a_scan_that_loses_is_not_praised(result):
    losing = copy.deepcopy(result)
    losing["saving"]["net_bytes"] = -5
    coloured = report.table(losing, colour=True)
    assert f"\x1b[{text.GREEN}m" not in coloured and f"\x1b[{text.GREEN}m" in report.table(result, colour=True)


@pytest.mark.parametrize(
    "document",
    [
        {"schema": "pksm.names/1", "names": [{"kind": "\x1b[2J", "name": "\x1b[2J", "about": "\x1b[2J\n"}]},
        {"schema": "pksm.checksum.sum/1", "strategy": "crc32c", "page_size": 4096, "sums": ["\x1b[2J"]},
    ],
)
def test_tables_and_csv_have_no_escapes_of_a_document(document):
    for shown in (report.table(document), report.csv(document)):
        assert "\\x1b[2J" in shown and shown.replace("\n", "").isprintable()


def test_what_did_not_last_is_said_with_its_time():
    assert text.volatile(0.0614, 8.03).endswith(
        "6.14 % of memory held contents that were rewritten within 8.03 s of being written."
    )
    assert "within a minute of" in text.volatile(0.5, 60)
