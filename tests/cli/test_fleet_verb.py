"""pksm fleet: from files of fingerprints to table, document, page and picture; what is wrong is one line."""

import csv
import io
import json
import struct
import types

import pytest

from pksm.scan import fingerprints as making
from pksm.scan.fingerprints import fingerprint

from support.cli_runs import is_one_line, run
from support.documents import faults
from support.memory_sources import GivenSource, data

SIZE = 4096


def page(letter):
    return letter.encode() * SIZE if letter != "0" else bytes(SIZE)


def write(path, size=SIZE, keep=1.0, key=None, time=1_700_000_000, **vms):
    """Fingerprints of VMs of these names; a letter is a page, 0 a zero one."""
    sources = []
    for name, text in vms.items():
        pages = data(*((one.encode() * size if one != "0" else bytes(size)) for one in text))
        sources.append(GivenSource(name, pages, list(range(len(pages))), [1] * len(pages), ["ram"] * len(pages)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "time", types.SimpleNamespace(time=lambda: time))
        fingerprint(sources, path, size, keep, key)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "fleet"
    made.mkdir()
    write(made / "h1.fp", **{"red-1": "aab00", "blue-1": "abcd"})
    write(made / "h2.fp", **{"red-2": "abe0"})
    write(made / "h3.fp", **{"red-3": "xyz"})
    (made / "notes.txt").write_text("not fingerprints")
    return made


def document(capfd, *arguments, code=0):
    done = run(capfd, "fleet", *arguments, "--workers", "1", "--json")
    assert done.code == code, done.err
    found = json.loads(done.out)
    assert faults(found) == []
    return found, done.err


def test_the_document(folder, capfd):
    found, err = document(capfd, folder, "--by", "tenant=/([a-z]+)-")
    assert err == "" and (found["pages"], found["zero_pages"], found["vms"]) == (16, 3, 4)
    assert [(one["name"], one["vms"], one["pages"]) for one in found["hosts"]] == [
        ("h1", 2, 9),
        ("h2", 1, 4),
        ("h3", 1, 3),
    ]
    assert found["tenants"] == ["red", "blue"] and found["contents"]["value"] == 8
    saved = {one["within"]: one["saving_pages"]["value"] for one in found["partitions"]}
    # data pages: aab abcd abe xyz: 13 in all
    assert saved == {"vm": 3 + 1, "tenant": 3 + 13 - (6 + 4), "host": 3 + 13 - (4 + 3 + 3), "all": 3 + 13 - 8}
    assert [point["hosts"] for point in found["growth"]] == [1, 2, 3]
    assert found["growth"][-1]["saving_pages"]["value"] == saved["all"]
    assert found["overlap"]["pages"][0][0] == 0 and found["overlap"]["within"] == "vm", (
        "a and b are base: three have them"
    )
    assert found["base"]["pages"]["value"] == 2 and found["base"]["saving_pages"]["value"] == 4
    assert (found["heavy"][0]["pages"], found["heavy"][0]["units"]) == (4, 3)


def test_placement_table_csv_page_and_picture(folder, tmp_path, capfd):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    hosts = tmp_path / "hosts.csv"
    hosts.write_text("host,bytes\nh1,32K\nh2,32K\nh3,32K\n")
    found, _ = document(capfd, folder, "--place", hosts)
    plans = {one["name"]: one for one in found["placement"]["plans"]}
    assert plans["as-is"]["moves"] == 0 and plans["local-search"]["saving_pages"]["value"] == 3 + 13 - 8
    assert plans["local-search"]["moved_bytes"] > 0 and set(found["placement"]["host_of"].values()) <= {
        "h1",
        "h2",
        "h3",
    }
    done = run(capfd, "fleet", folder, "--place", hosts, "--html", tmp_path / "a.html", "--plot", tmp_path / "a.svg")
    assert "local-search" in done.out and "across all" in done.out and "supermodular" in done.out
    assert "Who has what in common" in (tmp_path / "a.html").read_text() and (tmp_path / "a.svg").exists()
    rows = list(csv.DictReader(io.StringIO(run(capfd, "fleet", folder, "--csv").out)))
    assert [row["of"] for row in rows if row["figure"] == "partition"] == ["vm", "host", "all"]


def test_a_sample_counts_some_contents(folder, capfd):
    found, _ = document(capfd, folder, "--keep", "1/2")
    assert found["keep"] == 0.5 and found["pages"] == 16, "totals are exact"
    every = found["partitions"][-1]["saving_pages"]
    assert every["low"] <= 3 + 13 - 8 <= every["high"]


def test_kept_work_is_not_done_again(folder, tmp_path, capfd):
    work = tmp_path / "work"
    first, _ = document(capfd, folder, "--work", work)
    before = {path.name: path.stat().st_mtime_ns for path in work.iterdir()}
    again, _ = document(capfd, folder, "--work", work)
    assert first == again and len(before) == 6
    assert before == {path.name: path.stat().st_mtime_ns for path in work.iterdir()}


def test_what_is_wrong_with_a_file_leaves_the_others(folder, capfd):
    whole = (folder / "h3.fp").read_bytes()
    (folder / "cut.fp").write_bytes(whole[:-5])
    (folder / "old.fp").write_bytes(whole[:8] + struct.pack("<I", 1) + whole[12:])
    (folder / "again.fp").write_bytes(whole)
    write(folder / "small.fp", 512, vm="abc")
    found, err = document(capfd, folder, code=3)
    assert found["partial"] and found["vms"] == 4 and len(found["warnings"]) == 4
    for words in ("cut.fp: its", "version 1", "is of the same memory as", "its pages are of 512 bytes"):
        assert [line for line in err.splitlines() if words in line], (words, err)


def test_a_cluster_finds_the_same(folder, capfd):
    distributed = pytest.importorskip("distributed")
    own, _ = document(capfd, folder)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", worker_dashboard_address=":0"
    ) as made:
        done = run(capfd, "fleet", folder, "--scheduler", made.scheduler_address, "--json")
    assert done.code == 0 and json.loads(done.out) == own, done.err


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        (["nowhere.fp"], "nowhere.fp: No such file", 1),
        (["/dev/null"], "/dev/null", 1),
        (["FOLDER", "--keep", "2"], "is not a share of all contents", 2),
        (["FOLDER", "--keep", "1/0"], "is not a share of all contents", 2),
        (["FOLDER", "--by", "tenant=("], "is not a regular expression", 2),
        (["FOLDER", "--by", "room=x"], "write host=REGEX or tenant=REGEX", 2),
        (["FOLDER", "--place", "/nowhere"], "/nowhere: No such file", 1),
        (["FOLDER", "--work", "/dev/null/x"], "/dev/null/x", 1),
        (["FOLDER", "--workers", "0"], "--workers: must be 1 at least", 2),
        ([], "", 2),
    ],
)
def test_what_is_wrong_is_one_line(folder, arguments, words, code, capfd):
    done = run(capfd, "fleet", *(folder if one == "FOLDER" else one for one in arguments))
    assert done.code == code and is_one_line(done.err) and words in done.err, done.err
    assert done.out == ""


