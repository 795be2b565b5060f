"""The page of snapshots of microVMs: what restores take, how what they share decays, and which base is best."""

from collections.abc import Sequence

from pksm.documents.snapshots import SnapshotsDocument
from pksm.report.pages.charts import bars, lines
from pksm.report.pages.parts import Cell, Figure, Key, Page, Part, Table, Tile, number
from pksm.report.snapshots import IN_COMMON, called, headline
from pksm.report.text import percent, size


def page(document: SnapshotsDocument) -> Page:
    """Return the page of pksm.snapshots/1."""
    bytes_, separate = document["page_size"], document["separate_pages"]
    made = Page(f"{len(document['snapshots']):,} snapshots", headline(document), warnings=list(document["warnings"]))
    _, best, built = document["bases"]
    made.tiles = [
        Tile(size(separate * bytes_), "if each maps its own image"),
        Tile(size(best["memory_pages"] * bytes_), "if all map the best image", best["path"]),
        Tile(size(built["memory_pages"] * bytes_), "if all map a built base", _share(built["memory_pages"], separate)),
    ]
    made.parts = [_bases(document), *_decay(document), _snapshots(document)]
    return made


def _share(pages: int, of: int) -> str:
    return f"{percent(100 * pages / of)} of that of their own images"


def _bases(document: SnapshotsDocument) -> Figure:
    bytes_, separate = document["page_size"], document["separate_pages"]
    memory = [("their own images", separate), *((one["name"], one["memory_pages"]) for one in document["bases"])]
    rows = [bars.Row(name, [pages * bytes_], size(pages * bytes_)) for name, pages in memory]
    about = "Memory of all restores, once all was touched, by what they map privately."
    cells: list[Sequence[Cell | str]] = [
        [
            called(one),
            number(one["memory_pages"] * bytes_, size(one["memory_pages"] * bytes_)),
            *(_percent(one[name], separate) for name in IN_COMMON),  # type: ignore[literal-required]
        ]
        for one in document["bases"]
    ]
    table = Table("Which base to map", ["base", "in memory", *IN_COMMON.values()], cells)
    return Figure("Which base to map", bars.stacked(rows, ["in memory"], size, about), about, table)


def _decay(document: SnapshotsDocument) -> list[Part]:
    snapshots = document["snapshots"]
    if len(snapshots) < 2:
        return []
    times = [float(place) for place in range(len(snapshots))]
    series = [
        lines.Line(title, times, [100 * one[name] / document["pages"] for one in snapshots])  # type: ignore[literal-required]
        for name, title in IN_COMMON.items()
    ]
    about = "Percent of each snapshot that the first one has, too, in the order in which they were named."
    read = lines.Read("snapshot", lambda value: f"{value:,.0f}")
    percents = lines.Read("in common, %", lambda value: f"{value:.3g}")
    keys = [Key(line.name, place, place) for place, line in enumerate(series)]
    return [Figure("How what they share decays", lines.lines(series, read, percents, about), about, keys=keys)]


def _snapshots(document: SnapshotsDocument) -> Table:
    pages = document["pages"]
    cells: list[Sequence[Cell | str]] = [
        [one["path"], *(_percent(one[name], pages) for name in (*IN_COMMON, "zero_pages"))]  # type: ignore[literal-required]
        for one in document["snapshots"]
    ]
    return Table("In common with the first", ["snapshot", *IN_COMMON.values(), "zero"], cells)


def _percent(pages: int, of: int) -> Cell:
    return number(100 * pages / of, percent(100 * pages / of))
