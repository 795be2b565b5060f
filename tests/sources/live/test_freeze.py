"""Freezing: processes stand still while they are read, and go on whatever happens to the one who froze them."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pksm import sources
from pksm.errors import UsageError
from pksm.linux.proc import processes, tasks
from pksm.sources.live import freeze

UNIFIED = next((path for path in processes.CGROUP_MOUNTS if os.path.exists(f"{path}/cgroup.controllers")), None)

FREEZE_AND_WAIT = """
import sys, time
from pksm import sources
from pksm.sources.live.freeze import Freezer
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, None])
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
    with pytest.raises(UsageError, match="no control group"):
        processes.find_cgroup(tmp_path)
    with pytest.raises(UsageError, match="no such control group"):
        processes.find_cgroup(tmp_path / "missing")
