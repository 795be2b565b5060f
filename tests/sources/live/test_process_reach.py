"""The ways a process can be out of reach: not one, not ours to read, or one that ends meanwhile."""

import ctypes
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pksm import sources
from pksm.errors import PksmError, UsageError
from pksm.extents import State
from pksm.linux.proc import memory as readv
from pksm.linux.proc import pagemap

from support.live_children import PAGE, allocate, pages_of, read

NOBODY = 65534


def test_process_that_ends_before_its_first_page(child, way):
    def kill_and_allocate(n_pages):
        child.kill()
        return allocate(n_pages)

    with pytest.raises(PksmError, match=f"pid {child.pid} .*ended before any of its memory was read"):
        read(child.pid, kill_and_allocate)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("end", ["exit", "exec"])
def test_process_that_ends_while_it_is_read(child, way, monkeypatch, end, kept):
    """Also while somebody who reads it keeps the memory that it has left, as our second thread may."""
    monkeypatch.setattr(readv, "READ_BYTES", 16 * PAGE)
    if kept and Path("/proc/sys/kernel/randomize_va_space").read_text() == "0\n":
        pytest.skip("addresses are not random here: another program is not told from this one")
    if kept:
        monkeypatch.setattr(pagemap.Pagemap, "alive", lambda self: True)
    child.run("area(4000); put(0, b'x' * len(memory))")
    reported = []

    def end_after_ten(pages):
        reported.append(pages)
        if len(reported) == 10:
            if end == "exit":
                child.kill()
            else:
                child.run("os.execv('/bin/sh', ['sh', '-c', 'echo 0; cat'])")

    source, regions = read(child.pid, progress=end_after_ten)
    n_data = sum(int(region.runs["pages"][region.runs["state"] == State.DATA].sum()) for region in regions)
    assert n_data <= sum(reported) == 160 and n_data >= 150
    assert source.lost >= 3800
    assert len(source.warnings) == 1 and "ended" in source.warnings[0] and str(child.pid) in source.warnings[0]


def test_process_that_ends_at_any_line(way):
    """Whatever line of ours is the next: what was read is kept, or an error of ours is raised."""

    def read_and_end(line):
        """End a process before that line; return how many lines ran and what came of it."""
        count = 0
        process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.write(process.stdin.fileno(), b"x")
        os.read(process.stdout.fileno(), 1)  # its program has started

        def trace(frame, event, argument):
            nonlocal count
            if event == "line":
                count += 1
                if count == line:
                    process.kill()
                    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT * (line % 2))
            return trace if f"{os.sep}pksm{os.sep}sources{os.sep}" in frame.f_code.co_filename else None

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            source, regions = read(process.pid)
            pages = sum(len(region.buffer) for region in regions if region.buffer is not None)
            return count, (pages, source.lost, len(source.warnings))
        except PksmError as error:
            assert str(process.pid) in str(error) and "\n" not in str(error)
            return count, None
        finally:
            sys.settrace(before)
            process.kill()
            process.communicate()

    read_and_end(0)  # whatever is loaded late is loaded now
    lines, (whole, _, _) = read_and_end(0)
    came = [read_and_end(line)[1] for line in range(1, lines, 7)]
    assert None in came and whole > 10
    for pages, lost, warnings in filter(None, came):
        assert pages <= whole + 2 and (lost > 0) == (warnings == 1)


def test_zombie_and_missing(child):
    pid = child.pid
    child.process.kill()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(PksmError, match=f"pid {pid} .*ended"):
        sources.open_pid(pid)
    child.process.wait()
    for gone in (pid, 2**22 + 1, 2**40):
        with pytest.raises(PksmError, match=f"pid {gone}: no such process"):
            sources.open_pid(gone)


@pytest.mark.parametrize("pid", [0, -1, "12", 1.5])
def test_not_a_process_id(pid):
    with pytest.raises(UsageError, match="not a process id"):
        sources.open_pid(pid)


def test_kernel_thread():
    try:
        with open("/proc/2/stat") as stat:
            if "(kthreadd)" not in stat.read():
                pytest.skip("pid 2 is no kernel thread here (a container)")
    except FileNotFoundError:
        pytest.skip("no pid 2 here (a container)")
    with pytest.raises(PksmError, match="pid 2 .*kernel thread"):
        sources.open_pid(2)


def test_a_thread_is_no_process(child):
    child.run("import threading; threading.Thread(target=signal.pause, daemon=True).start()")
    thread = max(int(name) for name in os.listdir(f"/proc/{child.pid}/task"))
    with pytest.raises(PksmError, match=f"pid {thread}: is a thread"):
        sources.open_pid(thread)


def as_nobody(function):
    """Return what `function` returns in a forked process without privileges."""
    if os.geteuid() != 0:
        return function()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            result = function()
        except BaseException as error:
            result = error
        os.write(writer, pickle.dumps(result))
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        result = pickle.load(pipe)
    os.waitpid(pid, 0)
    if isinstance(result, BaseException):
        raise result
    return result


def test_unprivileged_reads_its_own_children(way):
    def function():
        mapped = np.frombuffer(pagemap.mmap.mmap(-1, 64 * PAGE, flags=0x22), np.uint8)
        mapped[: 8 * PAGE] = 7
        ready, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: setuid has taken it away
            mapped[0] = 1
            os.write(tell, b"x")
            signal.pause()
        os.read(ready, 1)
        try:
            source, regions = read(pid)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        start = mapped.ctypes.data
        return pages_of(regions, start, 64), pages_of(regions, start, 64, "frames"), source.warnings, source.lost

    found, frames, warnings, lost = as_nobody(function)
    assert found[0] == b"\1" + b"\7" * (PAGE - 1) and lost == 0
    assert [found[page] for page in range(1, 8)] == [b"\7" * PAGE] * 7
    assert {found[page] for page in range(8, 64)} == {State.HOLE}
    assert frames[0] == (0, True) and frames[1] == (0, False)
    assert warnings == []


def test_refusal_names_rule_and_remedy(child):
    pid = child.pid if os.geteuid() == 0 else 1
    if os.stat(f"/proc/{pid}").st_uid == os.geteuid() != 0:
        pytest.skip("process 1 belongs to this user (a container)")

    def function():
        with pytest.raises(PksmError) as caught:
            sources.open_pid(pid)
        return str(caught.value)

    message = as_nobody(function)
    for words in (f"pid {pid}", "same user", "kernel.yama.ptrace_scope", "CAP_SYS_PTRACE", "as root (sudo)"):
        assert words in message
    assert "\n" not in message
