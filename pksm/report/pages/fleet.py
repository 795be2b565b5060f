"""The page of a fleet: what merging saves, what boundaries cost, how it grows, and who belongs together."""

from collections.abc import Sequence

from pksm.documents.fleet import FleetDocument
from pksm.report.fleet import BOUNDARIES, base, headline, shown
from pksm.report.pages.charts import bars, heat, lines
from pksm.report.pages.parts import Cell, Figure, Page, Part, Table, Tile, number
from pksm.report.text import percent, size

MOST_CELLS = 60  # units of a map that are shown


def page(document: FleetDocument) -> Page:
    """Return the page of pksm.fleet/1."""
    bytes_ = document["page_size"]
    every = next(one for one in document["partitions"] if one["within"] == "all")
    made = Page(f"A fleet of {len(document['hosts']):,} hosts", headline(document), warnings=list(document["warnings"]))
    saved = every["saving_pages"]["value"]
    made.tiles = [
        Tile(size(saved * bytes_), "saved by merging across all", _share(saved, document), bool(saved)),
        Tile(size(document["zero_pages"] * bytes_), "of it zero pages"),
        Tile(size(document["base"]["saving_pages"]["value"] * bytes_), "a common base saves"),
    ]
    made.parts = [
        _partitions(document),
        base(document),
        *_growth(document),
        *_overlap(document),
        *_groups(document),
        *_placement(document),
    ]
    made.parts += [_hosts(document), _heavy(document)]
    if document["keep"] < 1:
        made.parts.append(f"Counted from a sample of {document['keep']:.3g} of all contents; intervals hold with 95 %.")
    return made


def _share(saved: float, document: FleetDocument) -> str:
    pages = sum(host["pages"] for host in document["hosts"])
    return f"{percent(100 * saved / pages)} of what is resident" if pages else ""


def _partitions(document: FleetDocument) -> Figure:
    bytes_ = document["page_size"]
    rows = [
        bars.Row(BOUNDARIES[one["within"]], [one["saving_pages"]["value"] * bytes_], shown(one["saving_pages"], bytes_))
        for one in document["partitions"]
    ]
    about = "What merging saves where nothing is merged across the boundary."
    cells: list[Sequence[Cell | str]] = [
        [
            BOUNDARIES[one["within"]],
            number(one["groups"]),
            number(one["saving_pages"]["value"] * bytes_, shown(one["saving_pages"], bytes_)),
            number(one["price_pages"]["value"] * bytes_, shown(one["price_pages"], bytes_)),
        ]
        for one in document["partitions"]
    ]
    table = Table("What boundaries cost", ["merging", "groups", "saves", "the boundary costs"], cells)
    return Figure("What boundaries cost", bars.stacked(rows, ["saved"], size, about), about, table)


def _growth(document: FleetDocument) -> list[Part]:
    points = [point for point in document["growth"] if point["pages"]]
    if len(points) < 2:
        return []
    hosts = [float(point["hosts"]) for point in points]
    series = [
        lines.Line(name, hosts, [100 * point["saving_pages"][which] / point["pages"] for point in points])  # type: ignore[literal-required]
        for name, which in (("mean", "value"), ("low", "low"), ("high", "high"))[: 3 if document["keep"] < 1 else 1]
    ]
    about = "Percent of what is resident that merging saves, on average over all choices of so many hosts."
    times = lines.Read("hosts that merge with each other", lambda value: f"{value:,.0f}")
    values = lines.Read("saved, %", lambda value: f"{value:.3g}")
    band = (1, 2) if document["keep"] < 1 else None
    return [Figure("How saving grows", lines.lines(series, times, values, about, band=band), about)]


