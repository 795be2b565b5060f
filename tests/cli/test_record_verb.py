"""pksm record: what it prints, what it refuses, and what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from pksm.cli.verbs.record import progress_line
from pksm.errors import PksmError
from pksm.recording import Kind, Recording
from pksm.recording.recorder import Tally

from support.cli_runs import is_one_line, run
from support.documents import faults
from support.memory_sources import write_file
from support.recordings import block, recorded
from support.writers.lime import lime

SIZE = 4096


@pytest.fixture
def ram(tmp_path):
    return write_file(tmp_path / "ram", [bytes(SIZE), *[b"a" * SIZE] * 3, b"b" * SIZE], SIZE)


def test_an_image_is_recorded_and_looked_at(capfd, tmp_path, ram):
    path = tmp_path / "a.pksmrec"
    done = run(capfd, "record", "--every", "10ms", "--duration", "30ms", "-o", path, "--json", ram)
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert faults(document) == []
    assert document["events"]["birth"] == 5 and document["most_pages"] == 5
    assert [(space["pages"], space["zero_pages"]) for space in document["spaces"]] == [(5, 1)]
    assert path.stat().st_mode & 0o777 == 0o600
    again = run(capfd, "record", "--info", path)
    assert again.code == 0 and "pages born" in again.out
    assert "Writes were found by checksums of all pages, every 0.01 s." in " ".join(again.out.split())
    assert "Not seen:\n  a page that was changed" in again.out
    rows = run(capfd, "record", "--info", path, "--csv").out.splitlines()
    assert rows[0] == "space,pid,name,pages,zero_pages" and len(rows) == 2


def test_progress_fits_a_terminal():
    day = 86_400
    tally = Tally(day, int(123_400 * day), int(494_700 * day), int(1023.9 * 2**20), day, 0.0, 0.0)
    tally.cpu_s = 1.0 * day
    assert len(progress_line(tally)) < 80
    assert progress_line(tally).startswith("recording 86,400 s: 494.7 k pages/s, 123.4 k events/s, ")


@pytest.mark.parametrize("track", ["hashes", "writes"])
def test_a_dry_run_touches_nothing(capfd, tmp_path, ram, track):
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            words = ["record", "--dry-run", "--track", track, "--pid", str(child.pid), str(ram)]
            done = run(capfd, *words, "--json")
            before = os.readlink(f"/proc/{child.pid}/exe"), sorted(os.listdir(f"/proc/{child.pid}/fd"))
            shown = run(capfd, *words)
            after = os.readlink(f"/proc/{child.pid}/exe"), sorted(os.listdir(f"/proc/{child.pid}/fd"))
        finally:
            child.kill()
    document = json.loads(done.out)
    assert done.code == shown.code == 0 and faults(document) == [] and before == after
    [row] = document["processes"]
    assert row["pid"] == child.pid and row["resident_bytes"] > 0 and document["images"] == 1
    assert (row["areas"] > 3 and len(row["calls"]) == 2) == (track == "writes")
    assert ("userfaultfd" in shown.out) == (track == "writes") and "Nothing was done" in shown.out
    assert [path.name for path in tmp_path.iterdir()] == ["ram"]


def test_a_dry_run_names_who_would_be_refused(capfd):
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            os.kill(child.pid, signal.SIGSTOP)
            os.waitpid(child.pid, os.WUNTRACED)
            words = ["record", "--dry-run", "--track", "writes", "--pid", str(child.pid), "--json"]
            done = run(capfd, *words)
            gone = run(capfd, "record", "--dry-run", "--pid", str(child.pid), "--pid", str(2**22 - 1), "--json")
        finally:
            child.kill()
    document = json.loads(done.out)
    assert done.code == 3 and "is stopped" in document["processes"][0]["why_not"] and document["warnings"]
    assert gone.code == 3 and json.loads(gone.out)["warnings"] == [f"there is no process {2**22 - 1}"]
    nothing = run(capfd, "record", "--dry-run", "--pid", str(2**22 - 1))
    assert nothing.code == 1 and is_one_line(nothing.err) and "there is no process" in nothing.err


def test_a_plan_without_processes_is_csv_and_refuses_what_recording_does(capfd, tmp_path, ram):
    done = run(capfd, "record", "--dry-run", "--csv", ram)
    assert done.code == 0 and done.out == "pid,name,calls,areas,area_bytes,resident_bytes,why_not,by\n"
    for words in (["--dry-run"], ["-o", tmp_path / "a"]):
        done = run(capfd, "record", "--track", "writes", *words, ram)
        assert done.code == 77 and is_one_line(done.err) and "only the writes of processes" in done.err


def test_a_dry_run_refuses_an_image_as_recording_does(capfd, tmp_path, ram):
    (tmp_path / "packed").write_bytes(b"\x1f\x8b\x08" + bytes(5000))
    for name in ("nowhere", "packed"):
        words = ["record", "--every", "10ms", ram, tmp_path / name]
        planned, done = run(capfd, *words, "--dry-run"), run(capfd, *words, "-o", tmp_path / "a.pksmrec")
        assert (planned.code, planned.out) == (1, "") and planned.err == done.err and is_one_line(done.err, name)


def test_who_was_not_recorded_is_named(capfd, tmp_path, ram):
    nobody, path = str(2**22 - 1), tmp_path / "a.pksmrec"
    for words in (["--duration", "30ms", "--every", "10ms", "--pid", nobody, "-o", path, ram], ["--info", path]):
        done = run(capfd, "record", *words, "--json")
        assert done.code == 3 and json.loads(done.out)["partial"]
        assert done.err.endswith(f"pksm: there is no process {nobody}\n")


def test_an_image_that_is_cut_short_is_named(capfd, tmp_path):
    image, path = tmp_path / "ram.lime", tmp_path / "a.pksmrec"
    image.write_bytes(lime([(SIZE, b"a" * SIZE * 4)])[: -2 * SIZE])
    done = run(capfd, "record", "--every", "10ms", "--duration", "30ms", "-o", path, "--json", image)
    again = run(capfd, "record", "--info", path, "--json")
    assert done.code == again.code == 3
    for one in (done, again):
        assert one.err.count("ram.lime: the file is cut off: 2 pages") == 1, one.err
        assert json.loads(one.out)["partial"] and json.loads(one.out)["events"]["birth"] == 2


def test_spaces_that_have_all_gone_are_csv(capfd):
    with recorded([block(0, 0, [("start", 7, "x")]), block(5, 0, [("exit",)])], end_ms=9) as path:
        done = run(capfd, "record", "--info", path, "--csv")
    assert done.code == 0 and done.out == "space,pid,name,pages,zero_pages\n"


def test_what_a_recorder_left_that_was_killed_early_shows_no_writes(capfd):
    with recorded([block(0, 0, [("start", 7, "x")])]) as path:
        done = run(capfd, "record", "--info", path)
    assert done.code == 0 and "0.00 %" not in done.out and "on average" not in done.out


def test_a_page_of_a_recording(capfd, tmp_path, ram):
    pytest.importorskip("jinja2")
    made, again = tmp_path / "made.html", tmp_path / "again.html"
    words = ["record", "--every", "10ms", "--duration", "30ms", "-o", tmp_path / "a", "--html", made, ram]
    assert run(capfd, *words).code == 0
    done = run(capfd, "record", "--info", tmp_path / "a", "--html", again)
    assert done.code == 0 and "pages born" in done.out
    assert made.read_text() == again.read_text() and "How long equal pages stay equal" in made.read_text()


def test_info_repairs_what_a_killed_recorder_left(capfd, tmp_path, ram):
    path = tmp_path / "a.pksmrec"
    assert run(capfd, "record", "--every", "10ms", "--duration", "30ms", "-o", path, ram).code == 0
    path.write_bytes(path.read_bytes()[:-40])
    document = json.loads(run(capfd, "record", "--info", path, "--json").out)
    assert document["repaired"] and document["events"]["birth"] == 5
    assert not json.loads(run(capfd, "record", "--info", path, "--json").out)["repaired"]


@pytest.mark.parametrize(
    "words, said",
    [
        (["--pid", "1"], "-o FILE"),
        (["-o", "", "--pid", "1"], "name the new file: pksm record -o FILE"),
        (["-o", "FILE"], "nothing to record: name a process or an image, for example: pksm record "),
        (["--info"], "name one recording"),
        (["--info", "FILE", "--all"], "name one recording"),
        (["--info", "RAM"], "not a recording of pksm"),
        (["--info", "/nonexistent"], "cannot read /nonexistent"),
        (["-o", "RAM", "RAM"], "is there already"),
        (["-o", "FILE", "--every", "0", "RAM"], "1 ms at least"),
    ],
)
def test_what_cannot_be_is_one_line(capfd, tmp_path, ram, words, said):
    names = {"FILE": tmp_path / "new", "RAM": ram}
    done = run(capfd, "record", *[names.get(word, word) for word in words])
    assert done.code in (1, 2) and not done.out
    assert said in done.err and len(done.err.splitlines()) == 1


@pytest.mark.parametrize("words", [["--info"], ["--export", "OUT"]], ids="/".join)
def test_what_is_not_a_regular_file_is_not_waited_for(tmp_path, words):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    words = [os.fspath(tmp_path / word) if word == "OUT" else word for word in words]
    command = [sys.executable, "-m", "pksm", "record", *words, os.fspath(fifo)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert is_one_line(done.stderr, "cannot read", os.fspath(fifo), "not a regular file")


def has_second_sample(path):
    try:
        with Recording(path) as recording:
            return recording.last_ms > 0
    except PksmError:
        return False


def test_ctrl_c_leaves_a_whole_file(tmp_path):
    path = tmp_path / "a.pksmrec"
    command = [sys.executable, "-m", "pksm", "record", "--pid", str(os.getpid()), "--every", "20ms", "-o", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as recorder:
        until = time.monotonic() + 120
        while time.monotonic() < until and not has_second_sample(path):
            time.sleep(0.02)
        recorder.send_signal(signal.SIGINT)
        out, err = recorder.communicate()
    assert recorder.returncode == 0, err
    assert b"pages born" in out
    with Recording(path) as recording:
        assert recording.is_whole and recording.end["samples"] >= 1
        assert recording.check().pages > 0


@pytest.mark.parametrize("compression", ["zlib", "zstd"])
@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_a_recording_is_played_like_any_workload(capfd, tmp_path, ram, monkeypatch, sandbox, compression):
    monkeypatch.setenv("PKSM_SANDBOX", sandbox)
    path = tmp_path / "a.pksmrec"
    how = ["--every", "10ms", "--duration", "30ms", "--compression", compression]
    assert run(capfd, "record", *how, "-o", path, ram).code == 0
    done = run(capfd, "simulate", path, "--policy", "ksmd,nobody", "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert faults(document) == []
    assert all("replay" in one["final"] for one in document["runs"])
    assert "saved on average" in run(capfd, "simulate", path, "--policy", "ksmd,nobody").out
    assert "On average over this time" in run(capfd, "simulate", path, "--policy", "ksmd").out


def test_a_damaged_recording_is_not_played(capfd, tmp_path, ram):
    path = tmp_path / "a.pksmrec"
    assert run(capfd, "record", "--every", "10ms", "--duration", "30ms", "-o", path, ram).code == 0
    octets = bytearray(path.read_bytes())
    octets[octets.index(b"segments/") + 40] ^= 0xFF
    path.write_bytes(octets)
    done = run(capfd, "simulate", path)
    assert done.code == 1 and "is damaged" in done.err and len(done.err.splitlines()) == 1


@pytest.mark.parametrize("name", ["a.pksmrec", "named-otherwise"])
def test_what_no_longer_begins_as_a_recording_is_a_damaged_one(capfd, tmp_path, ram, name):
    path = tmp_path / name
    assert run(capfd, "record", "--every", "10ms", "--duration", "30ms", "-o", path, ram).code == 0
    octets = bytearray(path.read_bytes())
    octets[octets.index(b"recording.json")] ^= 0xFF
    path.write_bytes(octets)
    for words in (["simulate", path], ["record", "--info", path]):
        done = run(capfd, *words)
        assert done.code != 0 and f"{path}: is a damaged recording" in done.err and len(done.err.splitlines()) == 1


def test_one_sample_shows_no_rate_of_writes(capfd, tmp_path, ram):
    path = tmp_path / "a.pksmrec"
    done = run(capfd, "record", "--every", "10s", "--duration", "10ms", "-o", path, ram)
    assert done.code == 0 and "one sample shows no writes" in done.err
    assert "(20.0 KiB) at a time. Events" in " ".join(done.out.split()) and "0.00 %" not in done.out


def test_a_recording_is_exported(capfd, tmp_path, ram):
    pytest.importorskip("pyarrow")
    path, table = tmp_path / "a.pksmrec", tmp_path / "a.parquet"
    assert run(capfd, "record", "--every", "10ms", "--duration", "30ms", "-o", path, ram).code == 0
    done = run(capfd, "record", "--export", table, path)
    assert done.code == 0 and is_one_line(done.err) and table.read_bytes().startswith(b"PAR1")
    for words in ([], [path, path], [path, "--info"], [ram]):
        done = run(capfd, "record", "--export", tmp_path / "b.parquet", *words)
        assert done.code == 2 and is_one_line(done.err) and not (tmp_path / "b.parquet").exists()


def test_without_pyarrow_it_is_one_line(capfd, tmp_path, ram, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = run(capfd, "record", "--export", tmp_path / "b.parquet", ram)
    assert done.code == 77 and is_one_line(done.err) and "pksm[arrow]" in done.err


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_hours_of_a_recording_are_looked_at_played_and_advised_on(capfd, tmp_path, monkeypatch, sandbox):
    monkeypatch.setenv("PKSM_SANDBOX", sandbox)
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    began = time.mktime((2026, 11, 27, 8, 0, 0, 0, 0, -1))
    begin = [("start", 1, "a"), ("map", 0, 4, "heap", False)]
    writes = [block(60_000 * minute, 0, (), [(0, Kind.WRITE, 100 + minute)]) for minute in range(1, 9)]
    steps = [block(0, 0, begin, [(page, Kind.BIRTH, 7) for page in range(4)]), *writes]
    with recorded(steps, 9 * 60_000, began=began) as path:
        words = ["--between", "8:01:30-8:03:30", path]
        done = run(capfd, "record", "--info", *words)
        assert done.code == 0 and f"{path}, 8:01:30-8:03:30: 120.0 s" in " ".join(done.out.split())
        document = json.loads(run(capfd, "record", "--info", *words, "--json").out)
        assert faults(document) == [] and document["events"]["write"] == 2 and document["from_s"] == 90
        done = run(capfd, "simulate", *words, "--policy", "ksmd", "--set", "sleep_millisecs=1000", "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["runs"][0]["final"]["ms"] == 120_000
        done = run(capfd, "sweep", *words, "--vary", "sleep_millisecs=1000", "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["until_ms"] == 120_000
        done = run(capfd, "advise", *words)
        assert done.code == 0 and "Not worth it" in done.out and "over the 2 minutes" in " ".join(done.out.split()), (
            done.err
        )
        for verb in (["record", "--info"], ["simulate"], ["sweep"], ["compare"], ["advise"]):
            done = run(capfd, *verb, "--between", "20:00-21:00", path)
            assert done.code == 2 and is_one_line(done.err) and "--between: 20:00-21:00: nothing was" in done.err
        done = run(capfd, "simulate", "--between", "nine", path)
        assert done.code == 2 and is_one_line(done.err) and "is not a part" in done.err
    monkeypatch.undo()
    time.tzset()


def test_what_is_no_recording_has_no_hours(capfd, tmp_path, ram):
    for words in (["simulate", "b"], ["simulate", ram], ["advise", ram], ["record", "-o", tmp_path / "new", ram]):
        done = run(capfd, *words, "--between", "9:00-17:00")
        assert done.code == 2 and is_one_line(done.err) and "--between: is for a recording" in done.err
    assert not (tmp_path / "new").exists()
