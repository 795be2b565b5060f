"""The picture of pksm.bench/1: CPU time per page of engines, by load, beside the limit and the rivals."""

from typing import Any, NamedTuple

from pksm.documents import BenchDocument, BenchRow
from pksm.report.plot.style import BLACK, BLUE, GREEN, GREY, ORANGE, RED, SMALL, label, legend, logarithmic, new_figure
from pksm.report.text import size

LIMIT, ENGINE, KERNEL = "read", "pksmd", "kernel's ksmd"
LEFT_OUT = ("memcpy", "memcmp", "call", "settle in C")  # other limits, and a part of the engine
NAME_WIDTH = 12


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
    """Return the figure: a line per load, a mark per engine; what is further left is faster."""
    rows = [row for row in document["rows"] if ": " not in row["engine"] and row["engine"] not in LEFT_OUT]
    loads = list(dict.fromkeys(row["load"] for row in rows))
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
            axis.plot(row["ns_per_page"], place, mark.marker, color=mark.colour, linestyle="none", zorder=3,
                      markersize=6 if mark.marker == "|" else 4, markeredgewidth=1.2 if mark.marker == "|" else 0.8,
                      markerfacecolor=mark.colour if mark.filled else "white")  # fmt: skip
        axis.annotate(_ratio(of_load), (1.02, place), xycoords=("axes fraction", "data"), va="center",
                      fontsize=SMALL, color=BLUE, annotation_clip=False)  # fmt: skip
    over = "kernel\n÷ pksmd" if "against" in document else "pksmd\n÷ limit"
    axis.annotate(over, (1.02, 1), xycoords="axes fraction", fontsize=SMALL, color=BLUE, va="bottom")
    known = [row["ns_per_page"] for row in rows if row["ns_per_page"] > 0] or [1, 10]
    logarithmic(axis, min(known) / 1.35, max(known) * 1.35)
    axis.set_yticks(range(len(loads)), [f"load {label(load, NAME_WIDTH)}" for load in loads])
    axis.set_ylim(len(loads) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("CPU ns per page (logarithmic; further left is faster)")
    handles = [_handle(axis, mark) for mark in marks.values()]
    legend(figure, handles, [mark.text for mark in marks.values()])
    return figure


def caption(document: BenchDocument) -> str:
    """Return what to print under the picture."""
    pages = max((row["pages"] for row in document["rows"]), default=0)
    loads = document.get("loads", {})
    about = " ".join(f"{name}: {text}" for name, text in loads.items())
    pair = "the kernel's ksmd over pksmd" if "against" in document else "pksmd over reading the bytes once, the limit"
    text = (
        f"CPU time per page on {pages:,} pages of {size(document['page_size'])}, medians of {document['repeats']}; "
        f"every answer checked. At the right: {pair}."
    )
    return f"{text} Loads: {about}" if about else text


def _key(row: BenchRow, rows: list[BenchRow]) -> str:
    """The name of a row in the legend: its engine, and the order of its trees where an engine has several."""
    orders = {other["order"] for other in rows if other["engine"] == row["engine"]}
    return f"{row['engine']} ({row['order']})" if len(orders) > 1 else row["engine"]


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
            marks[key] = Mark(text, OTHERS[len(marks) % len(OTHERS)], known.colour if known else GREY)
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
