"""pksm fingerprint: a file, what is printed about it, and what is refused in one line."""

import csv
import io
import json
import os
import stat

import pytest

from support.cli_runs import is_one_line, run
from support.documents import faults
from support.memory_sources import write_file

SIZE = 4096
KEY = "00112233445566778899aabbccddeeff"


@pytest.fixture
def ram(tmp_path):
    return write_file(tmp_path / "ram.img", [bytes([one]) * SIZE for one in (0, 1, 1, 2)], SIZE)


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    return path


def test_what_is_printed(tmp_path, ram, capfd):
    prints = tmp_path / "a.fp"
    done = run(capfd, "fingerprint", "-o", prints, ram, "--json")
    found = json.loads(done.out)
    assert (done.code, done.err) == (0, "") and faults(found) == []
    assert found["bytes"] == os.path.getsize(prints) and (found["records"], found["keep"], found["keyed"]) == (
        4,
        1,
        False,
    )
    assert found["sources"] == [{"name": str(ram), "pages": 4, "zero_pages": 1}]
    assert stat.S_IMODE(os.stat(prints).st_mode) == 0o600
    table = run(capfd, "fingerprint", "-o", prints, ram)
    assert "records of all contents" in table.out and "16.0 KiB  4.0 KiB" in table.out
    rows = list(csv.DictReader(io.StringIO(run(capfd, "fingerprint", "-o", prints, ram, "--csv").out)))
    assert [row["pages"] for row in rows] == ["4"]


def test_a_sample_is_for_the_fleet(tmp_path, ram, capfd):
    prints = tmp_path / "a.fp"
    assert json.loads(run(capfd, "fingerprint", "-o", prints, ram, "--keep", "1/2", "--json").out)["keep"] == 0.5
    done = run(capfd, "scan", prints)
    assert done.code == 1 and is_one_line(done.err, str(prints), "pksm fleet counts")
    assert json.loads(run(capfd, "fleet", prints, "--json", "--workers", "1").out)["pages"] == 4


def test_keys(tmp_path, ram, key, capfd):
    one, two = tmp_path / "one.fp", tmp_path / "two.fp"
    assert json.loads(run(capfd, "fingerprint", "-o", one, ram, "--key", key, "--json").out)["keyed"] is True
    assert run(capfd, "fingerprint", "-o", two, ram).code == 0
    done = run(capfd, "scan", one, two)
    assert done.code == 2 and is_one_line(done.err, "different keys")
    assert bytes.fromhex(KEY) not in one.read_bytes() and KEY.encode() not in one.read_bytes()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_may_read_is_refused(tmp_path, ram, key, capfd, mode):
    key.chmod(mode)
    done = run(capfd, "fingerprint", "-o", tmp_path / "a.fp", ram, "--key", key)
    assert done.code == 2 and is_one_line(done.err, str(key), "chmod 600") and not (tmp_path / "a.fp").exists()


@pytest.mark.parametrize("text", ["", "00", f"{KEY}00", "z" * 32, f"{KEY}\n\n"])
def test_what_is_not_a_key(tmp_path, ram, key, capfd, text):
    key.write_text(text)
    done = run(capfd, "fingerprint", "-o", tmp_path / "a.fp", ram, "--key", key)
    assert done.code == 2 and is_one_line(done.err, "holds no key", "openssl rand -hex 16")


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        ([], "name the new file", 2),
        (["-o", "NEW"], "nothing to read", 2),
        (["-o", "RAM", "RAM"], "is a target already", 2),
        (["-o", "OTHER", "RAM"], "does not hold fingerprints", 2),
        (["-o", "NEW", "PRINTS"], "fingerprints already", 2),
        (["-o", "NEW", "RAM", "--keep", "0"], "is not a share of all contents", 2),
        (["-o", "NEW", "RAM", "--page-size", "5"], "--page-size", 2),
        (["-o", "NEW", "/nowhere"], "no such file", 1),
        (["-o", "NEW", "RAM", "--key", "/nowhere"], "/nowhere: No such file", 1),
        (["-o", "NEW", "RAM", "--key", "/"], "is not a regular file", 2),
        (["-o", "/nowhere/a.fp", "RAM"], "cannot be written", 1),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, ram, capfd, arguments, words, code):
    (tmp_path / "other").write_bytes(b"x" * SIZE)
    names = {"RAM": ram, "NEW": tmp_path / "new.fp", "OTHER": tmp_path / "other", "PRINTS": tmp_path / "prints.fp"}
    assert run(capfd, "fingerprint", "-o", names["PRINTS"], ram).code == 0
    done = run(capfd, "fingerprint", *(names.get(word, word) for word in arguments))
    assert done.code == code and is_one_line(done.err, words), done.err
    assert not names["NEW"].exists() and names["OTHER"].read_bytes() == b"x" * SIZE


def test_what_cannot_be_read_makes_it_partial(tmp_path, ram, capfd):
    done = run(capfd, "fingerprint", "-o", tmp_path / "a.fp", ram, "/nowhere", "--json")
    assert done.code == 3 and is_one_line(done.err, "/nowhere") and json.loads(done.out)["partial"]
    assert run(capfd, "scan", tmp_path / "a.fp").code == 3
