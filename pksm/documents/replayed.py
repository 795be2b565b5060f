"""The document of recordings played beside what the running kernel did meanwhile, pksm.replayed/1."""

from typing import Annotated, Literal, TypedDict

from pksm.documents.common import Count, Pages, Seconds
from pksm.documents.validation import ValidateSkipped


class ReplayedSide(TypedDict):
    """What ksmd has made of a program's memory: the kernel's, or ours."""

    counted: Annotated[float, "pages", "saved on average, as counters have it: pages_sharing and ksm_zero_pages"]
    saved: Annotated[
        float, "pages", "saved on average, as page tables have it: that map merged frames, beyond the first of each"
    ]
    undone: Annotated[Pages, "that were merged and then written: cow_ksm"]
    pages_scanned: Annotated[Pages, "visited"]
    full_scans: Annotated[Count, "finished"]


class ReplayedMiss(TypedDict):
    """By how much ours differs from the kernel's, as a part of that: medians of the runs.

    None where the kernel has none.
    """

    counted: Annotated[float | None, "part", "of the kernel's"]
    saved: Annotated[float | None, "part", "of the kernel's"]
    undone: Annotated[float | None, "part", "of the kernel's"]


class ReplayedRun(TypedDict):
    """One recording, and what was made of it."""

    pages: Annotated[Pages, "at once, at most"]
    samples: Annotated[Count, "taken"]
    kernel: ReplayedSide
    ours: Annotated[ReplayedSide, "", "with the same settings"]
    followed: Annotated[ReplayedSide, "", "with the same settings, awake whenever the kernel's was"]


class ReplayedRow(TypedDict):
    """A program."""

    workload: Annotated[str, "", "its name"]
    text: Annotated[str, "", "what it does"]
    settings: Annotated[dict[str, int], "", "by their names in the kernel"]
    pages: Annotated[Pages, "at once, at most: the median of the runs"]
    ours: ReplayedMiss
    followed: ReplayedMiss
    every_run: list[ReplayedRun]


class ReplayedDocument(TypedDict):
    """Recordings played beside what the kernel did: what `pksm.validation.replayed` returns."""

    schema: Literal["pksm.replayed/1"]
    kernel: Annotated[str, "", "release"]
    runs: Annotated[Count, "for each program"]
    seconds: Annotated[Seconds, "that each run was recorded"]
    every_ms: Annotated[int, "ms", "between two samples"]
    track: Annotated[str, "", "how writes were found: hashes or writes"]
    skipped: list[ValidateSkipped]
    rows: list[ReplayedRow]
    warnings: Annotated[list[str], "", "one line each"]
