"""Times `pksm scan` of a parent and its forks, and watches its memory: `python benchmarks/fork_families.py [FILE]`.

The processes share most of their frames, and each child has written some. The answer is checked against all frames that
the page maps name, each read once. Takes root. Writes JSON to FILE, prints a line, and ends with 1 when a target is
missed.
"""

import argparse
import contextlib
import hashlib
import json
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from one_line import one_line
from storing import store

from pksm.bench.run import machine
from pksm.errors import PksmError, UnsupportedError

PAGE = mmap.PAGESIZE
PROGRAM = Path(__file__).with_name("fork_family.c")
MOST_SECONDS, MOST_MIB, TARGET_CHILDREN = 20, 600, 5000
FRAME = np.uint64((1 << 55) - 1)
FLAGS_AT, ANONYMOUS = np.uint64(61), 4  # the topmost bits: present, swapped, of a file
SLEEP_S = 0.05


@contextlib.contextmanager
def family(children, pages, own):
    """Run a parent of so many pages and its forks, of which each writes `own` pages; give their pids, all asleep."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise UnsupportedError("there is no C compiler for the program that forks")
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory, "fork_family")
        subprocess.run([compiler, "-O1", "-o", program, PROGRAM], check=True)
        command = [program, *map(str, (children, pages, own))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
            pids = []
            try:
                pids = [int(word) for word in parent.stdout.readline().split()]
                if len(pids) != children + 1:
                    raise PksmError(f"{max(0, len(pids) - 1)} of {children} forks: give it more processes or memory")
                while not all(_sleeps(pid) for pid in pids):
                    time.sleep(SLEEP_S)
                yield pids
            finally:
                parent.kill()  # its forks die with it


def _sleeps(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("S")


def scan(pids):
    """Scan these processes; return (result, {wall_s, cpu_s, peak_mib})."""
    command = [sys.executable, "-m", "pksm", "scan", "--json", "--pid", " ".join(map(str, pids))]
    with tempfile.TemporaryFile() as out:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=out)
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise PksmError(f"pksm scan ended with exit code {child.returncode}")
        out.seek(0)
        return json.load(out), {
            "wall_s": wall_s,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_mib": usage.ru_maxrss / 1024,
        }


def truth(pids):
    """Return the counts of a scan's totals, from page maps and bytes, each frame read once."""
    seen, digests = np.zeros(1 << 24, bool), []
    seen[_zero_frame()] = True
    nothing = hashlib.sha256(bytes(PAGE)).digest()
    for pid in pids:
        with open(f"/proc/{pid}/pagemap", "rb", 0) as pagemap, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for start, end in _areas(pid):
                data = os.pread(pagemap.fileno(), (end - start) // PAGE * 8, start // PAGE * 8)
                entries = np.frombuffer(data, np.uint64)
                at = np.flatnonzero(entries >> FLAGS_AT & np.uint64(7) == np.uint64(ANONYMOUS))
                frames = (entries[at] & FRAME).astype(np.int64)
                if not frames.all():
                    raise UnsupportedError("frame numbers are not shown: run it as root")
                if len(frames) and frames.max() >= len(seen):
                    seen = np.append(seen, np.zeros(int(frames.max()) + 1 - len(seen) + (1 << 20), bool))
                new = ~seen[frames]
                seen[frames] = True
                for page in at[new].tolist():
                    digests.append(hashlib.sha256(os.pread(memory.fileno(), PAGE, start + page * PAGE)).digest())
    zero, distinct = digests.count(nothing), len(set(digests))
    duplicates = len(digests) - distinct - max(0, zero - 1)
    return {"pages": len(digests), "zero": zero, "distinct": distinct, "duplicates": duplicates}


def _areas(pid):
    """Yield (start, end) of the areas that can hold pages of the process's own."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, *_, name = (*line.split(maxsplit=5), "") if len(line.split()) < 6 else line.split(maxsplit=5)
        if not name.startswith(("[vvar", "[vsyscall")):
            yield tuple(int(address, 16) for address in span.split("-"))


def _zero_frame():
    """Return the frame of pages that were read and never written."""
    page = mmap.mmap(-1, PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    view = np.frombuffer(page, np.uint8)
    view.max()
    with open("/proc/self/pagemap", "rb", 0) as own:
        entry = int.from_bytes(os.pread(own.fileno(), 8, view.ctypes.data // PAGE * 8), "little")
    return entry & int(FRAME)


def check(result, counts):
    """Raise PksmError unless the scan counted what is there."""
    for name, count in counts.items():
        if result["totals"][name] != count:
            raise PksmError(f"pksm scan: {name} should be {count}, found {result['totals'][name]}")


def measure(children, pages, own, repeats):
    """Return the document: each run, and what the processes hold."""
    with family(children, pages, own) as pids:
        counts, runs = truth(pids), []
        for _ in range(repeats):
            result, run = scan(pids)
            check(result, counts)
            runs.append({**run, "mappings": sum(source["mappings"] for source in result["sources"])})
    return {
        "command": "python benchmarks/fork_families.py",
        "machine": machine(),
        "children": children,
        "parent_pages": pages,
        "written_pages": own,
        "page_size": PAGE,
        "totals": counts,
        "runs": runs,
    }


def missed(document):
    """Return a line for each target that is missed; they are meant for the default sizes."""
    best = {name: min(run[name] for run in document["runs"]) for name in ("wall_s", "peak_mib")}
    lines = []
    if document["children"] >= TARGET_CHILDREN and best["wall_s"] > MOST_SECONDS:
        lines.append(f"{best['wall_s']:.1f} s, not {MOST_SECONDS}")
    if best["peak_mib"] > MOST_MIB:
        lines.append(f"{best['peak_mib']:.0f} MiB, not {MOST_MIB}")
    return lines


@one_line
def main(argv):
    parser = argparse.ArgumentParser(
        prog="python benchmarks/fork_families.py", description=__doc__.partition("\n")[0].partition(": ")[0]
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="where the result goes, as JSON")
    parser.add_argument("--children", type=int, default=TARGET_CHILDREN, help="forks (%(default)s)")
    parser.add_argument("--pages", type=int, default=20 << 8, help="pages of the parent (%(default)s)")
    parser.add_argument("--own", type=int, default=4, help="of them, that each child writes (%(default)s)")
    parser.add_argument("--repeats", type=int, default=1, help="scans (%(default)s)")
    options = parser.parse_args(argv)
    document = measure(options.children, options.pages, options.own, options.repeats)
    store(options.file, document)
    totals = document["totals"]
    for run in document["runs"]:
        print(
            f"{options.children + 1:,} processes, {totals['pages']:,} frames mapped {run['mappings']:,} times: "
            f"{run['wall_s']:.2f} s wall, {run['cpu_s']:.2f} s CPU, {run['peak_mib']:.0f} MiB"
        )
    for line in missed(document):
        print(f"missed: {line}")
    return 1 if missed(document) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
