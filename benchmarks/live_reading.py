"""Times the reading of a live process beside process_vm_readv alone, in turn, and checks every byte that was read.

The process is a child that holds numbered words on pages of 4 KiB. It sleeps while it is read, or writes one page over
and over (`running`): then all of it is looked at a second time. Both ways copy into memory that was touched before.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
from one_line import one_line

from pksm import extents
from pksm.engine.memory import zeros
from pksm.errors import PksmError
from pksm.linux.proc import memory as readv
from pksm.linux.proc import pagemap
from pksm.sources import open_pid
from pksm.sources.base import Allocation

WORDS = pagemap.PAGE_SIZE // 8
ALONE_BYTES = 4 << 20  # a call of process_vm_readv alone: with 1 MiB, a tenth more of the time goes to what calls cost
# Prints where its pages start, and goes on when its input ends.
CHILD = """
import mmap, sys, time
import numpy as np
pages, running = int(sys.argv[1]), sys.argv[2] == "running"
memory = mmap.mmap(-1, pages * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_NOHUGEPAGE)
words = np.frombuffer(memory, np.uint64)
words[:] = np.arange(len(words))
own = np.zeros(1, np.uint64)
print(words.ctypes.data, flush=True)
if running:
    while True:
        own[0] += 1
        time.sleep(0.001)
sys.stdin.read()
"""


@contextlib.contextmanager
def child(n_pages, how):
    """Run a child that holds so many pages, `asleep` or `running`; give its pid and where they start."""
    command = [sys.executable, "-c", CHILD, str(n_pages), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            start = int(process.stdout.readline())
            asleep = 0
            while how == "asleep" and asleep < 5:  # it has answered, but may not have gone to sleep
                time.sleep(0.02)
                asleep = asleep + 1 if "\nState:\tS" in Path(f"/proc/{process.pid}/status").read_text() else 0
            yield process.pid, start
        finally:
            process.kill()


def read_alone(pid, start, buffer):
    """Copy the pages from `start` on by process_vm_readv and nothing else."""
    here = buffer.ctypes.data
    for at in range(0, buffer.nbytes, ALONE_BYTES):
        size = min(ALONE_BYTES, buffer.nbytes - at)
        local = np.array([(here + at, size)], readv.IOVEC)
        remote = np.array([(start + at, size)], readv.IOVEC)
        if readv._vm_readv(pid, local.ctypes.data, 1, remote.ctypes.data, 1, 0) != size:
            raise PksmError(f"pid {pid}: process_vm_readv was short")


def read_live(pid, buffer, racy="keep"):
    """Read a process as a scan does; return the regions, which share the buffer one after the other, and the facts."""
    taken = 0

    def allocate(n_pages):
        nonlocal taken
        taken += n_pages
        return Allocation(buffer[taken - n_pages : taken])

    with contextlib.closing(open_pid(pid, racy)) as source:
        return list(source.regions(pagemap.PAGE_SIZE, allocate, lambda pages: None)), source.facts()


def check(regions, start, n_pages):
    """Raise PksmError unless all pages of the child were read as they are."""
    seen = 0
    for region in regions:
        data = extents.data_runs(region.runs)
        inside = (data["address"] >= start) & (data["address"] < start + n_pages * pagemap.PAGE_SIZE)
        for _, _, address, pages, first in data[inside].tolist():
            words = region.buffer[first : first + pages].view(np.uint64).reshape(-1)
            at = (address - start) // 8
            if not np.array_equal(words, np.arange(at, at + len(words), dtype=np.uint64)):
                raise PksmError(f"pages from {address:#x} on were not read as they are")
            seen += pages
    if seen != n_pages:
        raise PksmError(f"{seen} pages were read, not {n_pages}")


def measure(n_pages, how="asleep", racy="keep", repeats=5):
    """Return {alone_ns, live_ns, ratio, pages, racy}: medians by page read, and live reading's speed over the other's.

    A scan reads all of the process: what the interpreter holds, too, which process_vm_readv alone is spared.
    """
    buffer = zeros((n_pages + n_pages // 8 + (1 << 14), pagemap.PAGE_SIZE))
    buffer[:] = 1
    alone_ns, live_ns = [], []
    with child(n_pages, how) as (pid, start):
        for _ in range(repeats):
            began = time.perf_counter()
            read_alone(pid, start, buffer[:n_pages])
            alone_ns.append((time.perf_counter() - began) / n_pages * 1e9)
            buffer[:n_pages, :8] = 0
            began = time.perf_counter()
            regions, facts = read_live(pid, buffer, racy)
            took = time.perf_counter() - began
            n_read = sum(int(extents.data_runs(region.runs)["pages"].sum()) for region in regions)
            live_ns.append(took / n_read * 1e9)
            check(regions, start, n_pages)
    alone, live = median(alone_ns), median(live_ns)
    return {"alone_ns": alone, "live_ns": live, "ratio": alone / live, "pages": n_read, "racy": facts["racy"]}


@one_line
def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/live_reading.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=int, default=1 << 18, help="pages of the child (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="of each way, for the median (%(default)s)")
    options = parser.parse_args(argv)
    print(f"{options.pages:,} pages of {pagemap.PAGE_SIZE} bytes, {len(os.sched_getaffinity(0))} CPUs")
    for how in ("asleep", "running"):
        for racy in ("keep", "unchecked"):
            found = measure(options.pages, how, racy, options.repeats)
            print(
                f"{how:8} --racy {racy:10} {found['live_ns']:5.0f} ns a page, process_vm_readv alone "
                f"{found['alone_ns']:5.0f}: {100 * found['ratio']:.0f} % of its speed"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
