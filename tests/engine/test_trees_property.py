"""The page trees of C against the model's, after every step: same items, same order, same shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm import errors
from pksm.engine import native

from support.twins import ORDERS, Twins, contents, sparse_twins, weak

steps = st.lists(
    st.tuples(st.sampled_from(["relink", "unlink"]), st.lists(st.integers(1, 60), min_size=1, max_size=40)),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("order", ORDERS)
@given(data=st.data(), steps=steps)
def test_items_go_in_and_out(order, data, steps):
    both = data.draw(sparse_twins(order, contents))
    both.sum_all()
    for step, ids in steps:
        ids = both.known(ids)
        if step == "relink":
            both.relink(both.loose(ids))
        else:
            both.unlink(ids)
        both.check()


@pytest.mark.parametrize("order", ORDERS)
@given(data=st.data(), steps=steps)
def test_pages_change_and_items_die_in_the_tree(order, data, steps):
    """In a tree that is no longer in order, and around items that nobody may read, the walk is the model's too."""
    both = data.draw(sparse_twins(order, contents))
    both.sum_all()
    for step, ids in steps:
        ids = both.known(ids)
        if step == "relink":
            both.relink(both.loose(ids))
        else:
            both.unlink(ids)
        both.check()
        for id in data.draw(st.lists(st.sampled_from(both.ids), max_size=2)):
            both.delete(id)
        for page in data.draw(st.lists(st.sampled_from(range(len(both.bytes))), max_size=3)):
            both.write(page, data.draw(contents))


@pytest.mark.parametrize("order", ORDERS)
def test_the_check_finds_equal_and_disordered_neighbours(order):
    """Bytes are part of the order, unless it is by checksum alone."""
    pages = [bytes([i]) + bytes(127) for i in range(20)]
    both = Twins(pages, range(20), order, *weak([7]))  # all checksums are equal: the word is zero everywhere
    both.sum_all()
    both.relink(list(both.ids))
    assert len(both.model.unstable) == (1 if order == "checksum" else 20)
    both.check()
    both.bytes[5] = both.bytes[6]
    native.trees_check(both.table, order)
    if order != "checksum":
        with pytest.raises(errors.TreeError):
            native.trees_check(both.table, order, both.store)
    both.bytes[5] = both.bytes[19]
    if order != "checksum":
        with pytest.raises(errors.TreeError):
            native.trees_check(both.table, order, both.store)


def test_ids_outside_the_table_change_nothing():
    both = Twins([bytes(8)], [0, 0], "content", *weak([0]))
    both.sum_all()
    both.relink([1])
    for id in (0, 3, 0xFFFFFFFF):
        with pytest.raises(errors.ItemError):
            native.unlink(both.table, [1, id])
        with pytest.raises(errors.ItemError):
            native.relink(both.store, both.table, "content", [2, id], both.cost)
    with pytest.raises(ValueError):
        native.relink(both.store, both.table, "content", [1], both.cost)  # in the tree already
    both.check()
