"""Soft-dirty bits: what they are taken for, and what is said where the kernel has none."""

import contextlib
import gzip
import os
import subprocess
import sys

import numpy as np
import pytest

from pksm.errors import PksmError
from pksm.linux import soft_dirty, written
from pksm.linux.proc import pagemap
from pksm.linux.proc.pagemap import PAGE_SIZE, Pagemap
from pksm.linux.soft_dirty import SoftDirty
from pksm.recording.tracking import SOFT_DIRTY, USERFAULTFD, Tracking

# Eight pages that it writes, eight that it reads alone, and eight that it reserves; prints where. A child shares them.
MAPPER = """
import ctypes, mmap, os, sys
private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
areas = [mmap.mmap(-1, 8 * mmap.PAGESIZE, flags=private) for _ in range(2)]
areas[0].madvise(mmap.MADV_DONTDUMP)
areas[0][:] = b"a" * len(areas[0])
bytes(areas[1])
if len(sys.argv) > 1 and os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
print(*(ctypes.addressof(ctypes.c_char.from_buffer(area)) // mmap.PAGESIZE for area in areas), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def mapper(*arguments):
    """Run the mapper; yield (its process id, the page numbers of its areas)."""
    command = [sys.executable, "-c", MAPPER, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process.pid, [int(number) for number in process.stdout.readline().split()]
        process.stdin.close()


@pytest.fixture
def bits(monkeypatch):
    """Page numbers whose bits are set, whatever the kernel says."""
    pages, real = set(), Pagemap.entries

    def entries(self, data):
        found = real(self, data) & ~pagemap.PM_SOFT_DIRTY
        numbers = pagemap.extents.page_numbers(data, PAGE_SIZE)
        found[np.isin(numbers, np.array(sorted(pages), np.uint64))] |= pagemap.PM_SOFT_DIRTY
        return found

    monkeypatch.setattr(Pagemap, "entries", entries)
    return pages


def pages_of(ranges):
    return {page for start, end in ranges.tolist() for page in range(start, end)}


def test_what_a_bit_says_of_a_page(bits):
    with mapper() as (pid, [written, read]), contextlib.closing(SoftDirty(pid)) as tracked:
        ranges, pages = tracked.look()
        assert len(ranges) == len(pages) == 0, "nothing is known at first"
        bits.update({written + 1, written + 2, read + 3})
        ranges, pages = tracked.look()
        assert {written + 1, written + 2} <= set(pages.tolist()) and tracked.faults == len(pages)
        assert set(range(written, written + 8)) <= pages_of(ranges)
        assert any(start <= written and end >= written + 8 for start, end in tracked.anonymous.tolist())
        if pagemap.zero_frame():
            assert set(pages.tolist()) == {written + 1, written + 2}, "the zero page is nobody's"
        assert not pages_of(ranges) & set(range(read, read + 8))
        assert tracked.longest_pause_s > 0


def test_pages_that_are_shared_are_known_while_they_stay_in_their_frames(bits):
    with mapper("fork") as (pid, [written, _]), contextlib.closing(SoftDirty(pid)) as tracked:
        tracked.look()
        mine = set(range(written, written + 8))
        assert not mine & pages_of(tracked.look()[0]), "they may be the zero page"
        stays = mine & pages_of(tracked.look()[0])
        assert stays == (mine if pagemap.zero_frame() else set())


def test_who_has_begun_another_program_is_not_tracked_any_more():
    code = "import os; os.write(1, b'!'); os.read(0, 1); os.execvp('cat', ['cat'])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        process.stdout.read(1)
        with contextlib.closing(SoftDirty(process.pid)) as tracked:
            tracked.look()
            process.stdin.write(b"what cat prints")
            process.stdout.read(1)
            with pytest.raises(PksmError, match="another program"):
                tracked.look()
        process.stdin.close()
        process.stdout.read()


def test_a_process_of_another_kind_is_refused():
    with pytest.raises(PksmError, match="is pksm itself"):
        SoftDirty(os.getpid())


@pytest.mark.parametrize(
    ("shown", "why"),
    [(set(), "what a child wrote was not reported"), (None, "what a child did not write was reported")],
)
def test_the_test_finds_bits_that_are_not_as_they_should_be(bits, monkeypatch, shown, why):
    if shown is None:
        real = Pagemap.entries
        monkeypatch.setattr(Pagemap, "entries", lambda self, data: real(self, data) | pagemap.PM_SOFT_DIRTY)
    assert soft_dirty.why_not.__wrapped__().startswith(why)


def test_the_verdict_is_that_of_the_kernels_configuration():
    """As far as that is to be had."""
    options = ""
    with contextlib.suppress(OSError):
        options = open(f"/boot/config-{os.uname().release}").read()
    with contextlib.suppress(OSError):
        options = options or gzip.open("/proc/config.gz", "rt").read()
    if not options:
        pytest.skip("the kernel's configuration is not to be had")
    assert ("CONFIG_MEM_SOFT_DIRTY=y" in options) == (soft_dirty.why_not() == "")


class _Member:
    def __init__(self, pid):
        self.pid, self.tracked = pid, None

    def untrack(self):
        self.tracked.close()


def test_each_process_is_tracked_in_the_first_way_that_works(monkeypatch):
    monkeypatch.setattr(soft_dirty, "why_not", lambda: "")
    tracking = Tracking("writes")
    with mapper() as (pid, _):
        for why, way in (("", USERFAULTFD), ("that takes Linux 6.7", SOFT_DIRTY)):
            if not why and written.lacking():
                continue
            monkeypatch.setattr("pksm.linux.written.lacking", lambda why=why: why)
            member = _Member(pid)
            tracking._begin(member, [USERFAULTFD, SOFT_DIRTY])
            assert tracking.by[way] == 1 and member.tracked is not None
            tracking.end(member)
        monkeypatch.setattr(soft_dirty, "why_not", lambda: "no bits")
        tracking._begin(_Member(pid), [USERFAULTFD, SOFT_DIRTY])
        assert tracking.refused == {
            pid: f"pid {pid}: its writes cannot be tracked: that takes Linux 6.7; "
            f"its soft-dirty bits cannot be used: no bits"
        }
