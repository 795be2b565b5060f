"""The page of two benchmarks, compared: what has become slower comes first."""

from collections.abc import Sequence

from pksm.documents import BenchDiffDocument
from pksm.report.pages.parts import Cell, Page, Table, Tile, number

ORDER = ("slower", "faster", "same")


def page(document: BenchDiffDocument) -> Page:
    """Return the page of pksm.bench.diff/1."""
    rows = sorted(document["rows"], key=lambda row: ORDER.index(row["verdict"]))
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in ORDER}
    old, new = document["old"]["name"], document["new"]["name"]
    made = Page(f"From {old} to {new}", warnings=list(document["warnings"]))
    made.verdict = f"{counts['slower']} of {len(rows)} rows are slower, {counts['faster']} faster; {document['compared']} are compared."
    made.tiles = [
        Tile(str(count), verdict, is_good=verdict == "slower" and not count) for verdict, count in counts.items()
    ]
    cells: list[Sequence[Cell | str]] = [
        [f"{row['load']}, {row['pages']:,} pages", f"{row['engine']} {row['order'] or ''}", row["verdict"],
         number(row["ratio"], f"{row['ratio']:.3f}"), f"{row['ratio_low']:.3f} to {row['ratio_high']:.3f}",
         number(row["p"], f"{row['p']:.2g}"), number(row["old_ns"], f"{row['old_ns']:,.1f}"),
         number(row["new_ns"], f"{row['new_ns']:,.1f}")]
        for row in rows
    ]  # fmt: skip
    heads = ["load", "engine", "verdict", "new/old", "interval", "p", "old, ns per page", "new, ns per page"]
    made.parts = [Table("Rows, the slower ones first", heads, cells)]
    return made
