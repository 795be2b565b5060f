"""Watching the kernel's KSM: what it has saved now, and what it did since a moment ago."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pksm.documents.watch import WatchDocument, WatchedProcess
from pksm.linux.ksm.watch import Merging, Sample
from pksm.linux.proc.pagemap import PAGE_SIZE


def watched(before: Sample, now: Sample, processes: Sequence[Merging] = ()) -> WatchDocument:
    """Return the line about what happened from one sample to the next."""
    seconds = now.at_s - before.at_s
    cpu = None
    if before.cpu_ns is not None and now.cpu_ns is not None and seconds > 0:
        cpu = round((now.cpu_ns - before.cpu_ns) / seconds / 1e7, 3)
    scanned = None
    if "pages_scanned" in now.counters:
        scanned = now.counters["pages_scanned"] - before.counters.get("pages_scanned", 0)
    return {
        "schema": "pksm.watch/1",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "saved_bytes": now.saved_pages * PAGE_SIZE,
        "change_bytes": (now.saved_pages - before.saved_pages) * PAGE_SIZE,
        "cpu_percent": cpu,
        "scanned": scanned,
        "undone": None if before.cow is None or now.cow is None else now.cow - before.cow,
        "full_scans": now.counters.get("full_scans", 0),
        "counters": now.counters,
        "processes": of_processes(processes),
    }


def of_processes(processes: Sequence[Merging]) -> list[WatchedProcess]:
    """Return processes as the document has them."""
    return [
        {"pid": one.pid, "name": one.name, "merged": one.merged, "profit_bytes": one.profit_bytes} for one in processes
    ]
