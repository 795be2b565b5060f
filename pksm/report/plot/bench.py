"""The picture of pksm.bench/1: CPU time per page of engines, by load, beside the limit and the rivals."""

from typing import Any, NamedTuple

from pksm.documents import BenchDocument, BenchRow
from pksm.report.plot.style import (
    BLACK,
    BLUE,
    CYCLE,
    GREEN,
    GREY,
    LETTERS,
    ORANGE,
    RED,
    SMALL,
    label,
    legend,
    logarithmic,
    new_figure,
    steps_125,
)
from pksm.report.text import size

LIMIT, ENGINE, KERNEL = "read", "pksmd", "kernel's ksmd"
LEFT_OUT = ("memcpy", "memcmp", "call", "settle in C")  # other limits, and a part of the engine
NAME_WIDTH = 12
BAR = 1.5  # points that the bar of an interval is thick
MOST_SIZES = 6  # that have room under an axis
SETTINGS = ("order", "batch", "threads", "checksum")  # by which rows of one engine differ


class Mark(NamedTuple):
    """How an engine is drawn."""

    text: str
    marker: str
    colour: str
    filled: bool = True


MARKS = {
    "read": Mark("reading once: the limit", "|", BLACK),
    "checksum": Mark("checksum alone", "v", GREY, False),
    "hash table": Mark("hash table in C", "D", GREEN, False),
    "ksm twin": Mark("KSM's trees in C", "s", ORANGE),
    "kernel's ksmd": Mark("the kernel's ksmd", "X", BLACK),
    "ksmd": Mark("our ksmd", "^", RED),
    "ksmd, machine": Mark("our ksmd, machine", "^", RED, False),
    "pksmd": Mark("pksmd", "o", BLUE),
    "pksmd, machine": Mark("pksmd, machine", "o", BLUE, False),
}
OTHERS = ("P", "<", ">", "h", "*", "p")


def draw(document: BenchDocument) -> Any:
    """Return the figure: of one size, a line per load and a mark per engine; of several, a curve per engine."""
    rows = [row for row in document["rows"] if ": " not in row["engine"] and row["engine"] not in LEFT_OUT]
    loads = list(dict.fromkeys(row["load"] for row in rows))
    if any(len({row["pages"] for row in rows if row["load"] == load}) > 1 for load in loads):
        return _curves(rows, loads)
    return _lines(document, rows, loads)


