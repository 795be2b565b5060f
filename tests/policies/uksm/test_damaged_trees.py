"""Trees of UKSM that lead nowhere: C says so, and follows no link that it should not."""

import numpy as np
import pytest

from pksm.engine import native
from pksm.engine.store import Store
from pksm.errors import ItemError, PageError, PksmError, TreeError
from pksm.hosts.flat import FlatHost
from pksm.policies.uksm.daemon import Uksm
from pksm.policies.uksm.spec import PRESETS

NOWHERE = 1 << 31
PAGES = 240


@pytest.fixture
def policy():
    """UKSM with pages merged, waiting, and beside each other in one node of either tree."""
    store = Store(1024)
    first, memory = store.allocate(PAGES)
    host = FlatHost(store, static=True)
    host.add(np.arange(first, first + PAGES, dtype=np.uint32))
    policy = Uksm(host, PRESETS["uksm-0.1.2"])
    words = memory.view(np.uint32)
    words[:] = (np.arange(PAGES, dtype=np.uint32) % 90)[:, np.newaxis] * np.uint32(2654435761)
    words[150:] = 7
    number = np.arange(150, PAGES, dtype=np.uint32)
    words[150:, policy._tables._words[-1]] = np.where(number < 200, number // 2, number)  # the hash passes over it
    policy.wake()
    policy.rungs[0].quota = store.n_pages
    for _ in range(3):
        policy.wake()
    policy.check()
    items = policy.items
    assert np.any(items.flags & native.STABLE) and np.any(items.flags & native.UNSTABLE)
    return policy


def those(policy, flag):
    return np.flatnonzero(policy.items.flags & flag).astype(np.uint32)


def drop(policy, ids, for_good=False):
    policy._tables.drop(ids, for_good)


@pytest.mark.parametrize("flag", [native.UNSTABLE, native.STABLE])
@pytest.mark.parametrize("column", ["node", "first", "count"])
@pytest.mark.parametrize("value", [NOWHERE, 0, 1])
def test_columns_that_lead_nowhere_end_in_an_error_or_an_answer(policy, flag, column, value):
    tables = policy._tables
    ids = those(policy, flag)
    places = ids if column == "node" else tables.column("node")[ids]
    tables.column(column)[places] = value
    try:
        if flag == native.STABLE:
            held = tables.items.page[ids]
            native.uksm_bury(tables.items.table, tables.view(), held, tables.work)
        else:
            drop(policy, ids)
        for _ in range(3):
            policy.wake()
    except PksmError as error:
        assert isinstance(error, TreeError | ItemError)


@pytest.mark.parametrize("value", [NOWHERE, 0])
def test_an_item_whose_node_is_none_is_not_taken_out(policy, value):
    ids = those(policy, native.UNSTABLE)
    policy._tables.column("node")[ids] = value
    with pytest.raises(TreeError):
        drop(policy, ids)


def test_a_page_outside_of_memory_is_not_read(policy):
    kept = those(policy, native.STABLE)
    policy.items.page[kept] = NOWHERE
    with pytest.raises((TreeError, PageError)):
        policy.wake()
        policy._tables.hash_anew()


@pytest.mark.parametrize("place", range(4))
def test_a_chain_that_goes_in_a_circle_is_followed_once(policy, place):
    tables = policy._tables
    assert len(tables.trees[place])
    tables.column("following")[:] = np.arange(len(tables.column("following")), dtype=np.uint32)
    with pytest.raises(TreeError):
        native.uksm_empty(tables.items.table, tables.view(), tables.work)
        for _ in range(3):
            policy.wake()


def test_ids_that_run_out_are_not_taken(policy):
    tables = policy._tables
    view, one = tables.view(), np.ones(1, np.uint64)
    tables.work["n_spare"] = 0
    with pytest.raises(ValueError, match="an argument"):
        native.uksm_sort_in(tables.items.table, view, those(policy, native.STABLE)[:1], one, one, tables.work)
    tables.work["n_spare"] = len(tables._spare) + 1
    with pytest.raises(ValueError, match="an argument"):
        native.uksm_empty(tables.items.table, view, tables.work)


def test_items_that_do_not_exist_are_refused(policy):
    with pytest.raises(ItemError):
        drop(policy, np.array([NOWHERE], np.uint32))


def test_a_page_that_changed_since_it_was_hashed_is_no_partner(policy):
    """The words that the hash looks at stay; it is the comparison that sees it."""
    store = policy.host.store
    waiting = those(policy, native.UNSTABLE)
    ids = waiting[policy._tables.column("full")[waiting] != 0]
    before = policy.counters()["pages_sharing"]
    for page in policy.items.page[ids].tolist():
        store.bytes_of(page)[:] = page % 251
    for _ in range(3):
        policy.wake()
    policy.check()
    assert policy.counters()["pages_sharing"] >= before


@pytest.mark.parametrize("swap", [native.uksm_shuffle, native.uksm_unshuffle])
def test_partners_outside_of_a_slot_are_refused(policy, swap):
    view, before = policy._tables.view(), policy._tables.slots.permutation.copy()
    with pytest.raises(ValueError, match="an argument"):
        swap(view, 0, 0, np.array([1, 1 << 40], np.uint64), 10)
    assert np.array_equal(policy._tables.slots.permutation, before)
