"""The picture of pksm.snapshots/1: how what snapshots share with the first one decays."""

from typing import Any

from pksm.documents.snapshots import SnapshotsDocument
from pksm.report.plot.style import CYCLE, new_figure
from pksm.report.snapshots import IN_COMMON, headline


def draw(document: SnapshotsDocument) -> Any:
    """Return the figure: the share of each snapshot that the first one has, in the order in which they were named."""
    figure = new_figure(2.4)
    axis = figure.subplots()
    snapshots = document["snapshots"]
    for (name, title), colour in zip(IN_COMMON.items(), CYCLE, strict=False):
        shares = [100 * one[name] / document["pages"] for one in snapshots]  # type: ignore[literal-required]
        axis.plot(range(len(shares)), shares, color=colour, marker="." if len(shares) < 20 else None, label=title)
    axis.set_xlabel("snapshot, in the order in which they were named")
    axis.set_ylabel("in common with the first, %")
    axis.set_ylim(bottom=0)
    axis.grid(True, axis="y")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend()
    return figure


def caption(document: SnapshotsDocument) -> str:
    """Return what to print under the picture."""
    return f"{headline(document)} Runs are of pages at the same offset."
