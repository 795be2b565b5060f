"""The document of opting running processes in to the kernel's KSM, or out of it: pksm.opt_in/1."""

from typing import Annotated, Literal, TypedDict

from pksm.documents.common import Bytes, Count, Pages, Seconds


class OptedRange(TypedDict):
    """Memory that is opted in or out by one madvise."""

    start: Annotated[int, "", "address"]
    bytes: Annotated[Bytes, "of it"]
    pages: Annotated[Pages | None, "resident; null: not counted"]
    equal_pages: Annotated[Pages | None, "of which another frame has the same bytes; null: not counted"]


class OptedProcess(TypedDict):
    """What is done to a process."""

    pid: Annotated[int, "", "process id"]
    name: Annotated[str, "", "of its command"]
    whole: Annotated[bool, "", "all of its memory, now and later: prctl(PR_SET_MEMORY_MERGE)"]
    ranges: list[OptedRange]
    pages: Annotated[Pages | None, "resident; null: not counted"]
    areas: Annotated[Count, "of its memory before"]
    areas_after: Annotated[Count, "that it may have at most after"]
    done: Annotated[bool, "", "false: it was a dry run, or refused"]
    why_not: Annotated[str, "", "why it was refused; empty if it was not"]
    pause_s: Annotated[Seconds, "that it stood still at a time, at most"]
    merges_any: Annotated[bool | None, "", "whether KSM may merge all of it after; null: the kernel does not say"]


class OptInDocument(TypedDict):
    """What `pksm opt-in` and `pksm opt-out` did, or would do."""

    schema: Literal["pksm.opt_in/1"]
    wanted: Annotated[Literal["in", "out"], "", "opt-in, or opt-out"]
    ranges: Annotated[Literal["all", "profitable"], "", "what was asked for"]
    dry_run: Annotated[bool, "", "nothing was done"]
    processes: list[OptedProcess]
    partial: Annotated[bool, "", "whether a process was refused"]
    warnings: Annotated[list[str], "", "one line each"]
