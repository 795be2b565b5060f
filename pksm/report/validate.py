"""How a comparison with the kernel looks to people and to spreadsheets: pure functions of `pksm.validate/1`."""

from collections.abc import Callable

from pksm.documents import ValidateDocument, ValidateWorkload
from pksm.report.text import columns, csv_text, left_out, many, page, painting, paragraph


def csv(document: ValidateDocument) -> str:
    """Return a line for each counter of each workload."""
    return csv_text([{**row, "difference": row["ours"] - row["kernel"]} for row in document["rows"]])


def table(document: ValidateDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people: all counters that are not 0 on both sides."""
    paint = painting(colour)
    title = f"ksmd of Linux {document['kernel']} beside ours, {document['pages']:,} pages per workload"
    parts = [paragraph(title, width)]
    for entry in document["workloads"]:
        parts.append(_workload(document, entry, paint))
    parts += left_out(document["skipped"], width)
    parts.append(paragraph(_verdict(document), width))
    return page(parts)


def _workload(document: ValidateDocument, entry: ValidateWorkload, paint: Callable[..., str]) -> list[str]:
    rows = [("", "kernel", "ours", "difference")]
    for row in document["rows"]:
        if row["workload"] == entry["workload"] and (row["kernel"] or row["ours"]):
            difference = row["ours"] - row["kernel"]
            counts = (f"{row['kernel']:,}", f"{row['ours']:,}", f"{difference:+,}" if difference else "0")
            rows.append((f"  {row['counter']}", *counts))
    same = entry["scans"] - entry["scans_that_differ"]
    title = f"{entry['workload']}: {entry['text']} ({many(entry['scans'], 'scan')}, {same} of them the same)"
    return [paint(title), *columns(rows, right=(1, 2, 3))]


def _verdict(document: ValidateDocument) -> str:
    differ = [entry["workload"] for entry in document["workloads"] if not entry["equal"]]
    if differ:
        return f"Different: {', '.join(differ)}."
    n = len(document["workloads"])
    return f"The same in {many(n, 'workload')}: every counter, after every scan." if n else "Nothing was compared."
