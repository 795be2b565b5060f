"""How the list of checksum strategies looks: pure functions of the document `pksm.checksum.list/1`."""

from collections.abc import Mapping
from typing import Any

from pksm.documents import ChecksumListDocument
from pksm.report.text import columns, csv_text

LISTED = ("name", "width", "bytes", "lines", "seed", "users")


def table(document: ChecksumListDocument, width: int = 80, colour: bool = False) -> str:
    """Return the strategies for people."""
    titles = ("strategy", "bits", "bytes", "lines", "seed", "who uses it")
    cells = [["-" if row[key] is None else str(row[key]) for key in LISTED] for row in _rows(document)]
    return "\n".join(columns([titles, *cells], right=(1, 2, 3))) + "\n"


def csv(document: ChecksumListDocument) -> str:
    """Return the strategies as CSV."""
    return csv_text([{key: row[key] for key in LISTED} for row in _rows(document)])


def _rows(document: ChecksumListDocument) -> list[Mapping[str, Any]]:
    return [*document["strategies"]]
