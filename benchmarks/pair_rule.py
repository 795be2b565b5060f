"""Measures what UKSM's pair rule costs on real memory: `python benchmarks/pair_rule.py [FILE] [--image PATH]...`.

With the quirk first-not-counted the second of two equal pages is put beside the first, and they merge when the first is
visited again. Programs are started, read while they stand still, and merged by uksm with the quirk and without it. What
counts are visits, the daemon's virtual time and its CPU time by the model, until shares of all that can be saved are
saved. What that is comes from a count of contents; uksm must save no more. Writes JSON to FILE.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from one_line import one_line
from storing import made_by, store

from pksm.errors import PksmError
from pksm.hosts.flat import FlatHost
from pksm.policies.uksm import cpu
from pksm.policies.uksm.course import Course
from pksm.policies.uksm.daemon import Uksm
from pksm.policies.uksm.spec import PRESETS
from pksm.scan.gather import gather
from pksm.sources import open_target
from pksm.sources.live.freeze import Freezer
from pksm.sources.live.process import ProcessSource

PRESET, QUIRK = "uksm-0.1.2", "first-not-counted"
SHARES = (50, 90, 99)  # per cent of what can be saved
PATIENCE = 8  # cycles without a merge after which it is over
MOST_WAKES = 20_000
PYTHON = """import json, decimal, email.message, http.client, numpy, sys
model = numpy.random.default_rng(1).standard_normal(2_000_000)
print(flush=True)
sys.stdin.read()"""
POSTGRES = shutil.which("postgres")


class TimedCourse(Course):
    """Adds up the CPU time of the model."""

    ns = 0

    def batch_ns(self, done: cpu.Done) -> int:
        ns = super().batch_ns(done)
        self.ns += ns
        return ns


@contextmanager
def started(command: list[str], wait, **more) -> Iterator[int]:
    """Start a program, wait(process) until it is ready, and end it."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **more
    )
    try:
        wait(process)
        yield process.pid
    finally:
        process.terminate()
        process.communicate()


def _until(condition, what: str) -> None:
    end = time.monotonic() + 120
    while not condition():
        if time.monotonic() > end:
            raise PksmError(f"{what}: not ready within 120 s")
        time.sleep(0.05)


@contextmanager
def pythons(n: int = 2) -> Iterator[list[int]]:
    """Interpreters with the same modules and the same 16 MB of numbers."""
    with ExitStack() as stack:
        command = [sys.executable, "-c", PYTHON]
        yield [stack.enter_context(started(command, lambda process: process.stdout.readline())) for _ in range(n)]


@contextmanager
def redis_servers(n: int = 2, keys: int = 50_000) -> Iterator[list[int]]:
    """Redis servers with the same keys and values."""
    with ExitStack() as stack:
        pids = []
        for _ in range(n):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            path = os.path.join(folder, "socket")
            command = ["redis-server", "--port", "0", "--unixsocket", path, "--dir", folder, "--save", ""]
            pids.append(
                stack.enter_context(
                    started(command, lambda _, path=path: _until(lambda: os.path.exists(path), "redis"))
                )
            )
            lines = "".join(f"SET key:{key} {key * 2654435761 % 2**32:0200d}\r\n" for key in range(keys))
            subprocess.run(
                ["redis-cli", "-s", path, "--pipe"], check=True, input=lines.encode(), stdout=subprocess.DEVNULL
            )
        yield pids