def test_who_belongs_together_is_ranked(folder, capfd):
    write(folder / "h4.fp", **{"green-1": "mnop", "green-2": "mnox"})
    found, _ = document(capfd, folder)
    assert found["together"][0] == {"names": ["h4/green-1", "h4/green-2"], "pages": 3, "share": 0.75}
    pages = [one["pages"] for one in found["together"]]
    assert pages == sorted(pages, reverse=True) and min(pages) > 0
    assert "h4/green-1" in run(capfd, "fleet", folder).out


def test_a_folder_of_samples_is_as_a_sample_of_all(tmp_path, capfd):
    letters = "".join(map(chr, range(65, 123)))
    whole, samples = tmp_path / "whole", tmp_path / "samples"
    for folder, keep in ((whole, 1.0), (samples, 0.5)):
        folder.mkdir()
        write(folder / "h1.fp", keep=keep, one=letters + "aaa0", two="abc")
        write(folder / "h2.fp", keep=keep, three=letters[10:] + "a00")
    one, _ = document(capfd, whole, "--keep", "1/2")
    two, _ = document(capfd, samples)
    for found in (one, two):
        for host in found["hosts"]:
            host.pop("files")
    assert one == two and one["keep"] == 0.5
    true, _ = document(capfd, whole)
    assert true["heavy"][0]["pages"] == one["heavy"][0]["pages"] == 7, "heavy contents are in no sample by chance"


def test_what_does_not_fit_together_is_one_line_each(folder, capfd):
    write(folder / "keyed.fp", key=b"k" * 16, vm="abc")
    write(folder / "small.fp", keep=0.25, vm="abcdefgh")
    write(folder / "late.fp", time=1_700_009_000, vm="qrs")
    found, err = document(capfd, folder, code=3)
    assert found["keep"] == 0.25 and found["vms"] == 6 and found["partial"] and len(found["warnings"]) == 3
    for words in ("keyed.fp: its sums are made with a key, and others without", "small.fp: its sample of 1/4 is the smallest",
                  "late.fp were made 2.5 hours apart"):  # fmt: skip
        assert [line for line in err.splitlines() if words in line], (words, err)
