"""The paper that charts are drawn on: elements of SVG, axes, and the round numbers on these.

Names in it come from strangers: the serializer escapes what is markup, text() what turns or steers text.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from pksm.plain import plain
from pksm.report.text import cut, size

Element = ElementTree.Element
WIDTH = 480  # units; on a narrow phone three quarters of a pixel each
LETTER = 7.3  # of text of the normal size, on average
COLOURS = 8  # that the style sheet has


class Box(NamedTuple):
    """Where in a chart the data is."""

    left: float
    top: float
    right: float
    bottom: float


class Scale(NamedTuple):
    """From numbers to places along an axis, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """Return where a number is; what is beyond an end is at that end."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.is_log else (self.low, self.high)
        value = math.log10(max(value, self.low)) if self.is_log else value
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return self.start + share * (self.end - self.start)


def drawing(height: float, about: str) -> Element:
    """Return an empty picture, with what screen readers say of it."""
    made = ElementTree.Element("svg", viewBox=f"0 0 {WIDTH} {height:g}", role="img")
    made.set("aria-label", plain(about))
    return made


def add(parent: Element, tag: str, /, **attributes: object) -> Element:
    """Add an element: numbers are written short, `_` in a name is `-`, and a `_` at the end of `class_` is dropped."""
    named = {name.rstrip("_").replace("_", "-"): _written(value) for name, value in attributes.items()}
    return ElementTree.SubElement(parent, tag, named)


def text(parent: Element, x: float, y: float, words: str, *, width: float = math.inf, **attributes: object) -> Element:
    """Write words of a stranger at a place, cut to a width; where they are cut, a title has them all."""
    whole = plain(words)
    shown = whole if math.isinf(width) else cut(whole, max(4, int(width / LETTER)))
    element = add(parent, "text", x=x, y=y, **attributes)
    element.text = shown
    if shown != whole:
        title(element, whole)
    return element


def title(parent: Element, words: str) -> None:
    """Let an element say something where it is pointed at."""
    add(parent, "title").text = plain(words)


def written(picture: Element) -> str:
    """Return a picture as text."""
    return ElementTree.tostring(picture, encoding="unicode", short_empty_elements=False)


def _written(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def round_steps(high: float, most: int = 5, low: float = 0.0, base: float = 10.0) -> list[float]:
    """Return round numbers from low to a little below or at high, at most `most` + 1 of them."""
    span = high - low
    if not span > 0 or math.isinf(span):
        return [low]
    power = base ** math.floor(math.log(span / most, base))
    factors = (1, 2, 5, 10) if base == 10 else (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    step = next(power * factor for factor in factors if span / (power * factor) <= most)
    first = math.ceil(low / step)
    return [step * (first + i) for i in range(most + 2) if step * (first + i) <= high + 1e-9 * span] or [low]


def powers(low: float, high: float) -> list[float]:
    """Return the powers of ten from low to high, with halves in between if those are few."""
    exponents = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    if len(exponents) < 3:
        return [digit * 10.0**e for e in range(exponents.start - 1, exponents.stop + 1) for digit in (1, 2, 5)
                if low <= digit * 10.0**e <= high]  # fmt: skip
    return [10.0**e for e in exponents]


def count(value: float) -> str:
    """Return a number as ticks have it: "12,000", "3 M", "0.25"."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.4g} M"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def amount(value: float) -> str:
    """Return bytes as ticks have them: "2 GiB"."""
    return size(value).replace(".00 ", " ").replace(".0 ", " ")


def axes(
    picture: Element,
    box: Box,
    x: Scale,
    y: Scale,
    names: tuple[str, str],
    *,
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    x_form: Callable[[float], str] = count,
    y_form: Callable[[float], str] = count,
) -> None:
    """Draw a grid with numbers at its lines, and the names of both axes."""
    frame = add(picture, "g", class_="axes")
    for tick in y_ticks:
        at = y.at(tick)
        add(frame, "line", x1=box.left, x2=box.right, y1=at, y2=at)
        text(frame, box.left - 6, at + 4, y_form(tick), text_anchor="end")
    labels: set[str] = set()
    for tick in x_ticks:
        at, label = x.at(tick), x_form(tick)
        if label in labels:  # as 0.5 hosts has, rounded
            continue
        labels.add(label)
        add(frame, "line", x1=at, x2=at, y1=box.bottom, y2=box.bottom + 4)
        text(frame, at, box.bottom + 18, label, text_anchor="middle")
    text(frame, box.right, box.bottom + 36, names[0], text_anchor="end", class_="name")
    text(frame, 2, box.top - 8, names[1], class_="name")