@contextmanager
def postgres_servers(n: int = 2) -> Iterator[list[int]]:
    """PostgreSQL servers, each with a pgbench database of the same rows: their processes."""
    user = "postgres" if os.geteuid() == 0 else None
    near = Path(os.path.realpath(POSTGRES)).parent
    with ExitStack() as stack:
        pids = []
        for _ in range(n):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            os.chmod(folder, 0o777)
            data = os.path.join(folder, "data")
            subprocess.run(
                [near / "initdb", "-D", data, "-A", "trust"], check=True, user=user, stdout=subprocess.DEVNULL
            )
            command = [
                str(near / "postgres"),
                "-D",
                data,
                "-k",
                folder,
                "-c",
                "listen_addresses=",
                "-c",
                "shared_buffers=64MB",
                "-c",
                "autovacuum=off",
            ]
            socket = os.path.join(folder, ".s.PGSQL.5432")
            pid = stack.enter_context(
                started(command, lambda _, s=socket: _until(lambda: os.path.exists(s), "postgres"), user=user)
            )
            _until(
                lambda f=folder: (
                    not subprocess.run([near / "pg_isready", "-h", f], stdout=subprocess.DEVNULL).returncode
                ),
                "postgres",
            )
            fill = [near / "pgbench", "-h", folder, "-i", "-s", "3", "-q", "postgres"]
            subprocess.run(fill, check=True, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            pids.append(pid)
        time.sleep(1)  # what served pgbench ends
        yield [pid for parent in pids for pid in (parent, *_children(parent))]


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


LIVE = {
    "2 Pythons with one model": pythons,
    "2 redis servers": redis_servers,
    "2 PostgreSQL servers": postgres_servers,
}


def gathered_from(sources):
    """Return the pages of sources, as scanning reads them; processes stand still meanwhile."""
    live = [source for source in sources if isinstance(source, ProcessSource)]
    with Freezer(live):
        return gather(sources, 4096, "frames", lambda pages: None)


def contents_of(store, pages):
    """Return how many pages have each content, and whether it is zeros: by two independent sums over all bytes."""
    rng = np.random.default_rng(1)
    factors = rng.integers(1, 1 << 63, (2, 512), dtype=np.uint64) | np.uint64(1)
    sums = np.zeros((len(pages), 2), np.uint64)
    for start in range(0, len(pages), 4096):
        words = store.bytes_of(pages[start : start + 4096]).view(np.uint64)
        for column in range(2):
            mixed = (words ^ (words >> np.uint64(31))) * factors[column]
            sums[start : start + 4096, column] = (mixed ^ (mixed >> np.uint64(29))).sum(1, dtype=np.uint64)
    _, first, counts = np.unique(sums, axis=0, return_index=True, return_counts=True)
    return counts, np.array([not store.bytes_of(pages[one : one + 1]).any() for one in first])


def play(gathered, settings, possible: int) -> dict[str, object]:
    """Merge with these settings, and return when shares of the possible saving were saved, and what it took."""
    host = FlatHost(gathered.store)
    course = TimedCourse(0)
    policy = Uksm(host, settings, course=course)
    pages = gathered.born.take(0, len(gathered.born))
    host.add(pages)
    reached: dict[int, dict[str, float]] = {}
    visits = fruitless = ms = saved = 0
    while fruitless < PATIENCE * len(pages) and policy.sleep_times < MOST_WAKES and len(reached) < len(SHARES):
        ms += policy.next_wake() or 0
        done = policy.wake()
        visits += done
        fruitless += max(1, done)
        if host.frames_saved != saved:
            fruitless, saved = 0, host.frames_saved
        for share in SHARES:
            if share not in reached and 100 * saved >= share * possible:
                reached[share] = {"visits": visits, "virtual_s": ms / 1000, "cpu_s": round(course.ns / 1e9, 4)}
    policy.check()
    if saved > possible:
        raise PksmError(f"uksm has saved {saved:,} frames of {possible:,} that can be saved")
    counters = policy.counters()
    return {
        "saved": saved,
        "visits": visits,
        "virtual_s": ms / 1000,
        "reached": {str(one): reached.get(one) for one in SHARES},
        "ema_per_page_time": counters["ema_per_page_time"],
        "wake_ups": counters["sleep_times"],
    }


def measure(name: str, openers) -> dict[str, object]:
    """Return what one memory holds, and both runs on it. openers: of its sources."""
    with ExitStack() as stack:
        return _measured(name, gathered_from([stack.enter_context(closing(opener())) for opener in openers]))


def _measured(name: str, gathered) -> dict[str, object]:
    pages = gathered.born.take(0, len(gathered.born))
    counts, zero = contents_of(gathered.store, pages)
    saving = int(len(pages) - len(counts) + zero.sum())  # all zero pages go
    pairs = int(((counts == 2) & ~zero).sum())
    settings = PRESETS[PRESET]
    runs = {
        "with": play(gathered, settings, saving),
        "without": play(gathered, settings.with_(quirks=settings.quirks - {QUIRK}), saving),
    }
    return {
        "memory": name,
        "pages": len(pages),
        "possible": saving,
        "zero": int(counts[zero].sum()),
        "pairs": pairs,
        "runs": runs,
    }


def about(document):
    """Return what the table is of, in a sentence or two."""
    return (
        f"Made by `{document['command']}`: memory of live programs, read while they stood still, merged by the preset "
        f"`{document['preset']}` with the quirk and without it, until 90 % of what can be saved was saved. Seconds are "
        "virtual, and the daemon's CPU time is the model's."
    )


def table(document):
    """Return the lines of a table: what the rule costs, with the quirk and without it."""
    head = "| memory | pages | can be saved | pairs | visits | s | CPU ms | without: visits | s | CPU ms |"
    lines = [head, "|---" * 10 + "|"]
    for row in document["rows"]:
        cells = [row["memory"], *(f"{row[name]:,}" for name in ("pages", "possible", "pairs"))]
        for run in ("with", "without"):
            reached = row["runs"][run]["reached"]["90"]
            if reached is None:  # the run was at rest before
                cells += ["-"] * 3
                continue
            cells += [f"{reached['visits']:,}", f"{reached['virtual_s']:.1f}", f"{1000 * reached['cpu_s']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


@one_line
def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/pair_rule.py", description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", metavar="FILE", help="for the JSON")
    parser.add_argument("--image", action="append", default=[], help="an image of memory besides")
    parser.add_argument("--only", action="append", choices=list(LIVE), help="of the live memories (all)")
    given = parser.parse_args(argv)
    rows = []
    for name in given.only or LIVE:
        with LIVE[name]() as pids:
            rows.append(measure(name, [partial(ProcessSource, pid) for pid in pids]))
            print(json.dumps(rows[-1]), flush=True)
    for path in given.image:
        rows.append(measure(os.path.basename(path), [partial(open_target, path)]))
        print(json.dumps(rows[-1]), flush=True)
    store(given.file, made_by("pair_rule", preset=PRESET, quirk=QUIRK, rows=rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
