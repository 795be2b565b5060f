"""stable_node_anon records against a dict of lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm.engine import native
from pksm.policies.pksmd.items import Items
from pksm.policies.pksmd.stable_anon import StableAnon


def uint32(values):
    return np.array(values, np.uint32)


def fresh(n=20):
    items = Items(capacity=4)
    items.allocate(np.arange(n, dtype=np.uint32))
    return items, StableAnon()


ids = st.integers(1, 20)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.tuples(ids, st.integers(0, 5)), max_size=150)),
        st.tuples(st.just("release"), st.lists(ids, unique=True)),
    ),
    max_size=20,
)


@given(steps=steps)
def test_records_are_what_was_appended(steps):
    items, stable_anon = fresh()
    expected = {id: [] for id in range(1, 21)}
    for what, how in steps:
        if what == "append":
            stable_anon.append(items, uint32([id for id, _ in how]), uint32([anon_vma for _, anon_vma in how]))
            for id, anon_vma in how:
                expected[id].insert(0, anon_vma)
        else:
            released = stable_anon.release(items, uint32(how))
            assert sorted(released.tolist()) == sorted(anon_vma for id in how for anon_vma in expected[id])
            expected.update({id: [] for id in how})
        stable_anon.check(items)
        assert len(stable_anon) == sum(map(len, expected.values()))
        for id, anon_vmas in expected.items():
            assert stable_anon.of(items, id).tolist() == anon_vmas, "newest first"


@given(
    appended=st.lists(st.tuples(ids, st.integers(0, 5)), max_size=150),
    sharers=st.sets(st.tuples(ids, st.integers(0, 5))),
    deleted=st.sets(ids),
)
def test_trim_keeps_the_newest_record_of_each_that_shares(appended, sharers, deleted):
    items, stable_anon = fresh()
    stable_anon.append(items, uint32([id for id, _ in appended]), uint32([anon_vma for _, anon_vma in appended]))
    items.set_flags(uint32(sorted(deleted)), native.DELLIST)

    def is_sharer(pages, anon_vmas):
        pairs = list(zip((pages + 1).tolist(), anon_vmas.tolist(), strict=True))
        assert len(set(pairs)) == len(pairs) and not deleted & {id for id, _ in pairs}
        return np.array([pair in sharers for pair in pairs], bool)

    gone = stable_anon.trim(items, is_sharer).tolist()
    stable_anon.check(items)
    for id in range(1, 21):
        newest_first = [anon_vma for other, anon_vma in reversed(appended) if other == id]
        if id not in deleted:
            newest_first = [anon_vma for anon_vma in dict.fromkeys(newest_first) if (id, anon_vma) in sharers]
        assert stable_anon.of(items, id).tolist() == newest_first
        gone += newest_first
    assert sorted(gone) == sorted(anon_vma for _, anon_vma in appended)


def test_a_record_takes_8_bytes():
    items, stable_anon = fresh()
    stable_anon.append(items, uint32([1 + i % 20 for i in range(10_000)]), np.zeros(10_000, np.uint32))
    assert stable_anon.nbytes <= 1.5 * 8 * 10_000


def test_given_back_records_are_used_again():
    items, stable_anon = fresh()
    for _ in range(50):
        stable_anon.append(items, uint32(range(1, 21)), uint32(range(20)))
        assert stable_anon.release(items, uint32(range(1, 21))).tolist() == list(range(20))
    assert len(stable_anon) == 0
    assert stable_anon.nbytes < 64 * 4 * 4


def test_a_check_finds_what_is_wrong():
    items, stable_anon = fresh()
    stable_anon.append(items, uint32([1, 1, 2]), uint32([5, 6, 7]))
    stable_anon.check(items)
    kept, items.link[2] = int(items.link[2]), 0
    with pytest.raises(AssertionError):
        stable_anon.check(items)
    items.link[2] = items.link[1]
    with pytest.raises(AssertionError):
        stable_anon.check(items)
    items.link[2] = kept
    stable_anon.check(items)
