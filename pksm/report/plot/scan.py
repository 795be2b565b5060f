"""The picture of pksm.scan/1: where the bytes of each source go."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pksm.documents import ScanDocument, SourceRow
from pksm.report.plot.style import BLACK, BLUE, FAINT, GREY, ORANGE, SKY, SMALL, label, legend, new_figure
from pksm.report.text import many, size

NAME_WIDTH = 21
SHOWN = 12  # sources; of more, the smallest are one bar
UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
LEFT = "left in use"
# What a bar consists of, from the left: its name, its colour, its hatch.
PARTS = (
    ("zero pages", BLUE, ""),
    ("duplicates within a source", SKY, ""),
    ("duplicates across sources", ORANGE, "////"),
    (LEFT, FAINT, ""),
)
BAR = 0.62


class Bar(NamedTuple):
    """A source, or several: amounts in pages, in the order of PARTS."""

    name: str
    amounts: tuple[float, float, float, float]


def draw(document: ScanDocument) -> Any:
    """Return the figure: a stacked bar for all memory together and, of several sources, one for each."""
    bars = _bars(document)
    figure = new_figure(0.98 + 0.19 * len(bars))
    axis = figure.subplots()
    most = max(sum(bar.amounts) for bar in bars)
    factor, unit = _unit(document, most)
    saves = document["view"] == "frames"  # mappings that are merged are not bytes saved
    for place, bar in enumerate(bars):
        start = 0.0
        for amount, (_, colour, hatch) in zip(bar.amounts, PARTS, strict=True):
            axis.barh(place, amount / factor, left=start / factor, height=BAR, color=colour, hatch=hatch,
                      edgecolor="white" if hatch else colour, linewidth=0)  # fmt: skip
            start += amount
        saved = 100 * sum(bar.amounts[:3]) / max(1, sum(bar.amounts))
        axis.annotate(f"{saved:.1f} %", (1.01, place), xycoords=("axes fraction", "data"), va="center",
                      fontsize=SMALL, annotation_clip=False)  # fmt: skip
    axis.annotate("saved" if saves else "merged", (1.01, 1), xycoords="axes fraction", fontsize=SMALL, va="top")
    axis.set_yticks(range(len(bars)), [bar.name for bar in bars])
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(bars) - 0.45, -0.95)
    axis.set_xlim(0, most / factor or 1)
    _net(axis, document, factor)
    if not most:
        axis.set_xticks([])
        axis.annotate("no resident pages", (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", color=GREY)
    axis.set_xlabel(f"resident memory, {unit}" if saves else "resident mappings")
    axis.xaxis.set_major_formatter("{x:,.6g}")
    axis.locator_params(axis="x", nbins=6)
    patch = axis.patch.__class__
    used = [part for part in range(len(PARTS)) if any(bar.amounts[part] for bar in bars)]
    handles = [
        patch((0, 0), 1, 1, facecolor=PARTS[part][1], hatch=PARTS[part][2], edgecolor="white", linewidth=0)
        for part in used
    ]
    names = [_part(PARTS[part][0], len(bars) > 1, saves) for part in used]
    legend(figure, handles, names)
    return figure


def _part(name: str, several: bool, saves: bool) -> str:
    if name == LEFT and not saves:
        return "not merged"
    return name if several else name.partition(" within")[0]


def caption(document: ScanDocument) -> str:
    """Return what to print under the picture."""
    totals, saving = document["totals"], document["saving"]
    resident = totals["pages"] * document["page_size"]
    about = f"{many(len(document['sources']), 'source')} with {many(totals['pages'], 'resident page')}"
    if saving["net_bytes"] is None:
        return f"{about}, every mapping counted: {saving['pages']:,} of them merge, the share at the right of each bar."
    share = f" ({100 * saving['net_bytes'] / resident:.1f} %)" if resident else ""
    return (
        f"{about}, {size(resident)}. Merging saves {size(saving['pages'] * document['page_size'])}, the share at the "
        f"right of each bar; less {size(saving['metadata_bytes'])} of metadata, {size(saving['net_bytes'])}{share}. "
        "A duplicate across sources is shared out among them evenly."
    )


def _bars(document: ScanDocument) -> list[Bar]:
    totals, saving = document["totals"], document["saving"]
    page_size = document["page_size"]
    rows = sorted(document["sources"], key=lambda row: -_resident(row))
    bars = [_bar(row, page_size) for row in rows]
    if len(bars) == 1:
        left = max(0, totals["pages"] - saving["pages"])
        name = label(rows[0]["name"].rpartition("/")[2] or rows[0]["name"], NAME_WIDTH)
        return [Bar(name, (saving["zero_pages"], saving["nonzero_pages"], 0, left))]
    within = min(saving["nonzero_pages"], sum(bar.amounts[1] for bar in bars))
    across = saving["nonzero_pages"] - within
    everything = Bar("together", (saving["zero_pages"], within, across, max(0, totals["pages"] - saving["pages"])))
    if len(bars) > SHOWN:
        shown, rest = bars[: SHOWN - 1], bars[SHOWN - 1 :]
        bars = [*shown, Bar(f"{len(rest):,} others", _sum([bar.amounts for bar in rest]))]
    return [everything, *bars]


def _sum(rows: Sequence[tuple[float, float, float, float]]) -> tuple[float, float, float, float]:
    zero, within, across, left = (sum(column) for column in zip(*rows, strict=True))
    return zero, within, across, left


def _resident(row: SourceRow) -> int:
    return row["pages"]["data"] + row["pages"]["zero"]


def _bar(row: SourceRow, page_size: int) -> Bar:
    """A source with its share of what merging saves in all sources together."""
    share_bytes = row["share_bytes"]
    share = row.get("share_mappings", 0.0) if share_bytes is None else share_bytes / page_size
    zero = min(row["pages"]["zero"], share)
    within = min(row["duplicates"], share - zero)
    across = share - zero - within
    return Bar(label(row["name"], NAME_WIDTH), (zero, within, across, max(0, _resident(row) - share)))


def _unit(document: ScanDocument, most: float) -> tuple[float, str]:
    """Pages per unit of the axis, and the unit."""
    page_size = document["page_size"]
    if document["view"] == "mappings":
        return 1, "mappings"
    divisor, unit = next((entry for entry in UNITS if most * page_size >= entry[0]), (1, "B"))
    return divisor / page_size, unit


def _net(axis: Any, document: ScanDocument, factor: float) -> None:
    """Mark how much is saved when a kernel's records have taken what they need."""
    net = document["saving"]["net_bytes"]
    if not net or net < 0:
        return
    at = net / document["page_size"] / factor
    share = at / axis.get_xlim()[1]
    side = "left" if share < 1 / 3 else "right" if share > 2 / 3 else "center"
    axis.plot([at, at], [-BAR / 2 - 0.12, BAR / 2], color=BLACK, linewidth=0.9, zorder=5)
    axis.annotate(f"net of metadata: {size(net)}", (at, -BAR / 2 - 0.12), xytext=(0, 1), textcoords="offset points",
                  fontsize=SMALL, ha=side, va="bottom", annotation_clip=False)  # fmt: skip
