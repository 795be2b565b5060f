"""The documents of benchmarks: pksm.bench/1, and pksm.bench.diff/1 of two of them."""

from typing import Annotated, Literal, NotRequired, TypedDict

from pksm.documents.common import Bytes, Count, MachineFacts, Nanoseconds, Pages, Seconds


class BenchRow(TypedDict):
    """One engine, or one step of it, on one load: medians, and the interval in which each median lies."""

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
    checksum: NotRequired[Annotated[str | None, "", "the strategy; null where nothing is summed"]]
    merges: NotRequired[Annotated[int | None, "pages", "merged away; null where nothing is merged"]]
    ns_low: NotRequired[Annotated[Nanoseconds, "where the interval of the median begins"]]
    ns_high: NotRequired[Annotated[Nanoseconds, "where it ends"]]
    times_read: NotRequired[
        Annotated[float | None, "times", "the CPU time of `read` in the same round, the median; null of calls"]
    ]
    times_read_low: NotRequired[Annotated[float | None, "times", "where its interval begins"]]
    times_read_high: NotRequired[Annotated[float | None, "times", "where it ends"]]
    cpu_samples_s: NotRequired[Annotated[list[float], "seconds of CPU time", "of each run, in order"]]
    wall_samples_s: NotRequired[Annotated[list[float], "seconds of real time", "of each run, in order"]]


class Interference(TypedDict):
    """What else went on while it was measured."""

    seconds: Annotated[Seconds, "that it took, setting up included"]
    load_before: Annotated[float, "CPUs", "load of the last minute at the start, others included"]
    others_cpus: Annotated[float, "CPUs", "that other processes kept busy meanwhile"]
    stolen_share: Annotated[float, "0 to 1", "of the CPUs' time that the hypervisor let others have"]
    trust: Annotated[Literal["times", "ratios"], "", "ratios: the machine was busy; only ratios within this run hold"]


class BenchDocument(TypedDict):
    """How fast the engine is on this machine: what `pksm.bench.bench` returns."""

    schema: Literal["pksm.bench/1"]
    pksm: Annotated[str, "", "version"]
    commit: NotRequired[Annotated[str | None, "", "of the checkout that pksm ran from; null: it was installed"]]
    machine: MachineFacts
    interference: NotRequired[Interference]
    loads: NotRequired[Annotated[dict[str, str], "", "each load with a sentence about it"]]
    page_size: Annotated[Bytes, "of a page"]
    checksum: NotRequired[Annotated[str, "", "the strategy; of several, the first"]]
    period_seconds: NotRequired[Annotated[int, "seconds", "between two rechecks of unshared pages"]]
    repeats: Annotated[Count, "runs of each row"]
    confidence: NotRequired[
        Annotated[float, "0 to 1", "that an interval encloses its median; few runs reach less than 0.95"]
    ]
    seed: Annotated[int, "", "of what is random in the loads"]
    rows: list[BenchRow]
    against: NotRequired[Annotated[str, "", "only beside the kernel's ksmd: what is not like for like"]]
    warnings: NotRequired[Annotated[list[str], "", "such as that the machine was busy"]]
    command: NotRequired[Annotated[str, "", "only in recorded results: what made them"]]


class BenchDiffRow(TypedDict):
    """One engine on one load, in both documents."""

    load: Annotated[str, "", "its name"]
    pages: Annotated[Pages, "of the load"]
    engine: Annotated[str, "", "NAME, or NAME: STEP"]
    order: Annotated[str | None, "", "what trees are ordered by; null where there are none"]
    batch: Annotated[int | None, "pages per wake-up", "that a wake-up takes; null where there are none"]
    threads: Annotated[Count, "that sum pages"]
    checksum: Annotated[str | None, "", "the strategy; null where nothing is summed"]
    old_ns: Annotated[Nanoseconds, "the old median"]
    new_ns: Annotated[Nanoseconds, "the new median"]
    ratio: Annotated[
        float, "new / old", "of what is compared: the median of all quotients; below 1, the new one is faster"
    ]
    ratio_low: Annotated[float, "new / old", "where its interval begins"]
    ratio_high: Annotated[float, "new / old", "where it ends"]
    p: Annotated[float, "0 to 1", "probability of ranks as far apart if nothing had changed (Mann and Whitney)"]
    verdict: Annotated[Literal["faster", "slower", "same"], "", "same: no difference is shown"]


class BenchDiffSide(TypedDict):
    """One of the two documents."""

    name: Annotated[str, "", "of the file"]
    pksm: Annotated[str, "", "version"]
    commit: Annotated[str | None, "", "of the checkout that pksm ran from; null: it was installed"]
    machine: MachineFacts
    repeats: Annotated[Count, "runs of each row"]


class BenchDiffDocument(TypedDict):
    """What has become faster or slower from one benchmark to another: what `pksm.bench.diff` returns."""

    schema: Literal["pksm.bench.diff/1"]
    old: BenchDiffSide
    new: BenchDiffSide
    compared: Annotated[Literal["times", "ratios"], "", "CPU time, or its ratio to `read` in the same round"]
    rows: list[BenchDiffRow]
    only_old: Annotated[Count, "rows that the new one lacks"]
    only_new: Annotated[Count, "rows that the old one lacks"]
    warnings: Annotated[list[str], "", "such as that the machine was busy"]
