"""Snapshots: what they share equals the slow twin, and no other base shares more than the one that is built."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm.errors import UsageError
from pksm.fleet import best_snapshot, built_base, decay, restored_pages, shared
from pksm.fleet import snapshots as module
from pksm.fleet.snapshots import RUN_BYTES

from model import fleet as model

PAGE = 32 << 10  # small runs are runs of two pages then
SNAPSHOTS = st.integers(0, 90).flatmap(
    lambda pages: st.lists(st.lists(st.sampled_from([0, 0, 0, 7, 1 << 63]), min_size=pages, max_size=pages), min_size=1,
                           max_size=4)
)  # fmt: skip


def arrays(snapshots):
    return [np.array(one, np.uint64) for one in snapshots]


@given(SNAPSHOTS)
def test_shared(snapshots):
    least = [size // PAGE for size in RUN_BYTES]
    for made, snapshot in zip(decay(arrays(snapshots), PAGE), snapshots, strict=True):
        assert (made.same_offset, made.anywhere, made.in_runs) == model.shared(snapshots[0], snapshot, least)


@given(SNAPSHOTS)
def test_bases(snapshots):
    given_ones = arrays(snapshots)
    built = built_base(given_ones)
    assert built.tolist() == model.built(snapshots)
    pages = [model.restored(base, snapshots) for base in snapshots]
    assert best_snapshot(given_ones) == (pages.index(min(pages)), min(pages))
    assert restored_pages(built, given_ones) == model.restored(built.tolist(), snapshots) <= min(pages)


@given(SNAPSHOTS, st.integers(1, 5), st.integers(1, 5))
def test_a_few_pages_at_a_time(snapshots, cells, pages):
    given_ones = arrays(snapshots)
    whole = decay(given_ones, PAGE), best_snapshot(given_ones), built_base(given_ones).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CELLS", cells)
        patch.setattr(module, "PAGES_AT_ONCE", pages)
        assert whole == (decay(given_ones, PAGE), best_snapshot(given_ones), built_base(given_ones).tolist())


def test_long_runs():
    """A run of 2 MiB counts, one that lacks a page does not."""
    base = np.arange(200, dtype=np.uint64)
    snapshot = base.copy()
    snapshot[[64, 128]] = 1000
    assert shared(base, snapshot, PAGE).in_runs == (198, 64 + 71)


def test_lengths():
    with pytest.raises(UsageError, match="equally many pages, not 2, 3"):
        shared(np.zeros(2, np.uint64), np.zeros(3, np.uint64), PAGE)
    with pytest.raises(UsageError, match="not none"):
        best_snapshot([])
