"""Charts of any numbers: pictures that a parser takes, in which everything lies on the paper."""

import math
import re
import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st

from pksm.report.pages.charts import bars, heat, lines, points, svg

names = st.text(max_size=30)
amounts = st.floats(0, 1e18, allow_subnormal=False)
any_number = st.floats(-1e15, 1e15, allow_subnormal=False)
NUMBERS = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def drawn(picture, loose=120):
    """The elements of a picture; all that has a place is on its paper, but for names beside points."""
    root = ElementTree.fromstring(picture)
    width, height = map(float, root.get("viewBox").split()[2:])
    for element in root.iter():
        for name, most in (("x", width), ("x1", width), ("x2", width), ("cx", width), ("y", height), ("cy", height)):
            if element.get(name) is not None:
                value = float(element.get(name))
                assert math.isfinite(value) and -1 <= value <= most + (loose if element.tag == "text" else 1)
        for value in map(float, NUMBERS.findall(element.get("d", ""))):
            assert -1 <= value <= max(width, height)
    return list(root.iter())


@given(st.lists(st.tuples(names, st.lists(st.tuples(amounts, any_number), max_size=20)), max_size=5), st.lists(names))
def test_lines(series, marks):
    made = [lines.Line(name, sorted(x for x, _ in data), [y for _, y in data]) for name, data in series]
    picture = lines.lines(
        made, lines.Read("s", svg.count), lines.SIZE, "about", [lines.Mark(1.0, one) for one in marks]
    )
    assert sum(element.tag == "path" for element in drawn(picture)) == len(series)


@given(st.lists(st.tuples(names, st.tuples(amounts, amounts, amounts), names), max_size=8))
def test_bars(rows):
    made = [bars.Row(*row) for row in rows]
    picture = bars.stacked(made, ("a", "b", "c"), svg.amount, "about")
    parts = [element for element in drawn(picture) if element.tag == "rect"]
    assert len(parts) <= 3 * len(rows)
    assert len([e for e in drawn(bars.beside(made, 3.0, "limit", "about")) if e.tag == "rect"]) == len(rows)
    steps = [bars.Step(name, values[0], values[1], text, 2) for name, values, text in rows]
    assert len([e for e in drawn(bars.waterfall(steps, "about")) if e.tag == "rect"]) == len(rows)


@given(st.lists(st.tuples(names, any_number, any_number), max_size=30), st.booleans(), st.booleans())
def test_points(data, log_x, log_y):
    made = [points.Point(name, x, y, 1, "text") for name, x, y in data]
    axes = points.Axis("x", is_log=log_x), points.Axis("y", is_log=log_y)
    assert len([e for e in drawn(points.points(made, *axes, "about")) if e.tag == "circle"]) == len(data)


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.lists(st.lists(st.floats(0, 2), min_size=n, max_size=n), min_size=n, max_size=n)
    )
)
def test_heat_maps_show_every_pair_once(shares):
    n = len(shares)
    assert sorted(heat.ordered(shares)) == list(range(n))
    picture = heat.heat([f"n{i}" for i in range(n)], shares, [["t"] * n] * n, "about")
    assert len([e for e in drawn(picture) if e.tag == "rect"]) == n * n


@given(any_number, any_number, st.integers(1, 9), st.sampled_from((2.0, 10.0)))
def test_ticks_are_round_few_and_within(a, b, most, base):
    low, high = sorted((a, b))
    ticks = svg.round_steps(high, most, low, base)
    assert 1 <= len(ticks) <= most + 2 and ticks == sorted(ticks)
    span = high - low
    assert all(low - 1e-6 * span - 1e-9 <= tick <= high + 1e-6 * span + 1e-9 for tick in ticks)
