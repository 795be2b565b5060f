"""The picture of pksm.simulate/1: what policies save over virtual time, and what they do for it."""

from collections.abc import Callable, Sequence
from typing import Any

from pksm.documents import Run, SimulateDocument
from pksm.report.plot.style import CYCLE, DASHES, GREY, MARKERS, SMALL, label, legend, new_figure
from pksm.report.text import size

NAME_WIDTH = 30
UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
LONG_MS = 10_000  # from here on, time is in seconds


def draw(document: SimulateDocument) -> Any:
    """Return the figure: memory saved, mappings that share, and pages visited; a line or bar per policy."""
    runs = document["runs"]
    figure = new_figure(3.0 + 0.15 * len(runs))
    heights = [1.5, 1.0, 0.2 + 0.17 * len(runs)]
    saved, sharing, visited = figure.subplots(3, 1, height_ratios=heights)
    sharing.sharex(saved)
    in_seconds = max((run["final"]["ms"] for run in runs), default=0) >= LONG_MS
    _saved(saved, document, in_seconds)
    _sharing(sharing, document, in_seconds)
    saved.tick_params(labelbottom=False)
    sharing.set_xlabel(f"virtual time in {'s' if in_seconds else 'ms'}")
    _visited(visited, runs)
    handles = [
        saved.plot([], [], marker=MARKERS[place % len(MARKERS)], markersize=3, **_look(place))[0]
        for place in range(len(runs))
    ]
    legend(figure, handles, [label(run["policy"], NAME_WIDTH) for run in runs])
    return figure


def caption(document: SimulateDocument) -> str:
    """Return what to print under the picture."""
    labels = list(dict.fromkeys(reading["label"] for run in document["runs"] for reading in run["readings"]))
    marked = f" Markers: readings ({', '.join(labels)})." if labels else ""
    results = "; ".join(_result(run, document["page_size"]) for run in document["runs"])
    return (
        f"{document['workload']} in virtual time. Top: memory saved. Middle: mappings that share a frame (lines) and "
        f"frames that are shared (thin lines). Bottom: pages visited in all.{marked} {results}."
    )


def _result(run: Run, page_size: int) -> str:
    final = run["final"]
    saved = size(final["counters"].get("frames_saved", 0) * page_size)
    return f"{run['policy']}: {saved} saved at the end, {final['cost']['pages_visited']:,} pages visited"


def _column(run: Run, name: str) -> list[int]:
    series = run["series"]
    place = series["columns"].index(name)
    return [row[place] for row in series["rows"]]


def _times(run: Run, in_seconds: bool) -> list[float]:
    return [ms / 1000 if in_seconds else ms for ms in _column(run, "ms")]


def _look(place: int) -> dict[str, Any]:
    """The line of a policy: policies differ in colour, dashes and markers."""
    return {"color": CYCLE[place % len(CYCLE)], "linestyle": DASHES[place % len(DASHES)]}


def _saved(axis: Any, document: SimulateDocument, in_seconds: bool) -> None:
    page_size, runs = document["page_size"], document["runs"]
    most = max((value for run in runs for value in _column(run, "frames_saved")), default=0) * page_size
    factor, unit = next((entry for entry in UNITS if most >= entry[0]), (1, "B"))
    for place, run in enumerate(runs):
        amounts = [value * page_size / factor for value in _column(run, "frames_saved")]
        marker = MARKERS[place % len(MARKERS)]
        axis.plot(_times(run, in_seconds), amounts, **_look(place))
        readings = [reading for reading in run["readings"] if "frames_saved" in reading["counters"]]
        axis.plot(
            [reading["ms"] / (1000 if in_seconds else 1) for reading in readings],
            [reading["counters"]["frames_saved"] * page_size / factor for reading in readings],
            marker, color=CYCLE[place % len(CYCLE)], markersize=3, linestyle="none", zorder=3,
        )  # fmt: skip
    _from_zero(axis, f"saved, {unit}")


def _sharing(axis: Any, document: SimulateDocument, in_seconds: bool) -> None:
    counted = False
    for place, run in enumerate(document["runs"]):
        for name, width in (("pages_sharing", 1.1), ("pages_shared", 0.6)):
            if name in run["series"]["columns"]:
                axis.plot(_times(run, in_seconds), _column(run, name), linewidth=width, **_look(place))
                counted = True
    if not counted:
        axis.annotate("nobody merges", (0.5, 0.5), xycoords="axes fraction", ha="center", color=GREY, fontsize=SMALL)
    _from_zero(axis, "pages_sharing,\npages_shared")


def _from_zero(axis: Any, text: str) -> None:
    axis.set_ylim(bottom=0)
    if axis.get_ylim()[1] <= 0 or not axis.has_data():
        axis.set_ylim(0, 1)
    axis.set_xlim(left=0)
    axis.set_ylabel(text)
    axis.yaxis.set_major_formatter("{x:,.6g}")
    axis.xaxis.set_major_formatter("{x:,.6g}")
    axis.grid(True, axis="y")


def _visited(axis: Any, runs: Sequence[Run]) -> None:
    amount: Callable[[Run], int] = lambda run: run["final"]["cost"]["pages_visited"]  # noqa: E731
    most = max(map(amount, runs), default=0)
    for place, run in enumerate(runs):
        axis.barh(place, amount(run), height=0.6, color=CYCLE[place % len(CYCLE)])
        axis.annotate(f"{amount(run):,}", (amount(run), place), xytext=(2, 0), textcoords="offset points",
                      va="center", fontsize=SMALL, annotation_clip=False)  # fmt: skip
    axis.set_xlim(0, max(1, most) * 1.25)
    axis.set_ylim(len(runs) - 0.5, -0.5)
    axis.set_yticks([])
    axis.set_xlabel("pages visited in all")
    axis.xaxis.set_major_formatter("{x:,.6g}")
    axis.locator_params(axis="x", nbins=5)
