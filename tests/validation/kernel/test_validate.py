"""Our ksmd against the running kernel's own. Skipped, with the reason, where that can't be borrowed."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pksm.cli.main import main
from pksm.errors import PksmError, UnsupportedError
from pksm.linux.ksm import Borrowed, borrow, read, write
from pksm.linux.ksm.files import knobs, mergeable_processes
from pksm.policies.ksmd.daemon import Ksmd
from pksm.validation.kernel.live_process import LiveProcess
from pksm.validation.kernel.validate import BASE, WORKLOADS, validate

pytestmark = pytest.mark.kernel
PAGES = 1024


@pytest.fixture(autouse=True)
def ksm():
    """Skips where ksmd can't be borrowed, and looks whether all is as before afterwards."""
    try:
        with Borrowed():
            pass
    except UnsupportedError as error:
        pytest.skip(str(error))
    until = time.monotonic() + 60
    while mergeable_processes() and time.monotonic() < until:  # of tests beside this one
        time.sleep(0.1)
    before = knobs()
    yield
    assert knobs() == before and not mergeable_processes()


@pytest.mark.parametrize("name", WORKLOADS)
def test_nothing_differs(name):
    document = validate([name], PAGES)
    for entry in document["skipped"]:
        pytest.skip(entry["reason"])
    assert document["equal"], [row for row in document["rows"] if row["kernel"] != row["ours"]]
    rows = {row["counter"]: row["kernel"] for row in document["rows"]}
    assert rows["rmap_items"] and rows["pages_scanned"] and document["workloads"][0]["scans"] > 2


@pytest.mark.parametrize("seed", range(3))
def test_whatever_changes_between_scans_nothing_differs(seed):
    document = validate(["volatile", "in-steps"], 600 + seed, seed)
    assert document["equal"], [row for row in document["rows"] if row["kernel"] != row["ours"]]


def test_a_difference_is_seen(monkeypatch, capsys):
    monkeypatch.setattr(
        "pksm.validation.kernel.both_sides.Ksmd",
        lambda machine, tunables: Ksmd(machine, tunables.with_(max_page_sharing=100)),
    )
    assert main(["validate", "--workload", "crowds", "--pages", "1024", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "pksm.validate/1" and not document["equal"]
    row = next(row for row in document["rows"] if row["counter"] == "pages_shared")
    assert row["ours"] > row["kernel"] > 0


def test_the_table_and_the_lines(capsys):
    assert main(["validate", "--workload", "load-b", "--pages", "64"]) == 0
    table = capsys.readouterr().out
    assert "The same in 1 workload" in table and "pages_sharing" in table
    assert main(["validate", "--workload", "load-b", "--pages", "64", "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "workload,static,counter,kernel,ours,difference"


def test_unknown_workloads_and_sizes_are_refused(capsys):
    assert main(["validate", "--workload", "none"]) == 2 and "choose from load-a" in capsys.readouterr().err
    assert main(["validate", "--pages", "3"]) == 2


def test_another_process_with_mergeable_memory_is_left_alone(capsys):
    process = LiveProcess()
    process.mmap(BASE, 4)
    try:
        assert mergeable_processes() == [process.pid]
        assert main(["validate"]) == 77
        assert f"process {process.pid} has mergeable memory" in capsys.readouterr().err
    finally:
        process.exit()


def test_one_at_a_time():
    with Borrowed(), pytest.raises(UnsupportedError, match="another program"), Borrowed():
        pass


def test_what_the_kernel_refuses_is_one_line():
    with Borrowed() as ksm, pytest.raises(PksmError, match="max_page_sharing"):
        ksm.set(max_page_sharing=1)


def test_nothing_to_scan_is_an_error(monkeypatch):
    monkeypatch.setattr(borrow, "SCAN_TIMEOUT_S", 0.2)
    with Borrowed() as ksm, pytest.raises(PksmError, match="nothing to scan"):
        ksm.scan()


def is_free():
    try:
        with Borrowed():
            return True
    except UnsupportedError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_all_is_put_back_however_it_ends(number):
    """The processes are gone too."""
    write("sleep_millisecs", 21)
    before = knobs()
    try:
        run = subprocess.Popen(
            [sys.executable, "-m", "pksm", "validate", "--pages", "30000"], stdout=subprocess.DEVNULL
        )
        end = time.monotonic() + 60
        while read("run") != 1 or read("full_scans") < 1:
            assert time.monotonic() < end and run.poll() is None
            time.sleep(0.01)
        os.kill(run.pid, number)
        assert run.wait(60) == (-number if number == signal.SIGKILL else 128 + number)
        while knobs() != before or mergeable_processes():
            assert time.monotonic() < end
            time.sleep(0.01)
        while not is_free():  # the guard ends a moment after it has put all back
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        write("sleep_millisecs", 20)


def test_all_is_put_back_where_the_advisor_was_on():
    """While it is on the kernel takes no pages_to_scan, neither ours nor the old one."""
    if "advisor_mode" not in knobs():
        pytest.skip("this kernel has no advisor (Linux 6.8)")
    write("advisor_mode", "scan-time")
    before = knobs()
    try:
        with Borrowed() as ksm:
            ksm.set(pages_to_scan=before["pages_to_scan"] + 7)
            assert read("advisor_mode") == "none"
        assert before["advisor_mode"] == "scan-time" and knobs() == before
    finally:
        write("advisor_mode", "none")
        write("pages_to_scan", 100)


def test_processes_do_as_they_are_told():
    process = LiveProcess()
    try:
        process.mmap(BASE, 8)
        pages = np.arange(8, dtype=np.uint8)[:, None] + np.zeros((8, 4096), np.uint8)
        process.write(BASE, pages)
        child = process.fork()
        child.write(BASE, pages[::-1].copy())
        process.mremap(BASE, 8, BASE + (1 << 20))
        assert process.read(BASE + (1 << 20), 8) == pages.tobytes() and child.read(BASE, 8) == pages[::-1].tobytes()
        process.munmap(BASE + (1 << 20), 4)
        with pytest.raises(PksmError, match="could not mremap"):
            process.mremap(BASE + (1 << 20), 4, BASE + 17)
        child.madvise(BASE, 8, "DONTNEED")
        assert not any(child.read(BASE, 8))
        child.exit()
    finally:
        process.exit()


def test_bench_against_the_kernel(capsys):
    assert main(["bench", "--against", "kernel", "--load", "b,f", "--pages", "2048", "--repeats", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    engines = [row["engine"] for row in rows if row["load"] == "f"]
    assert engines[:7] == ["read", "memcpy", "memcmp", "call", "checksum", "hash table", "ksm twin"]
    assert engines[7:10] == ["kernel's ksmd", "kernel's ksmd: first scan", "kernel's ksmd: merging scan"]
    assert engines[10:13] == ["ksmd", "ksmd: first scan", "ksmd: merging scan"]
    assert engines[13:17] == ["ksmd, machine", "pksmd, machine", "settle in C", "pksmd"]
    assert main(["bench", "--against", "kernel", "--load", "b", "--pages", "2048", "--repeats", "1"]) == 0
    assert "kernel/row" in capsys.readouterr().out
