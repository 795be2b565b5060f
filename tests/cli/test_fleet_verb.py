"""pksm fleet: from files of fingerprints to table, document, page and picture; what is wrong is one line."""

import csv
import io
import json
import os
import struct
import types

import pytest

from pksm.fleet import files, plans
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
    assert faults(found) == [] and found.pop("peak_bytes") > 0
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
    rows = list(csv.DictReader(io.StringIO(run(capfd, "fleet", folder, "--place", hosts, "--csv").out)))
    assert {row["of"]: row["with"] for row in rows if row["figure"] == "placed"} == found["placement"]["host_of"]


def test_a_host_over_its_memory_today_is_named(folder, tmp_path, capfd):
    """h1 holds a, b, c and d: 16 KiB; that h2 and h3 could hold all is what the others plans show."""
    hosts = tmp_path / "hosts.csv"
    hosts.write_text("host,bytes\nh1,12K\nh2,12K\nh3,20K\n")
    found, err = document(capfd, folder, "--place", hosts)
    over = {one["name"]: one["over_capacity"] for one in found["placement"]["plans"]}
    assert over.pop("as-is") == ["h1"] and set(map(tuple, over.values())) == {()}
    assert is_one_line(err) and "h1 (133 %): VMs take more than the memory" in err
    assert not found["partial"], "all was read"
    hosts.write_text("host,bytes\nh1,12K\nh3,20K\n")
    found, err = document(capfd, folder, "--place", hosts)
    assert is_one_line(err) and "h2: not among the hosts to place on" in err
    assert "as-is" not in [one["name"] for one in found["placement"]["plans"]]


def test_a_sample_counts_some_contents(folder, tmp_path, capfd):
    found, _ = document(capfd, folder, "--keep", "1/2")
    assert found["keep"] == 0.5 and found["pages"] == 16, "totals are exact"
    every = found["partitions"][-1]["saving_pages"]
    assert every["low"] <= 3 + 13 - 8 <= every["high"]
    pytest.importorskip("jinja2")
    for keep, bands in (("1/2", 1), ("1", 0)):
        assert run(capfd, "fleet", folder, "--keep", keep, "--html", tmp_path / "a.html").code == 0
        assert (tmp_path / "a.html").read_text().count('class="band"') == bands


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
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found.pop("peak_bytes") > 0 and found == own


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        (["nowhere.fp"], "nowhere.fp: No such file", 1),
        (["/dev/null"], "/dev/null: is a pipe, socket or device", 2),
        (["NOTES"], "notes.txt: holds no fingerprints: make them with pksm fingerprint", 2),
        (["EMPTY"], "empty: no file in it holds fingerprints", 2),
        (["NOTES", "nowhere.fp"], "notes.txt: holds no fingerprints", 2),
        (["nowhere.fp", "NOTES"], "nowhere.fp: No such file", 1),
        (["FOLDER", "--keep", "2"], "is not a share of all contents", 2),
        (["FOLDER", "--keep", "1/0"], "is not a share of all contents", 2),
        (["FOLDER", "--by", "tenant=("], "is not a regular expression", 2),
        (["FOLDER", "--by", "room=x"], "write host=REGEX, vm=REGEX or tenant=REGEX", 2),
        (["FOLDER", "--place", "/nowhere"], "/nowhere: No such file", 1),
        (["FOLDER", "--work", "/dev/null/x"], "/dev/null/x", 1),
        (["FOLDER", "--workers", "0"], "--workers: must be 1 at least", 2),
        ([], "", 2),
    ],
)
def test_what_is_wrong_is_one_line(folder, arguments, words, code, capfd):
    (folder / "empty").mkdir()
    places = {"FOLDER": folder, "NOTES": folder / "notes.txt", "EMPTY": folder / "empty"}
    done = run(capfd, "fleet", *(places.get(one, one) for one in arguments))
    assert done.code == code and is_one_line(done.err) and words in done.err, done.err
    assert done.out == ""


def test_who_belongs_together_is_ranked(folder, capfd):
    write(folder / "h4.fp", **{"green-1": "mnop", "green-2": "mnox"})
    found, _ = document(capfd, folder)
    assert found["together"][0] == {"names": ["h4/green-1", "h4/green-2"], "pages": 3, "share": 0.75}
    pages = [one["pages"] for one in found["together"]]
    assert pages == sorted(pages, reverse=True) and min(pages) > 0
    assert "h4/green-1" in run(capfd, "fleet", folder).out
    rows = list(csv.DictReader(io.StringIO(run(capfd, "fleet", folder, "--csv").out)))
    pairs = [[row["of"], row["with"], float(row["saving_pages"])] for row in rows if row["figure"] == "pair"]
    assert pairs == [[*one["names"], one["pages"]] for one in found["together"]]


