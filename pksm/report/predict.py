"""How predictions look to people and to spreadsheets: pure functions of `pksm.predict/1`."""

from pksm.documents import PredictDocument
from pksm.documents.prediction import Pair, PredictRow
from pksm.plain import plain
from pksm.report.text import columns, csv_text, left_out, many, page, painting, paragraph, seconds


def csv(document: PredictDocument) -> str:
    """Return a line for each run of the kernel, with what was predicted for it."""
    rows = [
        {
            "workload": row["workload"],
            "setting": row["setting"],
            "run": number + 1,
            **run,
            "saved_ours": row["saved"]["ours"],
            "reached_50_s_ours": row["reached_50_s"]["ours"],
            "reached_90_s_ours": row["reached_90_s"]["ours"],
        }
        for row in document["rows"]
        for number, run in enumerate(row["every_run"])
    ]
    return csv_text(rows or [{"workload": ""}])


def table(document: PredictDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people: predicted and measured, medians first, then every run."""
    paint = painting(colour)
    title = (
        f"Predictions beside ksmd of Linux {plain(document['kernel'])}, medians of {many(document['runs'], 'run')}; "
        f"prices: {plain(document['prices']['source'])}"
    )
    head = ("", "", "pages saved", "half after", "90 % after", "CPU time", "saved by scanned")
    lines = columns([head, *map(_row, document["rows"])], right=range(2, len(head)))
    runs_head = ("Every run", "", "pages saved", "half after", "90 % after", "CPU time", "saved by scanned")
    runs = columns([runs_head, *(cells for row in document["rows"] for cells in _runs(row))], right=range(2, len(head)))
    parts = [paragraph(title, width)]
    if document["rows"]:
        parts += [[paint(lines[0]), *lines[1:]], [paint(runs[0]), *runs[1:]]]
        parts.append(
            paragraph(
                "Predicted, and by how much that misses the kernel's median. Saved by scanned: the most by which pages "
                "saved differ at the same pages_scanned, as a part of those saved at the end.",
                width,
            )
        )
    return page([*parts, *left_out(document["skipped"], width)])


def _row(row: PredictRow) -> tuple[str, ...]:
    return (
        row["workload"],
        row["setting"],
        f"{row['saved']['ours']:,.0f} {_miss(row['saved'])}",
        *(
            f"{seconds(pair['ours'])} {_miss(pair)}"
            for pair in (row["reached_50_s"], row["reached_90_s"], row["cpu_s"])
        ),
        f"{row['saved_by_scanned']:.1%}",
    )


def _miss(pair: Pair) -> str:
    return f"({pair['ours'] / pair['kernel'] - 1:+.1%})" if pair["kernel"] else "(-)"


def _runs(row: PredictRow) -> list[tuple[str, ...]]:
    return [
        (
            row["workload"],
            row["setting"],
            f"{run['saved']:,}",
            seconds(run["reached_50_s"]),
            seconds(run["reached_90_s"]),
            seconds(run["cpu_s"]),
            f"{run['saved_by_scanned']:.1%}",
        )
        for run in row["every_run"]
    ]