def _overlap(document: FleetDocument) -> list[Part]:
    overlap = document["overlap"]
    if not overlap or len(overlap["names"]) < 2:
        return []
    chosen = _with_most_in_common(overlap["pages"])
    names = [overlap["names"][unit] for unit in chosen]
    pages = [[overlap["pages"][a][b] for b in chosen] for a in chosen]
    units = range(len(names))

    def likeness(a: int, b: int) -> float:
        together = pages[a][a] + pages[b][b] - pages[a][b]
        return pages[a][b] / together if together else 0.0

    shares = [[likeness(a, b) for b in units] for a in units]
    bytes_ = document["page_size"]
    texts = [[f"{size(pages[a][b] * bytes_)} in common" for b in units] for a in units]
    of = len(overlap["names"])
    rest = f" The {len(names)} of {of:,} that have most in common with another one." if len(names) < of else ""
    about = f"Contents in common, base contents apart; those alike side by side.{rest}"
    pairs = sorted(((shares[a][b], a, b) for a in units for b in range(a)), reverse=True)[:MOST_CELLS]
    cells: list[Sequence[Cell | str]] = [
        [
            names[a],
            names[b],
            number(pages[a][b] * bytes_, size(pages[a][b] * bytes_)),
            number(share, percent(100 * share)),
        ]
        for share, a, b in pairs
    ]
    table = Table("Most alike", ["one", "the other", "in common", "of both together"], cells)
    return [Figure("Who has what in common", heat.heat(names, shares, texts, about), about, table)]


def _with_most_in_common(pages: Sequence[Sequence[float]]) -> list[int]:
    """Return the units to show: of many, those that have most contents in common with another one."""

    def most(unit: int) -> float:
        return max((many for other, many in enumerate(pages[unit]) if other != unit), default=0.0)

    return sorted(sorted(range(len(pages)), key=most, reverse=True)[:MOST_CELLS])


def _groups(document: FleetDocument) -> list[Part]:
    if not document["groups"]:
        return []
    bytes_ = document["page_size"]
    cells: list[Sequence[Cell | str]] = [
        [
            ", ".join(one["names"]),
            number(len(one["names"])),
            number(one["saving_pages"]["value"] * bytes_, shown(one["saving_pages"], bytes_)),
            number(one["share"], percent(100 * one["share"])),
        ]
        for one in document["groups"]
    ]
    return [Table("Groups, base contents apart", ["who", "how many", "in common", "of all they have"], cells)]


def _placement(document: FleetDocument) -> list[Part]:
    placement, bytes_ = document["placement"], document["page_size"]
    if not placement:
        return []
    cells: list[Sequence[Cell | str]] = [
        [
            one["name"],
            number(one["saving_pages"]["value"] * bytes_, shown(one["saving_pages"], bytes_)),
            number(one["hosts_used"]),
            number(len(one["over_capacity"])),
            number(one["moves"]),
            number(one["moved_bytes"], size(one["moved_bytes"])),
            number(one["unplaced"]),
        ]
        for one in placement["plans"]
    ]
    heads = ["plan", "saves within hosts", "hosts used", "too full", "VMs to move", "their memory", "without room"]
    where: list[Sequence[Cell | str]] = [[vm, host] for vm, host in placement["host_of"].items()]
    return [
        Table("Placement", heads, cells),
        f"Guarantee: {placement['guarantee']}",
        Table("The best plan", ["VM", "host"], where),
    ]


def _hosts(document: FleetDocument) -> Table:
    bytes_ = document["page_size"]
    cells: list[Sequence[Cell | str]] = [
        [
            one["name"],
            number(one["vms"]),
            number(one["pages"] * bytes_, size(one["pages"] * bytes_)),
            number(one["zero"] * bytes_, size(one["zero"] * bytes_)),
        ]
        for one in document["hosts"]
    ]
    return Table("Hosts", ["host", "VMs", "resident", "zero"], cells)


def _heavy(document: FleetDocument) -> Table:
    cells: list[Sequence[Cell | str]] = [
        [one["sum"], number(one["pages"]), number(one["units"])] for one in document["heavy"]
    ]
    return Table("Contents with the most pages", ["checksum", "pages", "VMs or hosts that have it"], cells)