def test_groups_of_more_than_two(folder, tmp_path, capfd):
    """m, n and o are in three VMs: the fourth that has one of them has more in common with another."""
    pytest.importorskip("jinja2")
    write(folder / "h4.fp", **{"green-1": "mnop", "green-2": "mno", "green-3": "mnq", "grey-1": "ors", "grey-2": "rst"})
    found, _ = document(capfd, folder)
    [group] = [one for one in found["groups"] if "h4/green-1" in one["names"]]
    assert group["names"] == ["h4/green-1", "h4/green-2", "h4/green-3"] and group["gain_pages"] == [0, 3, 2]
    assert group["saving_pages"] == {"value": 5, "low": 5, "high": 5} and group["share"] == 0.5
    rows = list(csv.DictReader(io.StringIO(run(capfd, "fleet", folder, "--csv").out)))
    rank = str(1 + found["groups"].index(group))
    [line] = [row for row in rows if row["figure"] == "group" and row["of"] == rank]
    assert (line["groups"], line["saving_pages"], line["share"]) == ("3", "5.0", "0.5")
    members = [(row["of"], row["saving_pages"]) for row in rows if row["figure"] == "member" and row["with"] == rank]
    assert members == [("h4/green-1", "0.0"), ("h4/green-2", "3.0"), ("h4/green-3", "2.0")]
    done = run(capfd, "fleet", folder, "--html", tmp_path / "a.html")
    assert "h4/green-1, h4/green-2, h4/green-3 3 20.0 KiB 50 %" in " ".join(done.out.split())
    assert "Groups, base contents apart" in (tmp_path / "a.html").read_text()


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


def test_a_file_counts_once_however_it_is_spelled(folder, capfd, monkeypatch):
    monkeypatch.chdir(folder)
    found, err = document(capfd, "h1.fp", "./h1.fp", folder / "h1.fp", ".")
    assert err == "" and [one["files"] for one in found["hosts"]] == [["h1.fp"], ["h2.fp"], ["h3.fp"]]


def test_what_does_not_fit_together_is_one_line_each(folder, capfd):
    write(folder / "keyed.fp", key=b"k" * 16, vm="abc")
    write(folder / "small.fp", keep=0.25, vm="abcdefgh")
    write(folder / "late.fp", time=1_700_009_000, vm="qrs")
    found, err = document(capfd, folder, code=3)
    assert found["keep"] == 0.25 and found["vms"] == 6 and found["partial"] and len(found["warnings"]) == 3
    for words in ("keyed.fp: its sums are made with a key, and others without", "small.fp: its sample of 1/4 is the smallest",
                  "late.fp were made 2.5 hours apart"):  # fmt: skip
        assert [line for line in err.splitlines() if words in line], (words, err)


def test_a_directory_that_cannot_be_read_leaves_the_others(folder, tmp_path, capfd, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir()
    listed = files.Path.iterdir

    def refused(path):
        if path == closed:
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(files.Path, "iterdir", refused)
    found, err = document(capfd, closed, folder, code=3)
    assert found["vms"] == 4 and is_one_line(err, f"{closed}: Permission denied")
    done = run(capfd, "fleet", closed)
    assert done.code == 1 and is_one_line(done.err, f"{closed}: Permission denied")


def test_a_pipe_holds_no_fingerprints(folder, tmp_path, capfd):
    os.mkfifo(tmp_path / "pipe")
    done = run(capfd, "fleet", tmp_path / "pipe")
    assert done.code == 2 and is_one_line(done.err, "pipe: is a pipe, socket or device")
    found, err = document(capfd, folder, tmp_path / "pipe", code=3)
    assert found["vms"] == 4 and is_one_line(err, "pipe: is a pipe, socket or device")


def test_several_that_were_read_are_one_vm(folder, tmp_path, capfd):
    """Two processes of web have u and v in common: that is saved within the VM, and the VM moves as one."""
    write(folder / "h4.fp", **{"web.1": "uvw", "web.2": "uvq0", "db.1": "uV"})
    hosts = tmp_path / "hosts.csv"
    hosts.write_text("".join(["host,bytes\n", *(f"h{number},1M\n" for number in range(1, 5))]))
    found, _ = document(capfd, folder, "--by", "vm=^[^.]*", "--by", "tenant=/(web|db)$", "--place", hosts)
    assert found["hosts"][3]["vms"] == 2 and found["vms"] == 6 and found["tenants"] == ["web", "db"]
    saved = {one["within"]: (one["groups"], one["saving_pages"]["value"]) for one in found["partitions"]}
    apart, _ = document(capfd, folder)
    assert saved["vm"] == (6, 2 + next(one["saving_pages"]["value"] for one in apart["partitions"]))
    names = found["overlap"]["names"]
    web, db = names.index("h4/web"), names.index("h4/db")
    assert (found["overlap"]["pages"][web][web], found["overlap"]["pages"][web][db]) == (4, 1)
    assert set(found["placement"]["host_of"]) == set(names)
    [today] = [one for one in found["placement"]["plans"] if one["name"] == "as-is"]
    assert today["saving_pages"]["value"] == saved["host"][1]


def test_too_many_vms_to_place_are_one_line(folder, tmp_path, capfd, monkeypatch):
    hosts = tmp_path / "hosts.csv"
    hosts.write_text("host,bytes\nh1,1M\n")
    monkeypatch.setattr(plans, "MOST_VMS", 3)
    done = run(capfd, "fleet", folder, "--place", hosts)
    assert done.code == 2 and is_one_line(done.err, "4 VMs are too many to place: 3 at most")
