"""How snapshots of microVMs look to people and to spreadsheets: pure functions of the document `pksm.snapshots/1`."""

from collections.abc import Mapping, Sequence
from typing import Any

from pksm.documents.snapshots import SnapshotBase, SnapshotsDocument
from pksm.plain import plain
from pksm.report.text import columns, csv_text, cut, many, page, painting, paragraph, percent, size

ROWS = 20  # of snapshots
NAME_WIDTH = 40
# What each has in common with a base, and what it is called.
IN_COMMON = {
    "same_offset_pages": "same offset",
    "any_offset_pages": "any offset",
    "run_64k_pages": "runs of 64 KiB",
    "run_2m_pages": "runs of 2 MiB",
}


def csv(document: SnapshotsDocument) -> str:
    """Return a line per snapshot, in common with the first, and one per base, in common with all."""
    of_snapshot, of_base = ("zero_pages", "unknown_pages", *IN_COMMON), (*IN_COMMON, "memory_pages", "path")
    rows: list[dict[str, Any]] = [
        {"figure": "snapshot", "of": one["path"], **_some(one, of_snapshot)} for one in document["snapshots"]
    ]
    rows += [{"figure": "base", "of": one["name"], **_some(one, of_base)} for one in document["bases"]]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return csv_text([{name: row.get(name, "") for name in names} for row in rows])


def _some(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}


def table(document: SnapshotsDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people: what restores take, what each snapshot shares with the first, and which base is best."""
    paint = painting(colour)
    parts = [paragraph(headline(document), width)]
    for cells in (_snapshots(document), _bases(document)):
        lines = columns(cells, right=range(1, len(cells[0])))
        parts.append([paint(lines[0]), *lines[1:]])
    left = len(document["snapshots"]) - len(shown(document))
    if left:
        parts[1].append(f"and {left:,} more between them (CSV has all)")
    return page(parts)


def headline(document: SnapshotsDocument) -> str:
    """Return the snapshots, and what restores of them take, in two sentences."""
    bytes_ = document["page_size"]
    _, best, built = document["bases"]
    return (
        f"{many(len(document['snapshots']), 'snapshot')} of {size(document['pages'] * bytes_)}. Once all was touched, "
        f"restores take {size(document['separate_pages'] * bytes_)} if each maps its own image, "
        f"{size(best['memory_pages'] * bytes_)} if all map {plain(best['path'])}, and "
        f"{size(built['memory_pages'] * bytes_)} if all map a base that is built of them."
    )


def shown(document: SnapshotsDocument) -> list[int]:
    """Return the places of the snapshots that a table shows: all, or some that lie evenly, the first and last too."""
    n = len(document["snapshots"])
    return sorted({round(place * (n - 1) / (ROWS - 1)) for place in range(ROWS)}) if n > ROWS else list(range(n))


def called(base: SnapshotBase) -> str:
    """Return the name of a base."""
    return f"{base['name']}: {base['path']}" if base["path"] else "built: what most have at each offset"


def _snapshots(document: SnapshotsDocument) -> list[tuple[str, ...]]:
    pages = document["pages"]
    cells: list[tuple[str, ...]] = [("In common with the first", *IN_COMMON.values(), "zero")]
    for place in shown(document):
        one = document["snapshots"][place]
        shares = (percent(100 * one[name] / pages) for name in (*IN_COMMON, "zero_pages"))  # type: ignore[literal-required]
        cells.append((cut(plain(one["path"]), NAME_WIDTH), *shares))
    return cells


def _bases(document: SnapshotsDocument) -> list[tuple[str, ...]]:
    every, bytes_ = document["separate_pages"], document["page_size"]
    cells: list[tuple[str, ...]] = [("In common with a base, all", *IN_COMMON.values(), "in memory")]
    for one in document["bases"]:
        shares = (percent(100 * one[name] / every) for name in IN_COMMON)  # type: ignore[literal-required]
        cells.append((cut(plain(called(one)), NAME_WIDTH), *shares, size(one["memory_pages"] * bytes_)))
    return cells
