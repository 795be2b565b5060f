"""The page of a benchmark: each engine beside the limit of the machine."""

from collections.abc import Sequence

from pksm.documents import BenchDocument, BenchRow
from pksm.report.bench import MEANINGS, YARDSTICK
from pksm.report.pages.charts import bars
from pksm.report.pages.parts import Cell, Figure, Page, Table, Tile, number
from pksm.report.text import many, rate, size


def page(document: BenchDocument) -> Page:
    """Return the page of pksm.bench/1."""
    machine = document["machine"]
    made = Page(
        f"How fast pages are merged on {machine['cpu']}",
        _verdict(document),
        warnings=list(document.get("warnings", ())),
    )
    for load, rows in _by_load(document):
        made.tiles += _tiles(load, rows)
        made.parts += [_chart(document, load, rows), _table(load, rows)]
    if "against" in document:
        made.parts.append(document["against"])
    made.parts.append(
        f"{machine['cpu']} ({machine['cpu_level']}), {many(machine['cores'], 'CPU')}, {machine['busy_cores']} of them busy at "
        f"the start, Linux {machine['kernel']}. CPU time, medians of {document['repeats']} runs."
    )
    return made


def _by_load(document: BenchDocument) -> list[tuple[str, list[BenchRow]]]:
    """The rows of each load and size, with a name; the size is named where there are several."""
    sizes = len({row["pages"] for row in document["rows"]})
    found: dict[str, list[BenchRow]] = {}
    for row in document["rows"]:
        size_ = f" of {row['pages']:,} pages" if sizes > 1 else ""
        found.setdefault(f"{row['load']}{size_}", []).append(row)
    return list(found.items())


def _limit(rows: Sequence[BenchRow]) -> BenchRow | None:
    return next((row for row in rows if row["engine"] == YARDSTICK and row["ns_per_page"] > 0), None)


def _verdict(document: BenchDocument) -> str:
    said = []
    for load, rows in _by_load(document):
        limit, engine = _limit(rows), next((row for row in rows if row["engine"] == "pksmd"), None)
        if limit and engine:
            times = engine["ns_per_page"] / limit["ns_per_page"]
            said.append(f"Load {load}: pksmd takes {times:.1f} times as long as reading the pages once.")
    return " ".join(said)


def _tiles(load: str, rows: Sequence[BenchRow]) -> list[Tile]:
    engine = next((row for row in rows if row["engine"] == "pksmd" and row["pages_per_cpu_s"]), None)
    if engine is None:
        return []
    merges = f"{rate(engine['merges_per_cpu_s'])} merges" if engine["merges_per_cpu_s"] else ""
    return [
        Tile(
            f"{rate(engine['pages_per_cpu_s'] or 0)} pages/s",
            f"pksmd on load {load}",
            f"{merges} per second of CPU".strip(),
        )
    ]


def _chart(document: BenchDocument, load: str, rows: Sequence[BenchRow]) -> Figure:
    limit = _limit(rows)
    whole = [row for row in rows if ": " not in row["engine"]]
    shown = [bars.Row(_name(row), [row["ns_per_page"]], f"{row['ns_per_page']:,.0f} ns") for row in whole]
    line = limit["ns_per_page"] if limit else 0.0
    pages = rows[0]["pages"]
    about = (
        f"Load {load}, {pages:,} pages of {size(document['page_size'])}: ns of CPU per page. "
        "The dashed line is the limit: every byte read once."
    )
    sentence = document.get("loads", {}).get(rows[0]["load"], "")
    return Figure(
        f"Load {load}", bars.beside(shown, line, f"limit: {line:.0f} ns", about), f"{sentence} {about}".strip()
    )


def _name(row: BenchRow) -> str:
    threads = f", {row['threads']} threads" if row["threads"] > 1 else ""
    return f"{row['engine']} {row['order'] or ''}".strip() + threads


def _table(load: str, rows: Sequence[BenchRow]) -> Table:
    limit = _limit(rows)

    def times(row: BenchRow) -> Cell:
        if not limit:
            return Cell("-")
        ratio = row["ns_per_page"] / limit["ns_per_page"]
        return number(ratio, f"{ratio:.2f}")

    cells: list[Sequence[Cell | str]] = [
        [_name(row), number(row["ns_per_page"], f"{row['ns_per_page']:,.1f}"), times(row),
         _rate(row["pages_per_cpu_s"]), _rate(row["merges_per_cpu_s"]), MEANINGS.get(row["engine"], "")]
        for row in rows
    ]  # fmt: skip
    return Table(
        f"Rows of load {load}", ["engine", "ns per page", "times read", "pages/s", "merges/s", "what it is"], cells
    )


def _rate(per_second: float | None) -> Cell:
    return number(per_second, None if per_second is None else rate(per_second))
