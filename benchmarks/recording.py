"""Measures what recording costs the recorder and the process: `python benchmarks/recording.py [FILE]`.

A process holds 1 GiB and writes 5 % of its pages each second, spread over all of it. It is recorded with writes reported by
the kernel, a sample per second, and its own throughput is compared with that when it is alone. Then hash differences of
memory that nobody writes. The middle of several samples counts. Writes JSON to FILE and prints a line; no verdict, but
the targets beside.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from statistics import median

from storing import store

from pksm.bench.run import machine
from pksm.recording.members import Targets
from pksm.recording.recorder import Tally, record

SECONDS, EVERY_S, SAMPLES, ROUNDS = 6.5, 1.0, 5, 3
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
    cpu = time.process_time()
    while time.monotonic() < until:
        if n and time.monotonic() >= due:
            pages = rng.integers(0, len(words), n)
            words[pages, 1] += np.uint64(1)
            due += 0.01
        np.sqrt(work).sum()
        done += 1
    print(done / (time.process_time() - cpu), flush=True)
"""


def start(size: int, share: float) -> subprocess.Popen:
    """Start a writer, and wait until its memory is there."""
    command = [sys.executable, "-c", WRITER, str(size), str(share)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


def speed_of(process: subprocess.Popen, recording: Callable[[], dict]) -> tuple[float, dict]:
    """Return (rounds per second of its CPU time while it is recorded, what that took)."""
    process.stdin.write(f"{SECONDS}\n")
    process.stdin.flush()
    took = recording()
    return float(process.stdout.readline()), took


def recorded(pid: int, track: str, samples: int, folder: str) -> dict:
    """Record a process, and return what the first sample took and what those behind it did: the middle one, and all."""
    seen: list[Tally] = []

    def progress(tally: Tally) -> None:
        seen.append(replace(tally))
        if tally.samples > samples:
            raise KeyboardInterrupt

    path = os.path.join(folder, f"{time.monotonic_ns()}")
    record(path, Targets(pids=[pid]), round(1000 * EVERY_S), track=track, progress=progress)
    read = [then.pages_read - before.pages_read for before, then in pairwise(seen)]
    if min(read) < LEAST * max(read):
        raise SystemExit(
            f"samples read {read} pages: they came late, when nothing was written; measure on an idle machine"
        )
    each = [round(then.cpu_s - before.cpu_s, 4) for before, then in pairwise(seen)]
    return {
        "samples": samples,
        "cpu_s_per_sample": round(median(each), 4),
        "cpu_s": each,
        "first_cpu_s": round(seen[0].cpu_s, 4),
        "pages_per_sample": sum(read) // samples,
    }


def table(document: dict) -> list[str]:
    """Return the lines of the table of a document of this script: the middle round, and the least and most of all."""
    rounds = document["writes"]
    cpu = sorted(100 * each["cpu_s_per_sample"] / EVERY_S for each in rounds)
    slower = sorted(100 * each["slower"] for each in rounds)
    size, hashed = document["mib"] / 1024, document["hashed_mib"] / 1024
    return [
        "| a sample per second | measured | least to most | at most |",
        "|---|--:|--:|--:|",
        f"| `--track writes` of {size:g} GiB that writes 5 % per second: of a core | {median(cpu):.1f} % | "
        f"{cpu[0]:.1f} to {cpu[-1]:.1f} % | 5 % |",
        f"| the same: what the writer gets done less | {median(slower):.1f} % | {slower[0]:.1f} to {slower[-1]:.1f} % | 2 % |",
        f"| checksums of all pages of {hashed:g} GiB: CPU time of a sample | "
        f"{document['hashes']['cpu_s_per_sample']:.2f} s | | 1 s |",
    ]


def main(words: list[str]) -> int:
    """Measure, print and store; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", help="where the JSON goes")
    parser.add_argument("--mib", type=int, default=1024, help="of memory that is written")
    parser.add_argument("--hashed-mib", type=int, default=4096, help="of memory that is hashed")
    given = parser.parse_args(words)
    found: dict = {"command": "python benchmarks/recording.py", "machine": machine(), "mib": given.mib}
    with tempfile.TemporaryDirectory() as folder:
        with start(given.mib << 20, 5) as process:
            rounds = []
            for _ in range(ROUNDS):  # in turns, for the machine is not always as fast
                alone, _ = speed_of(process, dict)
                tracked, took = speed_of(process, lambda: recorded(process.pid, "writes", SAMPLES, folder))
                rounds.append({"alone": alone, "tracked": tracked, "slower": round(1 - tracked / alone, 4), **took})
            process.kill()
        found["writes"] = rounds
        with start(given.hashed_mib << 20, 0) as process:
            found["hashes"] = recorded(process.pid, "hashes", SAMPLES, folder)
            process.kill()
    found["hashed_mib"] = given.hashed_mib
    middle = sorted(rounds, key=lambda each: each["slower"])[len(rounds) // 2]
    cpu = median(each["cpu_s_per_sample"] for each in rounds)
    print(
        f"tracking {given.mib} MiB: {100 * cpu:.1f} % of a core (target 5), the writer {100 * middle['slower']:.1f} % slower "
        f"(target 2); hashing {given.hashed_mib} MiB: {found['hashes']['cpu_s_per_sample']:.2f} s of CPU (target 1)"
    )
    store(given.file, found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
