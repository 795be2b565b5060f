"""pksm checksum: list, sum and profile, in every form, and mistakes in one line. No speeds here."""

import csv
import json
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest

from pksm.engine.checksums import plugins
from pksm.engine.checksums import strategies as checksums

from support.cli_runs import ROOT, command, environment, is_one_line, run

FEW = ("--pages", "300", "--strategies", "xxh3-64,sampled")


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(plugins, "_registered", {})


@pytest.fixture
def dump(tmp_path):
    path = tmp_path / "ram.img"
    rows = np.random.default_rng(0).integers(0, 256, (70, 4096), np.uint8)
    rows[:20] = 0
    rows[30:40] = rows[40:50]
    rows.tofile(path)
    return path


def test_list(capfd):
    done = run(capfd, "checksum", "list")
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == checksums.names()
    document = json.loads(run(capfd, "checksum", "list", "--json").out)
    assert document["schema"] == "pksm.checksum.list/1"
    assert document["strategies"] == [checksums.describe(name, 4096) for name in checksums.names()]
    rows = list(csv.DictReader(run(capfd, "checksum", "list", "--csv", "--page-size", "64K").out.splitlines()))
    assert rows[0]["name"] == "xxh3-64" and rows[0]["bytes"] == "65536"


def test_sum_prints_what_others_compute(capfd, dump):
    data = dump.read_bytes()
    expected = [f"{zlib.crc32(data[at : at + 4096]):08x}" for at in range(0, len(data), 4096)]
    done = run(capfd, "checksum", "sum", "crc32", dump)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [f"{page} {text}" for page, text in enumerate(expected)]
    assert json.loads(run(capfd, "checksum", "sum", "crc32", dump, "--json").out)["sums"] == expected
    rows = list(csv.DictReader(run(capfd, "checksum", "sum", "crc32", dump, "--csv").out.splitlines()))
    assert [row["sum"] for row in rows] == expected and rows[69]["page"] == "69"
    many = run(capfd, "checksum", "sum", "crc32", dump, "--page-size", "512").out.splitlines()
    assert many[-1] == f"559 {zlib.crc32(data[-512:]):08x}"


def test_sum_of_holes_and_of_a_tail(capfd, tmp_path):
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.truncate(3 * 4096 + 10)
    done = run(capfd, "checksum", "sum", "adler32", path)
    assert done.out == "".join(f"{page} {zlib.adler32(bytes(4096)):08x}\n" for page in range(3))
    assert is_one_line(done.err, "10 bytes over")


def test_a_profile_in_every_form(capfd, dump):
    done = run(capfd, "checksum", "profile", "a", dump, *FEW)
    assert (done.code, done.err) == (0, "")
    said = " ".join(done.out.split())
    assert "workload a: 300 pages of 4 KiB" in said
    assert f"{dump}: 70 pages of 4 KiB, 280.0 KiB: 41 contents, 20 zero pages, merging saves 30" in said
    assert said.count("Recommended: xxh3-64") == 2  # the sample misses changes of one word
    document = json.loads(run(capfd, "checksum", "profile", dump, *FEW, "--json").out)
    assert document["schema"] == "pksm.checksum/1"
    assert [(row["name"], row["merges"]) for row in document["strategies"]] == [("xxh3-64", 30), ("sampled", 30)]
    rows = list(csv.DictReader(run(capfd, "checksum", "profile", "e", "d", *FEW, "--csv").out.splitlines()))
    assert [row["subject"] for row in rows] == ["workload e"] * 2 + ["workload d"] * 2


def test_without_a_name_two_workloads(capfd):
    document = json.loads(run(capfd, "checksum", "profile", *FEW, "--json").out)
    assert [subject["name"] for subject in document["subjects"]] == ["workload f", "workload e"]


def test_a_file_goes_before_a_workload_of_its_name(capfd, dump, monkeypatch):
    monkeypatch.chdir(dump.parent)
    dump.rename("f")
    document = json.loads(run(capfd, "checksum", "profile", "f", *FEW, "--json").out)
    assert document["subjects"][0]["pages"] == 70


def test_a_plot(capfd, dump, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "picture.png"
    done = run(capfd, "checksum", "profile", dump, *FEW, "--plot", picture)
    assert (done.code, done.err) == (0, "")
    assert picture.read_bytes().startswith(b"\x89PNG")
    drawing = tmp_path / "picture.svg"
    assert run(capfd, "checksum", "profile", dump, *FEW, "--plot", drawing).code == 0
    assert "<svg" in drawing.read_text()


def test_a_plot_replaces_pictures_only(capfd, dump, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "precious.png").write_bytes(b"no picture")
    (tmp_path / "link.png").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe.png")
    for name, words in [
        ("precious.png", ["there already"]),
        ("link.png", ["symbolic link"]),
        ("pipe.png", ["regular"]),
    ]:
        done = run(capfd, "checksum", "profile", dump, *FEW, "--plot", name)
        assert (done.code, done.out) == (2, "") and is_one_line(done.err, name, *words)
    assert (tmp_path / "precious.png").read_bytes() == b"no picture" and not os.path.lexists(tmp_path / "elsewhere")
    (tmp_path / "old.svg").write_bytes(b"<?xml")
    assert run(capfd, "checksum", "profile", dump, *FEW, "--plot", "old.svg").code == 0
    assert b"</svg>" in (tmp_path / "old.svg").read_bytes()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".pksm")]


