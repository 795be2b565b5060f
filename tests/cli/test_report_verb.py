"""pksm report: documents that were stored become tables and pages; anything else is one line."""

import json

import pytest

from support.cli_runs import run
from support.memory_sources import write_file

pytest.importorskip("jinja2")
SIZE = 4096


@pytest.fixture
def stored(capfd, tmp_path):
    ram = write_file(tmp_path / "ram", [bytes(SIZE), *[b"a" * SIZE] * 3, b"b" * SIZE], SIZE)
    done = run(capfd, "scan", ram, "--json", "--html", tmp_path / "own.html")
    path = tmp_path / "scan.json"
    path.write_text(done.out)
    return path


def test_a_document_is_shown_as_its_verb_shows_it(capfd, stored, tmp_path):
    shown = run(capfd, "report", stored)
    assert shown.code == 0 and shown.err == "" and "Merging saves" in shown.out
    assert run(capfd, "report", stored, "--csv").out.startswith("name,kind,")
    assert json.loads(run(capfd, "report", stored, "--json").out) == json.loads(stored.read_text())
    assert run(capfd, "report", stored, "--html", tmp_path / "later.html").out == ""
    assert (tmp_path / "later.html").read_text() == (tmp_path / "own.html").read_text(), "the same as the scan's own"


def test_verbs_write_pages(capfd, tmp_path):
    for words in (["simulate", "b", "--pages", "300"], ["truth", "W2"],
                  ["bench", "--load", "b", "--pages", "500", "--repeats", "1"],
                  ["checksum", "profile", "b", "--pages", "300", "--strategies", "xxh3-64,crc32c"]):  # fmt: skip
        path = tmp_path / f"{words[0]}.html"
        done = run(capfd, *words, "--html", path)
        assert done.code == 0 and done.out, done.err
        assert path.read_text().startswith("<!doctype html>")


def test_several_documents_are_one_page(capfd, stored, tmp_path):
    done = run(capfd, "report", stored, stored, "--html", tmp_path / "two.html")
    assert done.code == 0 and (tmp_path / "two.html").read_text().count("<article") == 2
    refused = run(capfd, "report", stored, stored)
    assert refused.code == 2 and "--html" in refused.err and refused.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "says"),  # a worker can load no other encodings
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'\0"\0x\0"', "not JSON"),
        (b"[]", "not a document of pksm"),
        (b'{"schema": "pksm.other/1"}', "does not know the schema"),
        (b'{"schema": ["pksm.scan/1"]}', "not a document of pksm"),
        (b'{"schema": "pksm.scan/1"}', "has no"),
        (b'{"schema": "pksm.scan/1", "page_size": 0}', "power of two"),
        (b'{"schema": "pksm.scan/1", "page_size": NaN}', "NaN"),
        (b'{"schema": "pksm.scan/1", "page_size": ' + b"9" * 5000 + b"}", "too large"),
        (b"[" * 100_000, "not"),
        (b'{"schema": "pksm.checksum.sum/1", "strategy": "\x1b[2J", "page_size": "x", "sums": []}', "not"),
    ],
)
def test_what_is_no_document_is_one_line(capfd, tmp_path, text, says):
    path = tmp_path / "bad.json"
    path.write_bytes(text)
    done = run(capfd, "report", path, "--html", tmp_path / "out.html")
    assert done.code in (1, 2) and done.out == "" and says in done.err and done.err.count("\n") == 1
    assert "\x1b" not in done.err and len(done.err) < 1000
    assert not (tmp_path / "out.html").exists()


def test_documents_that_contradict_themselves_are_one_line(capfd, stored, tmp_path):
    document = json.loads(stored.read_text())
    for change in ({"matrix": [[1], []]}, {"totals": document["totals"] | {"pages": -1}},
                   {"cost": document["cost"] | {"steps": {}}}):  # fmt: skip
        path = tmp_path / "odd.json"
        path.write_text(json.dumps(document | change))
        for form in ([], ["--csv"], ["--html", tmp_path / "odd.html"]):
            done = run(capfd, "report", path, *form)
            assert done.code in (0, 1) and "Traceback" not in done.err and done.err.count("\n") == (done.code == 1)


def test_refusals(capfd, stored, tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    for words, code in (
        (["report"], 2),
        (["report", tmp_path / "missing.json"], 1),
        (["report", stored, "--html", precious], 2),
        (["report", stored, "--html", tmp_path], 2),
        (["report", stored, "--html", tmp_path / "x.html", "--json"], 2),
        (["scan", tmp_path / "ram", "--html", precious], 2),
    ):
        done = run(capfd, *words)
        assert done.code == code and done.err.count("\n") == 1 and done.out == "", words
    assert precious.read_text() == "mine"
