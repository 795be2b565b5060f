"""How long pages have equals: columns of a recording against the slow twin, page by page."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pksm.recording.events import MOST_MS
from pksm.recording.lives import SOON_MS, Times
from pksm.recording.state import State

from model import lives as twin
from support.recordings import stories


def times_of(ms):
    found = Times.none()
    found.add(np.array(ms, np.int64))
    return found.counts.tolist()


@given(stories(20, few=True))
def test_lives_are_those_of_the_twin(told):
    story, _ = told
    state, slow = State(), twin.Lives()
    for block, _ in story:
        state.apply(block)
        slow.apply(block)
        fast = state.lives
        assert fast.spare == slow.spare() and fast.spare_ms == slow.spare_ms
        assert fast.ended.counts.tolist() == times_of(slow.ended)
        assert fast.lasting().counts.tolist() == times_of(slow.lasting())
        assert fast.volatile_ms == sum(age for age in slow.written_ages if age <= SOON_MS)


@given(st.lists(st.integers(0, 1 << 40), max_size=50), st.integers(1, 100))
def test_percentiles_are_one_percent_wide(ms, p):
    found = Times.none()
    found.add(np.array(ms, np.int64))
    shown = found.percentiles(p)
    if not ms:
        assert shown is None
        return
    exact = max(1, sorted(ms)[-(-p * len(ms) // 100) - 1]) / 1000
    assert abs(shown[f"p{p}"] - exact) <= 0.0056 * exact + 0.0005
    assert shown[f"p{p}"] <= max(1, *ms) / 1000 + 0.0005  # longer than all of them is none


def test_the_longest_time_there_is_has_a_step():
    found = Times.none()
    found.add(np.array([MOST_MS - 1]))
    assert found.counts[-1] == 1
