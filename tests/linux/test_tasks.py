"""Processes whose first thread has ended, and numbers that mean another process in another namespace."""

import contextlib
import ctypes
import mmap
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from pksm import sources
from pksm.errors import PksmError, UnsupportedError
from pksm.linux.proc import access, mergeable, pagemap, smaps, tasks

PAGE = pagemap.PAGE_SIZE
# A thread that goes on when the first one has left: exit of the one, not of the process (SYS_exit is 60 on x86-64).
LEADER_LEAVES = """
import ctypes, mmap, os, sys, threading, time
memory = mmap.mmap(-1, 1000 * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(1000):
    memory[page * 4096] = 1 + page % 251
    memory[page * 4096 + 1] = page // 251
def stay():
    print("ready", ctypes.addressof(ctypes.c_char.from_buffer(memory)), flush=True)
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=stay).start()
sys.stdout.flush()
ctypes.CDLL(None).syscall(60, 0)
"""


@contextlib.contextmanager
def leaderless():
    """Run a process whose first thread has ended; give (process, address of its 1000 pages)."""
    with subprocess.Popen(
        [sys.executable, "-c", LEADER_LEAVES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            address = int(process.stdout.readline().split()[1])
            end = time.monotonic() + 60
            while tasks.read_stat(process.pid, process.pid).state != "Z":
                assert time.monotonic() < end
                time.sleep(0.001)
            yield process, address
        finally:
            process.kill()


def allocate(n_pages):
    return sources.Allocation(np.zeros((n_pages, PAGE), np.uint8))


needs_x86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of the system call is that of x86-64")


@needs_x86
def test_a_process_is_read_through_a_living_thread():
    with leaderless() as (process, address), contextlib.closing(sources.open_pid(process.pid)) as source:
        assert source.pid == process.pid and tasks.living_thread(process.pid) != process.pid
        regions = list(source.regions(PAGE, allocate, lambda pages: None))
        found = {}
        for region in regions:
            for state, _, start, pages, first in region.runs.tolist():
                if state == 0:
                    for page in range(pages):
                        found[start + page * PAGE] = bytes(region.buffer[first + page][:2])
        assert [found[address + page * PAGE] for page in range(1000)] == [
            bytes([1 + page % 251, page // 251]) for page in range(1000)
        ]
        assert source.lost == 0 and source.warnings == []


@needs_x86
def test_what_is_known_of_a_process_whose_first_thread_has_ended():
    with leaderless() as (process, _):
        assert access.check_kind(process.pid) == tasks.read_stat(process.pid).command
        assert any(tasks.layout(process.pid))
        assert len(smaps.read_address_space(process.pid).mappings) > 10
        assert tasks.directory(process.pid).startswith(f"/proc/{process.pid}/task/")


def test_a_process_that_has_ended_has_no_living_thread():
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert tasks.living_thread(process.pid) is None and tasks.layout(process.pid) is None
    with pytest.raises(ProcessLookupError):
        tasks.directory(process.pid)
    assert smaps.read_address_space(process.pid).mappings == []
    process.wait()


needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare"
)


@needs_namespaces
@pytest.mark.parametrize("which", ["--pid 1", "--all", "-- sleep 100"])
def test_the_proc_of_another_pid_namespace_is_refused(which):
    """Number 1 is the shell there, and init here; a command that is started has a number that is another's here."""
    command = ["unshare", "--pid", "--fork", sys.executable, "-m", "pksm", "scan", "--csv", *which.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode not in (0, 3) and done.stdout == ""
    assert "of another pid namespace" in done.stderr and len(done.stderr.splitlines()) == 1


@needs_namespaces
def test_a_proc_of_its_own_is_read():
    command = [
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        sys.executable,
        "-m",
        "pksm",
        "scan",
        "--csv",
        "--",
        "sleep",
        "9",
    ]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_no_proc_at_all_is_refused(monkeypatch):
    def missing(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "readlink", missing)
    with pytest.raises(UnsupportedError, match="/proc is missing"):
        access.open_pidfd(os.getppid())


NAMES = [b"x\rUid:", b"\rUid:\t12345", b"plain", b"a\nUid:\t9", b"a) Z (b", b"\xff\xfe\x80", b"\rUid:\t0x", b"\x1b[31mred",
         b") R 1", b"\n) S 1 1", b"\\n", "\u2028\x85".encode(), b"\x0b\x0c\x1c\x1d"]  # fmt: skip
SLEEPER = textwrap.dedent("""
    import os, sys
    with open("/proc/self/comm", "wb") as comm:
        comm.write(os.fsencode(sys.argv[1]).replace(b"%0a", b"\\n"))
    print(flush=True)
    sys.stdin.read()
""")


@pytest.mark.parametrize("name", NAMES)
def test_a_process_s_name_is_only_a_name(name):
    """Neither its user nor its state or kind change with it."""
    argument = os.fsdecode(name.replace(b"\n", b"%0a"))
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPER, argument], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        stat = tasks.read_stat(process.pid)
        assert stat.command == name[:15].decode("utf-8", "replace")
        assert stat.parent == os.getpid() and not stat.is_kernel_thread and stat.state in "SRD"
        assert tasks.uid_of(process.pid) == os.getuid()
        with contextlib.closing(sources.open_pid(process.pid)) as source:
            assert source.pid == process.pid and source.command == stat.command
        done = subprocess.run(
            [sys.executable, "-m", "pksm", "scan", "--json", "--pid", str(process.pid)],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0 and done.stderr == b""
        process.send_signal(signal.SIGKILL)


def test_mergeable_memory_is_what_was_opted_in():
    """Of our own process: pages that hold something, with their bytes; not those that were only read."""
    if os.geteuid() != 0 or not os.path.isdir("/sys/kernel/mm/ksm"):
        pytest.skip("needs root and KSM")
    memory = mmap.mmap(-1, 16 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_MERGEABLE)
    try:
        memory[2 * PAGE : 2 * PAGE + 3] = memory[3 * PAGE : 3 * PAGE + 3] = memory[9 * PAGE : 9 * PAGE + 3] = b"abc"
        assert memory[12 * PAGE] == 0
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        areas = {address: rest for address, *rest in mergeable.mergeable_memory(os.getpid())}
        assert len(areas) == 1
        ((address, (n, virtual, pages)),) = areas.items()
        shift = (start - address) // PAGE
        assert address <= start and shift + 16 <= n
        assert (virtual - address // PAGE - shift).tolist() == [2, 3, 9]
        assert all(page[:3].tobytes() == b"abc" and not page[3:].any() for page in pages)
        assert mergeable.read_pages(os.getpid(), start + 2 * PAGE, 2)[PAGE : PAGE + 4] == b"abc\0"
    finally:
        memory.madvise(mmap.MADV_UNMERGEABLE)


def test_errors_of_proc_are_ours():
    with pytest.raises(PksmError, match="no such process"):
        access.open_pidfd(2**22 + 1)


def test_children_are_those_of_all_threads():
    if not tasks.names_children():
        pytest.skip("the kernel has no CONFIG_PROC_CHILDREN")
    program = """
        import os, subprocess, sys, threading
        def start():
            started.append(subprocess.Popen(["sleep", "60"]))
        started = []
        start()
        thread = threading.Thread(target=lambda: (start(), print(*(one.pid for one in started), flush=True), end.wait()))
        end = threading.Event()
        thread.start()
        sys.stdin.read()
        for one in started:
            one.kill()
        end.set()
    """
    words = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        started = {int(pid) for pid in process.stdout.readline().split()}
        assert len(started) == 2 and set(tasks.children(process.pid)) == started
        process.stdin.close()
    assert tasks.children(process.pid) == []
