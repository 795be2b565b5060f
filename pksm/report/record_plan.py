"""How the plan of a recording looks to people and to spreadsheets: pure functions of the document `pksm.record.plan/1`."""

from pksm.documents import PlannedProcess, RecordPlanDocument
from pksm.plain import plain
from pksm.report.record import not_seen
from pksm.report.text import columns, csv_text, cut, many, page, painting, paragraph, size

NAME_WIDTH = 32
SHOWN = 20  # processes


def csv(document: RecordPlanDocument) -> str:
    """Return a row for each process."""
    rows = [{**row, "calls": ", ".join(row["calls"])} for row in document["processes"]]
    return csv_text(rows, PlannedProcess.__annotations__)


def table(document: RecordPlanDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people."""
    paint, rows = painting(colour), document["processes"]
    every = f"every {document['every_ms'] / 1000:g} s"
    what = [*([f"{len(rows):,} process{'es' if len(rows) > 1 else ''}"] if rows else [])]
    what += [many(document["images"], "image")] if document["images"] else []
    parts = [paragraph(f"Nothing was done. A sample {every} would be taken of {' and '.join(what)}.", width)]
    if rows:
        cells = [
            (str(row["pid"]), cut(plain(row["name"]), NAME_WIDTH), size(row["resident_bytes"]), _what(row))
            for row in rows[:SHOWN]
        ]
        lines = columns([("PID", "command", "resident", "what would be done"), *cells], right=[0, 2])
        parts.append([paint(lines[0]), *lines[1:]])
        if len(rows) > SHOWN:
            parts[-1].append(f"and {len(rows) - SHOWN:,} more (JSON has all)")
    calls = next((row["calls"] for row in rows if row["calls"]), [])
    if calls:
        parts.append(
            paragraph(
                f"A process whose writes are tracked makes these calls for pksm, and stands still for each: "
                f"{', '.join(calls)}. Each page takes a short fault per sample when it is first written.",
                width,
            )
        )
    if any(row["by"] == "soft-dirty" for row in rows):
        parts.append(
            paragraph(
                "A process that is tracked by soft-dirty bits stands still at each sample, while they are read and cleared. "
                "Each page takes a short fault per sample when it is first written.",
                width,
            )
        )
    parts.append(not_seen(document["blind"], width))
    return page(parts)


def _what(row: PlannedProcess) -> str:
    if row["why_not"]:
        return "refused" if not row["resident_bytes"] else "not tracked: all of it is read"
    if not row["by"]:
        return "all of it is read"
    return f"writes to {many(row['areas'], 'area')} are tracked by {row['by']}"
