"""How a fleet looks to people and to spreadsheets: pure functions of the document `pksm.fleet/1`."""

from typing import Any

from pksm.documents.fleet import FleetDocument, FleetEstimate
from pksm.plain import plain
from pksm.report.text import columns, csv_text, cut, many, page, painting, paragraph, percent, size

ROWS = 20  # of hosts, and of points of the curve
HEAVY = 5
TOGETHER = 10
NAMES_WIDTH = 60  # of the names of a group
BOUNDARIES = {"vm": "within VMs", "tenant": "within tenants", "host": "within hosts", "all": "across all"}


def csv(document: FleetDocument) -> str:
    """Return a line per figure; its column `figure` says what it is.

    Boundaries, points of the growth curve, plans, the host of each VM in the best one, pairs that belong together, and
    groups with a line for each member.
    """
    rows: list[dict[str, Any]] = []
    for one in document["partitions"]:
        rows.append({"figure": "partition", "of": one["within"], "groups": one["groups"], **_csv(one["saving_pages"])})
    for point in document["growth"]:
        rows.append({"figure": "growth", "of": "host", "groups": point["hosts"], **_csv(point["saving_pages"])})
    for plan in document["placement"]["plans"] if document["placement"] else ():
        figures = {"figure": "plan", "of": plan["name"], "groups": plan["hosts_used"], **_csv(plan["saving_pages"])}
        more = {"unplaced": plan["unplaced"], "over_capacity": len(plan["over_capacity"])}
        rows.append({**figures, "moves": plan["moves"], "moved_bytes": plan["moved_bytes"], **more})
    for vm, host in document["placement"]["host_of"].items() if document["placement"] else ():
        rows.append({"figure": "placed", "of": vm, "with": host})
    rows += [*_csv_pairs(document), *_csv_groups(document)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return csv_text([{name: row.get(name, "") for name in names} for row in rows])


def _csv_pairs(document: FleetDocument) -> list[dict[str, Any]]:
    rows = []
    for one in document["together"]:
        first, second = one["names"]
        figures = {"saving_pages": one["pages"], "share": one["share"]}
        rows.append({"figure": "pair", "of": first, "with": second, "groups": 2, **figures})
    return rows


def _csv_groups(document: FleetDocument) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for rank, one in enumerate(document["groups"], 1):
        figures = {**_csv(one["saving_pages"]), "share": one["share"]}
        rows.append({"figure": "group", "of": rank, "groups": len(one["names"]), **figures})
        for name, gain in zip(one["names"], one["gain_pages"], strict=True):
            rows.append({"figure": "member", "of": name, "with": rank, "saving_pages": gain})
    return rows


def _csv(interval: FleetEstimate) -> dict[str, float]:
    return {"saving_pages": interval["value"], "low": interval["low"], "high": interval["high"]}


def table(document: FleetDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people: totals, boundaries, growth, base, heavy contents, placement, hosts."""
    paint = painting(colour)
    parts = [paragraph(headline(document), width)]
    for title, cells in (
        ("Merging", _partitions(document)),
        ("Hosts that merge", _growth(document)),
        ("Together", _together(document)),
        ("Groups", _groups(document)),
        ("Plan", _plans(document)),
        ("Content", _heavy(document)),
        ("Host", _hosts(document)),
    ):
        if len(cells) > 1:
            lines = columns([(title, *cells[0]), *cells[1:]], right=range(1, len(cells[0]) + 1))
            parts.append([paint(lines[0]), *lines[1:]])
    parts.append(paragraph(base(document), width))
    if document["placement"]:
        parts.append(paragraph(f"Guarantee: {document['placement']['guarantee']}", width))
    ranges = many(document["ranges"], "range")
    counted = f"Counted in {ranges} of contents; no process took more than {size(document['peak_bytes'])}."
    if document["keep"] < 1:
        counted += f" They are a sample of {document['keep']:.3g} of all; in brackets, 95 % intervals."
    parts.append(paragraph(counted, width))
    return page(parts)


def headline(document: FleetDocument) -> str:
    """Return the fleet in a sentence."""
    every = next(one for one in document["partitions"] if one["within"] == "all")
    bytes_ = document["page_size"]
    saved = every["saving_pages"]["value"]
    share = percent(100 * saved / document["pages"]) if document["pages"] else "nothing"
    return (
        f"{many(len(document['hosts']), 'host')}, {many(document['vms'], 'VM')}: "
        f"{size(document['pages'] * bytes_)} resident, {size(document['zero_pages'] * bytes_)} of them zero. "
        f"Merging across all of them saves {size(saved * bytes_)}, {share}."
    )


def base(document: FleetDocument) -> str:
    """Return what a common base is worth, in a sentence."""
    one, bytes_ = document["base"], document["page_size"]
    unit = "VM" if document["overlap"] and document["overlap"]["within"] == "vm" else "host"
    return (
        f"Base: {size(one['pages']['value'] * bytes_)} of contents are in more than {many(one['more_than'], unit)}; a common "
        f"image with them, mapped by all, saves {size(one['saving_pages']['value'] * bytes_)}."
    )


def shown(interval: FleetEstimate, page_size: int) -> str:
    """Return pages as bytes, with their interval if there is one."""
    text = size(interval["value"] * page_size)
    if interval["low"] == interval["high"]:
        return text
    return f"{text} ({size(interval['low'] * page_size)} to {size(interval['high'] * page_size)})"


def _partitions(document: FleetDocument) -> list[tuple[str, ...]]:
    cells: list[tuple[str, ...]] = [("groups", "saves", "the boundary costs")]
    for one in document["partitions"]:
        bytes_ = document["page_size"]
        price = "-" if one["within"] == "all" else shown(one["price_pages"], bytes_)
        cells.append((BOUNDARIES[one["within"]], f"{one['groups']:,}", shown(one["saving_pages"], bytes_), price))
    return cells


def _growth(document: FleetDocument) -> list[tuple[str, ...]]:
    points = document["growth"]
    step = max(1, -(-len(points) // ROWS))
    chosen = points[::-step][::-1]
    cells: list[tuple[str, ...]] = [("saves", "of what is resident")]
    for one in chosen if len(points) > 1 else ():
        share = percent(100 * one["saving_pages"]["value"] / one["pages"]) if one["pages"] else "-"
        cells.append((f"{one['hosts']:,}", shown(one["saving_pages"], document["page_size"]), share))
    return cells


def _together(document: FleetDocument) -> list[tuple[str, ...]]:
    cells: list[tuple[str, ...]] = [("and", "in common", "of the smaller")]
    for one in document["together"][:TOGETHER]:
        first, second = map(plain, one["names"])
        cells.append((first, second, size(one["pages"] * document["page_size"]), percent(100 * one["share"])))
    return cells


def _groups(document: FleetDocument) -> list[tuple[str, ...]]:
    cells: list[tuple[str, ...]] = [("how many", "in common", "of all they have")]
    for one in document["groups"][:TOGETHER]:
        in_common = shown(one["saving_pages"], document["page_size"])
        names = cut(", ".join(map(plain, one["names"])), NAMES_WIDTH)
        cells.append((names, f"{len(one['names']):,}", in_common, percent(100 * one["share"])))
    return cells


def _plans(document: FleetDocument) -> list[tuple[str, ...]]:
    heads = ("saves within hosts", "hosts", "too full", "VMs to move", "their memory", "without room")
    cells: list[tuple[str, ...]] = [heads]
    for one in document["placement"]["plans"] if document["placement"] else ():
        saved = shown(one["saving_pages"], document["page_size"])
        hosts = (f"{one['hosts_used']:,}", f"{len(one['over_capacity']):,}")
        counts = (f"{one['moves']:,}", size(one["moved_bytes"]), f"{one['unplaced']:,}")
        cells.append((one["name"], saved, *hosts, *counts))
    return cells


def _heavy(document: FleetDocument) -> list[tuple[str, ...]]:
    cells: list[tuple[str, ...]] = [("pages", "VMs or hosts that have it")]
    return cells + [(one["sum"], f"{one['pages']:,}", f"{one['units']:,}") for one in document["heavy"][:HEAVY]]


def _hosts(document: FleetDocument) -> list[tuple[str, ...]]:
    cells: list[tuple[str, ...]] = [("VMs", "resident", "zero")]
    bytes_ = document["page_size"]
    for one in document["hosts"][:ROWS]:
        cells.append((plain(one["name"]), f"{one['vms']:,}", size(one["pages"] * bytes_), size(one["zero"] * bytes_)))
    if len(document["hosts"]) > ROWS:
        cells.append((f"and {len(document['hosts']) - ROWS:,} more", "", "", ""))
    return cells
