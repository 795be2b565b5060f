"""Live memory: totals against brute force over the very bytes that were read, frames against mappings."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest

from pksm import sources
from pksm.extents import State
from pksm.linux.proc import pagemap
from pksm.scan import Settings, scan

from model.oracle import answer
from support.cli_runs import as_nobody, run

PAGE = pagemap.PAGE_SIZE
PAGES = 300

# Makes an area of pages: a third alike in all children, a third each one's own, a third zero; then forks if told to,
# and the worker writes over every tenth page. Prints one line when all is done.
CHILD = """
import mmap, os, random, sys
number, pages, workers = map(int, sys.argv[1:])
area = mmap.mmap(-1, pages * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area.madvise(mmap.MADV_NOHUGEPAGE)
for seed, start in ((0, 0), (number, pages // 3)):
    rng = random.Random(seed)
    for page in range(start, start + pages // 3):
        area[page * 4096 : page * 4096 + 4096] = rng.randbytes(4096)
area[pages // 3 * 2 * 4096 :] = bytes(len(area) - pages // 3 * 2 * 4096)
ready, done = os.pipe()
if workers and not os.fork():
    rng = random.Random("worker")
    for page in range(0, pages // 3, 10):
        area[page * 4096 : page * 4096 + 4096] = rng.randbytes(4096)
    os.write(done, str(os.getpid()).encode())
    sys.stdin.read()
    os._exit(0)
print(os.read(ready, 20).decode() if workers else "", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def children(count, workers=0):
    """Run interpreters and give the pids of all of them, workers too."""
    with contextlib.ExitStack() as stack:
        processes, pids = [], []
        for number in range(1, count + 1):
            process = subprocess.Popen(
                [sys.executable, "-c", CHILD, str(number), str(PAGES), str(workers)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)  # closes its input, which ends it and its worker, and waits
            processes.append(process)
        for process in processes:
            pids += [process.pid, *map(int, process.stdout.readline().split())]
        yield pids


class Recorder:
    """A source that keeps the bytes and frames of all that goes through it."""

    def __init__(self, source):
        self._source = source
        self.pages = []  # (frame or None, bytes) of each DATA page

    def __getattr__(self, name):
        return getattr(self._source, name)

    def parts(self):
        return [self]

    def regions(self, page_size, allocate, progress):
        for region in self._source.regions(page_size, allocate, progress):
            for state, _, _, pages, first in region.runs.tolist():
                for page in range(first, first + pages) if state == State.DATA else ():
                    alone = bool(region.exclusive[page])
                    self.pages.append((None if alone else int(region.frames[page]), region.buffer[page].tobytes()))
            yield region


def scan_recorded(pids, view):
    with contextlib.ExitStack() as stack:
        recorders = [Recorder(stack.enter_context(contextlib.closing(sources.open_pid(pid)))) for pid in pids]
        return scan(recorders, Settings(view=view)), recorders


def frames_of(pages):
    """Each frame once: those mapped once, and the shared ones by number."""
    return [content for frame, content in pages if frame is None] + list(
        {frame: content for frame, content in pages if frame}.values()
    )


def check(result, recorders, select):
    pages = select([page for recorder in recorders for page in recorder.pages])
    truth, totals = answer(pages), result["totals"]
    assert (totals["pages"], totals["zero"]) == (len(pages), truth.zero_pages)
    assert (totals["distinct"], totals["duplicates"]) == (truth.distinct, truth.pages_sharing)
    assert result["saving"]["nonzero_pages"] == truth.pages_sharing
    for source, recorder in zip(result["sources"], recorders, strict=True):
        own = select(recorder.pages)
        assert source["pages"]["data"] + source["pages"]["zero"] == len(own)
        assert source["duplicates"] == answer(own).pages_sharing


def contents(pages):
    return [content for _, content in pages]


def test_two_interpreters_are_counted_exactly():
    """What they share by design is there; all else they hold is compared with what was read."""
    with children(2) as pids:
        result, recorders = scan_recorded(pids, "mappings")
    check(result, recorders, contents)
    common = set(contents(recorders[0].pages)) & set(contents(recorders[1].pages)) - {bytes(PAGE)}
    assert len(common) >= PAGES // 3
    assert result["saving"]["nonzero_pages"] >= PAGES // 3
    assert result["saving"]["zero_pages"] >= 2 * (PAGES // 3)


@pytest.mark.skipif(not pagemap.zero_frame(), reason="frame numbers are told to root (CAP_SYS_ADMIN) only")
def test_a_fork_family_by_frames_and_by_mappings():
    with children(1, workers=1) as pids:
        assert len(pids) == 2
        by_frames, recorders = scan_recorded(pids, "frames")
        check(by_frames, recorders, frames_of)
        by_mappings, recorders = scan_recorded(pids, "mappings")
        check(by_mappings, recorders, contents)
    frames, mappings = by_frames["totals"], by_mappings["totals"]
    assert sum(source["mappings"] for source in by_frames["sources"]) == mappings["pages"]
    # What fork shares is no duplicate: but for the pages it wrote, the worker has the area's frames from its parent.
    assert mappings["pages"] - frames["pages"] >= PAGES - PAGES // 30 - 1
    assert mappings["duplicates"] - frames["duplicates"] >= PAGES - PAGES // 30 - 1
    assert by_frames["warnings"] == []


def test_through_the_command_line(capfd):
    with children(3) as pids:
        done = run(capfd, "scan", "--json", *(word for pid in pids for word in ("--pid", str(pid))))
        table = run(capfd, "scan", *(word for pid in pids for word in ("--pid", str(pid))))
    assert (done.code, done.err) == (0, "")
    result = json.loads(done.out)
    assert [source["kind"] for source in result["sources"]] == ["process"] * 3
    assert all(str(pid) in source["name"] for pid, source in zip(pids, result["sources"], strict=True))
    assert result["saving"]["nonzero_pages"] >= 2 * (PAGES // 3) and result["saving"]["zero_pages"] >= PAGES
    assert {place["mapping"] for group in result["groups"] for place in group["where"]} <= {"anon", "[heap]"}
    assert table.code == 0 and "high entropy" in table.out and "anon of 3 sources" in table.out


def test_a_command(capfd):
    program = "import time; keep = [bytes(1 << 20) + b'x' for _ in range(8)]; time.sleep(600)"
    done = run(capfd, "scan", "--json", "--after", "0.5", "--", sys.executable, "-c", program)
    result = json.loads(done.out)
    assert done.code == 0 and result["sources"][0]["pages"]["zero"] >= 8 * 250
    pid = int(result["sources"][0]["name"].rpartition("pid ")[2].rstrip(")"))
    assert not os.path.exists(f"/proc/{pid}"), "the command is ended with the scan"


def test_a_process_and_a_file(tmp_path, capfd):
    """Guest RAM against a process: a page in both is saved once."""
    rng = random.Random(0)
    pages = [rng.randbytes(PAGE) for _ in range(PAGES // 3)]
    path = tmp_path / "ram"
    path.write_bytes(b"".join(pages))
    with children(1) as pids:
        result = json.loads(run(capfd, "scan", "--json", path, "--pid", str(pids[0])).out)
    assert result["sources"][0]["duplicates"] == 0
    assert result["saving"]["nonzero_pages"] >= PAGES // 3
    assert [len(group["where"]) for group in result["groups"]].count(2) > 0


def views_of_a_forked_child():
    """Scan a child that shares all that we have, and has PAGES of its own, both ways."""
    ready, done = os.pipe()
    child = os.fork()
    if child == 0:
        own = np.arange(1, PAGES * PAGE // 8 + 1)
        os.write(done, b"ready")
        signal.pause()
        os._exit(len(own))
    os.read(ready, 5)
    try:
        with contextlib.closing(sources.open_pid(child)) as source:
            return [scan([source], Settings(view=view)) for view in ("frames", "mappings")]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root, so it must have it")
def test_without_root_shared_frames_are_left_out_or_counted_as_mappings():
    views_of_a_forked_child()  # loads all modules
    frames, mappings = as_nobody(views_of_a_forked_child)
    out = frames["sources"][0]["pages"]["excluded"] - mappings["sources"][0]["pages"]["excluded"]
    assert out > 0 and frames["totals"]["pages"] >= PAGES
    assert mappings["totals"]["pages"] == frames["totals"]["pages"] + out
    told = [warning for warning in frames["warnings"] if f"{out} pages are left out" in warning]
    assert len(told) == 1 and "CAP_SYS_ADMIN" in told[0] and "view `mappings`" in told[0]
    assert not any("left out" in warning for warning in mappings["warnings"])
