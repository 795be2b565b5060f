"""The picture of pksm.sweep/1: what settings save for their CPU time, and how soon."""

from collections.abc import Sequence
from typing import Any

from pksm.documents.sweep import SweepDocument, SweepRow
from pksm.report.plot.style import CYCLE, GREY, MARKERS, label, legend, new_figure
from pksm.report.text import many, size

NAME_WIDTH = 30
UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def draw(document: SweepDocument) -> Any:
    """Return the figure: memory saved on average and time to 90 %, both over CPU time; a mark per row."""
    figure = new_figure(3.6)
    saved, times = figure.subplots(2, 1, sharex=True)
    rows = document["rows"]
    names = list(dict.fromkeys(row["policy"] for row in rows))
    most = max((row["mean_saved_bytes"]["median"] or 0.0 for row in rows), default=0.0)
    factor, unit = next((entry for entry in UNITS if most >= entry[0]), (1, "B"))
    handles = []
    for place, name in enumerate(names):
        own = [row for row in rows if row["policy"] == name]
        _marks(saved, own, place, "mean_saved_bytes", "on_front", factor)
        _marks(times, own, place, "reached_90_s", "on_time_front", 1)
        handles.append(saved.plot([], [], MARKERS[place % len(MARKERS)], color=CYCLE[place % len(CYCLE)])[0])
    if any(row["is_advisor"] for row in rows):
        handles.append(saved.plot([], [], "o", markersize=6, markerfacecolor="none", color=GREY)[0])
        names = [*names, "the kernel's advisor"]
    saved.set_ylabel(f"saved on average, {unit}")
    saved.set_ylim(bottom=0)
    times.set_ylabel("90 % saved after, s")
    times.set_xlabel("CPU time, percent of one core")
    times.set_xlim(left=0)
    for axis in (saved, times):
        axis.grid(True, axis="y")
        axis.yaxis.set_major_formatter("{x:,.6g}")
    times.xaxis.set_major_formatter("{x:,.6g}")
    if any(row["reached_90_s"]["median"] for row in rows):
        times.set_yscale("log")
        times.yaxis.set_major_formatter("{x:,.6g}")
        times.yaxis.set_minor_formatter("")
    legend(figure, handles, [label(name, NAME_WIDTH) for name in names])
    return figure


def _marks(axis: Any, rows: Sequence[SweepRow], place: int, figure: str, front: str, factor: float) -> None:
    """Draw a mark for each row, bars for the interval over the seeds, and a line through those that nobody beats."""
    colour = CYCLE[place % len(CYCLE)]
    points = []
    for row in rows:
        x, spread = row["cpu_percent"]["median"], row[figure]  # type: ignore[literal-required]
        if x is None or spread["median"] is None:
            continue
        y = spread["median"] / factor
        unbeaten = bool(row[front])  # type: ignore[literal-required]
        axis.plot(x, y, MARKERS[place % len(MARKERS)], color=colour, markerfacecolor=colour if unbeaten else "none")
        if spread["low"] is not None and spread["high"] is not None:
            axis.plot([x, x], [spread["low"] / factor, spread["high"] / factor], color=colour, linewidth=0.6)
        if row["is_advisor"]:
            axis.plot(x, y, "o", markersize=6, markerfacecolor="none", color=GREY)
        if unbeaten:
            points.append((x, y))
    points.sort()
    axis.plot([x for x, _ in points], [y for _, y in points], color=colour, linewidth=0.8)


def caption(document: SweepDocument) -> str:
    """Return what to print under the picture."""
    best = document["best_bytes"]
    saved = "" if best is None else f" The best row saves {size(best)} at the end."
    return (
        f"{document['workload']} for {document['until_ms'] / 1000:,g} s of virtual time, "
        f"{many(len(document['rows']), 'combination')} of settings, {many(len(document['seeds']), 'seed')}. Top: memory "
        "saved on average. Bottom: time until 90 % of what the best row saves is saved. Filled marks on the line: no "
        f"other row of the policy is better in both.{saved}"
    )
