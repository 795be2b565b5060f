"""Lines over time, with marks where something happened."""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pksm.plain import plain
from pksm.report.pages.charts import svg
from pksm.report.pages.thin import evenly

HEIGHT, POINTS, MARKS = 250, 400, 12


class Line(NamedTuple):
    """A series: its name, and its values at times that ascend."""

    name: str
    times: Sequence[float]
    values: Sequence[float]


class Mark(NamedTuple):
    """Something that happened at a time."""

    time: float
    label: str


class Read(NamedTuple):
    """How a kind of value is read: its name with the unit, its text, and the base of its round numbers."""

    name: str
    form: Callable[[float], str]
    base: float = 10.0


SIZE = Read("", svg.amount, 2.0)


def held(series: Sequence[Line]) -> list[Line]:
    """Return series that all go on a little longer than any of them, each with its last value: they were at rest."""
    end = 1.1 * max((line.times[-1] for line in series if line.times), default=0.0)
    return [
        Line(line.name, [*line.times, end], [*line.values, line.values[-1]]) if line.times else line for line in series
    ]


def lines(
    series: Sequence[Line],
    times: Read,
    values: Read,
    about: str,
    marks: Sequence[Mark] = (),
    band: tuple[int, int] | None = None,
) -> str:
    """Return a chart of steps: a value holds until the next one; band: the numbers of two series to fill between.

    The script of the page reads the data from the attribute data-lines, and hides series by their class.
    """
    last = max((line.times[-1] for line in series if line.times), default=0.0) or 1.0
    most = max((max(line.values, default=0.0) for line in series), default=0.0) or 1.0
    least = min(0.0, min((min(line.values, default=0.0) for line in series), default=0.0))
    picture = svg.drawing(HEIGHT, about)
    box = svg.Box(74, 26, svg.WIDTH - 14, HEIGHT - 46)
    x, y = svg.Scale(0, last, box.left, box.right), svg.Scale(least, most * 1.05, box.bottom, box.top)
    ticks = svg.round_steps(most * 1.05, low=least, base=values.base)
    svg.axes(picture, box, x, y, (times.name, values.name), x_ticks=svg.round_steps(last), y_ticks=ticks,
             x_form=times.form, y_form=values.form)  # fmt: skip
    for mark in marks[:MARKS]:
        at = x.at(mark.time)
        one = svg.add(picture, "g", class_="mark")
        svg.add(one, "line", x1=at, x2=at, y1=box.top, y2=box.bottom)
        svg.title(one, f"{mark.label}: {times.form(mark.time)}")
    if band is not None:
        low, high = (series[number] for number in band)
        svg.add(picture, "path", class_="band", d=_between(low, high, x, y))
    data = []
    for number, line in enumerate(series):
        chosen = evenly(len(line.times), POINTS)
        xs, ys = [line.times[i] for i in chosen], [line.values[i] for i in chosen]
        path = svg.add(
            picture, "path", class_=f"line s{number % svg.COLOURS}", data_series=number, d=_steps(xs, ys, x, y)
        )
        svg.title(path, line.name)
        data.append({"name": plain(line.name), "x": xs, "text": [values.form(one) for one in ys]})
    picture.set("data-lines", json.dumps({"left": box.left, "right": box.right, "last": last, "series": data,
                                          "times": times.name}))  # fmt: skip
    svg.add(picture, "line", class_="cursor", x1=0, x2=0, y1=box.top, y2=box.bottom)
    return svg.written(picture)


def _between(low: Line, high: Line, x: svg.Scale, y: svg.Scale) -> str:
    """Return the area between the steps of two series at the same times."""
    there = _steps(low.times, low.values, x, y)
    if not there:
        return ""
    back = [f"V{y.at(high.values[-1]):.1f}"]
    for time, value in reversed(list(zip(high.times[:-1], high.values[:-1], strict=True))):
        back.append(f"V{y.at(value):.1f}H{x.at(time):.1f}")
    return there + "".join(back) + "Z"


def _steps(times: Sequence[float], values: Sequence[float], x: svg.Scale, y: svg.Scale) -> str:
    if not times:
        return ""
    path = [f"M{x.at(times[0]):.1f} {y.at(values[0]):.1f}"]
    for time, value in zip(times[1:], values[1:], strict=True):
        path.append(f"H{x.at(time):.1f}V{y.at(value):.1f}")
    return "".join(path)
