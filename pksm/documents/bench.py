"""The document of a benchmark, pksm.bench/1."""

from typing import Annotated, Literal, NotRequired, TypedDict

from pksm.documents.common import Bytes, Count, MachineFacts, Nanoseconds, Pages, Seconds


class BenchRow(TypedDict):
    """One engine, or one step of it, on one load: medians."""

    load: Annotated[str, "", "its name"]
    pages: Annotated[Pages, "of the load"]
    engine: Annotated[str, "", "NAME, or NAME: STEP"]
    order: Annotated[str | None, "", "what trees are ordered by; null where there are none"]
    batch: Annotated[int | None, "pages per wake-up", "that a wake-up takes; null where there are none"]
    threads: Annotated[Count, "that sum pages"]
    wall_s: Annotated[Seconds, "of real time, the median"]
    cpu_s: Annotated[Seconds, "of CPU time, the median"]
    pages_per_cpu_s: Annotated[float | None, "pages per second of CPU", "null: too quick for the clock"]
    merges_per_cpu_s: Annotated[float | None, "merges per second of CPU", "null where nothing is merged"]
    ns_per_page: Annotated[Nanoseconds, "the median"]


class BenchDocument(TypedDict):
    """How fast the engine is on this machine: what `pksm.bench.bench` returns."""

    schema: Literal["pksm.bench/1"]
    pksm: Annotated[str, "", "version"]
    commit: NotRequired[Annotated[str | None, "", "of the checkout that pksm ran from; null: it was installed"]]
    machine: MachineFacts
    loads: NotRequired[Annotated[dict[str, str], "", "each load with a sentence about it"]]
    page_size: Annotated[Bytes, "of a page"]
    checksum: NotRequired[Annotated[str, "", "the strategy"]]
    period_seconds: NotRequired[Annotated[int, "seconds", "between two rechecks of unshared pages"]]
    repeats: Annotated[Count, "runs of each row"]
    seed: Annotated[int, "", "of what is random in the loads"]
    rows: list[BenchRow]
    against: NotRequired[Annotated[str, "", "only beside the kernel's ksmd: what is not like for like"]]
    warnings: NotRequired[Annotated[list[str], "", "only beside the kernel's ksmd"]]
    command: NotRequired[Annotated[str, "", "only in recorded results: what made them"]]
