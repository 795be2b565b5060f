"""The picture of pksm.advise/1: what KSM would save over time with each of the settings, and at what price."""

from typing import Any

from pksm.documents import AdviseDocument
from pksm.documents.advise import ParetoRow
from pksm.report.plot.style import CYCLE, DASHES, GREY, MARKERS, SMALL, label, legend, new_figure

NAME_WIDTH = 34
UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def draw(document: AdviseDocument) -> Any:
    """Return the figure: memory saved over virtual time, and on average over CPU time; a line and a mark per setting."""
    rows = document["pareto"]
    figure = new_figure(3.6)
    over_time, over_cpu = figure.subplots(2, 1)
    most = max((row["saved_bytes"] for row in rows), default=0)
    factor, unit = next((entry for entry in UNITS if most >= entry[0]), (1, "B"))
    for place, row in enumerate(rows):
        _row(over_time, over_cpu, place, row, factor)
    if not rows:
        over_time.annotate(
            "nothing was simulated", (0.5, 0.5), xycoords="axes fraction", ha="center", color=GREY, fontsize=SMALL
        )
    over_time.set_ylabel(f"saved, {unit}")
    over_time.set_xlabel("virtual time in s")
    over_cpu.set_ylabel(f"on average, {unit}")
    over_cpu.set_xlabel("CPU time, percent of one core")
    for axis in (over_time, over_cpu):
        axis.set_ylim(bottom=0)
        axis.set_xlim(left=0)
        axis.grid(True, axis="y")
        axis.xaxis.set_major_formatter("{x:,.6g}")
        axis.yaxis.set_major_formatter("{x:,.6g}")
    handles = [over_time.plot([], [], **_look(place))[0] for place in range(len(rows))]
    legend(figure, handles, [label(_name(row), NAME_WIDTH) for row in rows])
    return figure


def _row(over_time: Any, over_cpu: Any, place: int, row: ParetoRow, factor: float) -> None:
    times = [ms / 1000 for ms, _ in row["points"]]
    over_time.plot(times, [saved / factor for _, saved in row["points"]], **_look(place))
    colour = CYCLE[place % len(CYCLE)]
    face = colour if row["best"] else "none"
    over_cpu.plot(
        row["cpu_percent"], row["mean_saved_bytes"] / factor, MARKERS[place % len(MARKERS)], color=colour,
        markerfacecolor=face, markersize=6 if row["starred"] else 4,
    )  # fmt: skip


def _look(place: int) -> dict[str, Any]:
    return {"color": CYCLE[place % len(CYCLE)], "linestyle": DASHES[place % len(DASHES)]}


def _name(row: ParetoRow) -> str:
    return row["label"] + (", advised" if row["starred"] else "") + (", present" if row["present"] else "")


def caption(document: AdviseDocument) -> str:
    """Return what to print under the picture."""
    return (
        f"{document['verdict']['sentence']} Top: memory saved over virtual time. Bottom: saved on average over "
        f"{document['period_ms'] / 60000:,.4g} minutes, by CPU time; filled marks are not beaten by any other."
    )
