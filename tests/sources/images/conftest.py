"""Each test here finds the readers of other packages anew."""

import pytest

from pksm.sources import opening


@pytest.fixture(autouse=True)
def forget_readers_of_others():
    opening._from_entry_points.cache_clear()
    yield
    opening._from_entry_points.cache_clear()
