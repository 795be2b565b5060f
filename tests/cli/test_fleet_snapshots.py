"""pksm fleet --snapshots: from images to table, document, CSV, page and picture; what is wrong is one line."""

import csv
import io
import json
import os
from contextlib import nullcontext

import pytest

from support.cli_runs import is_one_line, run
from support.documents import faults
from support.memory_sources import write_file
from support.writers.lime import lime

SIZE = 4096
BASE = "abcdefgh" * 8


def pages(text):
    """A letter is a page, 0 a zero one, . a hole."""
    return [None if one == "." else bytes(SIZE) if one == "0" else one.encode() * SIZE for one in text]


def image(path, text):
    return write_file(path, pages(text), SIZE)


@pytest.fixture
def images(tmp_path):
    later = "0." + BASE[2:]
    return [
        image(tmp_path / name, text)
        for name, text in (("base.mem", BASE), ("one.mem", later), ("two.mem", later[:32] + "xx" + later[34:]))
    ]


def document(capfd, *arguments, code=0):
    done = run(capfd, "fleet", "--snapshots", *arguments, "--json")
    assert done.code == code, done.err
    found = json.loads(done.out)
    assert faults(found) == []
    return found, done.err


def test_the_document(images, capfd):
    found, err = document(capfd, *images)
    assert err == "" and (found["pages"], found["separate_pages"], found["page_size"]) == (64, 192, SIZE)
    assert [(one["path"], one["zero_pages"], one["same_offset_pages"], one["any_offset_pages"], one["run_64k_pages"])
            for one in found["snapshots"]] == [
        (images[0], 0, 64, 64, 64), (images[1], 2, 62, 62, 62), (images[2], 2, 60, 60, 30 + 30)]  # fmt: skip
    bases = {one["name"]: (one["path"], one["memory_pages"]) for one in found["bases"]}
    assert bases == {"first": (images[0], 64 + 2 + 4), "best": (images[1], 64 + 2 + 2), "built": ("", 64 + 2 + 2)}


def test_table_csv_page_and_picture(images, tmp_path, capfd):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    done = run(
        capfd, "fleet", "--snapshots", *images, "--html", tmp_path / "a.html", "--plot", tmp_path / "a.svg", "--csv"
    )
    assert done.code == 0, done.err
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["same_offset_pages"] for row in rows if row["figure"] == "snapshot"] == ["64", "62", "60"]
    assert [(row["of"], row["memory_pages"]) for row in rows if row["figure"] == "base"] == [
        ("first", "70"),
        ("best", "68"),
        ("built", "68"),
    ]
    page = (tmp_path / "a.html").read_text()
    assert "Which base to map" in page and "How what they share decays" in page and (tmp_path / "a.svg").exists()
    done = run(capfd, "fleet", "--snapshots", *images)
    assert "3 snapshots of 256.0 KiB." in done.out and "768.0 KiB if each maps its own image" in " ".join(
        done.out.split()
    )
    assert "96.9 %" in done.out
    assert f"272.0KiBifallmap{images[1]}" in "".join(done.out.split())  # a long path is broken at its hyphens


def test_many_snapshots_are_some_lines(tmp_path, capfd):
    images = [image(tmp_path / f"{number:02}.mem", "ab") for number in range(30)]
    lines = run(capfd, "fleet", "--snapshots", *images).out.splitlines()
    shown = [line for line in lines if ".mem" in line and "100 %" in line and ":" not in line]
    assert len(shown) == 20 and "00.mem" in shown[0] and "29.mem" in shown[-1]
    assert "and 10 more between them (CSV has all)" in lines


def test_formats_of_images_are_compared_by_addresses(tmp_path, capfd):
    octets = b"".join(pages(BASE))
    (tmp_path / "a.lime").write_bytes(lime([(0, octets)]))
    raw = image(tmp_path / "b.mem", "x" + BASE[1:])
    found, _ = document(capfd, tmp_path / "a.lime", raw)
    assert [one["same_offset_pages"] for one in found["snapshots"]] == [64, 63]


def test_what_is_wrong_with_an_image_leaves_the_others(images, tmp_path, capfd):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "cut").write_bytes(b"x" * SIZE * 5 + b"y")
    (tmp_path / "tiny").write_bytes(b"x" * 100)
    assert run(capfd, "fingerprint", "-o", tmp_path / "a.fp", images[0]).code == 0
    named = [
        images[0],
        tmp_path / "cut",
        tmp_path / "empty",
        tmp_path / "nowhere",
        tmp_path / "tiny",
        tmp_path / "a.fp",
    ]
    found, err = document(capfd, *named, *images[1:], code=3)
    assert found["partial"] and [one["path"] for one in found["snapshots"]] == images
    for words in ("cut: covers 5 pages, others 64: left out", "cut: 1 bytes over after", "empty", "nowhere: no such file",
                  "tiny: 100 bytes are less than one page", "a.fp: holds fingerprints, in which no page has"):  # fmt: skip
        assert [line for line in err.splitlines() if words in line], (words, err)
    whole, _ = document(capfd, *images)
    assert found["bases"] == whole["bases"]


def test_pages_of_another_size(images, capfd):
    found, _ = document(capfd, *images, "--page-size", "64K")
    assert (found["pages"], found["page_size"]) == (4, 65536)
    assert [one["same_offset_pages"] for one in found["snapshots"]] == [4, 3, 2]


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        (["nowhere"], "nowhere: no such file", 1),
        (["EMPTY"], "empty", 1),
        (["FOLDER"], "is a directory", 2),
        (["PIPE"], "is a pipe, socket or device", 2),
        (["IMAGE", "IMAGE"], "named twice", 2),
        (["IMAGE", "--page-size", "100"], "--page-size: page size 100", 2),
        (["IMAGE", "--keep", "1/2"], "--keep: does not go with --snapshots", 2),
        (["IMAGE", "--by", "host=x"], "--by: does not go with --snapshots", 2),
        (["IMAGE", "--place", "x"], "--place: does not go with --snapshots", 2),
        (["IMAGE", "--work", "x"], "--work: does not go with --snapshots", 2),
        (["IMAGE", "--workers", "1"], "--workers: does not go with --snapshots", 2),
        (["IMAGE", "--scheduler", "x"], "--scheduler: does not go with --snapshots", 2),
    ],
)
def test_what_is_wrong_is_one_line(images, tmp_path, arguments, words, code, capfd):
    (tmp_path / "empty").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    places = {"IMAGE": images[0], "EMPTY": tmp_path / "empty", "FOLDER": tmp_path, "PIPE": tmp_path / "pipe"}
    done = run(capfd, "fleet", "--snapshots", *(places.get(one, one) for one in arguments))
    assert done.code == code and is_one_line(done.err) and words in done.err, done.err
    assert done.out == ""


def test_the_size_of_pages_is_that_of_fingerprints(images, capfd):
    done = run(capfd, "fleet", *images, "--page-size", "4K")
    assert done.code == 2 and is_one_line(done.err, "--page-size: fingerprints have one already")


def test_a_full_disk_is_one_line(images, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("pksm.fleet.restores.tempfile.TemporaryDirectory", lambda prefix: nullcontext("/dev/full"))
    done = run(capfd, "fleet", "--snapshots", *images)
    assert done.code == 1 and is_one_line(done.err, "0.row: cannot be written"), done.err
