"""The document of a recording of writes, pksm.record/1."""

from typing import Annotated, Literal, NotRequired, TypedDict

from pksm.documents.common import Bytes, Count, Pages, Seconds


class RecordedSpace(TypedDict):
    """An address space that is alive at the end of a recording."""

    space: Annotated[int, "", "its number in the recording"]
    pid: Annotated[int, "", "of the process; 0: an image"]
    name: Annotated[str, "", "of the process or image"]
    pages: Annotated[Pages, "resident at the end"]
    zero_pages: Annotated[Pages, "of them with zeros alone"]


class Equals(TypedDict):
    """Pages of which another frame has the same bytes, and how long that lasts: whoever merges, and if nobody does."""

    mean_bytes: Annotated[Bytes, "that merging all of them at once would have saved, on average over time"]
    ended: Annotated[Pages, "that had an equal when they were written or went"]
    ended_s: Annotated[
        dict[str, float] | None, "seconds", "that these had had one: p50, p90, p99; null: there were none"
    ]
    lasting: Annotated[Pages, "that have one at the end"]
    lasting_s: Annotated[dict[str, float] | None, "seconds", "that these have had one; null: there are none"]


class RecordDocument(TypedDict):
    """What is in a recording: what `pksm record` returns when it has recorded, and `pksm record --info`."""

    schema: Literal["pksm.record/1"]
    file: Annotated[str, "", "its path"]
    page_size: Annotated[Bytes, "of a page"]
    seconds: Annotated[Seconds, "that it covers"]
    whole: Annotated[bool, "", "it was ended by its recorder; false: that was killed, or is still at it"]
    repaired: Annotated[bool, "", "what was cut short has been ended as it should"]
    interrupted: Annotated[bool, "", "whether a signal ended it early"]
    bytes: Annotated[Bytes, "of the file"]
    segments: Annotated[Count, "parts that can be read alone"]
    samples: Annotated[int | None, "count", "of memory; null: not known, for the recorder was killed"]
    late: Annotated[int | None, "count", "samples that began late, because those before took so long"]
    cpu_s: Annotated[float | None, "seconds", "of CPU that recording took"]
    longest_s: Annotated[float | None, "seconds", "that a sample took at most"]
    pages_read: Annotated[int | None, "pages", "in all samples"]
    unread: Annotated[int | None, "count", "processes that could not be read"]
    partial: Annotated[bool, "", "something could not be read, or an image not to the end: the warnings say what"]
    events: Annotated[dict[str, int], "count", "by kind: birth, write, same, death, moved, merged, unmerged, accessed"]
    operations: Annotated[dict[str, int], "count", "by name: start, fork, exit, map, unmap, advise"]
    most_pages: Annotated[Pages, "alive at a time"]
    write_rate: Annotated[float, "1/s", "writes per page alive and second, on average"]
    volatile_share: Annotated[float, "", "of memory, over time: contents that are rewritten within a minute"]
    equals: Equals
    points: Annotated[list[list[float]], "[seconds, bytes resident, bytes that merging could save]", "over time"]
    spaces: Annotated[list[RecordedSpace], "", "alive at the end"]
    between: NotRequired[Annotated[str, "", "the part that was asked for; events and times are those of that part"]]
    from_s: NotRequired[Annotated[Seconds, "from the beginning of the recording to that of the part"]]
    began: Annotated[float | None, "seconds", "since 1970, when it began"]
    every_ms: Annotated[int | None, "ms", "between two samples"]
    track: Annotated[str | None, "", "how writes were found: hashes, writes or soft-dirty: reported by the kernel"]
    faults: Annotated[int | None, "count", "of written pages that the kernel reported; null: it was not asked"]
    pause_s: Annotated[float | None, "seconds", "that a process stood still to be tracked, at most; null: none did"]
    soft_dirty: Annotated[int | None, "count", "processes that were tracked by soft-dirty bits; null: none were to be"]
    untracked: Annotated[int | None, "count", "processes whose writes were not reported; null: none were to be"]
    blind: Annotated[list[str], "", "what cannot be seen in this way"]
    warnings: Annotated[list[str], "", "one line each"]
