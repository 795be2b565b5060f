"""Freezing: processes stand still while they are read, and go on whatever happens to the one who froze them."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from pksm import sources
from pksm.errors import PksmError, UsageError
from pksm.linux import guard, guarded, run_files
from pksm.linux.proc import processes, tasks
from pksm.sources.live import freeze, frozen

ROOT = os.geteuid() == 0
UNIFIED = next((path for path in processes.CGROUP_MOUNTS if os.path.exists(f"{path}/cgroup.controllers")), None)

FREEZE_AND_WAIT = """
import os, sys, time
from pksm import sources
from pksm.linux import run_files
from pksm.sources.live.freeze import Freezer
run_files.DIRECTORY = os.environ.get("PKSM_TEST_RUN", run_files.DIRECTORY)
with Freezer([sources.open_pid(int(sys.argv[1]))], sys.argv[3:], float(sys.argv[2])):
    print("frozen", flush=True)
    sys.stdin.read()
    raise SystemExit("an error")
"""


def state(pid):
    return tasks.read_stat(pid).state


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


@pytest.fixture
def cgroup(sleeper):
    """A control group with the sleeper in a group below it."""
    if UNIFIED is None:
        pytest.skip("no control groups of version 2 here")
    path = f"{UNIFIED}/pksm-test-{os.getpid()}"
    try:
        os.mkdir(path)
    except OSError as error:
        pytest.skip(f"may not make a control group: {error}")
    inner = f"{path}/inner"
    os.mkdir(inner)
    with open(f"{inner}/cgroup.procs", "w") as procs:
        procs.write(str(sleeper))
    yield path
    os.kill(sleeper, signal.SIGKILL)
    for folder in (inner, path):
        wait_until(lambda folder=folder: removed(folder))


def removed(folder):
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def is_frozen(cgroup):
    with open(f"{cgroup}/cgroup.events") as events:
        return "frozen 1" in events.read()


def test_it_stands_still_and_goes_on(sleeper):
    with contextlib.closing(sources.open_pid(sleeper)) as source:
        with freeze.Freezer([source]) as freezer:
            assert state(sleeper) == "T" and source.frozen_until > time.monotonic()
            regions = list(source.regions(4096, allocate, lambda pages: None))
            assert regions and source.facts()["frozen"] and source.facts()["racy"] == 0
        assert freezer.warnings == [] and source.frozen_until == 0
        wait_until(lambda: state(sleeper) == "S")
        list(source.regions(4096, allocate, lambda pages: None))
        assert not source.facts()["frozen"]


def allocate(n_pages):
    return sources.Allocation(np.zeros((n_pages, 4096), np.uint8))


def test_what_stood_still_before_does_so_after(sleeper):
    os.kill(sleeper, signal.SIGSTOP)
    wait_until(lambda: state(sleeper) == "T")
    with contextlib.closing(sources.open_pid(sleeper)) as source, freeze.Freezer([source]):
        pass
    assert state(sleeper) == "T"


def test_an_error_ends_it(sleeper):
    with contextlib.closing(sources.open_pid(sleeper)) as source:
        with pytest.raises(ZeroDivisionError), freeze.Freezer([source]):
            raise ZeroDivisionError
    wait_until(lambda: state(sleeper) == "S")


def test_time_is_up(sleeper):
    with contextlib.closing(sources.open_pid(sleeper)) as source, freeze.Freezer([source], (), 0.3) as freezer:
        assert state(sleeper) == "T"
        wait_until(lambda: state(sleeper) == "S")
        wait_until(lambda: source.frozen_until < time.monotonic())
    assert len(freezer.warnings) == 1 and "longer time-out" in freezer.warnings[0]


def test_neither_we_nor_our_ancestors(sleeper):
    assert {os.getpid(), os.getppid()} <= processes.own_line() and sleeper not in processes.own_line()
    with contextlib.closing(sources.open_pid(os.getppid())) as parent, freeze.Freezer([parent]) as freezer:
        assert parent.frozen_until == 0 and state(os.getppid()) != "T"
    assert len(freezer.warnings) == 1 and str(os.getppid()) in freezer.warnings[0]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 1e9])
def test_no_time(seconds):
    with pytest.raises(UsageError):
        freeze.Freezer([], (), seconds)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL, None])
def test_whatever_ends_us(sleeper, number):
    with frozen_by_another(sleeper, 600) as other:
        assert state(sleeper) == "T"
        if number is None:
            other.stdin.close()
        else:
            other.send_signal(number)
        assert other.wait(60) != 0
    wait_until(lambda: state(sleeper) == "S")


@contextlib.contextmanager
def frozen_by_another(pid, seconds, *cgroups):
    with subprocess.Popen(
        [sys.executable, "-c", FREEZE_AND_WAIT, str(pid), str(seconds), *cgroups],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as other:
        try:
            assert other.stdout.readline() == b"frozen\n"
            yield other
        finally:
            other.kill()


def test_a_whole_control_group(sleeper, cgroup):
    with contextlib.closing(sources.open_pid(sleeper)) as source:
        with freeze.Freezer([source], [cgroup]) as freezer:
            assert is_frozen(cgroup) and source.frozen_until > 0
            assert list(source.regions(4096, allocate, lambda pages: None))
        assert not is_frozen(cgroup) and freezer.warnings == []
    with frozen_by_another(sleeper, 600, cgroup) as other:
        assert is_frozen(cgroup)
        other.kill()
        other.wait()
        wait_until(lambda: not is_frozen(cgroup))


def test_a_group_that_was_frozen_stays_so(sleeper, cgroup):
    with open(f"{cgroup}/cgroup.freeze", "w") as file:
        file.write("1")
    wait_until(lambda: is_frozen(cgroup))
    with contextlib.closing(sources.open_pid(sleeper)) as source, freeze.Freezer([source], [cgroup]):
        assert source.frozen_until > 0
    assert is_frozen(cgroup)


def test_processes_of_a_group(sleeper, cgroup):
    name = os.path.basename(cgroup)
    assert processes.cgroup_pids(cgroup) == [sleeper]
    assert processes.find_cgroup(name) == processes.find_cgroup(f"/{name}") == processes.find_cgroup(cgroup) == cgroup


def test_what_is_no_group(tmp_path):
    with pytest.raises(UsageError, match="not a control group"):
        processes.find_cgroup(tmp_path)
    with pytest.raises(UsageError, match="no such control group"):
        processes.find_cgroup(tmp_path / "missing")


# ---- the guard, and the record --------------------------------------------------------------------------------


@pytest.fixture
def run_directory(tmp_path, monkeypatch):
    """A directory for records that no other test repairs."""
    directory = tmp_path / ("run" if ROOT else "pksm")
    monkeypatch.setattr(run_files, "DIRECTORY", str(directory))
    monkeypatch.setenv("PKSM_TEST_RUN", str(directory))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return directory


def guards_of(pid):
    """The guards of a process."""
    found = []
    for child in tasks.pids():
        with contextlib.suppress(OSError), open(f"/proc/{child}/cmdline", "rb") as command:
            if guard.__file__.encode() in command.read() and tasks.read_stat(child).parent == pid:
                found.append(child)
    return found


def gone(pid):
    """A child of one that is killed is a zombie until somebody waits for it."""
    try:
        return tasks.read_stat(pid).state in "ZX"
    except OSError:
        return True


def kill_both(other):
    (the_guard,) = guards_of(other.pid)
    other.send_signal(signal.SIGSTOP)  # it shall not start another guard
    os.kill(the_guard, signal.SIGKILL)
    other.kill()
    other.wait()
    wait_until(lambda: gone(the_guard))


def test_a_guard_that_dies_is_replaced_at_once_and_what_was_stopped_stays_so(sleeper, run_directory):
    with frozen_by_another(sleeper, 600) as other:
        (first,) = guards_of(other.pid)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: guards_of(other.pid) not in ([], [first]))
        assert state(sleeper) == "T"
        wait_until(lambda: gone(first) and len(guards_of(other.pid)) == 1)
        (second,) = guards_of(other.pid)
        other.kill()
        other.wait()
        wait_until(lambda: state(sleeper) == "S" and gone(second))
    assert os.listdir(run_directory) == []


def test_the_time_of_a_guard_that_was_replaced_is_up_when_that_of_the_first_is(sleeper, run_directory):
    with contextlib.closing(sources.open_pid(sleeper)) as source, freeze.Freezer([source], (), 1.5):
        os.kill(guards_of(os.getpid())[0], signal.SIGKILL)
        assert state(sleeper) == "T"
        wait_until(lambda: state(sleeper) == "S")
        assert time.monotonic() >= source.frozen_until
        wait_until(lambda: os.listdir(run_directory) == [])


@pytest.mark.parametrize("most", [1, 3])
def test_without_any_guard_we_let_go_on_ourselves(sleeper, run_directory, monkeypatch, most):
    monkeypatch.setattr(guarded, "MOST_GUARDS", most)
    with contextlib.closing(sources.open_pid(sleeper)) as source, freeze.Freezer([source]):
        for _ in range(most):
            wait_until(lambda: [pid for pid in guards_of(os.getpid()) if not gone(pid)])
            (living,) = (pid for pid in guards_of(os.getpid()) if not gone(pid))
            os.kill(living, signal.SIGKILL)
            wait_until(lambda living=living: gone(living))
        assert state(sleeper) == "T"
    wait_until(lambda: state(sleeper) == "S")
    assert os.listdir(run_directory) == []


def test_a_guard_that_does_not_answer_holds_nobody(sleeper, run_directory, monkeypatch):
    monkeypatch.setattr(freeze, "LAST_SECONDS", 0.1)
    with contextlib.closing(sources.open_pid(sleeper)) as source, freeze.Freezer([source]):
        os.kill(guards_of(os.getpid())[0], signal.SIGSTOP)
    wait_until(lambda: state(sleeper) == "S")
    assert guards_of(os.getpid()) == [] and os.listdir(run_directory) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_guard_is_not_ended_by_what_ends_a_session(sleeper, run_directory, number):
    with frozen_by_another(sleeper, 600) as other:
        (the_guard,) = guards_of(other.pid)
        os.kill(the_guard, number)
        other.kill()
        wait_until(lambda: state(sleeper) == "S")


def test_what_both_lost_goes_on_with_the_next_run_and_a_line(sleeper, run_directory):
    with frozen_by_another(sleeper, 600) as other:
        assert frozen.repair() == [], "it lives: what it holds is its own"
        kill_both(other)
    assert state(sleeper) == "T" and len(os.listdir(run_directory)) == 1
    with contextlib.closing(sources.open_pid(sleeper)) as source, freeze.Freezer([source]) as freezer:
        assert ["killed" in line and f"pid {sleeper}" in line for line in freezer.warnings] == [True]
        assert state(sleeper) == "T" and source.frozen_until > 0, "stopped by this run now"
    wait_until(lambda: state(sleeper) == "S")
    assert os.listdir(run_directory) == [] and frozen.repair() == []


def test_a_guard_alone_keeps_the_record_its_own(sleeper, run_directory):
    with frozen_by_another(sleeper, 600) as other:
        (the_guard,) = guards_of(other.pid)
        os.kill(the_guard, signal.SIGSTOP)
        other.kill()
        other.wait()
        assert frozen.repair() == [] and state(sleeper) == "T"
        os.kill(the_guard, signal.SIGCONT)
        wait_until(lambda: state(sleeper) == "S")


def test_a_run_without_freezing_repairs_too(sleeper, run_directory):
    with frozen_by_another(sleeper, 600) as other:
        kill_both(other)
    with frozen.Repaired() as repaired:
        assert len(repaired.warnings) == 1
    wait_until(lambda: state(sleeper) == "S")


def test_a_group_that_both_lost_goes_on_with_the_next_run(sleeper, cgroup, run_directory):
    with frozen_by_another(sleeper, 600, cgroup) as other:
        kill_both(other)
    assert is_frozen(cgroup)
    assert [cgroup in line for line in frozen.repair()] == [True]
    assert not is_frozen(cgroup)


def record_of(run_directory, pid, started, namespace=None):
    run_directory.mkdir(mode=0o700, exist_ok=True)
    path = run_directory / "frozen-1-2.json"
    with path.open("wb") as file:
        facts = {"namespace": frozen.access.pid_namespace() if namespace is None else namespace}
        run_files.write_record(file.fileno(), facts | {"groups": [], "processes": [[pid, started]]})
    return path


def test_a_later_process_of_the_same_number_is_left_alone(sleeper, run_directory):
    os.kill(sleeper, signal.SIGSTOP)
    wait_until(lambda: state(sleeper) == "T")
    started = tasks.read_stat(sleeper).started
    path = record_of(run_directory, sleeper, started - 1)
    assert frozen.repair() == [] and state(sleeper) == "T" and not path.exists()
    path = record_of(run_directory, sleeper, started, namespace=1)
    assert frozen.repair() == [] and state(sleeper) == "T" and path.exists(), "of another container"
    record_of(run_directory, sleeper, started)
    assert len(frozen.repair()) == 1
    wait_until(lambda: state(sleeper) == "S")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"7", b"[" * 100000, b'{"boot_id": "another", "processes": [[1, 2]]}']
)
def test_a_record_that_is_damaged_or_of_another_boot_is_dropped(run_directory, data):
    run_directory.mkdir(mode=0o700)
    (run_directory / "frozen-1-2.json").write_bytes(data)
    assert frozen.repair() == [] and os.listdir(run_directory) == []


@pytest.mark.parametrize("rows", [7, [7], [[1]], [["x", 1]], [[-1, 1]], [[1 << 80, 1]], [[True, None]]])
def test_rows_that_nobody_writes_stop_and_thaw_nothing(run_directory, rows):
    run_directory.mkdir(mode=0o700)
    with (run_directory / "frozen-1-2.json").open("wb") as file:
        facts = {"namespace": frozen.access.pid_namespace(), "groups": rows, "processes": rows}
        run_files.write_record(file.fileno(), facts)
    assert frozen.repair() == [] and os.listdir(run_directory) == []


def test_one_line_where_there_is_no_place_for_a_record(sleeper, run_directory, monkeypatch):
    run_directory.mkdir(mode=0o700)
    os.chmod(run_directory, 0o777)
    with contextlib.closing(sources.open_pid(sleeper)) as source, freeze.Freezer([source]) as freezer:
        assert state(sleeper) == "T"
        assert ["not on record" in line and str(run_directory) in line for line in freezer.warnings] == [True]
    wait_until(lambda: state(sleeper) == "S")


def test_users_have_a_directory_of_their_own_or_none(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", value)
        assert run_files.directory() is None and frozen.repair() == []
        with frozen.Record([], []) as record:
            assert record.path == "" and record.fds == []
            assert ["XDG_RUNTIME_DIR" in line for line in record.warnings] == [True]
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert run_files.directory() == str(tmp_path / "pksm")


def test_without_a_thread_or_a_guard(sleeper, monkeypatch):
    """No thread to be had: it stands still and goes on all the same. No process: nothing is frozen, in one line."""

    def refuse(*arguments, **options):
        raise RuntimeError("can't start new thread")

    def refuse_process(*arguments, **options):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with contextlib.closing(sources.open_pid(sleeper)) as source:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with freeze.Freezer([source]):
                wait_until(lambda: state(sleeper) == "T")
        wait_until(lambda: state(sleeper) == "S")
        monkeypatch.setattr(guarded.subprocess, "Popen", refuse_process)
        with pytest.raises(PksmError, match="could not be started: Resource temporarily"), freeze.Freezer([source]):
            pass
        assert state(sleeper) == "S"
