"""How a benchmark looks to people and to spreadsheets: pure functions of the document `pksm.bench/1`."""

from collections.abc import Sequence

from pksm.documents import BenchDocument, BenchRow
from pksm.report.text import columns, csv_text, page, rate, size

YARDSTICK, TWIN = "read", "ksm twin"
MEANINGS = {
    "read": "the bytes once, in order: the limit",
    "memcpy": "libc",
    "memcmp": "libc, pairs of equal pages",
    "call": "one empty call from Python to C",
    "checksum": "the checksum pass alone, ascending",
    "hash table": "in C: checksums, confirmed by the bytes",
    "ksm twin": "in C: KSM's trees, memcmp, one search at a time",
    "settle in C": "pksmd's part in C",
    "pksmd": "the engine: from birth to rest",
}


def csv(document: BenchDocument) -> str:
    """Return the rows of a document as CSV with a header line."""
    return csv_text(document["rows"])


def table(document: BenchDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people: a table per load, each row with its ratio to the yardstick of the same load."""
    if "against" in document:
        return _against(document)
    loads = list(dict.fromkeys(row["load"] for row in document["rows"]))
    parts = [_load(document, load) for load in loads]
    parts.append(_remarks(document))
    return page(parts)


def _against(document: BenchDocument) -> str:
    """Tables of the kernel's ksmd and its rivals; the ratio says how many times less CPU time a row takes."""
    parts: list[list[str]] = []
    for load in dict.fromkeys(row["load"] for row in document["rows"]):
        rows = [row for row in document["rows"] if row["load"] == load]
        kernel = next(row for row in rows if row["engine"] == "kernel's ksmd")
        cells = [("", "ns per page", "kernel/row", "pages/s", "merges/s")]
        for row in rows:
            name, _, scan = row["engine"].partition(": ")
            merges = _rate(row["merges_per_cpu_s"])
            ratio = "" if scan else f"{over(kernel, row):.1f}"
            label = f"  {scan}" if scan else name
            cells.append((label, f"{row['ns_per_page']:.0f}", ratio, _rate(row["pages_per_cpu_s"]), merges))
        title = f"Load {load}, {kernel['pages']:,} pages of {size(document['page_size'])}"
        parts.append([title, *_about(document, load), "", *columns(cells, right=range(1, 5))])
    machine = document["machine"]
    parts.append(
        [
            f"{machine['cpu']}, Linux {machine['kernel']}. CPU time (the kernel's: of its thread), medians of "
            f"{document['repeats']}; every answer checked.",
            document["against"],
        ]
    )
    return page(parts)


def _about(document: BenchDocument, load: str) -> list[str]:
    """The sentence about a load, which older documents do not have."""
    return [document["loads"][load]] if load in document.get("loads", {}) else []


def over(row: BenchRow, yardstick: BenchRow) -> float:
    """Return how many times as long a row takes for a page."""
    return row["ns_per_page"] / yardstick["ns_per_page"]


def _rate(per_second: float | None) -> str:
    """A rate, and nothing where there is none or the clock was too slow for it."""
    return "" if per_second is None else rate(per_second)


def _load(document: BenchDocument, load: str) -> list[str]:
    rows = [row for row in document["rows"] if row["load"] == load]
    yardstick, twin = (next(row for row in rows if row["engine"] == name) for name in (YARDSTICK, TWIN))
    lines = [f"Load {load}, {yardstick['pages']:,} pages of {size(document['page_size'])}", *_about(document, load), ""]
    cells: list[tuple[str, ...]] = [
        ("", "order", "ns per page", "x read", "twin/row", "pages/s", "merges/s", "wall/CPU", "")
    ]
    for row in rows:
        cells.append(_cells(row, yardstick, twin))
        if row["engine"] == "pksmd":
            cells.append(_python(row, rows, yardstick))
    return lines + columns(cells, right=range(2, 8))


def _cells(row: BenchRow, yardstick: BenchRow, twin: BenchRow) -> tuple[str, ...]:
    name, _, step = row["engine"].partition(": ")
    threads = f" ({row['threads']} threads)" if row["threads"] > 1 and not step else ""
    return (
        f"  {step.replace('_', ' ')}" if step else name + threads,
        "" if step else row["order"] or "",
        f"{row['ns_per_page']:.1f}",
        "" if name == "call" else f"{over(row, yardstick):.2f}",
        f"{over(twin, row):.2f}" if row["order"] and not step else "",
        "" if step or name == "call" else _rate(row["pages_per_cpu_s"]),
        _rate(row["merges_per_cpu_s"]),
        "" if step else f"{row['wall_s'] / row['cpu_s']:.2f}",
        "" if step else MEANINGS.get(name, ""),
    )


def _python(engine: BenchRow, rows: Sequence[BenchRow], yardstick: BenchRow) -> tuple[str, ...]:
    """A line with what is left of the engine without its part in C."""
    [in_c] = [row for row in rows if row["engine"] == "settle in C" and row["order"] == engine["order"]]
    left = max(0, engine["ns_per_page"] - in_c["ns_per_page"])
    times = left / yardstick["ns_per_page"]
    return "  without settle in C", "", f"{left:.1f}", f"{times:.2f}", "", "", "", "", ""


def _remarks(document: BenchDocument) -> list[str]:
    machine = document["machine"]
    batches = sorted({row["batch"] for row in document["rows"] if row["batch"]})
    huge = f"{size(machine['huge_kib'] * 1024)} of it on huge pages" if machine["huge_kib"] else "no huge pages"
    return [
        f"{machine['cpu']} ({machine['cpu_level']}), {machine['cores']} CPUs, {machine['busy_cores']} of them busy "
        f"at the start, Linux {machine['kernel']}, Python {machine['python']}, numpy {machine['numpy']}.",
        f"CPU time, medians of {document['repeats']}; memory touched before, {huge}; every answer checked.",
        f"pksmd: checksum {document['checksum']}, {' and '.join(f'{batch:,}' for batch in batches)} pages per wake-up, "
        f"recheck of unshared pages put off (period_seconds {document['period_seconds']}).",
        "twin/row: how many times as fast as KSM's twin, which does less than ksmd: no sums, one scan, no page tables.",
    ]