def _lines(document: BenchDocument, rows: list[BenchRow], loads: list[str]) -> Any:
    """A line per load, a mark per engine, a bar where its median may lie; what is further left is faster."""
    marks = _marks(rows)
    n_lines = -(-len(marks) // 2)
    figure = new_figure(0.55 + 0.22 * max(2, len(loads)) + 0.13 * n_lines)
    axis = figure.subplots()
    for place, load in enumerate(loads):
        of_load = [row for row in rows if row["load"] == load]
        times = [row["ns_per_page"] for row in of_load]
        axis.hlines(place, min(times), max(times), color=GREY, linewidth=0.5, zorder=1)
        for row in of_load:
            mark = marks[_key(row, rows)]
            axis.hlines(place, *_interval(row), color=mark.colour, linewidth=BAR, zorder=2)
            axis.plot(row["ns_per_page"], place, mark.marker, color=mark.colour, linestyle="none", zorder=3,
                      markersize=6 if mark.marker == "|" else 4, markeredgewidth=1.2 if mark.marker == "|" else 0.8,
                      markerfacecolor=mark.colour if mark.filled else "white")  # fmt: skip
        axis.annotate(_ratio(of_load), (1.02, place), xycoords=("axes fraction", "data"), va="center",
                      fontsize=SMALL, color=BLUE, annotation_clip=False)  # fmt: skip
    over = "kernel\n÷ pksmd" if "against" in document else "pksmd\n÷ limit"
    if any(_ratio([row for row in rows if row["load"] == load]) for load in loads):
        axis.annotate(over, (1.02, 1), xycoords="axes fraction", fontsize=SMALL, color=BLUE, va="bottom")
    logarithmic(axis, *_limits(rows))
    axis.set_yticks(range(len(loads)), [f"load {label(load, NAME_WIDTH)}" for load in loads])
    axis.set_ylim(len(loads) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("CPU ns per page (logarithmic; further left is faster)")
    handles = [_handle(axis, mark) for mark in marks.values()]
    legend(figure, handles, [mark.text for mark in marks.values()])
    return figure


def _curves(rows: list[BenchRow], loads: list[str]) -> Any:
    """Axes per load, a curve per engine over the size, a bar where each median may lie; what is lower is faster."""
    marks = _marks(rows)
    figure = new_figure(0.45 + 1.5 * len(loads) + 0.13 * -(-len(marks) // 2))
    all_axes = figure.subplots(len(loads), 1, squeeze=False, sharex=True)[:, 0]
    sizes = sorted({row["pages"] for row in rows})
    low, high = _limits(rows)
    for axis, load in zip(all_axes, loads, strict=True):
        for key, mark in marks.items():
            of_engine = sorted((row for row in rows if row["load"] == load and _key(row, rows) == key), key=_pages)
            pages, times = [row["pages"] for row in of_engine], [row["ns_per_page"] for row in of_engine]
            if of_engine:
                low_high = zip(*map(_interval, of_engine), strict=True)
                axis.vlines(pages, *low_high, color=mark.colour, linewidth=BAR, zorder=2)
            axis.plot(pages, times, marker="_" if mark.marker == "|" else mark.marker, color=mark.colour, zorder=3,
                      markerfacecolor=mark.colour if mark.filled else "white", markeredgewidth=0.8)  # fmt: skip
        axis.set_yscale("log")
        axis.set_ylim(low, high)
        ticks = steps_125(low, high)
        axis.set_yticks(ticks, [f"{tick:,.10g}" for tick in ticks])
        axis.set_yticks([], minor=True)
        axis.grid(True, axis="y")
        axis.set_title(f"load {label(load, 2 * NAME_WIDTH)}", fontsize=SMALL, loc="left", pad=3)
    below = all_axes[-1]
    below.set_xscale("log")
    below.set_xlim(sizes[0] / 1.2, sizes[-1] * 1.2)
    shown = sizes if len(sizes) <= MOST_SIZES else [sizes[0], sizes[len(sizes) // 2], sizes[-1]]
    below.set_xticks(shown, [_short(size) for size in shown])
    below.set_xticks([], minor=True)
    below.set_xlabel("pages (logarithmic)")
    figure.supylabel("CPU ns per page (logarithmic; lower is faster)", fontsize=LETTERS)
    legend(figure, [_handle(below, mark) for mark in marks.values()], [mark.text for mark in marks.values()])
    return figure


def _interval(row: BenchRow) -> tuple[float, float]:
    """Where the median of a row may lie; older documents do not say."""
    return row.get("ns_low", row["ns_per_page"]), row.get("ns_high", row["ns_per_page"])


def _pages(row: BenchRow) -> int:
    return row["pages"]


def _short(pages: int) -> str:
    """A number of pages as it is typed: 64K, 1M, 300."""
    for unit, factor in (("M", 1 << 20), ("K", 1 << 10)):
        if pages >= factor and pages % factor == 0:
            return f"{pages // factor}{unit}"
    return f"{pages:,}"


def _limits(rows: list[BenchRow]) -> tuple[float, float]:
    """The ends of the axis of times."""
    known = [time for row in rows for time in _interval(row) if time > 0] or [1, 10]
    return min(known) / 1.35, max(known) * 1.35


def caption(document: BenchDocument) -> str:
    """Return what to print under the picture."""
    sizes = sorted({row["pages"] for row in document["rows"] if row["engine"] not in LEFT_OUT})
    pages = " to ".join(f"{size:,}" for size in dict.fromkeys((sizes[0], sizes[-1]))) if sizes else "0"
    loads = document.get("loads", {})
    about = " ".join(f"{name}: {text}" for name, text in loads.items())
    pair = "the kernel's ksmd over pksmd" if "against" in document else "pksmd over reading the bytes once, the limit"
    at_right = "" if len(sizes) > 1 else f" At the right: {pair}."
    sure = (
        f" (bars: where they lie with {100 * document['confidence']:.0f} % confidence)"
        if "confidence" in document
        else ""
    )
    text = (
        f"CPU time per page on {pages} pages of {size(document['page_size'])}, medians of {document['repeats']}{sure}; "
        f"every answer checked.{at_right}"
    )
    meanwhile = document.get("interference")
    if meanwhile and meanwhile["trust"] == "ratios":
        text += " The machine was busy: ratios hold, times do not."
    return f"{text} Loads: {about}" if about else text


def _key(row: BenchRow, rows: list[BenchRow]) -> str:
    """The name of a row in the legend: its engine, and those of its settings of which that engine has several."""
    alike = [other for other in rows if other["engine"] == row["engine"]]
    several = [name for name in SETTINGS if len({other.get(name) for other in alike}) > 1]
    told = [_setting(name, row.get(name)) for name in several]
    return f"{row['engine']} ({', '.join(told)})" if told else row["engine"]


def _setting(name: str, value: Any) -> str:
    """A setting in the legend."""
    unit = {"batch": " a wake-up", "threads": " thread" if value == 1 else " threads"}.get(name, "")
    return f"{value:,}{unit}" if isinstance(value, int) else str(value)


def _marks(rows: list[BenchRow]) -> dict[str, Mark]:
    """A mark for each engine; those of one engine with several orders differ in their markers."""
    marks: dict[str, Mark] = {}
    for row in rows:
        key = _key(row, rows)
        if key in marks:
            continue
        known = MARKS.get(row["engine"])
        if known and key == row["engine"]:
            marks[key] = known
        else:
            text = key.replace(row["engine"], known.text, 1) if known else label(key, 3 * NAME_WIDTH)
            colour = known.colour if known else CYCLE[len(marks) % len(CYCLE)]
            marks[key] = Mark(text, OTHERS[len(marks) % len(OTHERS)], colour)
    return marks


def _handle(axis: Any, mark: Mark) -> Any:
    [line] = axis.plot([], [], mark.marker, color=mark.colour, linestyle="none", markersize=4,
                       markerfacecolor=mark.colour if mark.filled else "white", markeredgewidth=0.9)  # fmt: skip
    return line


def _ratio(rows: list[BenchRow]) -> str:
    """How many times the limit the engine takes, or how many times the engine's time the kernel takes."""
    times = {name: [row["ns_per_page"] for row in rows if row["engine"] == name] for name in (LIMIT, ENGINE, KERNEL)}
    if len(times[ENGINE]) != 1 or not times[ENGINE][0]:
        return ""
    if times[KERNEL]:
        return f"{times[KERNEL][0] / times[ENGINE][0]:.0f} ×"
    return f"{times[ENGINE][0] / times[LIMIT][0]:.1f} ×" if times[LIMIT] and times[LIMIT][0] else ""
