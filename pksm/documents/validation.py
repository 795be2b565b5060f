"""The documents of comparisons with kernels, pksm.truth/1 and pksm.validate/1."""

from typing import Annotated, Literal, NotRequired, TypedDict

from pksm.documents.common import Count, Pages


class TruthRow(TypedDict):
    """One number of a booted kernel beside ours: of a workload, or of a round of a random trace."""

    kernel: Annotated[str, "", "which one"]
    w: NotRequired[Annotated[str, "", "the workload"]]
    phase: NotRequired[Annotated[str, "", "of the workload"]]
    id: NotRequired[Annotated[str, "", "of the trace"]]
    round: NotRequired[Annotated[int, "", "of the trace"]]
    when: NotRequired[Annotated[str, "", "before_scan or read"]]
    counter: Annotated[str, "", "its name"]
    kernel_value: Annotated[int, "", "the kernel's count"]
    ours: Annotated[int, "", "the simulated machine's count"]
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
    fed: NotRequired[Annotated[dict[str, list[int]], "comparisons", "of a sort, in the kernel's order: equal, all"]]


class ValidateWorkload(TypedDict):
    """One workload on both sides."""

    workload: Annotated[str, "", "its name"]
    text: Annotated[str, "", "what happens in it"]
    static: Annotated[bool, "", "whether memory holds still while it is scanned"]
    real: Annotated[bool, "", "whether it is programs, whose memory nobody controls"]
    scans: Annotated[Count, "compared"]
    scans_that_differ: Annotated[Count, "in which a counter differs"]
    equal: Annotated[bool, "", "whether none differs"]


class ValidateSkipped(TypedDict):
    """A workload that can't be had here."""

    workload: Annotated[str, "", "its name"]
    reason: Annotated[str, "", "why"]


class ValidateRow(TypedDict):
    """One counter at the end of one workload."""

    workload: Annotated[str, "", "its name"]
    static: Annotated[bool, "", "whether memory holds still while it is scanned"]
    counter: Annotated[str, "", "its name"]
    kernel: Annotated[int, "", "the kernel's count"]
    ours: Annotated[int, "", "our count"]


class ValidateDocument(TypedDict):
    """Our ksmd beside the running kernel's: what `pksm.validation.validate` returns."""

    schema: Literal["pksm.validate/1"]
    kernel: Annotated[str, "", "release"]
    pages: Annotated[Pages, "of a workload"]
    seed: Annotated[int, "", "of what is random in it"]
    workloads: list[ValidateWorkload]
    skipped: list[ValidateSkipped]
    rows: list[ValidateRow]
    equal: Annotated[bool, "", "whether all counters of all workloads agree"]
    warnings: Annotated[list[str], "", "one line each"]
