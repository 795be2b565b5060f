"""The picture of pksm.checksum/1: strategies by speed and blindness, and by what they cost until all is merged."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from pksm.documents import ProfileDocument, ProfileSubject, StrategyRow
from pksm.report.front import front
from pksm.report.plot.labels import Named, write
from pksm.report.plot.style import BLACK, BLUE, GREY, RED, label, legend, logarithmic, new_figure

NAME_WIDTH = 22
SUBJECT_WIDTH = 40
HEIGHT = 5.0  # inches
LEAST_MISSED = 1e-4  # the y axis is logarithmic from here on, and linear down to 0
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Point(NamedTuple):
    """A strategy in one of the two pictures, with the ends of its intervals."""

    name: str
    x: float
    x_low: float
    x_high: float
    y: float
    y_low: float
    y_high: float
    merges_missed: bool


def draw(document: ProfileDocument) -> Any:
    """Return the figure: a column per subject; above speed against blindness, below cost against futile compares."""
    subjects = document["subjects"]
    figure = new_figure(HEIGHT, max(1, len(subjects)))
    axes = figure.subplots(2, max(1, len(subjects)), squeeze=False)
    drawn = []
    for place, subject in enumerate(subjects):
        rows = [row for row in document["strategies"] if row["subject"] == subject["name"]]
        chosen = subject["recommendation"]["strategy"]
        above, below = axes[0][place], axes[1][place]
        drawn += [(above, _missed(above, rows, subject, chosen)), (below, _futile(below, rows, subject, chosen))]
        if len(subjects) > 1:
            text = label(subject["name"], SUBJECT_WIDTH)
            above.annotate(text, (0, 1.02), xycoords="axes fraction", fontweight="bold", annotation_clip=False)
    _legend(figure, axes[0][0], any(map(_misses_merges, document["strategies"])))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # now it is known where the points are, and they stay there
    for axis, names in drawn:
        write(axis, names)
    return figure


def caption(document: ProfileDocument) -> str:
    """Return what to print under the picture."""
    subjects = " ".join(
        f"{subject['name']}, {subject['pages']:,} pages: {subject['recommendation']['sentence']}"
        for subject in document["subjects"]
    )
    return (
        "Checksum strategies. Above: CPU time per page, cold and in order, against the share of changes of one word that "
        "are missed (bars: 95 % intervals). Below: CPU time per page until pksmd is at rest (bars: least and most) "
        f"against futile compares per page. Lines: Pareto fronts. {subjects}"
    )


def _missed(axis: Any, rows: Sequence[StrategyRow], subject: ProfileSubject, chosen: str | None) -> list[Named]:
    points = []
    for row in rows:
        missed, cold = row["missed"]["1_word"], row["intervals"]["cold"]
        ys = (missed["measured"], missed["low"], missed["high"])
        points.append(_point(row, row["ns_cold"], cold["low"], cold["high"], *ys))
    names = _draw(axis, points, chosen)
    axis.axvline(subject["yardsticks"]["read"]["cold"], color=GREY, linestyle=":", linewidth=0.8, zorder=1)
    axis.set_yscale("symlog", linthresh=LEAST_MISSED, linscale=0.6)
    axis.set_ylim(-LEAST_MISSED / 3, 2.5)
    ticks = [0, 1e-4, 1e-3, 1e-2, 1e-1, 1]
    axis.set_yticks(ticks, ["0", *(f"{100 * tick:g} %" for tick in ticks[1:])])
    axis.set_xlabel("CPU ns per page, cold, in order")
    axis.set_ylabel("changes of a word missed")
    return names


def _futile(axis: Any, rows: Sequence[StrategyRow], subject: ProfileSubject, chosen: str | None) -> list[Named]:
    points = []
    for row in rows:
        futile, rest = row["futile_compares"] / subject["pages"], row["intervals"]["to_rest"]
        points.append(_point(row, row["cpu_ns_to_rest"], rest["low"], rest["high"], futile, futile, futile))
    names = _draw(axis, points, chosen)
    least = min((point.y for point in points if point.y), default=1e-3)
    most = max((point.y for point in points), default=0)
    lowest = math.floor(math.log10(least))
    highest = max(lowest + 2, math.ceil(math.log10(most))) if most else lowest + 2
    axis.set_yscale("symlog", linthresh=10.0**lowest, linscale=0.6)
    axis.set_ylim(-(10.0**lowest) / 3, 10.0**highest * 2)
    powers = range(lowest, highest + 1)
    axis.set_yticks([0, *(10.0**power for power in powers)], ["0", *map(_power, powers)])
    axis.set_xlabel("CPU ns per page until pksmd is at rest")
    axis.set_ylabel("futile compares per page")
    return names


def _power(power: int) -> str:
    return f"{10.0**power:g}" if -2 <= power <= 3 else "10" + str(power).translate(SUPERSCRIPTS)


def _point(row: StrategyRow, x: float, x_low: float, x_high: float, y: float, y_low: float, y_high: float) -> Point:
    return Point(row["name"], x, x_low, x_high, y, y_low, y_high, _misses_merges(row))


def _misses_merges(row: StrategyRow) -> bool:
    return row["missed_merges"] + row["missed_after_change"] > 0


def _draw(axis: Any, points: Sequence[Point], chosen: str | None) -> list[Named]:
    """Draw points with their intervals and the front as a staircase; return their names for later."""
    best = front([(point.x, point.y) for point in points])
    _staircase(axis, sorted({(p.x, p.y) for p, is_best in zip(points, best, strict=True) if is_best}))
    named = []
    for point, is_best in zip(points, best, strict=True):
        is_chosen = point.name == chosen
        colour = RED if is_chosen else BLUE if is_best else GREY
        axis.plot([point.x_low, point.x_high], [point.y, point.y], color=colour, linewidth=0.6, zorder=2)
        axis.plot([point.x, point.x], [point.y_low, point.y_high], color=colour, linewidth=0.6, zorder=2)
        above = 5 if is_chosen else 4 if point.merges_missed else 3
        axis.plot(point.x, point.y, **_mark(point.merges_missed, is_best, is_chosen), zorder=above)
        weight = "bold" if is_chosen else "normal"
        named.append(Named(label(point.name, NAME_WIDTH), point.x, point.y, point.y_high, colour, weight))
    lows = [value for point in points for value in (point.x, point.x_low) if value > 0] or [1]
    highs = [value for point in points for value in (point.x, point.x_high)] or [10]
    logarithmic(axis, min(lows) / 1.35, max(highs) * 1.35)
    axis.grid(True)
    return named


def _staircase(axis: Any, corners: Sequence[tuple[float, float]]) -> None:
    """Join the points of a front by the border of what they beat: right, then down."""
    if corners:
        xs, ys = zip(*corners, strict=True)
        far = 1e12
        axis.step((xs[0], *xs, far), (far, *ys, ys[-1]), where="post", color=BLUE, linewidth=0.8, zorder=1)


def _mark(merges_missed: bool, is_best: bool, is_chosen: bool) -> dict[str, Any]:
    if is_chosen:
        return {"marker": "*", "markersize": 7, "color": RED, "markeredgecolor": BLACK, "markeredgewidth": 0.4}
    colour = BLUE if is_best else GREY
    if merges_missed:
        return {"marker": "x", "markersize": 3.5, "color": colour, "markeredgewidth": 0.9}
    return {"marker": "o", "color": colour, "markerfacecolor": BLUE if is_best else "white", "markeredgewidth": 0.7}


def _legend(figure: Any, axis: Any, some_miss: bool) -> None:
    entries = {
        "recommended": (False, False, True),
        "on the Pareto front": (False, True, False),
        "beaten by another": (False, False, False),
        **({"missed merges": (True, False, False)} if some_miss else {}),
    }
    handles = [axis.plot([], [], linestyle="none", **_mark(*what))[0] for what in entries.values()]
    handles.append(axis.plot([], [], color=GREY, linestyle=":", linewidth=0.8)[0])
    legend(figure, handles, [*entries, "reading alone"], 3)
