"""Measures what recording costs the recorder and the process: `python benchmarks/recording.py [FILE]`.

A process holds 1 GiB and writes 5 % of its pages each second, spread over all of it. It is recorded with writes reported by
the kernel, a sample per second: what the samples take, on average, and by how much the process's own throughput falls
while they are taken, in many short turns with and without, for a machine is not always as fast. The middle of all
turns counts. The process also times its writes themselves: what a page takes longer is the direct cost. Then hash
differences of memory that nobody writes, and beside it the mere copy of as many pages. Writes JSON to FILE and prints a line; no verdict, but the targets beside.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from statistics import mean, median, quantiles

import numpy as np
from one_line import one_line
from storing import made_by, store

from pksm.errors import PksmError
from pksm.recording.members import Targets
from pksm.recording.recorder import PAGE_SIZE, Tally, record

EVERY_S, SAMPLES = 1.0, 20
TURN_S, TURN_SAMPLES, TURNS = 4.0, 5, 16
HASHED_SAMPLES = 5
COPIED_BYTES = 1 << 29
LEAST = 0.6  # of the pages of another sample
WRITER = """
import mmap, sys, time
import numpy as np
size, share = int(sys.argv[1]), float(sys.argv[2])
memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_NOHUGEPAGE)
words = np.frombuffer(memory, np.uint64).reshape(-1, 512)
words[:] = np.arange(words.size, dtype=np.uint64).reshape(words.shape)
rng = np.random.default_rng(1)
work = np.arange(1 << 16, dtype=np.float64)
print(flush=True)
for line in sys.stdin:
    until, done, due, n = time.monotonic() + float(line), 0, time.monotonic(), int(share * len(words) / 100 / 100)
    cpu, spent, written = time.process_time(), 0.0, 0
    while time.monotonic() < until:
        if n and time.monotonic() >= due:
            pages = rng.integers(0, len(words), n)
            began = time.perf_counter()
            words[pages, 1] += np.uint64(1)
            spent, written, due = spent + time.perf_counter() - began, written + n, due + 0.01
        np.sqrt(work).sum()
        done += 1
    print(done / (time.process_time() - cpu), spent / max(written, 1), flush=True)
