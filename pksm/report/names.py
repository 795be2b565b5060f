"""How a list of names looks: pure functions of the document `pksm.names/1`."""

from pksm.documents import NamesDocument
from pksm.report.text import columns, csv_text, cut, page, painting


def table(document: NamesDocument, width: int = 80, colour: bool = False) -> str:
    """Return a line for each name, those of a kind together."""
    paint, parts = painting(colour), []
    for kind in dict.fromkeys(row["kind"] for row in document["names"]):
        rows = [(f"  {row['name']}", row["about"]) for row in document["names"] if row["kind"] == kind]
        parts.append([paint(kind), *(cut(line, width) for line in columns(rows))])
    return page(parts)


def csv(document: NamesDocument) -> str:
    """Return a row for each name."""
    return csv_text(document["names"])
