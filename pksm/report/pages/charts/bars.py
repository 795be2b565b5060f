"""Bars that lie: one amount per row, several in a row, or each from where the last one ended."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pksm.report.pages.charts import svg

ROW, BAR, NAMES = 26, 18, 170  # heights, and the width of names
RIGHT = 76  # for the numbers behind bars


class Row(NamedTuple):
    """A name, and its amounts by series; text stands behind the bar."""

    name: str
    amounts: Sequence[float]
    text: str


class Step(NamedTuple):
    """A bar of a waterfall: from one amount to another, with a colour."""

    name: str
    start: float
    end: float
    text: str
    colour: int


def stacked(rows: Sequence[Row], kinds: Sequence[str], form: Callable[[float], str], about: str) -> str:
    """Return a bar per row, in which each kind has a part."""
    picture, scale = _paper(len(rows), max((sum(row.amounts) for row in rows), default=0), about)
    for place, row in enumerate(rows):
        bar = _row(picture, place, row.name)
        at = scale.start
        for number, (kind, value) in enumerate(zip(kinds, row.amounts, strict=True)):
            wide = scale.at(value) - scale.start
            if wide > 0:
                part = _bar(bar, place, at, wide, number)
                svg.title(part, f"{row.name}: {kind} {form(value)}")
            at += wide
        svg.text(bar, at + 5, _text_at(place), row.text)
    return svg.written(picture)


def waterfall(steps: Sequence[Step], about: str) -> str:
    """Return bars each of which begins where it says: how one amount becomes another."""
    picture, scale = _paper(len(steps), max((max(step.start, step.end) for step in steps), default=0), about)
    for place, step in enumerate(steps):
        bar = _row(picture, place, step.name)
        low, high = sorted((scale.at(step.start), scale.at(step.end)))
        svg.title(_bar(bar, place, low, max(1.0, high - low), step.colour), f"{step.name}: {step.text}")
        svg.text(bar, high + 5, _text_at(place), step.text)
    return svg.written(picture)


def beside(rows: Sequence[Row], limit: float, limit_name: str, about: str) -> str:
    """Return a bar per row, and a line at a limit that none can be below."""
    picture, scale = _paper(len(rows), max((row.amounts[0] for row in rows), default=0), about)
    for place, row in enumerate(rows):
        bar = _row(picture, place, row.name)
        wide = scale.at(row.amounts[0]) - scale.start
        svg.title(_bar(bar, place, scale.start, max(1.0, wide), 0), f"{row.name}: {row.text}")
        svg.text(bar, scale.start + wide + 5, _text_at(place), row.text)
    at = scale.at(limit)
    line = svg.add(picture, "line", class_="limit", x1=at, x2=at, y1=0, y2=len(rows) * ROW)
    svg.title(line, limit_name)
    return svg.written(picture)


def _paper(rows: int, most: float, about: str) -> tuple[svg.Element, svg.Scale]:
    picture = svg.drawing(max(1, rows) * ROW + 4, about)
    return picture, svg.Scale(0, most or 1.0, NAMES, svg.WIDTH - RIGHT)


def _row(picture: svg.Element, place: int, name: str) -> svg.Element:
    row = svg.add(picture, "g", class_="bar")
    svg.text(row, NAMES - 8, _text_at(place), name, width=NAMES - 12, text_anchor="end")
    return row


def _text_at(place: int) -> float:
    return place * ROW + ROW / 2 + 5


def _bar(row: svg.Element, place: int, x: float, width: float, colour: int) -> svg.Element:
    return svg.add(row, "rect", class_=f"fill f{colour % svg.COLOURS}", x=x, y=float(place * ROW + (ROW - BAR) / 2),
                   width=width, height=BAR)  # fmt: skip
