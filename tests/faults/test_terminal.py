"""A terminal that goes away while a command draws its progress on it: the command ends, and leaves nothing."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios

import pytest

from faults.test_faults import APART

from support import ROOT, fault_cases, faults
from support.faults import READ, SIGNAL, Fault

STOPS = Fault("SIGSTOP-at", READ, SIGNAL, signal.SIGSTOP)


@pytest.mark.parametrize("n", [150, 400, 520])
def test_a_terminal_that_goes_away_ends_a_command(tmp_path, n):
    """At the n-th read the command stands still; then the terminal goes away, and the kernel sends SIGHUP."""
    shim = faults.build_shim(tmp_path)
    if shim is None:
        pytest.skip("no C compiler here")
    work = tmp_path / "work"
    work.mkdir()
    folder = fault_cases.Folder(work)
    case = next(case for case in fault_cases.cases(0) if case.name == "keep")
    program = APART.format(**STOPS._replace(argument=int(signal.SIGSTOP), lasting=0)._asdict(), n=n)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program, *case.arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=work,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        env={**os.environ, "LD_PRELOAD": str(shim), "PYTHONPATH": os.fspath(ROOT), "TERM": "xterm"},
    )
    os.close(theirs)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    stopped = os.WIFSTOPPED(status)
    os.close(ours)
    if stopped:
        os.kill(process.pid, signal.SIGCONT)
        _, status = os.waitpid(process.pid, 0)
    process.returncode = code = os.waitstatus_to_exitcode(status)
    assert stopped and code in (129, -signal.SIGHUP)  # the latter before our handler is there
    assert folder.fault_of(case, faults.Ran(code, "", "", 0, 1)) == ""
