"""A line of watching the kernel's KSM, pksm.watch/1."""

from typing import Annotated, Literal, TypedDict

from pksm.documents.common import Bytes, Counters, Pages, Seconds


class WatchedProcess(TypedDict):
    """A process of which KSM has merged pages."""

    pid: Annotated[int, "", "process id"]
    name: Annotated[str, "", "of its command"]
    merged: Annotated[Pages, "its mappings of merged pages, zero pages too"]
    most_merged: Annotated[
        Pages | None, "mappings of merged pages that it can have, by the last exact scan; null: it was in none"
    ]
    reached: Annotated[float | None, "", "merged, as a share of that; null: not known"]
    tracked: Annotated[Pages, "of which KSM has a record"]
    profit_bytes: Annotated[int, "bytes", "saved less KSM's records about it, as the kernel counts it"]


class WatchDocument(TypedDict):
    """What KSM has saved at a moment, and what it did since the line before."""

    schema: Literal["pksm.watch/1"]
    at: Annotated[str, "", "the time, in UTC"]
    seconds: Annotated[Seconds, "since the line before"]
    saved_bytes: Annotated[Bytes, "by merging, zero pages too"]
    change_bytes: Annotated[int, "bytes", "of it since the line before"]
    cpu_percent: Annotated[float | None, "percent", "of one core that ksmd took; null: not counted here"]
    scanned: Annotated[Pages | None, "visited; null: this kernel does not count them"]
    undone: Annotated[Pages | None, "merged pages that were written, and so copied; null: not counted"]
    full_scans: Annotated[int, "", "since the machine started"]
    most_bytes: Annotated[
        Bytes | None, "that KSM can save in what has opted in, by the last exact scan; null: none was made"
    ]
    reached: Annotated[float | None, "", "what is saved now, as a share of that; null: not known"]
    scans_left: Annotated[
        float | None, "", "full scans until KSM is at rest if it finds nothing new; null: it does not run"
    ]
    rest_s: Annotated[Seconds | None, "that these take at the pace of now; null: not known"]
    counters: Counters
    processes: Annotated[list[WatchedProcess], "", "those with the most merged pages"]
