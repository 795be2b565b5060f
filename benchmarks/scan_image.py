"""Times `taskset -c CPU pksm scan --threads 1` of an image in the page cache, and watches its anonymous memory.

The image is made of a load, read once so that the page cache holds it, and deleted at the end. What the scan says is
checked against the load's true answer.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from one_line import one_line

from pksm.errors import PksmError
from pksm.simulation.workloads import make

PAGE_SIZE = 4096
POLL_S = 0.005
WRITTEN_PAGES = 1 << 11  # at once


def make_image(path, load, n_pages):
    """Write the load to a file, have it in the page cache and clean, and return the load.

    It is written in large pieces, as dumps and copies are. A file written through a mapping lies in the page cache page
    by page, and takes five times as many faults to map.
    """
    memory = np.empty((n_pages, PAGE_SIZE), np.uint8)
    made = make(load, memory)
    with open(path, "wb", buffering=0) as file:
        for start in range(0, n_pages, WRITTEN_PAGES):
            file.write(memory[start : start + WRITTEN_PAGES])
        os.fsync(file.fileno())
    return made


def scan(path, cpu):
    """Scan on one CPU; return (result, {wall_s, cpu_s, rss_anon_kib, disk_blocks}). rss_anon_kib: the most it had."""
    command = [sys.executable, "-m", "pksm", "scan", "--threads", "1", "--json", str(path)]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdout=out, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
        most = 0
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            most = max(most, rss_anon_kib(child.pid))
            time.sleep(POLL_S)
        wall_s = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise PksmError(f"pksm scan ended with exit code {child.returncode}")
        out.seek(0)
        result = json.load(out)
    spent = usage.ru_utime + usage.ru_stime
    return result, {"wall_s": wall_s, "cpu_s": spent, "rss_anon_kib": most, "disk_blocks": usage.ru_inblock}


def rss_anon_kib(pid):
    """Return the resident anonymous memory of a process, 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)
    except OSError:
        return 0


def check(result, load):
    """Raise PksmError unless the scan counted what is there."""
    for name, count in load.expected().items():
        if result["totals"][name] != count:
            raise PksmError(f"pksm scan: {name} should be {count}, found {result['totals'][name]}")


def measure(n_pages, load="f", repeats=3, cpu=0, directory=None):
    """Return the measurements of all repeats; a directory on a real file system holds the image meanwhile."""
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        path = Path(scratch, "image")
        made = make_image(path, load, n_pages)
        runs = []
        for _ in range(repeats):
            result, run = scan(path, cpu)
            check(result, made)
            runs.append(run)
    return runs


@one_line
def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/scan_image.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=int, default=1 << 20, help="pages of 4 KiB (%(default)s)")
    parser.add_argument("--load", default="f", help="what is in it (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="scans (%(default)s)")
    parser.add_argument("--cpu", type=int, default=0, help="the one to scan on (%(default)s)")
    parser.add_argument("--directory", type=Path, help="where the image may lie (the system's place for such files)")
    options = parser.parse_args(argv)
    for run in measure(options.pages, options.load, options.repeats, options.cpu, options.directory):
        print(
            f"{run['wall_s']:.2f} s wall, {run['cpu_s']:.2f} s CPU, RssAnon up to {run['rss_anon_kib'] >> 10} MiB, "
            f"{run['disk_blocks']} blocks from disk"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
