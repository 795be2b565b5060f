"""The document of a sweep, pksm.sweep/1."""

from typing import Annotated, Literal, TypedDict

from pksm.documents.common import Bytes, Count, Milliseconds, PriceList, Setting


class Spread(TypedDict):
    """A figure over the seeds: its median, and an interval that holds it with 95 %, or all figures if they are few."""

    median: Annotated[float | None, "", "null: half of the runs have none"]
    low: Annotated[float | None, "", "null: no run has one"]
    high: Annotated[float | None, "", "null: not every run has one"]


class SweepRow(TypedDict):
    """One combination of settings, over all seeds."""

    policy: Annotated[str, "", "NAME:PRESET, or NAME of a policy with one preset"]
    settings: Annotated[dict[str, Setting], "", "those that vary, by name"]
    tunables: Annotated[dict[str, Setting], "", "all settings of the policy by name"]
    is_advisor: Annotated[bool, "", "whether the kernel's own advisor sets pages_to_scan here"]
    runs: Annotated[Count, "seeds that were simulated"]
    cpu_percent: Annotated[Spread, "percent", "of one core"]
    cpu_seconds: Annotated[Spread, "s of CPU", "in all"]
    cpu_seconds_per_mib: Annotated[Spread, "s of CPU per MiB", "for each MiB saved on average"]
    copies_seconds: Annotated[Spread, "s of CPU", "that programs take to copy merged pages that they write to"]
    saved_bytes: Annotated[Spread, "bytes", "saved at the end"]
    net_bytes: Annotated[Spread, "bytes", "saved at the end, less the kernel's records"]
    mean_saved_bytes: Annotated[Spread, "bytes", "saved on average over virtual time"]
    metadata_bytes: Annotated[Spread, "bytes", "of the kernel's records at the end"]
    pages_visited: Annotated[Spread, "visits", "that the policy has made"]
    merges: Annotated[Spread, "pages", "merged, as often as they were"]
    copies: Annotated[Spread, "pages", "merged pages that were written, or unmerged, and so copied"]
    reached_50_s: Annotated[Spread, "s of virtual time", "until half of what the best row saves at the end is saved"]
    reached_90_s: Annotated[Spread, "s of virtual time", "until 90 % of that is saved"]
    on_front: Annotated[bool, "", "no other row of its policy saves more on average for less CPU time"]
    on_time_front: Annotated[bool, "", "no other row of its policy saves 90 % sooner for less CPU time"]
    curve: Annotated[list[list[float]], "ms, bytes", "saved over virtual time, with the first seed"]


class SweepDocument(TypedDict):
    """Settings of policies, every combination simulated: what `pksm.simulation.sweep` returns."""

    schema: Literal["pksm.sweep/1"]
    workload: Annotated[str, "", "its name, or the path of a trace or a script"]
    page_size: Annotated[Bytes, "of a page"]
    until_ms: Annotated[Milliseconds, "that every run lasts"]
    seeds: Annotated[list[int], "", "of what is random"]
    pace: Annotated[str, "", "ideal: wake-ups take no time; kernel: what their work costs, and sleeps end with a tick"]
    prices: PriceList
    varied: Annotated[dict[str, dict[str, list[Setting]]], "", "values of each setting that varies, of each policy"]
    best_bytes: Annotated[float | None, "bytes", "that the best row saves at the end, the median over the seeds"]
    runs: Annotated[Count, "runs to make"]
    done: Annotated[Count, "runs made, those of earlier sweeps too"]
    interrupted: Annotated[bool, "", "whether it was ended early"]
    warnings: Annotated[list[str], "", "one line each"]
    rows: list[SweepRow]
