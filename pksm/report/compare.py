"""How policies at one share of a CPU look to people and to spreadsheets: pure functions of `pksm.compare/1`."""

from typing import Any

from pksm.documents.compare import CompareDocument, Tuning
from pksm.documents.sweep import SweepRow
from pksm.plain import plain
from pksm.report.text import columns, csv_text, cut_names, many, page, painting, paragraph, percent, seconds, size

NAME_WIDTH = 60
FIGURES = (
    *("cpu_percent", "cpu_seconds", "saved_bytes", "net_bytes", "mean_saved_bytes", "metadata_bytes"),
    *("reached_50_s", "reached_90_s", "pages_visited", "merges", "copies", "copies_seconds"),
)
OUTCOMES = {
    "at": "",
    "enough": "more saves no more",
    "below": "takes no more",
    "above": "takes no less",
    "fixed": "as it is",
}


def csv(document: CompareDocument) -> str:
    """Return a line for each policy: its setting, and the median of each figure."""
    rows = zip(document["rows"], document["tuning"], strict=True)
    return csv_text([_csv_row(row, tuning) for row, tuning in rows] or [{"policy": ""}])


def _csv_row(row: SweepRow, tuning: Tuning) -> dict[str, Any]:
    known: dict[str, Any] = {"policy": row["policy"], "setting": tuning["setting"], "value": tuning["value"]}
    known["outcome"] = tuning["outcome"]
    return known | {name: row[name]["median"] for name in FIGURES}  # type: ignore[literal-required]


def table(document: CompareDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people: a row for each policy, those first that save most on average."""
    paint = painting(colour)
    parts = [paragraph(_headline(document), width)]
    if document["rows"]:
        lines = _table(document)
        parts.append([paint(lines[0]), *lines[1:]])
        parts.append(paragraph(_legend(document), width))
    if document["unlike"]:
        parts.append(["Not like for like:"] + [line for text in document["unlike"] for line in paragraph(text, width)])
    return page(parts)


def ranked(document: CompareDocument) -> list[tuple[SweepRow, Tuning]]:
    """Return rows and how they were tuned, those first that save most on average."""
    pairs = zip(document["rows"], document["tuning"], strict=True)
    return sorted(pairs, key=lambda pair: -(pair[0]["mean_saved_bytes"]["median"] or 0.0))


def chosen(tuning: Tuning) -> str:
    """Return the setting that was turned, and what became of it."""
    if tuning["setting"] is None:
        return OUTCOMES["fixed"]
    remark = OUTCOMES[tuning["outcome"]]
    return f"{plain(tuning['setting'])} {tuning['value']:,}" + (f", {remark}" if remark else "")


def _headline(document: CompareDocument) -> str:
    workload = cut_names(plain(document["workload"]), NAME_WIDTH)
    ended = " The comparison was interrupted." if document["interrupted"] else ""
    seeds = f", {many(len(document['seeds']), 'seed')}" if len(document["seeds"]) > 1 else ""
    return (
        f"{workload} for {document['until_ms'] / 1000:,g} s of virtual time{seeds}: each policy with the setting that "
        f"takes {percent(document['target_percent'])} of a core.{ended}"
    )


def _table(document: CompareDocument) -> list[str]:
    head = ("policy", "tuned", "CPU", "saved", "on average", "50 %", "90 %", "records", "undone", "visits")
    return columns([head, *(_cells(*pair) for pair in ranked(document))], right=range(2, len(head)))


def _cells(row: SweepRow, tuning: Tuning) -> tuple[str, ...]:
    def shown(name: str, form: Any) -> str:
        median = row[name]["median"]  # type: ignore[literal-required]
        return "-" if median is None else str(form(median))

    return (
        plain(row["policy"]),
        chosen(tuning),
        shown("cpu_percent", percent),
        shown("saved_bytes", size),
        shown("mean_saved_bytes", size),
        seconds(row["reached_50_s"]["median"]),
        seconds(row["reached_90_s"]["median"]),
        shown("metadata_bytes", size),
        shown("copies", count),
        shown("pages_visited", count),
    )


def count(value: float) -> str:
    """Return a number of pages or visits, a median perhaps."""
    return f"{value:,.0f}"


def _legend(document: CompareDocument) -> str:
    return (
        "CPU: of one core. 50 %, 90 %: when that much of what the best policy saves at the end was saved; - never. Records: "
        "a kernel's about the pages tracked. Undone: merged pages that were written, and so copied. CPU time is by a "
        f"price list, {plain(document['prices']['source'])}."
    )
