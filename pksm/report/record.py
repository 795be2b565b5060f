"""How a recording of writes looks to people and to spreadsheets: pure functions of the document `pksm.record/1`."""

from collections.abc import Sequence

from pksm.documents import RecordDocument, RecordedSpace
from pksm.plain import plain
from pksm.report.simulate import of_equals
from pksm.report.text import (
    columns,
    csv_text,
    cut,
    hanging,
    many,
    page,
    painting,
    paragraph,
    rate,
    size,
    volatile,
)

SHOWN = 20  # address spaces, in a table
NAME_WIDTH = 40
_EVENTS = {
    "birth": "pages born",
    "write": "pages rewritten",
    "same": "written, same content",
    "death": "pages gone",
    "moved": "moved to another frame",
    "merged": "merged by KSM",
    "unmerged": "unmerged",
    "accessed": "accessed",
}


def csv(document: RecordDocument) -> str:
    """Return a row for each address space that is alive at the end."""
    return csv_text(document["spaces"], RecordedSpace.__annotations__)


def table(document: RecordDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people."""
    paint = painting(colour)
    parts = [paragraph(_headline(document), width)]
    rows = [(title, f"{document['events'][name]:,}") for name, title in _EVENTS.items() if document["events"][name]]
    lines = columns([("Events", "count"), *rows], right=[1])
    parts.append([paint(lines[0]), *lines[1:]])
    spaces = sorted(document["spaces"], key=lambda space: -space["pages"])
    if spaces:
        cells = [
            (cut(plain(space["name"]), NAME_WIDTH), f"{space['pages']:,}", f"{space['zero_pages']:,}")
            for space in spaces[:SHOWN]
        ]
        lines = columns([("At the end", "pages", "zero"), *cells], right=[1, 2])
        parts.append([paint(lines[0]), *lines[1:]])
        if len(spaces) > SHOWN:
            parts[-1].append(f"and {len(spaces) - SHOWN:,} more (CSV has all)")
    parts.append(paragraph(_nature(document), width))
    parts.append(paragraph(_effort(document), width))
    parts.append(not_seen(document["blind"], width))
    return page(parts)


def not_seen(blind: Sequence[str], width: int) -> list[str]:
    """Return a list of what a recording cannot show."""
    lines = [line for text in blind for line in hanging(f"{plain(text)}.", width)]
    return ["Not seen:", *lines] if lines else []


def name(document: RecordDocument) -> str:
    """Return what was looked at: a file, or a part of it."""
    return f"{document['file']}, {document['between']}" if "between" in document else document["file"]


def _headline(document: RecordDocument) -> str:
    operations = document["operations"]
    processes = operations.get("start", 0) + operations.get("fork", 0)
    if "between" in document:  # most began before
        processes = len(document["spaces"])
    state = "" if document["whole"] else ", cut short"
    state += ", repaired" if document["repaired"] else ""
    rewritten = (
        ""
        if _shows_no_writes(document)
        else f", of which {100 * document['write_rate']:.2f} % are rewritten per second"
    )
    return (
        f"{plain(name(document))}: {document['seconds']:,.1f} s of {many(processes, 'address space')}{state}; at most "
        f"{document['most_pages']:,} pages ({size(document['most_pages'] * document['page_size'])}) at a time{rewritten}."
    )


def _nature(document: RecordDocument) -> str:
    if _shows_no_writes(document):
        return ""
    return f"{volatile(document['volatile_share'], document['seconds'])} {of_equals(document['equals'])}"


def _shows_no_writes(document: RecordDocument) -> bool:
    """Whether there is one sample, or no more of a recorder that was killed."""
    return document["samples"] == 1 or document["seconds"] == 0


def _effort(document: RecordDocument) -> str:
    if "between" in document:  # it is that of the whole recording
        return ""
    events = sum(document["events"].values())
    text = f"{_how(document)}{size(document['bytes'])} in {many(document['segments'], 'segment')}"
    text += f", {document['bytes'] / events:.2f} bytes per event." if events else "."
    samples, cpu, longest = document["samples"], document["cpu_s"], document["longest_s"]
    if samples is not None and cpu is not None and longest is not None:
        read = document["pages_read"] or 0
        speed = f" ({rate(read / cpu)} pages per second of CPU)" if cpu > 0 else ""
        text += (
            f" {many(samples, 'sample')} took {cpu:.2f} s of CPU for {read:,} pages{speed}, the longest {longest:.2f} s; "
            f"{document['late'] or 0:,} began late."
        )
    if document["faults"] is not None:
        text += (
            f" Tracking took {many(document['faults'], 'fault')} of the processes, which stood still for "
            f"{1000 * (document['pause_s'] or 0):.2f} ms at most; {document['untracked'] or 0:,} could not be tracked."
        )
        if document["soft_dirty"]:
            text += f" Processes that soft-dirty bits tracked, and that stood still at each sample: {document['soft_dirty']:,}."
    return text


def _how(document: RecordDocument) -> str:
    """Return how writes were found; empty if the recording does not say."""
    ways = {
        "hashes": "by checksums of all pages",
        "writes": f"as the kernel reported them (userfaultfd{', soft-dirty bits' if document['soft_dirty'] else ''})",
        "soft-dirty": "as the kernel reported them (soft-dirty bits)",
    }
    way, every_ms = ways.get(document["track"] or ""), document["every_ms"]
    return "" if way is None or every_ms is None else f"Writes were found {way}, every {every_ms / 1000:g} s. "
