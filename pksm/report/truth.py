"""How a comparison with real kernels looks to people and to spreadsheets: pure functions of its document."""

from collections.abc import Sequence

from pksm.documents import TruthDocument, TruthRow
from pksm.plain import plain
from pksm.report.text import columns, csv_text, cut, page, painting

SHOWN = 40  # numbers that differ, in a table


def csv(document: TruthDocument) -> str:
    """Return all rows as CSV."""
    return csv_text(document["rows"])


def table(document: TruthDocument, width: int = 80, colour: bool = False, everything: bool = False) -> str:
    """Return a document for people; everything: all rows, not only those that differ."""
    paint = painting(colour)
    of = "w" if "w" in document["rows"][0] else "id"
    lines = columns([_HEAD, *_summary(document["rows"], of)], right=range(2, len(_HEAD)))
    parts = [[paint(lines[0]), *lines[1:]]]
    differing = [row for row in document["rows"] if everything or row["kernel_value"] != row["ours"]]
    if differing:
        head = "Numbers" if everything else "Numbers that differ"
        shown = differing if everything else differing[:SHOWN]
        lines = columns([(head, "phase", "counter", "kernel", "ours", "why"), *map(_line, shown)], right=(3, 4))
        parts.append([paint(lines[0]), *(line.rstrip() for line in lines[1:])])
        if len(shown) < len(differing):
            parts[-1].append(f"and {len(differing) - len(shown):,} more (CSV has all)")
    parts.append([_verdict(document)])
    return page(parts)


_HEAD = ("Kernel", "did", "numbers", "equal", "explained", "not")


def _summary(rows: Sequence[TruthRow], of: str) -> list[tuple[str, ...]]:
    """A row for each workload of each kernel; for random traces, one a kernel."""
    groups: dict[tuple[str, str], list[TruthRow]] = {}
    for row in rows:
        groups.setdefault((row["kernel"], row["w"] if of == "w" else "random traces"), []).append(row)
    return [(cut(plain(kernel), 20), cut(plain(name), 30), *map("{:,}".format, _counts(group)))
            for (kernel, name), group in groups.items()]  # fmt: skip


def _counts(rows: Sequence[TruthRow]) -> tuple[int, int, int, int]:
    """Return how many there are, are equal, differ for a known reason, and for no known one."""
    differing = [row for row in rows if row["kernel_value"] != row["ours"]]
    explained = sum(bool(row.get("note")) for row in differing)
    return len(rows), len(rows) - len(differing), explained, len(differing) - explained


def _line(row: TruthRow) -> tuple[str, str, str, str, str, str]:
    name = row["w"] if "w" in row else row["id"]
    phase = row["phase"] if "phase" in row else f"round {row['round']}, {row['when']}"
    numbers = f"{row['kernel_value']:,}", f"{row['ours']:,}"
    return f"{row['kernel']} {cut(plain(name), 30)}", phase, row["counter"], *numbers, row.get("note", "")


def _verdict(document: TruthDocument) -> str:
    text = (
        f"{document['equal']:,} of {document['numbers']:,} numbers are the kernel's; "
        f"{document['explained']:,} differ for a known reason, {document['unexplained']:,} for none."
    )
    for kernel, (good, all_) in document.get("readings", {}).items():
        text += f" {kernel}: {good:,} of {all_:,} readings exact in every counter."
    if "fed" in document:
        counts = (f"{equal:,} of {all_:,} {what}" for what, (equal, all_) in document["fed"].items())
        text += f" Equal in the kernel's order: {', '.join(counts)}."
    return text
