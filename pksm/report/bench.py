"""How a benchmark looks to people and to spreadsheets: pure functions of the document `pksm.bench/1`."""

from collections.abc import Callable, Sequence

from pksm.documents import BenchDocument, BenchRow
from pksm.report.text import columns, csv_text, page, paragraph, rate, size

YARDSTICK, TWIN, KERNEL = "read", "ksm twin", "kernel's ksmd"
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
    "kernel's ksmd": "the running kernel's, two scans",
    "ksmd": "our ksmd, two scans",
    "ksmd, machine": "the same on the simulated machine",
    "pksmd, machine": "pksmd on the simulated machine",
}
SAMPLES = ("cpu_samples_s", "wall_samples_s")
VARIED = ("batch", "checksum")  # named in a row where the document has several


def csv(document: BenchDocument) -> str:
    """Return the rows of a document as CSV with a header line, without the samples of each run."""
    return csv_text([{name: value for name, value in row.items() if name not in SAMPLES} for row in document["rows"]])


def table(document: BenchDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people.

    A table per load, each row with its ratio to the yardstick of the same load; of several sizes, a table per load of
    how the time per page grows.
    """
    loads = list(dict.fromkeys(row["load"] for row in document["rows"]))
    sizes = {row["pages"] for row in document["rows"] if row["engine"] == YARDSTICK}
    one_size = len(sizes) == 1 or all(len(_sizes(_of(document, load))) == 1 for load in loads)
    parts = [(_load if one_size else _growth)(document, load) for load in loads]
    parts.append(_remarks(document, width))
    return page(parts)


def _of(document: BenchDocument, load: str) -> list[BenchRow]:
    return [row for row in document["rows"] if row["load"] == load]


def _sizes(rows: Sequence[BenchRow]) -> list[int]:
    return list(dict.fromkeys(row["pages"] for row in rows if row["engine"] == YARDSTICK))


def over(row: BenchRow, yardstick: BenchRow) -> float:
    """Return how many times as long a row takes for a page."""
    return row["ns_per_page"] / yardstick["ns_per_page"]


def times_read(row: BenchRow, yardstick: BenchRow) -> float:
    """Return how many times the yardstick a row takes, round by round where that is known."""
    times = row.get("times_read")
    return over(row, yardstick) if times is None else times


def page_bytes(document: BenchDocument) -> str:
    """Return the size of a page: "4 KiB"."""
    return size(document["page_size"]).replace(".0", "")


def _rate(per_second: float | None) -> str:
    """A rate, and nothing where there is none or the clock was too slow for it."""
    return "" if per_second is None else rate(per_second)


def _title(document: BenchDocument, load: str, pages: str) -> list[str]:
    of_pages = f"Load {load}, {pages} pages of {page_bytes(document)}"
    about = document.get("loads", {}).get(load)  # which older documents do not have
    return [of_pages, *([about] if about else []), ""]


def _load(document: BenchDocument, load: str) -> list[str]:
    rows = _of(document, load)
    by_engine = {row["engine"]: row for row in reversed(rows)}
    yardstick, twin, kernel = by_engine[YARDSTICK], by_engine.get(TWIN), by_engine.get(KERNEL)
    name = _naming(rows)
    head = ["", "order", "ns per page", "interval", "x read", "twin/row", "pages/s", "merges/s", "wall/CPU"]
    cells: list[list[str]] = [[*head, *(["kernel/row"] if kernel else []), ""]]
    for row in rows:
        step = ": " in row["engine"]
        cells.append(
            [
                name(row),
                "" if step else row["order"] or "",
                f"{row['ns_per_page']:.1f}",
                _interval(row),
                "" if row["engine"] == "call" else f"{times_read(row, yardstick):.2f}",
                f"{over(twin, row):.2f}" if twin and row["order"] and not step else "",
                "" if step or row["engine"] == "call" else _rate(row["pages_per_cpu_s"]),
                _rate(row["merges_per_cpu_s"]),
                "" if step or not row["cpu_s"] else f"{row['wall_s'] / row['cpu_s']:.2f}",
                *([f"{over(kernel, row):.1f}" if row.get("merges") is not None else ""] if kernel else []),
                "" if step else _meaning(row, rows),
            ]
        )
        if row["engine"] == "pksmd":
            cells += _python(row, rows, yardstick, len(cells[0]))
    return _title(document, load, f"{yardstick['pages']:,}") + columns(cells, right=range(2, len(cells[0]) - 1))


def _interval(row: BenchRow) -> str:
    return f"{row['ns_low']:.0f}-{row['ns_high']:.0f}" if "ns_low" in row else ""


def _meaning(row: BenchRow, rows: Sequence[BenchRow]) -> str:
    """What a row is; of a policy that merges less than the others, how much."""
    most = max((other.get("merges") or 0 for other in rows), default=0)
    merges = row.get("merges")
    if row["engine"] not in MEANINGS and merges is not None and merges < most:
        return f"merges {100 * merges / most:.1f} % of what is equal"
    return MEANINGS.get(row["engine"], "")


def _naming(rows: Sequence[BenchRow]) -> Callable[[BenchRow], str]:
    """Return what names a row, with its settings where an engine was measured with several."""
    several = [
        field
        for field in VARIED
        if any(
            len({other.get(field) for other in rows if other["engine"] == engine}) > 1
            for engine in {row["engine"] for row in rows}
        )
    ]

    def name(row: BenchRow) -> str:
        engine, _, step = row["engine"].partition(": ")
        if step:
            return f"  {step.replace('_', ' ')}"
        settings = [f"{row['threads']} threads"] if row["threads"] > 1 else []
        if "batch" in several and row["batch"]:
            settings.append(f"{row['batch']:,} a wake-up")
        checksum = row.get("checksum")
        if "checksum" in several and checksum:
            settings.append(checksum)
        return f"{engine} ({', '.join(settings)})" if settings else engine

    return name


def _python(engine: BenchRow, rows: Sequence[BenchRow], yardstick: BenchRow, n_cells: int) -> list[list[str]]:
    """A line with what is left of the engine without its part in C."""
    alike = ("order", "batch", "checksum")
    in_c = [row for row in rows if row["engine"] == "settle in C"]
    in_c = [row for row in in_c if all(row.get(name) == engine.get(name) for name in alike)]
    if len(in_c) != 1:
        return []
    left = max(0, engine["ns_per_page"] - in_c[0]["ns_per_page"])
    times = left / yardstick["ns_per_page"]
    cells = ["  without settle in C", "", f"{left:.1f}", "", f"{times:.2f}"]
    return [cells + [""] * (n_cells - len(cells))]


def _growth(document: BenchDocument, load: str) -> list[str]:
    """How the time per page grows with the size: a line per engine, a column per size."""
    rows = [row for row in _of(document, load) if ": " not in row["engine"] and row["engine"] != "call"]
    sizes, name = _sizes(rows), _naming(rows)
    lines: dict[tuple[str, str], dict[int, BenchRow]] = {}
    for row in rows:
        lines.setdefault((name(row), row["order"] or ""), {})[row["pages"]] = row
    cells = [["", "order", *(f"{pages:,}" for pages in sizes), "growth", ""]]
    for (label, order), by_size in lines.items():
        ends = [by_size[pages]["ns_per_page"] for pages in (sizes[0], sizes[-1]) if pages in by_size]
        growth = f"{ends[1] / ends[0]:.2f} x" if len(ends) == 2 and len(sizes) > 1 and ends[0] else ""
        times = [f"{by_size[pages]['ns_per_page']:.0f}" if pages in by_size else "" for pages in sizes]
        cells.append([label, order, *times, growth, MEANINGS.get(label, "")])
    title = f"{sizes[0]:,} to {sizes[-1]:,}" if len(sizes) > 1 else f"{sizes[0]:,}"
    return [
        *_title(document, load, title),
        *columns(cells, right=range(2, len(sizes) + 3)),
        "",
        "CPU ns per page; growth: of the last size over the first.",
    ]


def _remarks(document: BenchDocument, width: int) -> list[str]:
    machine, rows = document["machine"], document["rows"]
    ours = [row for row in rows if row["engine"] == "pksmd"]
    batches = sorted({row["batch"] for row in ours if row["batch"]})
    checksums = list(dict.fromkeys(row.get("checksum") or document.get("checksum", "") for row in ours))
    memory = ""
    if "huge_kib" in machine:
        huge = machine["huge_kib"]
        memory = f"; memory touched before, {f'{huge >> 10:,} MiB of it on huge pages' if huge else 'no huge pages'}"
    lines = [
        f"{machine['cpu']} ({machine['cpu_level']}), {machine['cores']} CPUs, {machine['busy_cores']} of them busy "
        f"at the start, Linux {machine['kernel']}, Python {machine['python']}, numpy {machine['numpy']}.",
        f"CPU time, medians of {document['repeats']}{_confidence(document)}{memory}; every answer checked.",
    ]
    if "interference" in document:
        lines.append(_meanwhile(document))
    if ours:
        lines.append(
            f"pksmd: checksum {' and '.join(checksums)}, {' and '.join(f'{batch:,}' for batch in batches)} pages per "
            f"wake-up, recheck of unshared pages put off (period_seconds {document.get('period_seconds')})."
        )
    if any(row["engine"] == TWIN for row in rows):
        lines.append(
            "twin/row: how many times as fast as KSM's twin, which does less than ksmd: no sums, one scan, no page tables."
        )
    if "against" in document:
        lines.append(
            f"kernel/row: likewise of the kernel's ksmd, whose time is that of its thread. {document['against']}"
        )
    return [line for text in lines for line in paragraph(text, max(width, 100))]


def _confidence(document: BenchDocument) -> str:
    """What the intervals mean, in brackets."""
    if "confidence" not in document:
        return ""
    if document["repeats"] == 1:
        return " (a single run has no interval)"
    return f" (interval: where the median lies with {100 * document['confidence']:.0f} % confidence)"


def _meanwhile(document: BenchDocument) -> str:
    """How busy the machine was, and what holds."""
    meanwhile = document["interference"]
    how = (
        f"others used {meanwhile['others_cpus']:.2f} CPUs in these {meanwhile['seconds']:.0f} s, "
        f"{100 * meanwhile['stolen_share']:.1f} % went to other guests"
    )
    if meanwhile["trust"] == "times":
        return f"Quiet: {how}."
    return (
        f"Busy: {how}. Ratios hold (x read, twin/row, kernel/row); times and rates are not to be compared with others."
    )
