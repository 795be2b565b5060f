"""Real programs whose whole memory is opted in, and their memory as it stands, for the simulation to have the same."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager

import numpy as np

from pksm.errors import PksmError, UnsupportedError

PAGE_SIZE = 4096
_PR_SET_MEMORY_MERGE = 67
_PRESENT, _FILE = np.uint64(1 << 63), np.uint64(1 << 61)
_FRAME = np.uint64((1 << 55) - 1)
_ZERO_PAGE = 1 << 24  # in /proc/kpageflags
PYTHON = """
import decimal, email, json, xml.dom
text = [bytes([i]) * (1 << 19) for i in range(6)]
print(flush=True)
input()
"""


@contextmanager
def interpreters(n=3):
    """n interpreters with some modules and strings, standing still: their process ids."""
    with ExitStack() as stack:
        started = [stack.enter_context(_opted_in([sys.executable, "-I", "-c", PYTHON])) for _ in range(n)]
        for process in started:
            process.stdout.readline()
        yield _stopped([process.pid for process in started])


@contextmanager
def redis_servers(n=2):
    """n redis servers, empty, standing still: their process ids. UnsupportedError where redis-server is missing."""
    server = shutil.which("redis-server")
    if server is None:
        raise UnsupportedError("redis-server: not installed")
    with ExitStack() as stack:
        pids = []
        for _ in range(n):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            path = os.path.join(folder, "socket")
            command = [server, "--port", "0", "--unixsocket", path, "--dir", folder, "--save", ""]
            pids.append(stack.enter_context(_opted_in(command)).pid)
            end = time.monotonic() + 20
            while not os.path.exists(path):
                if time.monotonic() > end:
                    raise PksmError("redis-server: did not start within 20 s")
                time.sleep(0.01)
        yield _stopped(pids)


@contextmanager
def _opted_in(command):
    """Start a program all of whose memory may be merged, and end it."""
    prctl = ctypes.CDLL(None).prctl
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: prctl(_PR_SET_MEMORY_MERGE, 1, 0, 0, 0),
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _stopped(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
        while not _is_stopped(pid):
            time.sleep(0.001)
    return pids


def _is_stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


def mergeable_memory(pid):
    """Yield (address, n pages, virtual pages that ksmd can see, their bytes) of each mergeable mapping of a process.

    Seen are anonymous pages that are there, but for the kernel's zero page.
    """
    with open(f"/proc/{pid}/pagemap", "rb", 0) as pagemap, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for start, end in _mergeable(pid):
            first, n = start // PAGE_SIZE, (end - start) // PAGE_SIZE
            entries = np.frombuffer(os.pread(pagemap.fileno(), n * 8, first * 8), np.uint64)
            seen = np.flatnonzero((entries & (_PRESENT | _FILE)) == _PRESENT)
            seen = seen[~_are_zero(entries[seen] & _FRAME)]
            pages = np.empty((len(seen), PAGE_SIZE), np.uint8)
            for run in np.split(np.arange(len(seen)), np.flatnonzero(np.diff(seen) != 1) + 1):
                if len(run):
                    at = start + int(seen[run[0]]) * PAGE_SIZE
                    data = os.pread(memory.fileno(), len(run) * PAGE_SIZE, at)
                    pages[run] = np.frombuffer(data, np.uint8).reshape(-1, PAGE_SIZE)
            yield start, n, first + seen, pages


def _are_zero(frames):
    """Return a bool array: which of the frames are the kernel's zero page."""
    with open("/proc/kpageflags", "rb", 0) as flags:
        once, which = np.unique(frames, return_inverse=True)
        read = [int.from_bytes(os.pread(flags.fileno(), 8, int(frame) * 8), "little") for frame in once]
    return (np.array(read, np.uint64) & np.uint64(_ZERO_PAGE) != 0)[which]


def _mergeable(pid):
    """Return (start, end) of the mappings with the flag mg."""
    spans, span = [], None
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as smaps:
        for line in smaps:
            head = line.split(maxsplit=1)[0]
            if "-" in head and not head.endswith(":"):
                span = tuple(int(end, 16) for end in head.split("-"))
            elif head == "VmFlags:" and "mg" in line.split():
                spans.append(span)
    return spans
