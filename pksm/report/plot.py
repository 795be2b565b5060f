"""Pictures of results, by matplotlib: an extra, brought in only when a picture is asked for."""

import importlib
import os
from collections.abc import Sequence
from typing import Any, BinaryIO

from pksm.documents import ProfileDocument, StrategyRow
from pksm.errors import UnsupportedError, UsageError
from pksm.report.text import cut, plain

FORMATS = (".png", ".svg", ".pdf")
FAINT, STRONG = "#9aa5b1", "#0b5cad"
DPI = 130
TICKS_NS = [digit * 10**power for power in range(7) for digit in (1, 2, 5)]
LINE_POINTS, LETTER_POINTS = 11, 5.4  # of the names, in points: their height and a letter's width
NAME_WIDTH = 60  # characters of a subject's name
LEAST_MISSED = 1e-4  # what is drawn for a probability below that: the axis is logarithmic


def form_of(path: str) -> str:
    """Return the format that a path's ending names: "png". UsageError for others, UnsupportedError without matplotlib."""
    ending = os.path.splitext(path)[1].lower()
    if ending not in FORMATS:
        raise UsageError(f"{path}: name a picture that ends in {', '.join(FORMATS)}", "plot")
    _pyplot()
    return ending.removeprefix(".")


def is_picture(head: bytes) -> bool:
    """Tell by its first bytes whether a file holds a picture in one of FORMATS."""
    return head.startswith((b"\x89PNG", b"%PDF", b"<?xml", b"<svg"))


def profile(document: ProfileDocument, file: BinaryIO, form: str) -> None:
    """Draw a profile of checksums into a file: for each subject, speed against blindness and against futile compares.

    Strategies that no other one beats in both are on the Pareto front: they are joined by a line.
    """
    subjects = document["subjects"]
    figure, axes = _pyplot().subplots(
        len(subjects), 2, figsize=(13, 5.2 * len(subjects)), dpi=DPI, squeeze=False, layout="constrained"
    )
    named = []
    for subject, (left, right) in zip(subjects, axes, strict=True):
        rows = [row for row in document["strategies"] if row["subject"] == subject["name"]]
        missed = [max(LEAST_MISSED, row["missed"]["1_word"]["measured"]) for row in rows]
        named.append(_scatter(left, rows, missed, "changes of one word missed (below 0.0001: drawn there)"))
        left.set_yscale("log")
        left.set_ylim(LEAST_MISSED / 3, 5)
        futile = [row["futile_compares"] / subject["pages"] for row in rows]
        named.append(_scatter(right, rows, futile, "futile compares a page until pksmd is at rest"))
        right.set_yscale("symlog", linthresh=1e-3)
        right.set_ylim(-3e-4, max(1e-2, 5 * max(futile)))
        for axis in (left, right):
            read = subject["yardsticks"]["read"]["cold"]
            axis.axvline(read, color=FAINT, linestyle=":", linewidth=1, label="reading alone")
            axis.legend(loc="center right", frameon=False, fontsize=8)
        name = cut(plain(subject["name"]), NAME_WIDTH)
        _title(left, f"{name}: {subject['pages']:,} pages")
        _title(right, f"recommended: {subject['recommendation']['strategy']}")
    figure.canvas.draw()  # now it is known where the points are
    for axis, names in named:
        _name(axis, names)
    figure.savefig(file, format=form)


def _title(axis: Any, text: str) -> None:
    axis.set_title(text, loc="left", fontsize=11, parse_math=False)  # a name may hold $


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return which points are on the Pareto front: no other point matches them in both x and y and beats them in one.

    The smaller the better, in both.

    Of points that are the same all are on the front or none.
    """
    return [
        not any(other != point and other[0] <= point[0] and other[1] <= point[1] for other in points)
        for point in points
    ]


def _scatter(
    axis: Any, rows: Sequence[StrategyRow], heights: Sequence[float], label: str
) -> tuple[Any, list[tuple[str, tuple[float, float], bool]]]:
    """Draw points, those on the Pareto front strong and joined; return the axis and what to write beside them."""
    points = [(row["ns_cold"], height) for row, height in zip(rows, heights, strict=True)]
    best = front(points)
    line = sorted(point for point, is_best in zip(points, best, strict=True) if is_best)
    axis.plot(*zip(*line, strict=True), color=STRONG, linewidth=1, zorder=1, label="Pareto front")
    for (x, y), is_best in zip(points, best, strict=True):
        axis.scatter(x, y, s=36, color=STRONG if is_best else FAINT, zorder=2)
    axis.set_xscale("log")
    axis.set_xlim(min(x for x, _ in points) / 1.4, max(x for x, _ in points) * 1.8)
    axis.set_xticks([x for x in TICKS_NS if axis.get_xlim()[0] <= x <= axis.get_xlim()[1]])
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.minorticks_off()
    axis.set_xlabel("ns of CPU a page, cold, pages in order")
    axis.set_ylabel(label)
    axis.grid(True, which="major", color="#e6e9ed", linewidth=0.6)
    axis.set_axisbelow(True)
    return axis, [(row["name"], point, is_best) for row, point, is_best in zip(rows, points, best, strict=True)]


def _name(axis: Any, names: list[tuple[str, tuple[float, float], bool]]) -> None:
    """Write names beside points, each at the first step up (in the upper half: down) where it hides no other."""
    taken: list[tuple[float, float, float, float]] = []
    middle = axis.transAxes.transform((0, 0.5))[1]
    per_point = DPI / 72
    for name, point, is_best in sorted(names, key=lambda entry: entry[1]):
        x, y = axis.transData.transform(point)
        up = 1 if y < middle else -1
        for step in range(len(names)):
            dy = up * (9 + LINE_POINTS * step) - (LINE_POINTS / 2 if up < 0 else 0)
            box = x, y + dy * per_point, x + LETTER_POINTS * len(name) * per_point, y + (dy + LINE_POINTS) * per_point
            if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                break
        taken.append(box)
        axis.annotate(name, point, xytext=(3, dy), textcoords="offset points", fontsize=8, parse_math=False,
                      color=STRONG if is_best else "#52606d",
                      arrowprops={"arrowstyle": "-", "color": "#cbd2d9", "linewidth": 0.5})  # fmt: skip


def _pyplot() -> Any:
    try:
        matplotlib = importlib.import_module("matplotlib")
    except ImportError:
        raise UnsupportedError("pictures take matplotlib, which is not installed: pip install matplotlib") from None
    matplotlib.use("agg")
    return importlib.import_module("matplotlib.pyplot")
