"""The document of a simulation, pksm.simulate/1."""

from typing import Annotated, Literal, NotRequired, TypedDict

from pksm.documents.common import (
    Bytes,
    Count,
    Counters,
    Milliseconds,
    Pages,
    PriceList,
    Seconds,
    Setting,
    StepTime,
    Work,
)
from pksm.documents.record import Equals


class Reading(TypedDict):
    """All counters at a point that the workload names."""

    label: Annotated[str, "", "that the workload gives it"]
    ms: Annotated[Milliseconds, "the time"]
    reached_ms: Annotated[Milliseconds, "since when no counter has changed"]
    counters: Counters


class Series(TypedDict):
    """All counters in even steps of virtual time; the first column is `ms`."""

    columns: Annotated[list[str], "", "names of the counters"]
    rows: Annotated[list[list[int]], "", "their values, a row per sample"]


class Merges(TypedDict):
    """How many pages merged and freed their frames, and how long they waited for it since there were two of them."""

    count: Annotated[Pages, "merged"]
    wait_ms: Annotated[dict[str, int] | None, "ms of virtual time", "percentiles p50, p90, p99, p100; null: no merges"]


class Unmerged(TypedDict):
    """Memory that nobody merges, at a reading or at the end."""

    label: Annotated[str | None, "", "of the reading; null: the end"]
    frames_used: Count


class Cpu(TypedDict):
    """CPU time by the price list: of the policy's thread, and of the programs that it makes copy pages."""

    seconds: Annotated[Seconds, "of CPU time that the thread takes"]
    percent: Annotated[float | None, "percent", "of one core over virtual time; null: no time has passed"]
    seconds_per_mib: Annotated[float | None, "s of CPU per MiB", "for each MiB saved at the end; null: none is"]
    merges: Annotated[Pages, "merged, as often as they were, fake merges too"]
    copies: Annotated[Pages, "merged pages that were copied because somebody wrote to them, or they were unmerged"]
    copies_seconds: Annotated[Seconds, "of CPU time that programs take for these copies"]


class Replay(TypedDict):
    """What became of merges while a recording of real writes was played."""

    seconds: Annotated[Seconds, "that were recorded, of what was to be played"]
    mean_saved_bytes: Annotated[Bytes, "on average over all of the time"]
    most_saved_bytes: Annotated[Bytes, "at any time"]
    undone: Annotated[Pages, "merged, and copied again because they were written"]
    undone_soon: Annotated[Pages, "of them within a minute"]
    freed: Annotated[Pages, "merged, and freed by their program"]
    write_rate: Annotated[float, "1/s", "writes per page alive and second, whoever merges"]
    volatile_share: Annotated[float, "", "of memory, over time: contents that are rewritten within a minute"]
    limbo_mean_bytes: Annotated[Bytes, "that had equals and were not merged, on average over all of the time"]
    equals: Equals


class Final(TypedDict):
    """What there is at the end of a run, and what all of it took."""

    ms: Annotated[Milliseconds, "the time"]
    reached_ms: Annotated[Milliseconds, "since when no counter has changed"]
    wakes: Annotated[Count, "wake-ups of the policy"]
    hung: Annotated[str | None, "", "why the policy will never wake again, or null"]
    counters: Counters
    metadata_bytes: Annotated[Bytes, "of a kernel's records about the pages tracked at the end"]
    metadata_bytes_peak: Annotated[Bytes, "the most of them at any time"]
    engine_bytes: Annotated[Bytes, "of the engine's own arrays"]
    merges: Merges
    fake_merges: Annotated[Count, "merges that freed no frame, besides"]
    cost: Work
    cpu: Cpu
    steps: dict[str, StepTime]
    replay: NotRequired[Annotated[Replay, "", "of a recording"]]


class Run(TypedDict):
    """One policy on the memory of a workload."""

    policy: Annotated[str, "", "NAME:PRESET, or NAME of a policy with one preset"]
    tunables: Annotated[dict[str, Setting], "", "the policy's settings by name"]
    shown: Annotated[list[str], "", "counters that a table shows, in order"]
    readings: list[Reading]
    series: Series
    final: Final


class SimulateDocument(TypedDict):
    """A workload in virtual time, under one policy or several: what `pksm.simulation.simulate` returns."""

    schema: Literal["pksm.simulate/1"]
    workload: Annotated[str, "", "its name, the path of a trace or a script, or the sources of real memory"]
    page_size: Annotated[Bytes, "of a page"]
    frames: Annotated[Count, "frames of the machine"]
    seed: Annotated[int, "", "of what is random in it"]
    pace: Annotated[str, "", "ideal: wake-ups take no time; kernel: what their work costs, and sleeps end with a tick"]
    prices: PriceList
    interrupted: Annotated[bool, "", "whether a signal ended it early"]
    warnings: Annotated[list[str], "", "such as that nothing has opted in, for a policy that needs it"]
    unmerged: Annotated[list[Unmerged], "", "at each reading and at the end; empty for one policy alone"]
    runs: list[Run]
