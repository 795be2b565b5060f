"""The page of comparisons with recorded kernels."""

from collections.abc import Sequence

from pksm.documents import TruthDocument, TruthRow
from pksm.report.pages.parts import Cell, Page, Table, Tile, number


def page(document: TruthDocument) -> Page:
    """Return the page of pksm.truth/1: the numbers that differ come first."""
    made = Page("The simulated machine beside recorded kernels", _verdict(document))
    made.tiles = [
        Tile(f"{document['equal']:,}", "numbers equal", f"of {document['numbers']:,}", True),
        Tile(f"{document['explained']:,}", "differ for a known reason"),
        Tile(f"{document['unexplained']:,}", "differ without one", is_good=not document["unexplained"]),
    ]
    rows = sorted(document["rows"], key=lambda row: row["kernel_value"] == row["ours"])
    made.parts = [
        Table(
            "Numbers, those that differ first",
            ["kernel", "of", "counter", "kernel's", "ours", "why they differ"],
            [_cells(row) for row in rows],
        )
    ]
    return made


def _verdict(document: TruthDocument) -> str:
    if document["unexplained"]:
        return f"{document['unexplained']:,} of {document['numbers']:,} numbers differ from the kernels' without a known reason."
    return f"All {document['numbers']:,} numbers are the kernels', or differ for a known reason ({document['explained']:,})."


def _cells(row: TruthRow) -> Sequence[Cell | str]:
    of = " ".join(str(row[name]) for name in ("w", "phase", "id", "round", "when") if name in row)
    return [row["kernel"], of, row["counter"], number(row["kernel_value"]), number(row["ours"]), row.get("note", "")]
