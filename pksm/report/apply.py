"""How applied settings look to people and to spreadsheets: pure functions of the document `pksm.apply/1`."""

from pksm.documents import AppliedSetting, ApplyDocument
from pksm.report.text import columns, csv_text, page, painting, paragraph


def csv(document: ApplyDocument) -> str:
    """Return a row for each setting."""
    return csv_text(document["settings"], AppliedSetting.__annotations__)


def table(document: ApplyDocument, width: int = 80, colour: bool = False, undo: str = "") -> str:
    """Return a document for people. undo: the command that takes it back, if any."""
    paint, rows = painting(colour), document["settings"]
    if not rows:
        return "nothing to do\n"
    cells = [(row["path"], row["before"], row["value"], _state(row["done"], document["dry_run"])) for row in rows]
    lines = columns([("file", "before", "after", "state"), *cells], right=[1, 2])
    parts = [[paint(lines[0]), *lines[1:]]]
    if undo:
        kept = f"What was there before {'would be' if document['dry_run'] else 'is'} kept in {document['record']}"
        parts.append(paragraph(f"{kept}. To undo: {undo}. The next boot undoes it in any case.", width))
    return page(parts)


def _state(done: bool, dry_run: bool) -> str:
    return "would be set" if dry_run else "set" if done else "refused"
