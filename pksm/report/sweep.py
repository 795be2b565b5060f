"""How a sweep looks to people and to spreadsheets: pure functions of the document `pksm.sweep/1`."""

from collections.abc import Sequence
from typing import Any

from pksm.documents.common import Setting
from pksm.documents.sweep import Spread, SweepDocument, SweepRow
from pksm.plain import plain
from pksm.report.text import columns, csv_text, cut_names, many, page, painting, paragraph, percent, seconds, size

NAME_WIDTH = 60
NARROW = 0.02  # of the median: narrower intervals are not shown
SPREADS = (
    "cpu_percent",
    "cpu_seconds",
    "cpu_seconds_per_mib",
    "copies_seconds",
    "saved_bytes",
    "net_bytes",
    "mean_saved_bytes",
    "reached_50_s",
    "reached_90_s",
)


def csv(document: SweepDocument) -> str:
    """Return a line for each combination of settings: median, low and high of each figure."""
    names = list(dict.fromkeys(name for row in document["rows"] for name in row["settings"]))
    if not document["rows"]:
        return csv_text([{"policy": ""}])
    return csv_text([_csv_row(row, names) for row in document["rows"]])


def _csv_row(row: SweepRow, names: Sequence[str]) -> dict[str, Any]:
    known: dict[str, Any] = {"policy": row["policy"]}
    known |= {name: _cell(row["settings"].get(name, row["tunables"].get(name, ""))) for name in names}
    known |= {"advisor": int(row["is_advisor"]), "runs": row["runs"]}
    for name in SPREADS:
        spread: Spread = row[name]  # type: ignore[literal-required]
        known |= {name: spread["median"], f"{name}_low": spread["low"], f"{name}_high": spread["high"]}
    known |= {"on_front": int(row["on_front"]), "on_time_front": int(row["on_time_front"])}
    return known | {"metadata_bytes": row["metadata_bytes"]["median"]}


def _cell(value: Setting) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def table(document: SweepDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people: a table for each policy, by CPU time, the rows that nobody beats marked."""
    paint = painting(colour)
    parts = [paragraph(_headline(document), width)]
    for policy in dict.fromkeys(row["policy"] for row in document["rows"]):
        rows = [row for row in document["rows"] if row["policy"] == policy]
        lines = _table(policy, sorted(rows, key=_by_cpu))
        parts.append([paint(lines[0]), *lines[1:]])
    if document["rows"]:
        parts.append(paragraph(_legend(document), width))
    return page(parts)


def _headline(document: SweepDocument) -> str:
    runs = f"{document['done']:,} of {many(document['runs'], 'run')}"
    ended = ", interrupted" if document["interrupted"] else ""
    best = document["best_bytes"]
    most = "" if best is None else f"; the best row saves {size(best)} at the end"
    workload = cut_names(plain(document["workload"]), NAME_WIDTH)
    seeds = many(len(document["seeds"]), "seed")
    return f"{workload} for {document['until_ms'] / 1000:,g} s of virtual time: {runs}, {seeds}{ended}{most}."


def _by_cpu(row: SweepRow) -> float:
    return row["cpu_seconds"]["median"] or 0.0


def _table(policy: str, rows: Sequence[SweepRow]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows if not row["is_advisor"] for name in row["settings"]))
    head = ("", policy, *names, "CPU", "CPU/MiB", "saved", "records", "on average", "50 %", "90 %")
    cells = [head, *(_cells(row, names) for row in rows)]
    return columns(cells, right=range(2, len(head)))


def _cells(row: SweepRow, names: Sequence[str]) -> tuple[str, ...]:
    mark = ("*" if row["on_front"] else " ") + ("+" if row["on_time_front"] else "")
    return (
        mark,
        "the kernel's advisor" if row["is_advisor"] else "",
        *(_setting(row, name) for name in names),
        _shown(row["cpu_percent"], percent),
        seconds(row["cpu_seconds_per_mib"]["median"]),
        _shown(row["saved_bytes"], size),
        _shown(row["metadata_bytes"], size),
        _shown(row["mean_saved_bytes"], size),
        _shown(row["reached_50_s"], seconds),
        _shown(row["reached_90_s"], seconds),
    )


def _setting(row: SweepRow, name: str) -> str:
    if row["is_advisor"] and name == "pages_to_scan":
        return "it sets"
    value = row["settings"].get(name)
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else plain(str(value))


def _shown(spread: Spread, form: Any) -> str:
    """Return a median, and how far the interval goes if that shows."""
    if spread["median"] is None:
        return "-"
    shown: str = form(spread["median"])
    low, high = spread["low"], spread["high"]
    if low is None or (high is not None and high - low <= NARROW * abs(spread["median"])):
        return shown
    return f"{shown} ({form(low)}-{'never' if high is None else form(high)})"


def _legend(document: SweepDocument) -> str:
    spread = " In brackets: an interval over the seeds, if it is wider than 2 %." if len(document["seeds"]) > 1 else ""
    pace = "" if document["pace"] == "kernel" else " Wake-ups take no virtual time."
    return (
        "* no other row of the policy saves more on average for less CPU time; + nor 90 % sooner. CPU: of one core. Records: the kernel's own, to be "
        f"taken off what is saved. 50 %, 90 %: when that much of what the best row saves was saved; - never.{spread}{pace} CPU time is by a price list, "
        f"{plain(document['prices']['source'])}, which are KSM's for every policy."
    )
