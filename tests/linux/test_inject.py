"""System calls that another process makes for us: what they leave of it, whoever is killed meanwhile."""

import os
import platform
import shutil
import signal
import subprocess
import sys
import time

import pytest

from pksm.errors import PksmError
from pksm.linux.inject import inject
from pksm.linux.inject.frame import build, resumed
from pksm.linux.inject.ptrace import Registers, Tracee
from pksm.linux.inject.session import CALLS_A_STOP

from support import injections
from support.injections import CALLS, GETPID, MODES, Target

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="calls are injected on x86-64 alone"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
]
KILLS = 20


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return injections.build(tmp_path_factory.mktemp("injected"))


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "60"]) as process:
        while b"sleep" not in open(f"/proc/{process.pid}/cmdline", "rb").read():
            time.sleep(1e-3)
        yield process
        process.kill()


@pytest.mark.parametrize("mode", MODES)
def test_a_process_goes_on_with_its_own_state_wherever_the_injector_is_killed(program, tmp_path, mode):
    with Target(program, mode, tmp_path) as target:
        killed = set()
        for n in range(KILLS):
            killed.add(injections.kill_at(target.pid, n))
            target.goes_on()
        if mode in ("compute", "sleep"):  # others may refuse for a moment
            assert {"search", "seize", "interrupt", "look", "write", "set registers", "enter", "call"} < killed
            assert {"return", "detach"} < killed


def test_calls_return_what_they_return_in_the_process(program, tmp_path):
    with Target(program, "compute", tmp_path) as target:
        done = inject(target.pid, [(GETPID,)] * (CALLS_A_STOP + 1))
        assert done.results == [target.pid] * (CALLS_A_STOP + 1)
        assert done.stops >= 2 and 0 < done.longest_pause_s <= done.pauses_s
        assert inject(target.pid, [(3, 1 << 20)]).results == [-9], "close of no file: EBADF"
        target.goes_on()


def test_a_stopped_process_is_refused(sleeper):
    os.kill(sleeper.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED)
    with pytest.raises(PksmError, match=r"\(sleep\): is stopped"):
        inject(sleeper.pid, CALLS)
    os.kill(sleeper.pid, signal.SIGCONT)
    assert inject(sleeper.pid, CALLS[:1]).results == [sleeper.pid]


def test_a_traced_process_is_refused(sleeper):
    tracee = Tracee(sleeper.pid)
    with pytest.raises(PksmError, match=f"is traced by pid {os.getpid()}"):
        inject(sleeper.pid, CALLS)
    tracee.interrupt()
    tracee.wait(5)
    tracee.detach()


def test_a_process_with_a_seccomp_filter_is_refused():
    code = """
import ctypes, sys
prctl = ctypes.CDLL(None).prctl
prctl(38, 1, 0, 0, 0)
allow = (ctypes.c_uint64 * 1)(0x7FFF000000000006)
program = (ctypes.c_uint64 * 2)(1, ctypes.addressof(allow))
assert prctl(22, 2, ctypes.byref(program), 0, 0) == 0
print(flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"\n"
        with pytest.raises(PksmError, match="a seccomp filter watches its system calls"):
            inject(process.pid, CALLS)
        process.kill()


def test_processes_that_are_none_are_refused(sleeper):
    with pytest.raises(PksmError, match="kernel thread"):
        inject(2, CALLS)
    with pytest.raises(PksmError, match="is pksm itself"):
        inject(os.getpid(), CALLS)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(PksmError, match="has ended"):
        inject(sleeper.pid, CALLS)


def interrupted(call, error):
    return Registers(rip=0x1002, rsp=0x7FFF0000, rax=(1 << 64) - error, orig_rax=call)


@pytest.mark.parametrize(
    ("call", "error", "again"),
    [(35, 516, True), (0, 512, True), (34, 514, True), (232, 4, True), (0, 4, False), ((1 << 64) - 1, 512, False)],
)
def test_an_interrupted_call_begins_anew(call, error, again):
    made = resumed(interrupted(call, error))
    assert (made.rip, made.rax) == ((0x1000, call) if again else (0x1002, (1 << 64) - error))
    assert made.signed("orig_rax") == -1


def test_a_frame_lies_below_the_red_zone_with_its_state_aligned():
    for top in range(0x7FFF0000, 0x7FFF0040):
        at, data = build(Registers(rsp=top), bytes(832), 0, 0x1234)
        assert at + len(data) <= top - 128
        assert at % 16 == 8 and int.from_bytes(data[:8], "little") == 0x1234
        state_at = int.from_bytes(data[8 + 224 : 8 + 232], "little")
        assert state_at % 64 == 0 and data[state_at - at + 464 :][:4] == bytes.fromhex("53585046")
        assert data[-4:] == bytes.fromhex("45585046") and len(data) == state_at - at + 832 + 4


def test_a_processor_without_xsave_is_refused():
    with pytest.raises(PksmError, match="no XSAVE"):
        build(Registers(rsp=0x7FFF0000), bytes(512), 0, 0)
