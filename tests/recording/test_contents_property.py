"""Ids of contents: one for each pair of checksums, in the order in which they come."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pksm.recording.contents import Contents

ZERO = (5, 6)
pairs = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=12)


def ids_of(contents, batch):
    first, second = (np.array([pair[place] for pair in batch], np.uint64) for place in (0, 1))
    return contents.ids(first, second).tolist()


@given(st.lists(pairs, max_size=8))
def test_equal_contents_have_equal_ids_and_others_have_others(batches):
    contents, known = Contents(*ZERO), {ZERO: 0}
    for batch in batches:
        for pair, found in zip(batch, ids_of(contents, batch), strict=True):
            assert known.setdefault(pair, found) == found
    assert len(set(known.values())) == len(known)
    assert set(known.values()) == set(range(len(known)))


@given(st.lists(st.integers(10, 40).map(lambda number: (number, 1)), min_size=1, max_size=30))
def test_new_ids_count_up_in_the_order_of_coming(batch):
    order = {}
    for pair in batch:
        order.setdefault(pair, len(order) + 1)
    assert ids_of(Contents(*ZERO), batch) == [order[pair] for pair in batch]


@given(st.lists(pairs, max_size=5), st.data())
def test_what_is_forgotten_gets_a_new_id_and_the_rest_keeps_its_own(batches, data):
    contents, known = Contents(*ZERO), {ZERO: 0}
    for batch in batches:
        known |= dict(zip(batch, ids_of(contents, batch), strict=True))
    kept = data.draw(st.sets(st.sampled_from(sorted(known))))
    contents.forget_but(np.array(sorted(known[pair] for pair in kept), np.uint32))
    assert len(contents) == len(kept | {ZERO})
    for pair, found in known.items():
        [again] = ids_of(contents, [pair])
        assert (again == found) == (pair in kept or pair == ZERO)
