"""Watching the kernel's KSM: what it has saved now, and what it did since a moment ago."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pksm.arrays import Pages
from pksm.documents import KsmAnswer
from pksm.documents.watch import WatchDocument, WatchedProcess
from pksm.errors import PksmError
from pksm.linux.ksm import files
from pksm.linux.ksm.watch import Merging, Sample, zero_pages
from pksm.linux.proc.pagemap import PAGE_SIZE
from pksm.scan import under_ksm
from pksm.scan.gather import Gathered
from pksm.scan.run import scan
from pksm.scan.settings import Settings
from pksm.scan.under_ksm import Limits
from pksm.scan.unmerged import merged_pages
from pksm.sources import open_pid

SCANS_TO_REST = 2  # full scans that find nothing new: the first sees what stays as it is, the second merges it


@dataclass(frozen=True)
class Most:
    """What KSM can save as it is set: pages, and by process the mappings of merged pages that it can have."""

    pages: int
    merged: Mapping[int, int]


class Course:
    """What KSM does from one look to the next, as far as one has to remember it.

    Args:
        first: the first sample.

    Attributes:
        most: what KSM can save; None: not known.
    """

    def __init__(self, first: Sample) -> None:
        self.most: Most | None = None
        self._first = self.last = first
        self._grew_at = first.counters.get("full_scans", 0)

    def line(self, now: Sample, processes: Sequence[Merging] = ()) -> WatchDocument:
        """Return the line about what happened since the sample before, and go on from this one."""
        if now.saved_pages > self.last.saved_pages:
            self._grew_at = now.counters.get("full_scans", 0)
        document = watched(self.last, now, processes, self.most)
        scanned = now.counters.get("pages_scanned", 0) - self._first.counters.get("pages_scanned", 0)
        if scanned > 0:
            left = max(0, SCANS_TO_REST - (now.counters.get("full_scans", 0) - self._grew_at))
            document["scans_left"] = float(left)
            pace = scanned / (now.at_s - self._first.at_s)
            document["rest_s"] = round(left * now.tracked_pages / pace, 1)
        self.last = now
        return document


def most(threads: int = 1) -> Most | None:
    """Read all processes that have opted in, and return what the kernel's KSM can save in them as it is set.

    None: there are none that can be read, or pages whose frames are not known.
    """
    sources, found = [], list[KsmAnswer]()
    try:
        for pid in files.mergeable_processes():
            with contextlib.suppress(PksmError):
                sources.append(open_pid(pid, "unchecked"))
        if not sources:
            return None
        knobs = files.knobs()
        limits = Limits(int(knobs.get("max_page_sharing", 0)), knobs.get("use_zero_pages") == 1)

        def take(gathered: Gathered, contents: Pages) -> None:
            if not gathered.untold:
                merged = merged_pages(gathered, len(contents))
                found.append(under_ksm.answer(gathered, contents, limits, PAGE_SIZE, opted_in_only=True, merged=merged))

        scan(sources, Settings(threads=threads, top=0), take=take)
    except PksmError:
        return None
    finally:
        for source in sources:
            source.close()
    if not found:
        return None
    [answer] = found
    merged = {
        row["pid"]: row["ksm_merging_pages"] + row["ksm_zero_pages"] + zero_pages(row["pid"])
        for row in answer["processes"]
    }
    zeros = files.counters().get("ksm_zero_pages", 0)  # which are read as holes, those of each process too
    return Most(answer["pages_sharing"] + answer["ksm_zero_pages"] + zeros, merged)


def watched(before: Sample, now: Sample, processes: Sequence[Merging] = (), most: Most | None = None) -> WatchDocument:
    """Return the line about what happened from one sample to the next. most: what KSM can save; None: not known."""
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
        "most_bytes": None if most is None else most.pages * PAGE_SIZE,
        "reached": _share(now.saved_pages, None if most is None else most.pages),
        "scans_left": None,
        "rest_s": None,
        "counters": now.counters,
        "processes": of_processes(processes, most),
    }


def of_processes(processes: Sequence[Merging], most: Most | None = None) -> list[WatchedProcess]:
    """Return processes as the document has them. most: what KSM can save; None: not known."""
    can = most.merged if most else {}
    return [
        {
            "pid": one.pid,
            "name": one.name,
            "merged": one.merged,
            "most_merged": can.get(one.pid),
            "reached": _share(one.merged, can.get(one.pid)),
            "tracked": one.tracked,
            "profit_bytes": one.profit_bytes,
        }
        for one in processes
    ]


def _share(part: int, whole: int | None) -> float | None:
    return round(part / whole, 4) if whole else None
