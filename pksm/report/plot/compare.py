"""The picture of pksm.compare/1: what policies save over time, at one share of a CPU."""

from typing import Any

from pksm.documents.compare import CompareDocument
from pksm.report.compare import ranked
from pksm.report.plot.style import CYCLE, label, legend, new_figure
from pksm.report.plot.sweep import UNITS
from pksm.report.text import percent

NAME_WIDTH = 30


def draw(document: CompareDocument) -> Any:
    """Return the figure: memory saved over virtual time, a line per policy."""
    figure = new_figure(2.4)
    axis = figure.subplots()
    rows = [row for row, _ in ranked(document)]
    most = max((point[1] for row in rows for point in row["curve"]), default=0.0)
    factor, unit = next((entry for entry in UNITS if most >= entry[0]), (1, "B"))
    handles = []
    for place, row in enumerate(rows):
        points = [*row["curve"], [document["until_ms"], row["curve"][-1][1]]]
        times, saved = [ms / 1000 for ms, _ in points], [bytes_ / factor for _, bytes_ in points]
        handles += axis.plot(times, saved, color=CYCLE[place % len(CYCLE)])
    axis.set_ylabel(f"saved, {unit}")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("virtual time, s")
    axis.set_xlim(0, document["until_ms"] / 1000)
    axis.grid(True, axis="y")
    axis.yaxis.set_major_formatter("{x:,.6g}")
    axis.xaxis.set_major_formatter("{x:,.6g}")
    legend(figure, handles, [label(row["policy"], NAME_WIDTH) for row in rows])
    return figure


def caption(document: CompareDocument) -> str:
    """Return what to print under the picture."""
    unlike = " ".join(document["unlike"])
    return (
        f"{document['workload']}: memory saved over {document['until_ms'] / 1000:,g} s of virtual time, each policy with the "
        f"setting that takes {percent(document['target_percent'])} of a core, with the first seed. {unlike}"
    ).rstrip()
