"""Processes that share frames after a fork: each frame is read once, and counted as the page maps have it."""

import contextlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from pksm import sources
from pksm.linux import text
from pksm.linux.proc import maps, pagemap, smaps, stillness
from pksm.linux.proc import memory as readv
from pksm.scan import Settings, scan

from support.scripts import script

CHILDREN, PAGES, OWN = 9, 300, 7

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("cc") is None, reason="needs root, which sees the numbers of frames, and cc"
)


@pytest.fixture(scope="module")
def families():
    """The script of benchmarks/ that makes families and counts their frames."""
    return script("fork_families")


@pytest.fixture(scope="module")
def pids(families):
    with families.family(CHILDREN, PAGES, OWN) as pids:
        yield pids


def scanned(pids, view="frames", racy="keep"):
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(contextlib.closing(sources.open_pid(pid, racy))) for pid in pids]
        return scan(opened, Settings(view=view))


@pytest.fixture
def copied(monkeypatch):
    """The pages that are copied, as one list of numbers of pages."""
    counts, read_runs = [], readv.ProcessMemory.read_runs

    def counted(self, data, exclusive, buffer):
        counts.append(len(buffer))
        return read_runs(self, data, exclusive, buffer)

    monkeypatch.setattr(readv.ProcessMemory, "read_runs", counted)
    return counts


def test_frames_are_read_and_counted_once(families, pids, copied):
    truth = families.truth(pids)
    result = scanned(pids)
    families.check(result, truth)
    assert sum(copied) == truth["pages"]
    # Each child has its own first pages; the area's other frames are everybody's, and what the runtime wrote.
    assert truth["pages"] >= PAGES + CHILDREN * OWN
    assert sum(source["mappings"] for source in result["sources"]) >= (CHILDREN + 1) * PAGES
    assert all(source["racy"] == 0 and source["lost"] == 0 for source in result["sources"])


def test_each_source_is_counted_as_if_it_were_alone(pids):
    together = scanned(pids)["sources"]
    for one, pid in zip(together, pids, strict=True):
        [alone] = scanned([pid])["sources"]
        del one["share_bytes"], alone["share_bytes"]
        assert one == alone


def test_in_the_view_of_mappings_all_is_read(pids, copied):
    result = scanned(pids, "mappings")
    assert sum(copied) == result["totals"]["pages"] == sum(source["mappings"] for source in result["sources"])


def test_without_numbers_of_frames_what_is_shared_is_left_out(families, pids, copied, monkeypatch):
    entries = pagemap.Pagemap.entries
    monkeypatch.setattr(pagemap.Pagemap, "entries", lambda self, data: entries(self, data) & ~pagemap.PM_PFN)
    result = scanned(pids)
    resident = sum(source["mappings"] for source in result["sources"])
    assert resident == result["totals"]["pages"] >= CHILDREN * OWN
    assert sum(source["out_of_reach"]["untold"] for source in result["sources"]) > CHILDREN * (PAGES - OWN)
    assert any("frames can't be told apart without root" in line for line in result["warnings"])


@pytest.mark.parametrize("racy", ["keep", "drop"])
def test_a_shared_page_that_moves_after_its_look_up_is_racy(pids, monkeypatch, racy):
    """The second look finds another frame where a known one was: somebody wrote there."""
    entries, asked = pagemap.Pagemap.entries, []

    def moved(self, data):
        found = entries(self, data)
        asked.append(self)
        if asked.count(self) > 1:
            shared = np.flatnonzero(~pagemap.is_exclusive(pagemap.flags_of(found)))
            found[shared[:3]] ^= np.uint64(1)
        return found

    monkeypatch.setattr(stillness.Stillness, "lasts", lambda self: False)
    monkeypatch.setattr(pagemap.Pagemap, "entries", moved)
    first, *rest = scanned(pids, racy=racy)["sources"]
    assert first["racy"] == 0, "its pages were copied, and are as they were"
    assert {source["racy"] for source in rest} == {3}
    assert {source["out_of_reach"].get("racy", 0) for source in rest} == {3 if racy == "drop" else 0}


# ---- maps, or smaps ----


def spaces_by_both(pid, spaces):
    found, expected = spaces.read(pid), smaps.read_address_space(pid)
    found.vmas["resident"] = expected.vmas["resident"]
    assert found.vmas.tolist() == expected.vmas.tolist()
    assert found.mappings == expected.mappings
    for name in ("userfault_bytes", "swapped_bytes", "ksm_bytes", "opted_in_bytes", "has_devices"):
        assert getattr(found, name) == getattr(expected, name)
    assert abs(found.anonymous_bytes - expected.anonymous_bytes) <= 1 << 20, "it is counted loosely"


