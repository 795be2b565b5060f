"""Points by two numbers, with their intervals, their names, and the front of those that none beats in both."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pksm.report.pages.charts import svg

HEIGHT = 300


class Point(NamedTuple):
    """A point; its colour says what kind it is. text: what is said where it is pointed at. low, high: of x."""

    name: str
    x: float
    y: float
    colour: int
    text: str
    low: float | None = None
    high: float | None = None
    is_named: bool = True


class Axis(NamedTuple):
    """An axis: its name, how its numbers are read, and whether it is logarithmic."""

    name: str
    form: Callable[[float], str] = svg.count
    is_log: bool = False
    base: float = 10.0  # of round numbers


def points(data: Sequence[Point], x: Axis, y: Axis, about: str, front: Sequence[tuple[float, float]] = ()) -> str:
    """Return a chart of points; those that come first lie on top and are named first. front: corners, which are joined by steps; what is 0 on a logarithmic axis is at its end."""
    picture = svg.drawing(HEIGHT, about)
    box = svg.Box(74, 26, svg.WIDTH - 16, HEIGHT - 46)
    xs, ys = [point.x for point in data], [point.y for point in data]
    across, x_ticks = _scale(xs, x, box.left, box.right)
    up, y_ticks = _scale(ys, y, box.bottom, box.top)
    svg.axes(picture, box, across, up, (x.name, y.name), x_ticks=x_ticks, y_ticks=y_ticks, x_form=x.form, y_form=y.form)
    if front:
        corners = [f"M{across.at(front[0][0]):.1f} {up.at(front[0][1]):.1f}"]
        corners += [f"H{across.at(a):.1f}V{up.at(b):.1f}" for a, b in front[1:]]
        svg.add(picture, "path", class_="front", d="".join(corners))
    taken: list[svg.Box] = []
    for point in reversed(data):  # the first ones lie on top
        at, high = across.at(point.x), up.at(point.y)
        mark = svg.add(picture, "g", class_=f"point f{point.colour % svg.COLOURS}")
        if point.low is not None and point.high is not None:
            svg.add(mark, "line", class_=f"line s{point.colour % svg.COLOURS}", x1=across.at(point.low),
                    x2=across.at(point.high), y1=high, y2=high)  # fmt: skip
        svg.add(mark, "circle", cx=at, cy=high, r=5)
        svg.title(mark, f"{point.name}: {point.text}")
    for point in data:
        if point.is_named:
            _name(picture, point.name, across.at(point.x), up.at(point.y), box, taken)
    return svg.written(picture)


def _scale(values: Sequence[float], axis: Axis, start: float, end: float) -> tuple[svg.Scale, list[float]]:
    """The scale of an axis with room about all values, and its ticks."""
    if axis.is_log:
        above = [value for value in values if value > 0] or [1.0]
        low, high = min(above) / 1.6, max(above) * 1.6
        return svg.Scale(low, high, start, end, True), svg.powers(low, high)
    high = max([*values, 0.0]) * 1.08 or 1.0
    low = min([*values, 0.0]) * 1.08
    return svg.Scale(low, high, start, end), svg.round_steps(high, low=low, base=axis.base)


def _name(picture: svg.Element, name: str, x: float, y: float, box: svg.Box, taken: list[svg.Box]) -> None:
    """Write a name beside its point where it hides no other name; where there is no such place, not at all."""
    wide = min(20, len(name)) * svg.LETTER
    left = min(x + 8, box.right - wide)
    for dy in (-8, 14, -22, 28):
        place = svg.Box(left, y + dy - 11, left + wide, y + dy + 3)
        if place.top < 0 or place.bottom > box.bottom:
            continue
        if not any(_meet(place, other) for other in taken):
            taken.append(place)
            svg.text(picture, left, y + dy, name, width=21 * svg.LETTER)
            return


def _meet(a: svg.Box, b: svg.Box) -> bool:
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom
