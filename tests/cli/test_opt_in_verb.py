"""pksm opt-in and opt-out: what they do to a process that runs, and one line for whatever is wrong."""

import json
import platform
import re
import subprocess
import sys

import numpy as np
import pytest

from pksm.advice import ranges
from pksm.linux.ksm.opt_in import merges_any
from pksm.linux.proc import smaps
from pksm.recording.hashing import Snapshot

from support.cli_runs import run
from support.documents import faults

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="calls are injected on x86-64 alone"),
    pytest.mark.kernel,  # who watches the kernel's KSM must be alone with it
]
needs_ksm = pytest.mark.skipif(merges_any(1) is None, reason="the kernel has no KSM that whole processes opt in to")
HOLDS = """
import mmap, os, sys
memory = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_NOHUGEPAGE)
half = len(memory) // 2
memory.write(b"same" * (half // 4) + os.urandom(half))
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder():
    """A process with half a MiB of equal pages, and as much of others."""
    with subprocess.Popen([sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def opted(capfd, *words, code=0):
    done = run(capfd, *map(str, words), "--json")
    assert done.code == code, done.err
    document = json.loads(done.out)
    assert faults(document) == []
    return document


@needs_ksm
def test_all_of_a_process_opts_in_and_out(capfd, holder):
    [row] = opted(capfd, "opt-in", "--pid", holder.pid)["processes"]
    assert row["done"] and row["whole"] and row["pause_s"] > 0
    assert merges_any(holder.pid) and smaps.mergeable_areas(holder.pid)
    assert [row["merges_any"] for row in opted(capfd, "opt-out", "--pid", holder.pid)["processes"]] == [False]
    assert smaps.mergeable_areas(holder.pid) == [] and holder.poll() is None


@needs_ksm
def test_profitable_ranges_are_those_with_equal_pages(capfd, holder):
    document = opted(capfd, "opt-in", "--pid", holder.pid, "--ranges", "profitable")
    [row] = document["processes"]
    areas = smaps.mergeable_areas(holder.pid)
    asked = sum(each["bytes"] for each in row["ranges"])
    assert merges_any(holder.pid) is False and sum(end - start for start, end in areas) == asked
    equal, pages = (sum(each[name] for each in row["ranges"]) for name in ("equal_pages", "pages"))
    assert 128 <= equal <= pages <= row["pages"] - 64, "what is random stays out"
    opted(capfd, "opt-out", "--pid", holder.pid)
    assert smaps.mergeable_areas(holder.pid) == []


def test_a_dry_run_changes_nothing(capfd, holder):
    [row] = opted(capfd, "opt-in", "--pid", holder.pid, "--dry-run")["processes"]
    assert row["whole"] and not row["done"]
    done = run(capfd, "opt-in", "--pid", str(holder.pid), "--ranges", "profitable", "--dry-run")
    assert done.code == 0 and re.search(rf"pid {holder.pid}: madvise\(0x[0-9a-f]+, \d+\)", done.out)
    assert "would be done" in done.out and smaps.mergeable_areas(holder.pid) == []


@needs_ksm
def test_a_process_that_is_refused_makes_a_partial_result(capfd, holder):
    document = opted(capfd, "opt-in", "--pid", holder.pid, "--pid", 2, code=3)
    assert [row["done"] for row in document["processes"]] == [True, False]
    assert "kernel thread" in document["warnings"][0]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["opt-in"], 2, "name a process: pksm opt-in --pid PID"),
        (["opt-out"], 2, "name a process: pksm opt-out --pid PID"),
        (["opt-in", "--pid", "2"], 1, "is a kernel thread"),
        (["opt-in", "--pid", "99999999"], 1, "no such process"),
        (["opt-in", "--pid", "1", "--ranges", "some"], 2, "choose from"),
    ],
)
def test_what_is_wrong_is_one_line(capfd, words, code, message):
    done = run(capfd, *words)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1) and message in done.err


def snapshot(contents, frames):
    n = len(contents)
    pages = np.arange(n, dtype=np.uint64)
    columns = (np.array(contents, np.uint32), np.array(frames, np.uint64), np.ones(n, bool))
    return Snapshot(pages, pages, *columns)


def test_equals_are_pages_in_other_frames():
    parent, child = snapshot([5, 6, 7, 7], [1, 2, 3, 4]), snapshot([5, 6, 8], [1, 9, 10])
    assert ranges.has_equal([parent, child]).tolist() == [False, True, True, True, False, True, False]
    hidden = snapshot([5, 5, 6], [0, 0, 0])
    assert ranges.has_equal([hidden]).tolist() == [True, True, False]
