"""The documents of comparisons with kernels, pksm.truth/1 and pksm.validate/1."""

from typing import Annotated, Literal, NotRequired, TypedDict

from pksm.documents.common import Count, Pages


class TruthRow(TypedDict):
    """One number of a booted kernel beside ours: of a workload, or of a round of a random trace."""

    kernel: str
    w: NotRequired[Annotated[str, "", "the workload"]]
    phase: NotRequired[Annotated[str, "", "of the workload"]]
    id: NotRequired[Annotated[str, "", "of the trace"]]
    round: NotRequired[Annotated[int, "", "of the trace"]]
    when: NotRequired[Annotated[str, "", "before_scan or read"]]
    counter: str
    kernel_value: int
    ours: int
    note: NotRequired[Annotated[str, "", "why they differ, as far as that is known"]]


class TruthDocument(TypedDict):
    """The simulated machine beside kernels that were booted and recorded: what `pksm.validation.truth` returns."""

    schema: Literal["pksm.truth/1"]
    numbers: Annotated[Count, "all rows"]
    equal: Annotated[Count, "rows in which ours is the kernel's number"]
    explained: Annotated[Count, "rows that differ for a known reason"]
    unexplained: Annotated[Count, "rows that differ for none"]
    rows: list[TruthRow]
    readings: NotRequired[Annotated[dict[str, list[int]], "readings", "of a kernel: exact in every counter, all"]]


class ValidateWorkload(TypedDict):
    """One workload on both sides."""

    workload: str
    text: str
    static: Annotated[bool, "", "whether memory holds still while it is scanned"]
    real: Annotated[bool, "", "whether it is programs, whose memory nobody controls"]
    scans: Count
    scans_that_differ: Count
    equal: bool


class ValidateSkipped(TypedDict):
    """A workload that can't be had here."""

    workload: str
    reason: str


class ValidateRow(TypedDict):
    """One counter at the end of one workload."""

    workload: str
    static: bool
    counter: str
    kernel: int
    ours: int


class ValidateDocument(TypedDict):
    """Our ksmd beside the running kernel's: what `pksm.validation.validate` returns."""

    schema: Literal["pksm.validate/1"]
    kernel: Annotated[str, "", "release"]
    pages: Annotated[Pages, "of a workload"]
    seed: int
    workloads: list[ValidateWorkload]
    skipped: list[ValidateSkipped]
    rows: list[ValidateRow]
    equal: bool
    warnings: list[str]
