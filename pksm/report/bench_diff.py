"""How the difference of two benchmarks looks: pure functions of the document `pksm.bench.diff/1`."""

from pksm.documents import BenchDiffDocument, BenchDiffRow, BenchDiffSide
from pksm.report.text import columns, csv_text, many, page, painting, paragraph

WORTH_SAYING = ("faster", "slower")


def csv(document: BenchDiffDocument) -> str:
    """Return the rows of a document as CSV with a header line."""
    return csv_text(document["rows"], BenchDiffRow.__annotations__)


def table(document: BenchDiffDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people: a table per load and size, each row with its ratio and what it shows."""
    paint = painting(colour)
    rows = [row for row in document["rows"] if not _is_step(row) or row["verdict"] != "same"]
    parts = [[f"old: {_side(document['old'])}", f"new: {_side(document['new'])}"]]
    for load, pages in dict.fromkeys((row["load"], row["pages"]) for row in rows if row["engine"] != "call"):
        of_load = [row for row in rows if row["load"] == load and (row["pages"] == pages or row["engine"] == "call")]
        cells: list[tuple[str, ...]] = [("", "order", "old ns", "new ns", "new/old", "interval", "p", "")]
        cells += [_cells(row) for row in of_load]
        lines = columns(cells, right=range(2, 7))
        shown = [paint(line) if line.endswith(WORTH_SAYING) else line for line in lines]
        parts.append([f"Load {load}, {pages:,} pages", "", *shown])
    whole = [row for row in document["rows"] if not _is_step(row)]
    steps = [row for row in document["rows"] if _is_step(row)]
    counts = f"{many(len(whole), 'row')}: {_counts(whole)}."
    if steps:
        counts += f" {many(len(steps), 'step')} of these: {_counts(steps)}; the latter are left out above."
    compared = "CPU time" if document["compared"] == "times" else "CPU time over that of read in the same round"
    remarks = [
        f"{counts} new/old: of {compared}, "
        "the median of all quotients, and its interval at 95 %. p: Mann and Whitney's test; of all rows that are called "
        "faster or slower, about one in twenty is by chance (Benjamini and Hochberg).",
    ]
    if document["only_old"] or document["only_new"]:
        remarks.append(
            f"Left out: {many(document['only_old'], 'row')} of the old one alone, {document['only_new']:,} of the new."
        )
    parts.append([line for text in remarks for line in paragraph(text, max(width, 60))])
    return page(parts)


def _is_step(row: BenchDiffRow) -> bool:
    return ": " in row["engine"]


def _counts(rows: list[BenchDiffRow]) -> str:
    """Return how many of these rows are faster, slower, and neither."""
    faster, slower = (sum(row["verdict"] == verdict for row in rows) for verdict in WORTH_SAYING)
    return f"{faster} faster, {slower} slower, {len(rows) - faster - slower} with no difference shown"


def _side(side: BenchDiffSide) -> str:
    machine, commit = side["machine"], side["commit"]
    version = f"pksm {side['pksm']}" + (f" ({commit})" if commit else "")
    return (
        f"{side['name']}: {version}, {machine['cpu']}, Linux {machine['kernel']}, {many(side['repeats'], 'run')} a row"
    )


def _cells(row: BenchDiffRow) -> tuple[str, ...]:
    name, _, step = row["engine"].partition(": ")
    threads = f" ({row['threads']} threads)" if row["threads"] > 1 and not step else ""
    return (
        f"  {step.replace('_', ' ')}" if step else name + threads,
        row["order"] or "",
        f"{row['old_ns']:.1f}",
        f"{row['new_ns']:.1f}",
        f"{row['ratio']:.3f}",
        f"{row['ratio_low']:.3f}-{row['ratio_high']:.3f}",
        f"{row['p']:.4f}",
        "" if row["verdict"] == "same" else row["verdict"],
    )
