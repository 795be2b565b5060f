"""distinct() gives what there is, each once and in order, as Python's own sets do."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pksm.arrays import distinct


@given(st.lists(st.integers(-(1 << 40), 1 << 40)))
def test_values_come_once_each_and_in_order(values):
    found = distinct(np.array(values, np.int64))
    assert found.tolist() == sorted(set(values)) and found.dtype == np.int64
