"""How opting in and out looks to people and to spreadsheets: pure functions of the document `pksm.opt_in/1`."""

from pksm.documents import OptedProcess, OptInDocument
from pksm.plain import plain
from pksm.report.text import columns, csv_text, cut, many, page, painting, paragraph, size

NAME_WIDTH = 32
SHOWN = 8  # ranges of a process


def csv(document: OptInDocument) -> str:
    """Return a row for each process."""
    rows = [{**row, "ranges": len(row["ranges"]), "range_bytes": _bytes(row)} for row in document["processes"]]
    return csv_text(rows, [*OptedProcess.__annotations__, "range_bytes"])


def table(document: OptInDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people."""
    paint = painting(colour)
    cells = [
        (str(row["pid"]), cut(plain(row["name"]), NAME_WIDTH), _what(row), _state(row, document["dry_run"]))
        for row in document["processes"]
    ]
    lines = columns([("PID", "command", f"opt {document['wanted']}", "state"), *cells], right=[0])
    parts = [[paint(lines[0]), *lines[1:]]]
    for row in document["processes"]:
        if row["ranges"] and document["dry_run"]:
            parts.append(_ranges(row))
    pauses = [row["pause_s"] for row in document["processes"] if row["pause_s"]]
    if pauses:
        parts.append(paragraph(f"A process stood still for {1000 * max(pauses):.2f} ms at a time, at most.", width))
    return page(parts)


def _bytes(row: OptedProcess) -> int:
    return sum(each["bytes"] for each in row["ranges"])


def _what(row: OptedProcess) -> str:
    parts = ["all of it"] if row["whole"] else []
    if row["ranges"]:
        text = f"{size(_bytes(row))} in {many(len(row['ranges']), 'range')}"
        equal = sum(each["equal_pages"] or 0 for each in row["ranges"])
        pages = sum(each["pages"] or 0 for each in row["ranges"])
        text += f": {equal:,} of {pages:,} pages have equals" if pages else ""
        parts.append(text)
    return ", ".join(parts) or "nothing"


def _state(row: OptedProcess, dry_run: bool) -> str:
    if row["why_not"]:
        return "refused"
    return "would be done" if dry_run else "done"


def _ranges(row: OptedProcess) -> list[str]:
    lines = [
        f"pid {row['pid']}: madvise({each['start']:#x}, {each['bytes']}), {size(each['bytes'])}"
        for each in row["ranges"][:SHOWN]
    ]
    left = len(row["ranges"]) - SHOWN
    return [*lines, *([f"and {left:,} more (JSON has all)"] if left > 0 else [])]
