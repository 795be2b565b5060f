"""The document of what a recording would do: pksm.record.plan/1."""

from typing import Annotated, Literal, TypedDict

from pksm.documents.common import Bytes, Count


class PlannedProcess(TypedDict):
    """What would be done to a process."""

    pid: Annotated[int, "", "process id"]
    name: Annotated[str, "", "of its command"]
    calls: Annotated[list[str], "", "system calls that it would make for us; without a userfaultfd none"]
    areas: Annotated[Count, "of its memory that would be tracked; of hashes none"]
    area_bytes: Annotated[Bytes, "of address space that these are"]
    resident_bytes: Annotated[Bytes, "of its memory, all of which is read for the first sample"]
    why_not: Annotated[str, "", "why it could not be recorded, or its writes not be tracked; empty if they could"]
    by: Annotated[str, "", "what would report its writes: userfaultfd or soft-dirty; empty: nothing"]


class RecordPlanDocument(TypedDict):
    """What `pksm record --dry-run` returns: who would be recorded, and what would be done to them."""

    schema: Literal["pksm.record.plan/1"]
    track: Annotated[str, "", "how writes would be found: hashes, writes or soft-dirty"]
    every_ms: Annotated[int, "ms", "between two samples"]
    processes: list[PlannedProcess]
    images: Annotated[Count, "files that would be read"]
    blind: Annotated[list[str], "", "what would not be seen"]
    partial: Annotated[bool, "", "whether a process would be left out, or its writes be found by hashes"]
    warnings: Annotated[list[str], "", "one line each"]
