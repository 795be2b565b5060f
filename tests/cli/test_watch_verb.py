"""pksm watch: lines about the kernel's KSM, from files that stand for the kernel's."""

import csv
import io
import json

import pytest

from pksm.advice.watched import watched
from pksm.linux.ksm import files, watch
from pksm.report import watch as report

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
