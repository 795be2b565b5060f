"""Names in a row: in order, apart, within the axes where there is room, and none moved without need."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from pksm.report.front import front
from pksm.report.plot.labels import spread

WANTED = st.lists(st.floats(0, 100), min_size=1, max_size=20).map(sorted)


@given(WANTED, st.floats(0.1, 4))
def test_names_stay_apart_in_order_and_within_the_axes(wanted, gap):
    placed = spread(wanted, gap, 0, 100)
    assert len(placed) == len(wanted)
    for one, other in itertools.pairwise(placed):
        assert other - one >= gap - 1e-9
    assert placed[0] >= -1e-9 and placed[-1] <= 100 + 1e-9


@given(WANTED, st.floats(0.1, 4))
def test_a_name_with_room_stays_where_it_is_wanted(wanted, gap):
    if all(other - one > gap for one, other in itertools.pairwise(wanted)):
        placed = spread(wanted, gap, 0, 100)
        assert all(abs(one - other) < 1e-9 for one, other in zip(placed, wanted, strict=True))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20))
def test_the_front_beats_all_others_and_none_of_itself(points):
    best = front(points)
    chosen = [point for point, is_best in zip(points, best, strict=True) if is_best]
    for x, y in points:
        beaten = any(a <= x and b <= y and (a, b) != (x, y) for a, b in points)
        assert ((x, y) in chosen) == (not beaten)
