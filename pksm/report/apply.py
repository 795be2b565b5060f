"""How applied settings look to people and to spreadsheets: pure functions of the document `pksm.apply/1`."""

import os
from collections.abc import Sequence

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
    cells = [(_name(row), row["before"], row["value"], _state(row, document["dry_run"])) for row in rows]
    lines = columns([("setting", "before", "after", "state"), *cells], right=[1, 2])
    parts = [[paint(lines[0]), *lines[1:]]]
    parts.append(paragraph(_where(rows), width))
    if undo:
        kept = f"What was there before {'would be' if document['dry_run'] else 'is'} kept in {document['record']}"
        parts.append(paragraph(f"{kept}. To undo: {undo}. The next boot undoes it in any case.", width))
    return page(parts)


def _name(row: AppliedSetting) -> str:
    return os.path.basename(row["path"])


def _where(rows: Sequence[AppliedSetting]) -> str:
    """Return where the files are: those of KSM by their folder, others by their path."""
    folders = sorted({os.path.dirname(row["path"]) for row in rows if row["name"] == _name(row)})
    parts = [f"The settings are files of {folder}." for folder in folders]
    parts += [f"{_name(row)} is {row['path']}." for row in rows if row["name"] != _name(row)]
    return " ".join(parts)


def _state(row: AppliedSetting, dry_run: bool) -> str:
    if row["before"] == row["value"] and (row["done"] or dry_run):
        return "unchanged"
    return "would be set" if dry_run else "set" if row["done"] else "refused"
