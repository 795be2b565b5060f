"""Children that do what a test says, a line of Python at a time, and what is read of their memory."""

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np

from pksm import sources
from pksm.extents import State
from pksm.linux.proc import pagemap

PAGE = pagemap.PAGE_SIZE

# A child does what it is told, one line of Python at a time; area(n) is private memory without huge pages.
CHILD = """
import ctypes, mmap, os, signal, sys
def area(pages, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, fd=-1, advice=mmap.MADV_NOHUGEPAGE):
    global memory, start
    memory = mmap.mmap(fd, pages * %d, flags=flags)
    if advice is not None:
        memory.madvise(advice)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
def put(page, data):
    memory[page * %d : page * %d + len(data)] = data
libc = ctypes.CDLL(None)
area(64)
for line in sys.stdin:
    exec(line)
    print(start, flush=True)
""".replace("%d", str(PAGE))


class Child:
    """A Python interpreter that runs lines and tells where its area starts."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self.process.pid

    def run(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def kill(self):
        self.process.kill()
        self.process.wait()


def pagemap_scan_works():
    with contextlib.closing(pagemap.Pagemap(os.getpid())) as own:
        return own.tells_zero_pages


def allocate(n_pages):
    return sources.Allocation(np.zeros((n_pages, PAGE), np.uint8))


def read(pid, allocate=allocate, progress=lambda pages: None):
    """Read a process; return (source, regions)."""
    with contextlib.closing(sources.open_pid(pid)) as source:
        return source, list(source.regions(PAGE, allocate, progress))


def pages_of(regions, start, n_pages, what="bytes"):
    """Return {page: bytes, or its frame, or its state if it is not DATA} for `n_pages` from `start` on."""
    found = {}
    for region in regions:
        for state, _, address, pages, first in region.runs.tolist():
            for page in range(pages):
                number = (address - start) // PAGE + page
                if not 0 <= number < n_pages:
                    continue
                assert number not in found, "no page is told twice"
                place = first + page
                if state != State.DATA:
                    found[number] = State(state)
                elif what == "bytes":
                    found[number] = region.buffer[place].tobytes()
                else:
                    found[number] = (int(region.frames[place]), bool(region.exclusive[place]))
    return found


def whole(text):
    return text.ljust(PAGE, b"\0")


@contextlib.contextmanager
def forked_from(child, line):
    """Let the child fork a process that runs `line` and pauses; give its pid."""
    child.run(
        f"pid = os.fork(); (os.dup2(os.open('/dev/null', os.O_RDWR), 1), {line}, signal.pause()) if pid == 0 else None"
    )
    with open(f"/proc/{child.pid}/task/{child.pid}/children") as children:
        forked = int(children.read())
    try:
        yield forked
    finally:
        os.kill(forked, signal.SIGKILL)


def wait_for(condition):
    for _ in range(1000):
        if condition():
            return
        signal.sigtimedwait([], 0.01)
    raise AssertionError("it never happened")
