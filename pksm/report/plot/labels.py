"""Names beside points, none of which hides another."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pksm.report.plot.style import FAINT, SMALL

CROWD = 0.35  # of the height of the axes: names of points below are written upright, in a row
LETTER = 0.62  # a letter's width, of its height
LINE = SMALL + 1.5  # points between two lines of names
CLEARANCE = 6  # points between what lies highest in a crowd and its names
BACKGROUND = {"facecolor": "white", "edgecolor": "none", "pad": 0.3, "alpha": 0.85}


class Named(NamedTuple):
    """A point with a name, and the ends of what is drawn about it."""

    name: str
    x: float
    y: float
    y_high: float
    colour: str
    weight: str = "normal"


class Box(NamedTuple):
    """A part of the picture that is taken, in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def hides(self, other: "Box") -> bool:
        """Return whether two boxes have a part in common."""
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return positions as near as can be to `wanted`, which ascends, at least `gap` apart, from low to high.

    Where there is no room for all of them, the last ones go beyond high.
    """
    blocks: list[tuple[float, int]] = []  # mean of what is wanted less its place in the row, and for how many
    for place, position in enumerate(wanted):
        blocks.append((position - place * gap, 1))
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (left, n_left), (right, n_right) = blocks[-2:]
            blocks[-2:] = [((left * n_left + right * n_right) / (n_left + n_right), n_left + n_right)]
    starts = [mean for mean, count in blocks for _ in range(count)]
    last = max(low, high - (len(wanted) - 1) * gap)
    return [min(max(start, low), last) + place * gap for place, start in enumerate(starts)]


def write(axis: Any, points: Sequence[Named]) -> None:
    """Write the names of points into axes whose limits and layout are final.

    Those of the crowd at the bottom stand upright in a row above it, with a line from each to its point; the others
    are written level, as near to their points as there is room.
    """
    scale = axis.figure.dpi / 72
    whole = Box(*axis.transAxes.transform((0, 0)), *axis.transAxes.transform((1, 1)))
    places = {point: axis.transData.transform((point.x, point.y)) for point in points}
    border = whole.bottom + CROWD * (whole.top - whole.bottom)
    crowd = sorted((p for p in points if places[p][1] < border), key=lambda p: (places[p][0], p.name))
    others = sorted((p for p in points if places[p][1] >= border), key=lambda p: (places[p][0], p.name))
    taken = _upright(axis, crowd, places, whole, scale)
    taken += [_around(places[point], 3 * scale) for point in others]
    for point in others:
        taken.append(_level(axis, point, places[point], whole, taken, scale))


def _upright(axis: Any, crowd: Sequence[Named], places: dict[Named, Any], whole: Box, scale: float) -> list[Box]:
    """Write the names of a crowd; return what they take."""
    if not crowd:
        return []
    gap = LINE * scale
    tops = [axis.transData.transform((point.x, point.y_high))[1] for point in crowd]
    level = max(tops) + CLEARANCE * scale
    xs = spread([places[point][0] for point in crowd], gap, whole.left + gap / 2, whole.right - gap / 2)
    boxes = []
    for point, x in zip(crowd, xs, strict=True):
        line = {"arrowstyle": "-", "color": FAINT, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2, "zorder": 1}
        _annotate(axis, point, (x, level), rotation=90, ha="center", va="bottom", arrowprops=line)
        boxes.append(Box(x - gap / 2, level, x + gap / 2, level + _width(point.name, scale)))
    return boxes


def _level(axis: Any, point: Named, place: Any, whole: Box, taken: Sequence[Box], scale: float) -> Box:
    """Write a name at the first place about its point where it hides nothing; return what it takes."""
    found = [box for box in _candidates(point.name, place, whole, scale) if not any(map(box.hides, taken))]
    box = found[0] if found else next(_candidates(point.name, place, whole, scale))
    _annotate(axis, point, ((box.left + box.right) / 2, (box.bottom + box.top) / 2), ha="center", va="center")
    return box


def _candidates(name: str, place: Any, whole: Box, scale: float) -> Iterator[Box]:
    """Yield places for a name: above its point, below it, and ever further away."""
    x, y = place
    width, height = _width(name, scale), LINE * scale
    left = min(max(x - width / 2, whole.left + scale), whole.right - width)
    for step in range(6):
        for up in (1, -1):
            middle = y + up * (3.5 * scale + height * (step + 0.5))
            if whole.bottom <= middle - height / 2 and middle + height / 2 <= whole.top + height:
                yield Box(left, middle - height / 2, left + width, middle + height / 2)


def _annotate(axis: Any, point: Named, at: tuple[float, float], **how: Any) -> None:
    axis.annotate(point.name, (point.x, point.y), xytext=axis.transAxes.inverted().transform(at),
                  textcoords="axes fraction", fontsize=SMALL, color=point.colour, fontweight=point.weight,
                  annotation_clip=False, zorder=4, bbox=BACKGROUND, **how)  # fmt: skip


def _around(place: Any, radius: float) -> Box:
    x, y = place
    return Box(x - radius, y - radius, x + radius, y + radius)


def _width(name: str, scale: float) -> float:
    return len(name) * LETTER * SMALL * scale
