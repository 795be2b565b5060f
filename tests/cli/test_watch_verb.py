"""pksm watch: lines about the kernel's KSM, from files that stand for the kernel's."""

import contextlib
import csv
import io
import json
import mmap
import os
import signal

import numpy as np
import pytest

from pksm.advice.watched import Course, Most, most, watched
from pksm.cli import output
from pksm.linux import system
from pksm.linux.ksm import files, watch
from pksm.linux.proc.kpageflags import FrameFlags
from pksm.report import watch as report
from pksm.report import watch_live

from support.cli_runs import is_one_line, run
from support.documents import faults

KSM = {"run": 1, "pages_shared": 5, "pages_sharing": 70, "ksm_zero_pages": 30, "pages_scanned": 1000, "full_scans": 3}


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Files of a kernel; what is written to them is what KSM says."""
    folder = tmp_path / "ksm"
    folder.mkdir()
    for name, value in KSM.items():
        (folder / name).write_text(f"{value}\n")
    (tmp_path / "vmstat").write_text("nr_free_pages 7\ncow_ksm 40\nswpin_zero 1\n")
    monkeypatch.setattr(files, "DIRECTORY", str(folder))
    monkeypatch.setattr(watch, "VMSTAT", str(tmp_path / "vmstat"))
    monkeypatch.setattr(watch, "processes", lambda: [watch.Merging(7, "a\x1b[2Jb", 60, 4096)])
    return folder


def test_json_lines(kernel, capfd):
    done = run(capfd, "watch", "--interval", "5ms", "--duration", "30ms", "--json")
    documents = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 0 and documents and done.err == ""
    for document in documents:
        assert faults(document) == []
        assert (document["saved_bytes"], document["change_bytes"], document["undone"]) == (100 * 4096, 0, 0)
        assert document["processes"][0]["pid"] == 7


def test_table_and_csv(kernel, capfd):
    done = run(capfd, "watch", "--interval", "5ms", "--duration", "12ms")
    head, *lines = done.out.splitlines()
    assert head == report.HEAD and "400.0 KiB" in lines[0] and "\x1b" not in done.out and "60" in lines[-1]
    rows = list(
        csv.DictReader(io.StringIO(run(capfd, "watch", "--interval", "5ms", "--duration", "12ms", "--csv").out))
    )
    assert rows and all(row["saved_bytes"] == str(100 * 4096) for row in rows)


def test_lines_fit_a_terminal():
    counters = {"pages_sharing": 261_000, "pages_scanned": 250_000, "full_scans": 9_876, "pages_unshared": 10**6}
    course = Course(sample(0.0, pages_sharing=260_000))
    course.most = Most(262_000, {})
    line = report.line(course.line(sample(1.0, 98_765, 2 * 10**9, **counters)))
    assert len(report.HEAD) == len(line) == 80, line


def test_that_ksm_does_not_run_is_said(kernel, capfd):
    words = ("watch", "--interval", "5ms", "--duration", "6ms")
    assert run(capfd, *words).err == ""
    (kernel / "run").write_text("0\n")
    assert "does not run" in (made := run(capfd, *words)).err and is_one_line(made.err)


def sample(at_s, cow=40, cpu_ns=10**9, **changes):
    return watch.Sample(at_s, {**KSM, **changes}, cow, cpu_ns)


def test_what_has_happened_in_between():
    document = watched(sample(1.0), sample(3.0, 45, 10**9 + 10**8, pages_sharing=60, pages_scanned=1500))
    assert (document["change_bytes"], document["undone"], document["scanned"]) == (-10 * 4096, 5, 500)
    assert (document["seconds"], document["cpu_percent"]) == (2.0, 5.0)
    shown = report.line(document)
    assert "-40.0 KiB" in shown and "250" in shown and "  5 %" in shown
    blind = watched(sample(1.0, None, None), sample(1.0, None, None))
    assert blind["undone"] is blind["cpu_percent"] is None and report.line(blind).count(" -") >= 3


def test_how_far_it_is_from_rest():
    course = Course(sample(0.0, pages_unshared=95))
    course.most = Most(200, {7: 80})
    processes = [watch.Merging(7, "a", 60, 4096), watch.Merging(8, "b", 5, 4096)]
    changes = {"pages_sharing": 90, "pages_unshared": 75, "pages_scanned": 1100, "full_scans": 4}
    grown = course.line(sample(10.0, **changes), processes)
    assert [(one["most_merged"], one["reached"]) for one in grown["processes"]] == [(80, 0.75), (None, None)]
    known, unknown = report.processes(grown)[2:]
    assert known.split() == ["7", "60", "80", "75", "%", "0", "4.0", "KiB", "a"] and unknown.split()[2:4] == ["-", "-"]
    assert (grown["most_bytes"], grown["reached"]) == (200 * 4096, 0.6)
    assert (grown["scans_left"], grown["rest_s"]) == (2, 2 * 200 / (100 / 10))
    still = course.line(sample(20.0, pages_sharing=90, pages_unshared=75, pages_scanned=1200, full_scans=5))
    assert (still["scans_left"], still["rest_s"]) == (1, 200 / (200 / 20))
    assert course.line(sample(30.0, pages_sharing=90, pages_scanned=1300, full_scans=9))["rest_s"] == 0
    assert course.line(sample(40.0, pages_sharing=91, pages_scanned=1300, full_scans=9))["scans_left"] == 2
    idle = Course(sample(0.0)).line(sample(1.0))
    assert idle["scans_left"] is idle["rest_s"] is idle["reached"] is None


def test_the_view_has_what_the_lines_have(kernel):
    rich = pytest.importorskip("rich.console")
    console = rich.Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    document = watched(sample(1.0), sample(3.0, 45), [watch.Merging(7, "[red]a\x1b[2Jb", 60, 4096, 77)])
    with watch_live.view(console) as draw:
        draw(document)
    shown = console.file.getvalue()
    assert "400.0 KiB" in shown and "[red]a\\x1b[2Jb" in shown and "77" in shown
    assert watch_live.bars([0, 4, 8]) == "▁▅█" and watch_live.bars([]) == ""


def test_in_a_terminal_it_is_the_view(kernel, capfd, monkeypatch):
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    drawn = []
    monkeypatch.setattr(watch_live, "is_there", lambda: True)
    monkeypatch.setattr(watch_live, "view", lambda: contextlib.nullcontext(drawn.append))
    assert run(capfd, "watch", "--interval", "5ms", "--duration", "12ms").out == ""
    assert drawn and drawn[0]["processes"][0]["pid"] == 7
    monkeypatch.setattr(watch_live, "is_there", lambda: False)
    assert report.HEAD in run(capfd, "watch", "--interval", "5ms", "--duration", "12ms").out


@pytest.mark.skipif(not os.path.exists("/proc/self/ksm_stat"), reason="the kernel does not say who has opted in")
def test_what_ksm_can_save_is_counted(capfd, monkeypatch):
    """In a process of ours with 100 equal pages that has opted in, whoever else has."""
    held = mmap.mmap(-1, 100 * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    held.madvise(mmap.MADV_NOHUGEPAGE)
    held.write(os.urandom(4096) * 100)
    try:
        held.madvise(mmap.MADV_MERGEABLE)
    except OSError:
        pytest.skip("the kernel has no KSM")
    monkeypatch.setattr(files, "mergeable_processes", lambda: [os.getpid()])
    try:
        found = most()
        assert found is not None and found.pages == 99 + files.counters().get("ksm_zero_pages", 0)
        assert found.merged == {os.getpid(): 100 + watch.zero_pages(os.getpid())}
    finally:
        held.close()
    monkeypatch.setattr(files, "mergeable_processes", list)
    assert most() is None


@pytest.mark.skipif(not os.path.exists("/proc/self/ksm_stat"), reason="the kernel does not say who has opted in")
@pytest.mark.skipif(not system.shows_frames(), reason="takes frame numbers")
def test_what_ksm_has_merged_already_is_what_it_can_save(monkeypatch):
    """A frame with several mappings is merged, or shared by a fork: the kernel says which."""
    held = mmap.mmap(-1, 100 * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    held.madvise(mmap.MADV_NOHUGEPAGE)
    held.write(os.urandom(100 * 4096))
    try:
        held.madvise(mmap.MADV_MERGEABLE)
    except OSError:
        pytest.skip("the kernel has no KSM")
    child = os.fork()
    if not child:
        signal.pause()
    monkeypatch.setattr(files, "mergeable_processes", lambda: [os.getpid(), child])
    zeros = files.counters().get("ksm_zero_pages", 0)
    try:
        assert most().pages == zeros
        monkeypatch.setattr(FrameFlags, "are_ksm", lambda self, frames: np.ones(len(frames), bool))
        found = most()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        held.close()
    assert found.pages == 100 + zeros
    assert found.merged == {pid: 100 + watch.zero_pages(pid) for pid in (os.getpid(), child)}


@pytest.mark.parametrize("text, count", [(b"cow_ksm 5\n", 5), (b"", None), (None, None), (b"cow_ksm x\n", None)])
def test_cow(text, count):
    assert watch.cow_of(text) == count


def test_without_ksm_it_is_one_line(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(files, "DIRECTORY", str(tmp_path / "nowhere"))
    done = run(capfd, "watch")
    assert done.code == 77 and is_one_line(done.err) and "no KSM" in done.err


def test_what_is_wrong_is_one_line(kernel, capfd):
    done = run(capfd, "watch", "--interval", "0")
    assert done.code == 2 and is_one_line(done.err) and "--interval: must be 1 ms at least" in done.err
