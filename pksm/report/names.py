"""How a list of names looks: pure functions of the document `pksm.names/1`."""

from pksm.documents import NamesDocument
from pksm.report.text import columns, csv_text, page, painting, paragraph

NARROW = 20  # sentences get no narrower than this


def table(document: NamesDocument, width: int = 80, colour: bool = False) -> str:
    """Return each name and its sentence, those of a kind together."""
    paint, parts = painting(colour), []
    for kind in dict.fromkeys(row["kind"] for row in document["names"]):
        named = [row for row in document["names"] if row["kind"] == kind]
        room = max(NARROW, width - max(len(row["name"]) for row in named) - 4)
        rows = [
            (f"  {'' if place else row['name']}", line)
            for row in named
            for place, line in enumerate(paragraph(row["about"], room) or [""])
        ]
        parts.append([paint(kind), *columns(rows)])
    return page(parts)


def csv(document: NamesDocument) -> str:
    """Return a row for each name."""
    return csv_text(document["names"])
