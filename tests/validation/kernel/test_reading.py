"""Reading a process leaves what the running kernel has merged as it is."""

import contextlib

import numpy as np
import pytest

from pksm import sources
from pksm.errors import UnsupportedError
from pksm.linux.ksm import Borrowed, read
from pksm.linux.ksm.files import ksm_stat
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