@pytest.mark.parametrize("name", ["$\\frac{$", "a$b$c", "$" * 200, "x\x1b[2J\n\u202e\udcff"], ids=ascii)
def test_odd_names_in_a_plot_are_no_formulas(capfd, dump, tmp_path, name):
    pytest.importorskip("matplotlib")
    odd = tmp_path / name
    os.rename(dump, odd)
    done = run(capfd, "checksum", "profile", odd, *FEW, "--plot", tmp_path / "a.svg")
    assert done.code == 0, done.err
    assert "\x1b" not in done.out + done.err


def test_without_matplotlib_one_line_says_so_before_anything_is_measured(capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = run(capfd, "checksum", "profile", "f", "--plot", "a.png")
    assert done.code == 77 and done.out == "" and is_one_line(done.err, "matplotlib", "pip install")


def test_a_plug_in_that_fails_makes_the_result_partial(capfd):
    checksums.register("fails", lambda pages: None)
    done = run(capfd, "checksum", "profile", "a", "--pages", "64", "--strategies", "xxh64,fails")
    assert done.code == 3 and is_one_line(done.err, "fails is left out")


def test_memory_that_is_missing_leaves_the_workloads(capfd):
    done = run(capfd, "checksum", "profile", "a", "/no/such/file", "--pages", "64", "--strategies", "xxh64")
    assert done.code == 3 and is_one_line(done.err, "/no/such/file: no such file")
    assert "workload a: 64 pages" in done.out


def test_a_broken_plug_in_of_a_package_is_one_line_and_stops_nothing(tmp_path):
    info = tmp_path / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[pksm.checksums]\nmine = no_such_module:function\n")
    done = subprocess.run(
        command("checksum", "list"), env=environment(PYTHONPATH=f"{ROOT}:{tmp_path}"), capture_output=True, text=True
    )
    assert done.returncode == 0 and "xxh3-64" in done.stdout and "mine" not in done.stdout
    assert is_one_line(done.stderr, "the plug-in mine", "no_such_module")


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        ((), 2, ["profile, list, sum", "pksm checksum --help"]),
        (("frobnicate",), 2, ["frobnicate", "profile, list, sum"]),
        (("list", "x"), 2, ["unrecognized arguments: x", "pksm checksum list"]),
        (("list", "--plot", "a.png"), 2, ["unrecognized arguments: --plot", "pksm checksum list"]),
        (("sum", "crc32"), 2, ["required: FILE"]),
        (("sum", "md5", "/dev/null"), 2, ["unknown checksum 'md5'"]),
        (("sum", "crc32", "/no/such/file"), 1, ["/no/such/file"]),
        (("sum", "crc32", "/dev/null"), 2, ["/dev/null"]),
        (("sum", "crc32", "x", "--page-size", "1000"), 2, ["1000"]),
        (("list", "--page-size", "3"), 2, ["page size 3", "512"]),
        (("profile", "f", "--page-size", "0"), 2, ["page size 0", "512"]),
        (("sum", "sampled", "x", "--seed", "-1"), 2, ["seed -1", "from 0"]),
        (("profile", "x", "--seed", "-1"), 2, ["seed -1", "from 0"]),
        (("sum", "sampled:words=" + "7" * 5000, "x"), 2, ["sampled", "words", "5000 digits"]),
        (("sum", "sampled:seed=" + "7" * 5000, "x"), 2, ["sampled", "seed", "5000 digits"]),
        (("sum", "sampled:words=000", "x"), 2, ["words is a whole number"]),
        (("profile", "f", "--strategies", "md5"), 2, ["unknown checksum 'md5'"]),
        (("profile", "f", "--strategies", "sampled:words=x"), 2, ["words is a whole number"]),
        (("profile", "f", "--pages", "0"), 2, ["0 pages"]),
        (("profile", "f", "--changes", "2"), 2, ["changes 2.0"]),
        (("profile", "f", "--changes", "nan"), 2, ["changes nan"]),
        (("profile", "f", "--seed", "-1"), 2, ["seed"]),
        (("profile", "/no/such/file"), 1, ["/no/such/file"]),
        (("profile", "f", "--plot", "picture.doc"), 2, ["picture.doc", ".png"]),
        (("profile", "f", "--pages", "8", "--strategies", "xxh64", "--plot", "/no/such/a.png"), 1, ["/no/such/a.png"]),
    ],
)
def test_mistakes_are_one_line(capfd, arguments, code, words):
    done = run(capfd, "checksum", *arguments)
    assert (done.code, done.out) == (code, "")
    assert is_one_line(done.err, *words)
