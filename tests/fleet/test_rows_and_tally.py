"""Contents of a fleet: grouped, counted, shared; against numpy and dictionaries, and fleets with known answers."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pksm.errors import PksmError, UsageError
from pksm.fleet.buckets import opened
from pksm.fleet.estimates import of_histogram, sampled
from pksm.fleet.generate import Tree
from pksm.fleet.growth import met
from pksm.fleet.overlap import overlap
from pksm.fleet.rows import MOST_COUNTED, Contents, grouped, make_rows
from pksm.fleet.tally import Groups, tally

MEMBERS = 5
GROUPS = Groups(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 0, 0]))
# Halves that are often equal: ties in the first one are decided by the second.
ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, MEMBERS - 1), st.integers(1, 9)), max_size=60
)


def as_rows(listed):
    columns = np.array(listed, np.uint64).reshape(-1, 4).T
    return make_rows(*columns)


@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_a_tally_is_that_of_dictionaries(listed):
    contents = grouped(as_rows(listed))
    contents.check()
    found = tally(contents, GROUPS)
    pages, holders = Counter(), defaultdict(set)
    for high, low, member, count in listed:
        pages[high, low] += count
        holders[high, low].add(member)
    assert found.pages == sum(pages.values()) and found.contents == len(pages)
    assert found.zero_pages == pages[0, 0] and found.zero_members == len(holders[0, 0])
    assert found.within() == {
        "vm": sum(map(len, holders.values())),
        "tenant": sum(len({GROUPS.tenant[one] for one in some}) for some in holders.values()),
        "host": sum(len({GROUPS.host[one] for one in some}) for some in holders.values()),
        "all": len(pages),
    }
    for a in range(MEMBERS):
        for b in range(MEMBERS):
            assert found.common[a, b] == sum({a, b} <= some for some in holders.values())
    heavy = {(one["high"], one["low"]): one["pages"] for one in found.heavy}
    assert heavy == {key: count for key, count in pages.items() if count}


@settings(max_examples=50, deadline=None)
@given(ROWS)
def test_tallies_of_parts_add_up(listed):
    rows = as_rows(listed)
    whole = tally(grouped(rows), GROUPS)
    parts = [tally(grouped(rows[rows["high"] % 2 == half]), GROUPS) for half in (0, 1)]
    added = parts[0] + parts[1]
    for name in ("pages", "zero_pages", "base"):
        assert getattr(added, name) == getattr(whole, name)
    for name in ("member_pages", "member_contents", "holders", "holders_host", "holders_tenant", "common", "heavy"):
        np.testing.assert_array_equal(getattr(added, name), getattr(whole, name))


def test_contents_of_many_members_are_base():
    contents = grouped(make_rows(np.array([1, 1, 1, 2, 2], np.uint64), np.zeros(5, np.uint64), [0, 1, 2, 0, 1]))
    np.testing.assert_array_equal(overlap(contents, 3, base=2), [[1, 1, 0], [1, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(overlap(contents, 3), [[2, 2, 1], [2, 2, 1], [1, 1, 1]])


def test_counts_beyond_a_row_are_refused():
    one = np.ones(2, np.uint64)
    with pytest.raises(PksmError, match="4,294,967,296 pages"):
        grouped(make_rows(one, one, 0, np.array([MOST_COUNTED, 1])))


def test_rows_out_of_order_are_found():
    contents = grouped(make_rows(np.arange(4, dtype=np.uint64), np.arange(4, dtype=np.uint64), 0))
    with pytest.raises(PksmError, match="order"):
        Contents(contents.rows[::-1].copy(), contents.starts).check()


@pytest.mark.parametrize("seed", range(3))
def test_a_tree_of_images_has_its_known_answer(seed):
    tree = Tree(vms=12, fanout=(2, 2), pages=(40, 20, 10), own=15, zero=4, seed=seed)
    groups = Groups(np.arange(12), np.zeros(12, np.int64))
    found = tally(grouped(np.concatenate([tree.vm(number) for number in range(12)])), groups)
    assert found.contents == tree.contents() and found.zero_pages == 48 and found.pages == 12 * 89
    for one in range(12):
        for other in range(one):
            assert found.common[one, other] == tree.common(one, other)


def test_growth_is_the_mean_over_all_subsets():
    from itertools import combinations

    random = np.random.default_rng(1)
    held = random.random((6, 80)) < random.random(80)
    histogram = np.bincount(held.sum(axis=0), minlength=7)
    for size in range(7):
        subsets = list(combinations(range(6), size))
        mean = np.mean([held[list(one)].any(axis=0).sum() for one in subsets])
        assert met(6, np.array([size]))[0] @ histogram == pytest.approx(mean)
    with pytest.raises(UsageError, match="from 0 to 6"):
        met(6, np.array([7]))


def test_the_truth_lies_in_the_interval_of_a_sample():
    hits = 0
    for seed in range(40):
        tree = Tree(vms=8, fanout=(2,), pages=(3000, 2000), own=500, zero=0, seed=seed)
        rows = sampled(np.concatenate([tree.vm(number) for number in range(8)]), 1 / 16)
        found = tally(grouped(rows), Groups(np.arange(8), np.zeros(8, np.int64)))
        estimate = of_histogram(found.holders, np.ones(9), 1 / 16)
        hits += estimate.low <= tree.contents() <= estimate.high
    assert hits >= 36
    with pytest.raises(UsageError, match="share"):
        sampled(rows, 0)


def test_a_directory_of_another_run_is_left_alone(tmp_path):
    opened(tmp_path / "run", 4, {"files": ["a"]})
    with pytest.raises(UsageError, match="another run"):
        opened(tmp_path / "run", 4, {"files": ["b"]})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis").touch()
    with pytest.raises(UsageError, match="other files"):
        opened(tmp_path / "other", 4, {})
