"""Processes that are made to stand still: all of their threads do, and go on as if nothing had been, whoever is killed."""

import os
import select
import shutil
import signal
import subprocess
import sys
import time

import pytest

from pksm.errors import PksmError
from pksm.linux.inject.ptrace import Tracee
from pksm.linux.inject.still import while_still
from pksm.linux.proc import tasks

from support import injections
from support.injections import MODES, Target

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
KILLS = 14
# Prints a point for each signal that it gets.
COUNTER = """
import os, signal, time
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"."))
os.write(1, b"!")
while True:
    time.sleep(0.05)  # Python looks for signals before it sleeps: one that comes just then waits for the end
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return injections.build(tmp_path_factory.mktemp("injected"))


def nothing():
    """The work of those who only stop a process."""


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in ("vfork", "exec")])
def test_all_threads_stand_still_and_go_on(program, tmp_path, mode):
    with Target(program, mode, tmp_path) as target:

        def work():
            states = {tasks.read_stat(target.pid, thread).state for thread in tasks.threads(target.pid)}
            before = target.count()
            time.sleep(0.01)
            return states, target.count() - before

        for _ in range(5):
            still = while_still(target.pid, work)
            assert still.found == ({"t"}, 0) and still.pause_s > 0.01
            target.goes_on()


def test_who_forks_or_begins_another_program_goes_on(program, tmp_path):
    for mode in ("vfork", "exec"):
        with Target(program, mode, tmp_path) as target:
            stopped = 0
            for _ in range(30):
                try:
                    while_still(target.pid, nothing)
                    stopped += 1
                except PksmError as error:
                    assert "vfork" in str(error) or "ended" in str(error)
            assert stopped > 10
            target.goes_on()


@pytest.mark.parametrize("mode", MODES)
def test_a_process_goes_on_wherever_the_one_that_stops_it_is_killed(program, tmp_path, mode):
    with Target(program, mode, tmp_path) as target:
        killed = {
            injections.kill_at(target.pid, n, lambda pid, step: while_still(pid, nothing, step)) for n in range(KILLS)
        }
        target.goes_on()
        if mode in ("compute", "sleep", "threads"):
            assert {"seize", "interrupt", "wait", "work", "detach"} < killed


def test_no_signal_is_lost(program, tmp_path):
    """Not those that come while it stands still, nor those at which it stood when the one that stopped it was killed."""
    with subprocess.Popen([sys.executable, "-c", COUNTER], stdout=subprocess.PIPE) as counter:
        try:
            assert _said(counter) == b"!"
            for _ in range(20):
                while_still(counter.pid, lambda: os.kill(counter.pid, signal.SIGUSR1))
                assert _said(counter) == b"."
                os.kill(counter.pid, signal.SIGUSR1)
                while_still(counter.pid, nothing)
                assert _said(counter) == b"."
                assert _killed_where_a_signal_is_due(counter.pid)
                assert _said(counter) == b"."
        finally:
            counter.kill()


def _said(process):
    """Return a character that a process prints; nothing if it prints none."""
    return os.read(process.stdout.fileno(), 1) if select.select([process.stdout], [], [], 10)[0] else b""


def _killed_where_a_signal_is_due(pid):
    """Seize a process, let it stop at a signal, and be killed once we have seen that."""
    child = os.fork()
    if child == 0:
        tracee = Tracee(pid)
        os.kill(pid, signal.SIGUSR1)
        seen = tracee.wait(5)
        os.kill(os.getpid(), signal.SIGKILL if seen == signal.SIGUSR1 else signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_who_cannot_be_stopped_is_refused():
    with pytest.raises(PksmError, match="is pksm itself"):
        while_still(os.getpid(), nothing)
    with pytest.raises(PksmError, match="kernel thread"):
        while_still(2, nothing)
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        os.kill(sleeper.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED)
        with pytest.raises(PksmError, match="is stopped"):
            while_still(sleeper.pid, nothing)
        os.kill(sleeper.pid, signal.SIGCONT)
        tracee = Tracee(sleeper.pid)
        with pytest.raises(PksmError, match=f"is traced by pid {os.getpid()}"):
            while_still(sleeper.pid, nothing)
        tracee.interrupt()
        tracee.wait(5)
        tracee.detach()
        while_still(sleeper.pid, nothing)
        sleeper.kill()
        os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(PksmError, match="has ended"):
            while_still(sleeper.pid, nothing)


def test_an_error_of_the_work_lets_it_go(program, tmp_path):
    with Target(program, "threads", tmp_path) as target:
        with pytest.raises(ZeroDivisionError):
            while_still(target.pid, lambda: 1 // 0)
        target.goes_on()


def test_a_timed_wait_lasts_as_long_as_it_would():
    code = "import time; began = time.monotonic(); time.sleep(0.5); print(time.monotonic() - began)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as sleeper:
        while sleeper.poll() is None:
            try:
                while_still(sleeper.pid, nothing)
            except PksmError:
                break
            time.sleep(0.01)
        assert float(sleeper.stdout.read()) >= 0.5