@pytest.fixture
def smaps_read(monkeypatch):
    """How often smaps was read."""
    reads, read = [], smaps.read_entries
    monkeypatch.setattr(smaps, "read_entries", lambda pid: [reads.append(pid), read(pid)][1])
    return reads


def test_of_a_family_smaps_is_read_once(pids, smaps_read, monkeypatch):
    monkeypatch.setattr(maps.AddressSpaces, "_may_have_handlers", lambda self: False)
    spaces = maps.AddressSpaces()
    for pid in pids:
        spaces.read(pid)
    assert smaps_read == pids[:1]
    for pid in pids:
        spaces_by_both(pid, spaces)


# What a process does that only flags show, or that no other one has done before.
CASES = {
    "mergeable": "memory = mmap.mmap(-1, 8 * PAGE, flags=0x22); memory[:] = bytes(8 * PAGE); memory.madvise(12)",
    "merges all": "assert ctypes.CDLL(None).prctl(67, 1, 0, 0, 0) == 0",
    "huge pages": "memory = mmap.mmap(-1, 2 << 20, flags=0x44022)",  # and MAP_NORESERVE: there may be none
    "a device": "memory = mmap.mmap(os.open('/dev/mem', os.O_RDONLY), PAGE, 1, 1, offset=0xF0000)",
    "shared memory": "memory = mmap.mmap(-1, 8 * PAGE); memory[:3] = b'abc'",
    "a file": "fd = os.memfd_create('x'); os.truncate(fd, 8 * PAGE); memory = mmap.mmap(fd, 8 * PAGE, 2)",
}
PROGRAM = """
import ctypes, mmap, os, sys
PAGE = mmap.PAGESIZE
try:
    exec(sys.argv[1])
except (OSError, AssertionError) as error:
    print(error)
print(flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def process_that(code):
    """Run a process that has done something; skip the test if it could not."""
    command = [sys.executable, "-c", PROGRAM, code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            problem = process.stdout.readline().strip()
            if problem:
                pytest.skip(problem)
            yield process.pid
        finally:
            process.kill()


@pytest.mark.kernel  # two of the cases opt in: ksmd must not be compared meanwhile
@pytest.mark.parametrize("case", CASES)
def test_maps_and_smaps_say_the_same(case, smaps_read, monkeypatch):
    monkeypatch.setattr(maps.AddressSpaces, "_may_have_handlers", lambda self: False)
    spaces = maps.AddressSpaces()
    with process_that("pass") as plain, process_that("pass") as other, process_that(CASES[case]) as pid:
        spaces.read(plain)
        spaces.read(other)
        assert smaps_read == [plain]
        spaces_by_both(pid, spaces)
        assert smaps_read == [plain, pid, pid], "once by the space, once by what it is compared with"
        spaces_by_both(other, spaces)


def test_what_was_plain_and_is_swapped_out_or_gone_is_read_anew(smaps_read, monkeypatch):
    monkeypatch.setattr(maps.AddressSpaces, "_may_have_handlers", lambda self: False)
    spaces, field = maps.AddressSpaces(), text.field
    with process_that("pass") as plain, process_that("pass") as other:
        spaces.read(plain)
        monkeypatch.setattr(text, "field", lambda data, name: b"8 kB" if name == "VmSwap" else field(data, name))
        spaces.read(other)
        assert smaps_read == [plain, other]
    with pytest.raises(OSError):
        spaces.read(plain)


@pytest.mark.parametrize("contexts, holds, reads", [(0, True, 1), (21, False, 1), (21, True, 2), (None, False, 1)])
def test_handlers_of_faults_make_smaps_needed(contexts, holds, reads, smaps_read, monkeypatch):
    number_in = text.number_in
    monkeypatch.setattr(
        text, "number_in", lambda path: contexts if path == maps.USERFAULT_CONTEXTS else number_in(path)
    )
    monkeypatch.setattr(maps, "_may_hold_userfaultfd", lambda: holds)
    spaces = maps.AddressSpaces()
    with process_that("pass") as plain, process_that("pass") as other:
        spaces.read(plain)
        spaces.read(other)
    assert len(smaps_read) == reads


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of the system call is that of x86-64")
def test_an_open_userfaultfd_is_found():
    with process_that("fd = ctypes.CDLL(None).syscall(323, 0o2004000); assert fd > 0"):
        assert maps._may_hold_userfaultfd()


def test_too_many_descriptors_are_not_looked_at(monkeypatch):
    monkeypatch.setattr(maps, "MOST_DESCRIPTORS", 0)
    assert maps._may_hold_userfaultfd()