"""


class Process:
    """A process that writes. share: of its pages, in percent per second."""

    def __init__(self, size: int, share: float) -> None:
        command = [sys.executable, "-c", WRITER, str(size), str(share)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        self.answer()

    def write(self, seconds: float) -> None:
        """Let it write for some time."""
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()

    def answer(self) -> list[float]:
        """Wait until that is over; return (rounds per second of its CPU time, seconds that the write of a page took)."""
        return [float(word) for word in self._process.stdout.readline().split()]

    def close(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.communicate()


def copy_ns() -> float:
    """Return what the copy of a page takes this machine, in ns: from memory that no cache holds, 2 MiB at a time."""
    memory, window = np.ones(COPIED_BYTES, np.uint8), np.ones(1 << 21, np.uint8)
    began = time.thread_time()
    for at in range(0, len(memory), len(window)):
        np.copyto(window, memory[at : at + len(window)])
    return round(1e9 * (time.thread_time() - began) / (len(memory) // PAGE_SIZE), 1)


def recorded(process: Process, track: str, samples: int, seconds: float) -> list[Tally]:
    """Record a process so many samples more than the first, behind which it writes; return what there was after each."""
    seen: list[Tally] = []

    def progress(tally: Tally) -> None:
        seen.append(replace(tally))
        if tally.samples == 1 and seconds:
            process.write(seconds)
        if tally.samples > samples:
            raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "recording")
        record(path, Targets(pids=[process.pid]), round(1000 * EVERY_S), track=track, progress=progress)
    return seen


def costs(seen: list[Tally]) -> dict:
    """Return what the samples took that are behind the second, which comes early: all of them, their mean, the pages read."""
    steps = list(pairwise(seen))[1:]
    read = [then.pages_read - before.pages_read for before, then in steps]
    if min(read) < LEAST * max(read):
        raise PksmError(f"samples read {read} pages: some came late; measure on an idle machine")
    each = [round(then.cpu_s - before.cpu_s, 4) for before, then in steps]
    return {
        "samples": len(each),
        "cpu_s_per_sample": round(mean(each), 4),
        "cpu_s": each,
        "first_cpu_s": round(seen[0].cpu_s, 4),
        "pages_per_sample": sum(read) // len(each),
    }


def turns(process: Process, n_turns: int, seconds: float) -> list[dict]:
    """Let a process write alone and recorded in turns; each of the latter is compared with those beside it."""
    alone, found = [alone_for(process, seconds)], []
    for _ in range(n_turns):
        recorded(process, "writes", TURN_SAMPLES, seconds)  # until it has written
        speed, page_s = process.answer()
        alone.append(alone_for(process, seconds))
        (before, before_page_s), (after, after_page_s) = alone[-2:]
        found.append(
            {
                "alone": (before + after) / 2,
                "tracked": speed,
                "slower": round(1 - speed / ((before + after) / 2), 4),
                "page_s_alone": (before_page_s + after_page_s) / 2,
                "page_s_tracked": page_s,
            }
        )
    return found


def alone_for(process: Process, seconds: float) -> list[float]:
    """Let a process write for some time; return its answer."""
    process.write(seconds)
    return process.answer()


def direct(document: dict) -> float:
    """Return which share of its time the process spends on faults: what its writes take longer."""
    longer = median(turn["page_s_tracked"] - turn["page_s_alone"] for turn in document["turns"])
    return longer * document["writes"]["pages_per_sample"] / EVERY_S


def table(document: dict) -> list[str]:
    """Return the lines of the table of a document of this script: the middle, and between what half of all lie."""
    cpu, slower = ([100 * each for each in found] for found in (document["writes"]["cpu_s"], _slower(document)))
    size, hashed = document["mib"] / 1024, document["hashed_mib"] / 1024
    copied_s = mean(document["copy_ns"]) * document["hashes"]["pages_per_sample"] / 1e9
    return [
        "| a sample per second | measured | half of all | at most |",
        "|---|--:|--:|--:|",
        f"| `--track writes` of {size:g} GiB that writes 5 % per second: of a core, on average | {mean(cpu):.1f} % | "
        f"{_half(cpu)} | 5 % |",
        f"| the same: what the writer gets done less | {median(slower):.1f} % | {_half(slower)} | 2 % |",
        f"| of that, what its writes themselves take longer | {100 * direct(document):.1f} % | | |",
        f"| checksums of all pages of {hashed:g} GiB: CPU time of a sample | "
        f"{document['hashes']['cpu_s_per_sample']:.2f} s | | 1 s |",
        f"| to copy {hashed:g} GiB of memory of one's own, on this machine: CPU time | {copied_s:.2f} s | | |",
    ]


def _slower(document: dict) -> list[float]:
    return [turn["slower"] for turn in document["turns"]]


def _half(values: list[float]) -> str:
    low, _, high = quantiles(values, n=4)
    return f"{low:.1f} to {high:.1f} %"


@one_line
def main(words: list[str]) -> int:
    """Measure, print and store; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", help="where the JSON goes")
    parser.add_argument("--mib", type=int, default=1024, help="of memory that is written")
    parser.add_argument("--hashed-mib", type=int, default=4096, help="of memory that is hashed")
    given = parser.parse_args(words)
    found = made_by("recording", mib=given.mib, hashed_mib=given.hashed_mib)
    found["copy_ns"] = [copy_ns()]
    with closing(Process(given.mib << 20, 5)) as process:
        seconds = (SAMPLES + 2) * EVERY_S
        found["writes"] = costs(recorded(process, "writes", SAMPLES + 1, seconds))
        process.answer()
        found["turns"] = turns(process, TURNS, TURN_S)
    with closing(Process(given.hashed_mib << 20, 0)) as process:
        found["hashes"] = costs(recorded(process, "hashes", HASHED_SAMPLES + 1, 0))
    found["copy_ns"].append(copy_ns())
    print(
        f"tracking {given.mib} MiB: {100 * found['writes']['cpu_s_per_sample'] / EVERY_S:.1f} % of a core (target 5), the writer "
        f"{100 * median(_slower(found)):.1f} % slower (target 2; its writes themselves {100 * direct(found):.1f} %); "
        f"hashing {given.hashed_mib} MiB: {found['hashes']['cpu_s_per_sample']:.2f} s of CPU (target 1)"
    )
    store(given.file, found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
