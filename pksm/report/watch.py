"""How watching KSM looks: pure functions of the document `pksm.watch/1`."""

from pksm.documents.watch import WatchDocument
from pksm.plain import plain
from pksm.report.text import csv_text, percent, rate, seconds, size

HEAD = (  # of 80 columns
    f"{'time':8} {'saved':>10} {'change':>10} {'reached':>7} {'ksmd':>7} {'pages/s':>7} {'undone':>6} {'scans':>5} "
    f"{'left':>4} {'rest in':>7}"
)
PROCESS_HEADS = ("pid", "merged", "at most", "reached", "tracked", "profit")
_WIDTHS = (8, 10, 10, 7, 10, 10)
COLUMNS = (
    *("at", "seconds", "saved_bytes", "change_bytes", "cpu_percent", "scanned", "undone", "full_scans"),
    *("most_bytes", "reached", "scans_left", "rest_s"),
)


def csv(document: WatchDocument) -> str:
    """Return the line as CSV, with a header."""
    return csv_text([{name: document[name] for name in COLUMNS}])  # type: ignore[literal-required]


def table(document: WatchDocument, width: int = 80, colour: bool = False) -> str:
    """Return the heads, the line, and the processes with the most merged pages."""
    return "\n".join([HEAD, line(document), *processes(document)]) + "\n"


def line(document: WatchDocument) -> str:
    """Return one line of a view that goes on."""
    cells = figures(document)
    return (
        f"{document['at'][11:19]:8} {cells['saved']:>10} {cells['change']:>10} {cells['reached']:>7} "
        f"{cells['CPU of ksmd']:>7} {cells['pages scanned per second']:>7} {cells['merges undone']:>6} "
        f"{cells['full scans']:>5} {cells['scans left']:>4} {cells['at rest in']:>7}"
    )


def figures(document: WatchDocument) -> dict[str, str]:
    """Return the figures of a document by what they are, as people read them; "-" where one is not known."""
    cpu, scanned, undone = document["cpu_percent"], document["scanned"], document["undone"]
    change, reached, left = document["change_bytes"], document["reached"], document["scans_left"]
    sign = "+" if change > 0 else "-" if change < 0 else ""
    most = document["most_bytes"]
    return {
        "saved": size(document["saved_bytes"]),
        "change": sign + size(abs(change)),
        "at most": "-" if most is None else size(most),
        "reached": "-" if reached is None else percent(100 * reached),
        "CPU of ksmd": "-" if cpu is None else percent(cpu),
        "pages scanned per second": (
            "-" if scanned is None or not document["seconds"] else rate(scanned / document["seconds"])
        ),
        "merges undone": "-" if undone is None else f"{undone:,}",
        "full scans": f"{document['full_scans']:,}",
        "scans left": "-" if left is None else f"{left:g}",
        "at rest in": "-" if document["rest_s"] is None else seconds(document["rest_s"]),
    }


def processes(document: WatchDocument) -> list[str]:
    """Return lines about the processes with the most merged pages."""
    rows = ["  ".join(f"{cell:>{w}}" for cell, w in zip(row, _WIDTHS, strict=True)) for row in process_rows(document)]
    names = [plain(one["name"]) for one in document["processes"]]
    heads = "  ".join(f"{head:>{w}}" for head, w in zip(PROCESS_HEADS, _WIDTHS, strict=True))
    lines = [f"{row}  {name}" for row, name in zip(rows, names, strict=True)]
    return ["", f"{heads}  name", *lines] if rows else []


def process_rows(document: WatchDocument) -> list[list[str]]:
    """Return the cells under PROCESS_HEADS of each process; "-" where one is not known."""
    return [
        [
            str(one["pid"]),
            f"{one['merged']:,}",
            "-" if one["most_merged"] is None else f"{one['most_merged']:,}",
            "-" if one["reached"] is None else percent(100 * one["reached"]),
            f"{one['tracked']:,}",
            size(one["profit_bytes"]),
        ]
        for one in document["processes"]
    ]
