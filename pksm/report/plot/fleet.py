"""The picture of pksm.fleet/1: what merging saves as more hosts merge with each other."""

from typing import Any

from pksm.documents.fleet import FleetDocument
from pksm.report.fleet import headline
from pksm.report.plot.style import CYCLE, new_figure


def draw(document: FleetDocument) -> Any:
    """Return the figure: the share that is saved over the number of hosts, with its interval as a band."""
    figure = new_figure(2.4)
    axis = figure.subplots()
    points = [point for point in document["growth"] if point["pages"]]
    hosts = [point["hosts"] for point in points]

    def share(which: str) -> list[float]:
        return [100 * point["saving_pages"][which] / point["pages"] for point in points]  # type: ignore[literal-required]

    axis.plot(hosts, share("value"), color=CYCLE[0], marker="." if len(points) < 20 else None)
    axis.fill_between(hosts, share("low"), share("high"), color=CYCLE[0], alpha=0.25, linewidth=0)
    axis.set_xlabel("hosts that merge with each other")
    axis.set_ylabel("saved, % of resident")
    axis.set_ylim(bottom=0)
    axis.grid(True, axis="y")
    axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def caption(document: FleetDocument) -> str:
    """Return what to print under the picture."""
    return (
        f"{headline(document)} The curve is the mean over all choices of so many hosts, in closed form; the band, where "
        "contents were sampled, holds it with 95 %."
    )
