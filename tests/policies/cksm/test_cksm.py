"""CKSM: the way it walks, as published, and what its settings refuse."""

import numpy as np
import pytest

from pksm import testing
from pksm.engine.store import Store
from pksm.errors import UsageError
from pksm.hosts.flat import FlatHost
from pksm.policies.cksm.daemon import Cksm
from pksm.policies.cksm.spec import PRESETS, SPEC

SIZE = 64


def host_of(contents):
    store = Store(SIZE)
    first, memory = store.allocate(len(contents))
    memory[:, 0] = np.array(contents) & 255
    memory[:, 1] = np.array(contents) >> 8
    return FlatHost(store, static=True), np.arange(first, first + len(contents), dtype=np.uint32)


def cksm_on(contents, preset="cksm-4.14", **changes):
    host, pages = host_of(contents)
    policy = Cksm(host, PRESETS[preset].with_(**changes))
    host.add(pages)
    return host, policy


def test_it_keeps_to_the_contract_of_a_policy():
    testing.check_policy(SPEC, seed=1, rounds=25)


def test_the_newest_page_comes_first_and_the_step_of_a_new_page_is_41():
    _, policy = cksm_on(range(1, 101), unmerge_pages_to_scan=3)
    policy.wake()
    assert policy.counters()["pages_unshared"] == 3 and policy.counters()["scan_step"] == 41
    contents = policy.items.page[np.flatnonzero(policy.items.flags & 1)] + 1
    assert sorted(contents.tolist()) == [18, 59, 100]


def test_a_walk_is_not_at_the_head_because_all_before_it_are_gone():
    """Pages that are born then are for the next pass, whether or not void entries of the list were left out before."""
    _, policy = cksm_on(range(1, 101), unmerge_pages_to_scan=3)
    policy.wake()
    at = int(policy._cursor["at"][0])
    assert at == 17
    policy.on_free(policy.items.page[policy._order[at : policy._n_order]])
    policy._compact(0)
    policy.check()
    assert policy._n_order == at + 1 == len(policy.items) + 1
    policy.on_new(np.arange(90, 95, dtype=np.uint32))
    policy.check()
    assert policy._cursor["at"][0] == at


def test_200_visits_in_a_row_that_merge_nothing_end_a_wake_up():
    _, policy = cksm_on(range(1, 20001))
    assert policy.wake() == 200


def test_merges_keep_the_walk_dense():
    _, policy = cksm_on([7] * 500)
    assert policy.wake() == 500 and policy.counters()["pages_sharing"] == 499


def test_a_wake_up_over_nothing_but_kept_pages_would_never_end():
    _, policy = cksm_on([7, 7])
    policy.wake()
    policy.wake()
    assert policy.loops == 2 and policy.at_rest
    _, policy = cksm_on([7, 7], preset="fixed")
    for _ in range(4):
        policy.wake()
    assert policy.loops == 0 and policy.counters()["pages_sharing"] == 1


def test_two_sums_of_one_visit_say_nothing_of_rest():
    _, published = cksm_on([7, 7])
    published.wake()
    _, fixed = cksm_on([7, 7], preset="fixed", pages_to_scan=2)
    fixed.wake()
    assert published.counters()["pages_sharing"] == 1 and fixed.counters()["pages_sharing"] == 0


def test_zero_pages_go_to_the_zero_page():
    _, policy = cksm_on([0] * 50)
    policy.wake()
    assert policy.counters()["pages_zero_sharing"] == policy.counters()["zero_merged"] == 50


@pytest.mark.parametrize("changes", [{"quirks": "none-such"}, {"quirks": 3}, {"pages_to_scan": 0}, {"sleep": 1}])
def test_what_a_setting_can_not_be_is_one_line(changes):
    with pytest.raises(UsageError) as refused:
        PRESETS["fixed"].with_(**changes)
    assert "\n" not in str(refused.value)


def test_a_pause_is_between_20_and_1000_ms():
    for given, pause in ((0, 20), (50, 50), (5000, 1000)):
        assert cksm_on([1], sleep_millisecs=given)[1].next_wake() == pause
