"""Files of a fleet are parsed in a worker that can do nothing else; one that goes wrong costs its own file only."""

import json
import os
from dataclasses import replace

import pytest

from pksm.errors import PksmError
from pksm.fleet import Settings, fleet, mapping, sandboxed
from pksm.fleet.reading import write_rows
from pksm.scan.fingerprints import fingerprint

from support.memory_sources import GivenSource, data


@pytest.fixture
def paths(tmp_path):
    made = [tmp_path / f"{name}.fp" for name in ("one", "two", "three")]
    for number, path in enumerate(made):
        pages = data(*(bytes([letter]) * 4096 for letter in range(number, number + 4)))
        fingerprint([GivenSource("vm", pages, list(range(4)), [1] * 4, ["ram"] * 4)], path, 4096)
    return list(map(str, made))


def mapped(paths, tmp_path, in_sandbox=True):
    work = tmp_path / f"work-{in_sandbox}"
    work.mkdir(exist_ok=True)
    found = mapping.map_files(paths, str(work), 1.0, in_sandbox)
    assert not [one for one in work.iterdir() if one.suffix not in (".json", ".rows")], "nothing half written stays"
    return found


def two_goes_wrong(monkeypatch, how):
    """Let the parser of the second file do something else."""

    def write(file, below, rows):
        return how(file, below, rows) if file.path.endswith("two.fp") else write_rows(file, below, rows)

    monkeypatch.setattr(sandboxed, "write_rows", write)


def only_two(found, words):
    assert [isinstance(one, PksmError) for one in found] == [False, True, False], found
    line = str(found[1])
    assert "two.fp: " in line and words in line and "\n" not in line


def test_a_worker_finds_what_this_process_does(paths, tmp_path):
    for one, two in zip(mapped(paths, tmp_path), mapped(paths, tmp_path, in_sandbox=False), strict=True):
        assert one.digest == two.digest
        with open(one.rows, "rb") as first, open(two.rows, "rb") as second:
            assert first.read() == second.read()
    one, two = fleet(paths), fleet(paths, Settings(in_sandbox=False))
    assert {**one, "peak_bytes": 0} == {**two, "peak_bytes": 0}


def test_a_worker_that_dies_costs_one_file(paths, tmp_path, monkeypatch):
    def die(file, below, rows):
        rows.write(b"half of a row")
        rows.flush()
        os._exit(7)

    two_goes_wrong(monkeypatch, die)
    only_two(mapped(paths, tmp_path), "ended by exit code 7")


@pytest.mark.parametrize(
    "change",
    [
        {"page_size": 4095},
        {"n_rows": 10**9},
        {"n_rows": -1},
        {"pages": [1 << 60]},
        {"zero": []},
        {"names": []},
        {"names": [7]},
        {"time": 1e300},
        {"below": 1 << 64},
        {"heavy": [[1, 2, 3]]},
        {"heavy": [[1, 2, 3, -4]]},
        {"digest": None},
    ],
)
def test_what_a_worker_says_is_held_against_what_can_be(paths, tmp_path, monkeypatch, change):
    two_goes_wrong(monkeypatch, lambda *how: replace(write_rows(*how), **change))
    only_two(mapped(paths, tmp_path), "answered with what can't be")


def test_a_worker_can_open_nothing_and_write_no_more_than_rows(paths, tmp_path, monkeypatch):
    two_goes_wrong(monkeypatch, lambda *how: open("/etc/hostname"))
    only_two(mapped(paths, tmp_path), "Operation not permitted")

    def write_much(file, below, rows):
        rows.write(bytes(file.size + 1))
        rows.flush()

    two_goes_wrong(monkeypatch, write_much)
    only_two(mapped(paths, tmp_path), "File too large")


def test_rows_that_cannot_be_written_cost_one_file(paths, tmp_path, monkeypatch):
    with open("/dev/full", "wb", buffering=0) as nowhere:

        def write(file, below, rows):
            return write_rows(file, below, nowhere if file.path.endswith("two.fp") else rows)

        monkeypatch.setattr(mapping, "write_rows", write)
        only_two(mapped(paths, tmp_path, in_sandbox=False), "its rows can't be written: No space left on device")


def test_rows_of_members_that_are_not_there_are_not_counted(paths, tmp_path):
    work = tmp_path / "work"
    before = fleet(paths, Settings(work=str(work)))
    [about] = [json.loads(one.read_text()) for one in work.glob("*.json") if "two.fp" in one.read_text()]
    with open(about["rows"], "r+b") as rows:
        rows.seek(16)
        rows.write((1).to_bytes(4, "little"))  # the member of the first row: there is one member, 0
    with pytest.raises(Exception, match="its rows can't be right") as error:
        fleet(paths, Settings(work=str(work)))
    assert about["rows"] in str(error.value)
    os.unlink(about["rows"])
    assert {**fleet(paths, Settings(work=str(work))), "peak_bytes": 0} == {**before, "peak_bytes": 0}
