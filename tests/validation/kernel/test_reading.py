"""Reading a process leaves what the running kernel has merged as it is."""

import contextlib
import os

import numpy as np
import pytest

from pksm import sources
from pksm.errors import UnsupportedError
from pksm.linux.ksm import Borrowed, read
from pksm.linux.ksm.files import ksm_stat
from pksm.linux.proc.pagemap import zero_frame
from pksm.scan import scan
from pksm.sources import Allocation
from pksm.validation.kernel.live_process import PAGE_SIZE, LiveProcess
from pksm.validation.kernel.validate import BASE

pytestmark = pytest.mark.kernel
PAGES = 100


@pytest.fixture
def ksm():
    """ksmd, borrowed; skips where it can't be."""
    try:
        with Borrowed() as borrowed:
            yield borrowed
    except UnsupportedError as error:
        pytest.skip(str(error))


@pytest.fixture
def merged_alone(ksm):
    """A process whose PAGES different pages were merged with those of another that has ended: each is mapped once."""
    contents = np.arange(1, PAGES + 1, dtype=np.uint64).repeat(PAGE_SIZE // 8).view(np.uint8).reshape(PAGES, PAGE_SIZE)
    stays, ends = LiveProcess(), LiveProcess()
    with contextlib.ExitStack() as stack:
        stack.callback(stays.exit)
        for process in (stays, ends):
            process.mmap(BASE, PAGES)
            process.write(BASE, contents)
        ksm.scan(3)
        ends.exit()
        ksm.scan(1)
        yield stays


def counts(process):
    return read("pages_shared"), ksm_stat(process.pid)["ksm_merging_pages"]


@pytest.mark.parametrize("racy", ["keep", "drop"])
def test_merged_pages_that_are_mapped_once_stay_merged(ksm, merged_alone, racy):
    before = counts(merged_alone)
    assert before == (PAGES, PAGES)
    with contextlib.closing(sources.open_pid(merged_alone.pid, racy)) as source:
        regions = list(
            source.regions(PAGE_SIZE, lambda n: Allocation(np.zeros((n, PAGE_SIZE), np.uint8)), lambda pages: None)
        )
        assert source.facts()["ksm_merged"] == PAGES
    ours = np.concatenate([region.buffer[region.exclusive] for region in regions])
    found = set(ours.view(np.uint64)[:, 0].tolist())
    assert set(range(1, PAGES + 1)) <= found, "they were read, and they are mapped once"
    assert counts(merged_alone) == before
    ksm.scan(1)
    assert counts(merged_alone) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the numbers of frames")
def test_a_family_with_merged_pages_is_read_once_and_stays_merged(ksm, merged_alone):
    """The pages of KSM's are mapped by the process and by its forks, which have written some of them."""
    words = np.full(PAGE_SIZE // 8, 1 << 40, np.uint64)
    with contextlib.ExitStack() as stack:
        forks = [merged_alone.fork() for _ in range(3)]
        for number, fork in enumerate(forks):
            stack.callback(fork.exit)
            fork.write(BASE, (words + np.uint64(number)).view(np.uint8).reshape(1, PAGE_SIZE))
        before = read("pages_shared")
        opened = [
            stack.enter_context(contextlib.closing(sources.open_pid(process.pid))) for process in (merged_alone, *forks)
        ]
        result = scan(opened)
        assert read("pages_shared") == before == PAGES
        own = [row["ksm_merged"] for row in result["sources"]]
        assert own == [PAGES, PAGES - 1, PAGES - 1, PAGES - 1]
        frames = frames_of(process.pid for process in (merged_alone, *forks))
        assert result["totals"]["pages"] == len(frames)


def frames_of(pids):
    """Return the frames of all anonymous pages of processes, but the kernel's zero page."""
    frames = set()
    for pid in pids:
        with open(f"/proc/{pid}/maps") as areas, open(f"/proc/{pid}/pagemap", "rb") as pagemap:
            for line in areas:
                if "[v" in line:
                    continue
                start, end = (int(address, 16) // PAGE_SIZE for address in line.split()[0].split("-"))
                pagemap.seek(start * 8)
                entries = np.frombuffer(pagemap.read((end - start) * 8), np.uint64)
                frames.update((entries[entries >> np.uint64(61) == 4] & np.uint64((1 << 55) - 1)).tolist())
    return frames - {zero_frame()}
