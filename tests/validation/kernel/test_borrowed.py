"""Whoever of the two lives, pksm or its guard, gives ksmd back; what both lost is put back by the next run."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from pksm.errors import UnsupportedError
from pksm.linux import guard, guarded, run_files
from pksm.linux.ksm import Borrowed, borrow, read, write
from pksm.linux.ksm.files import knobs
from pksm.linux.proc import tasks

pytestmark = pytest.mark.kernel

BORROW = """
import sys
from pksm.linux.ksm import Borrowed
with Borrowed() as ksm:
    print("borrowed", flush=True)
    sys.stdin.readline()
    ksm.reset(max_page_sharing=77)
    print("reset", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def before():
    """A knob that is not as the kernel has it by default, and all of them; skips where ksmd can't be borrowed."""
    try:
        with Borrowed() as ksm:
            assert ksm.warnings == []
    except UnsupportedError as error:
        pytest.skip(str(error))
    write("sleep_millisecs", 21)
    before = knobs()
    yield before
    write("sleep_millisecs", 20)
    left = [name for name in os.listdir(run_files.DIRECTORY) if not name.startswith("frozen-")]
    assert knobs() == before | {"sleep_millisecs": 20} and left == [borrow.LOCK]


@pytest.fixture
def borrower():
    process = subprocess.Popen([sys.executable, "-c", BORROW], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"borrowed\n"
    yield process
    process.kill()
    process.communicate()


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def guard_of(pid):
    """The id of the guard of a process, None while there is none."""
    for child in tasks.pids():
        try:
            with open(f"/proc/{child}/cmdline", "rb") as command:
                if guard.__file__.encode() in command.read() and tasks.read_stat(child).parent == pid:
                    return child
        except OSError:
            continue
    return None


def is_free():
    try:
        with Borrowed():
            return True
    except UnsupportedError:
        return False


def test_a_guard_that_dies_is_replaced_at_once(before, borrower):
    first = guard_of(borrower.pid)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: guard_of(borrower.pid) not in (None, first))
    assert read("sleep_millisecs") > borrow.NEVER_MILLISECS, "it is borrowed all the same"
    second = guard_of(borrower.pid)
    borrower.kill()
    borrower.wait()
    wait_until(lambda: not os.path.exists(f"/proc/{second}"))
    assert knobs() == before and is_free()


def test_without_any_guard_pksm_gives_back_itself(before, borrower, monkeypatch):
    """The last of them dies while pksm ends."""
    monkeypatch.setattr(guarded, "MOST_GUARDS", 1)
    borrower.communicate(b"\n\n")
    with Borrowed() as ksm:
        os.kill(guard_of(os.getpid()), signal.SIGKILL)
        wait_until(lambda: guard_of(os.getpid()) is None)
        ksm.reset(max_page_sharing=77)
        assert read("max_page_sharing") == 77
    assert knobs() == before


@pytest.mark.parametrize("stopped", [False, True])
def test_a_borrower_that_is_killed(before, borrower, stopped):
    if stopped:
        os.kill(borrower.pid, signal.SIGSTOP)
    borrower.kill()
    wait_until(lambda: knobs() == before)
    wait_until(is_free)


def test_what_both_lost_is_put_back_by_the_next_run_with_a_line(before, borrower):
    os.kill(borrower.pid, signal.SIGSTOP)  # it shall not start another guard
    the_guard = guard_of(borrower.pid)
    os.kill(the_guard, signal.SIGKILL)
    borrower.kill()
    borrower.wait()
    wait_until(lambda: not os.path.exists(f"/proc/{the_guard}"))
    assert knobs() != before
    with Borrowed() as ksm:
        assert ["have been put back" in line for line in ksm.warnings] == [True]
        assert ksm.saved == before
    assert knobs() == before


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b'{"values": 7}', b'{"boot_id": "another", "values": [["run", "1"]]}',
                                    b'{"boot_id": null, "values": [["../../../../tmp/x", "1"]]}'])  # fmt: skip
def test_a_record_that_is_damaged_or_of_another_boot_is_dropped(before, record):
    with open(os.path.join(run_files.DIRECTORY, borrow.RECORD), "wb") as file:
        file.write(record)
    with Borrowed() as ksm:
        assert ksm.warnings == [] and ksm.saved == before


def test_only_knobs_are_put_back(before, tmp_path):
    with open(run_files.BOOT_ID, encoding="ascii") as boot:
        values = [[str(tmp_path / "made"), "1"], ["sleep_millisecs", "21"]]
        record = {"boot_id": boot.read().strip(), "values": values}
    with open(os.path.join(run_files.DIRECTORY, borrow.RECORD), "w", encoding="ascii") as file:
        json.dump(record, file)
    write("run", 0)
    with Borrowed() as ksm:
        assert len(ksm.warnings) == 1
    assert os.listdir(tmp_path) == []
    write("run", before["run"])


def test_one_line_where_the_directory_is_not_root_s_alone(before, tmp_path, monkeypatch):
    (tmp_path / "open").mkdir(mode=0o777)
    os.chmod(tmp_path / "open", 0o777)
    (tmp_path / "link").symlink_to(tmp_path / "open")
    (tmp_path / "file").touch()
    for name, said in {"open": "others than root", "link": "cannot be opened", "file": "cannot be opened",
                       "missing/below": "cannot be made"}.items():  # fmt: skip
        monkeypatch.setattr(run_files, "DIRECTORY", str(tmp_path / name))
        with pytest.raises(UnsupportedError, match=said), Borrowed():
            pass
    monkeypatch.setattr(run_files, "DIRECTORY", str(tmp_path / "new"))
    os.mkdir(tmp_path / "new", 0o700)
    (tmp_path / "new" / borrow.LOCK).symlink_to(tmp_path / "victim")
    with pytest.raises(UnsupportedError, match=r"ksm\.lock: cannot be opened"), Borrowed():
        pass
    assert not (tmp_path / "victim").exists()
    monkeypatch.undo()
    assert knobs() == before


def test_a_kernel_without_one_of_the_files(before, monkeypatch):
    monkeypatch.setattr("pksm.linux.ksm.files.COUNTERS", ("pages_shared", "pages_of_the_future"))
    with Borrowed() as ksm:
        assert ksm.counters() == {"pages_shared": 0}
