"""How a line of watching KSM looks: a pure function of the document `pksm.watch/1`."""

from pksm.documents.watch import WatchDocument
from pksm.report.text import csv_text, percent, plain, size

HEAD = f"{'time':8}  {'saved':>10}  {'change':>11}  {'ksmd':>7}  {'scanned/s':>10}  {'undone':>8}  {'scans':>6}"


def csv(document: WatchDocument) -> str:
    """Return the line as CSV, with a header."""
    names = ("at", "seconds", "saved_bytes", "change_bytes", "cpu_percent", "scanned", "undone", "full_scans")
    return csv_text([{name: document[name] for name in names}])  # type: ignore[literal-required]


def table(document: WatchDocument, width: int = 80, colour: bool = False) -> str:
    """Return the heads, the line, and the processes with the most merged pages."""
    return "\n".join([HEAD, line(document), *processes(document)])


def line(document: WatchDocument) -> str:
    """Return one line of a view that goes on."""
    cpu, scanned, undone = document["cpu_percent"], document["scanned"], document["undone"]
    change = document["change_bytes"]
    sign = "+" if change > 0 else "-" if change < 0 else ""
    rate = "-" if scanned is None or not document["seconds"] else f"{scanned / document['seconds']:,.0f}"
    return (
        f"{document['at'][11:19]:8}  {size(document['saved_bytes']):>10}  {sign + size(abs(change)):>11}  "
        f"{'-' if cpu is None else percent(cpu):>7}  {rate:>10}  {'-' if undone is None else f'{undone:,}':>8}  "
        f"{document['full_scans']:>6,}"
    )


def processes(document: WatchDocument) -> list[str]:
    """Return lines about the processes with the most merged pages."""
    rows = [
        f"{one['pid']:>8}  {one['merged']:>10,}  {size(one['profit_bytes']):>10}  {plain(one['name'])}"
        for one in document["processes"]
    ]
    return ["", f"{'pid':>8}  {'merged':>10}  {'profit':>10}  name", *rows] if rows else []
