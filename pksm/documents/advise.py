"""The document of advice, pksm.advise/1."""

from typing import Annotated, Literal, NotRequired, TypedDict

from pksm.documents.common import Bytes, Count, Pages, PriceList, Setting
from pksm.documents.record import Equals
from pksm.documents.scan import KsmAnswer, WithinRow

VerdictKind = Literal["not worth it", "zero pages only", "only some", "only if tenants may share", "turn it on"]


class AdviceNow(TypedDict):
    """What the running kernel's KSM does now; only if there are live processes."""

    runs: Annotated[bool, "", "whether KSM merges now"]
    saved_bytes: Annotated[Bytes, "by its counters: pages_sharing and ksm_zero_pages"]
    general_profit: Annotated[Bytes | None, "as the kernel prints it; null: this kernel does not"]
    full_scans: Annotated[Count, "that ksmd has made"]
    cpu_seconds: Annotated[float | None, "seconds", "of CPU that ksmd has taken; null: it cannot be seen"]
    settings: Annotated[dict[str, Setting], "", "of the kernel, by sysfs name"]
    left_bytes: Annotated[
        Bytes | None,
        "that these settings would never merge of what was looked at, and others would; null: not simulated",
    ]


class Verdict(TypedDict):
    """What to do, and what it gains."""

    kind: Annotated[VerdictKind, "", "in a word"]
    sentence: Annotated[str, "", "for a person"]
    because: Annotated[list[str], "", "reasons, a sentence each"]
    net_bytes: Annotated[Bytes, "that KSM saves in what is named, less its records"]
    percent: Annotated[float, "percent", "of the memory that it is held against"]
    of_bytes: Annotated[Bytes, "the machine's memory, or that of the images"]
    names: Annotated[list[str], "", "sources that shall opt in"]


class Kind(TypedDict):
    """One kind of saving."""

    kind: Annotated[str, "", "zero, within a process, across processes, across tenants"]
    pages: Annotated[Pages, "saved"]
    percent: Annotated[float, "percent", "of all that KSM saves"]


class Unreachable(TypedDict):
    """Memory that is not merged as it is, why, and what would help."""

    cause: Annotated[str, "", "in a word"]
    bytes: Annotated[Bytes, "of it"]
    meaning: Annotated[str, "", "why"]
    remedy: Annotated[str, "", "what to do, or that nothing can be done"]


class Advised(TypedDict):
    """A setting, and why."""

    name: Annotated[str, "", "of the file, or its path if it is not KSM's"]
    value: Annotated[Setting, "", "to write there"]
    default: Annotated[Setting, "", "the kernel's"]
    reason: Annotated[str, "", "why, and what the default would do"]


class ParetoRow(TypedDict):
    """One way to set ksmd, simulated until it was at rest."""

    label: Annotated[str, "", "settings in short"]
    settings: Annotated[dict[str, Setting], "", "that differ from the kernel's defaults"]
    cpu_percent: Annotated[float, "percent", "of one core while it works"]
    cpu_seconds: Annotated[float, "seconds", "of CPU until it is at rest"]
    seconds_to_90: Annotated[float | None, "seconds", "until 90 % of that are saved; null: nothing is"]
    rest_seconds: Annotated[float | None, "seconds", "until it is at rest; null: a recording is played to its end"]
    saved_bytes: Annotated[Bytes, "at rest; of a recording, at most"]
    mean_saved_bytes: Annotated[Bytes, "on average over the period"]
    metadata_bytes: Annotated[Bytes, "of the kernel's records at rest (of a recording: at most), to be taken off"]
    points: Annotated[list[list[float]], "[ms, bytes saved]", "over virtual time"]
    best: Annotated[bool, "", "whether nobody saves more on average for less CPU"]
    starred: Annotated[bool, "", "the one that is advised"]
    default: Annotated[bool, "", "the kernel's own settings"]
    present: Annotated[bool, "", "the settings with which KSM runs now"]
    merges: NotRequired[Annotated[Pages, "of a recording: merged, as often as they were"]]
    undone: NotRequired[Annotated[Pages, "of a recording: merged, and copied again because they were written"]]
    undone_soon: NotRequired[Annotated[Pages, "of them within a minute"]]
    missed_mean_bytes: NotRequired[Annotated[Bytes, "of a recording: that had equals and were not merged, on average"]]


class Risk(TypedDict):
    """What may come back, and what may be seen."""

    back_bytes: Annotated[dict[str, int], "bytes", "that come back if 10, 50 or 100 % of the merged pages are written"]
    groups_across_tenants: Annotated[Count, "contents that two tenants or more have"]
    volatile: NotRequired[Annotated["Volatile", "", "from two looks"]]


class Volatile(TypedDict):
    """What changed between two looks at live processes."""

    seconds: Annotated[float, "seconds", "between the looks"]
    pages: Annotated[Pages, "that were there both times"]
    changed: Annotated[Pages, "of these"]
    merging: Annotated[Pages, "that had an equal, or were zero, at the first look"]
    merging_changed: Annotated[Pages, "of these"]


class Recorded(TypedDict):
    """What recorded memory is like, whoever merges."""

    seconds: Annotated[float, "seconds", "that were recorded"]
    write_rate: Annotated[float, "1/s", "writes per page alive and second"]
    volatile_share: Annotated[float, "", "of memory, over time: contents that are rewritten within a minute"]
    equals: Equals


class Compressing(TypedDict):
    """What compressing would give instead, from a sample of the pages."""

    sampled: Annotated[Pages, "that were compressed, zero pages not among them"]
    percent: Annotated[float | None, "percent", "of their bytes that zlib saves; null: there were none"]


class AdviseDocument(TypedDict):
    """Whether merging is worth it, with which settings, and at what price: what `pksm.advice.advise` returns."""

    schema: Literal["pksm.advise/1"]
    page_size: Annotated[Bytes, "of a page"]
    sources: Annotated[list[str], "", "their names"]
    pages: Annotated[Pages, "resident, that were looked at; of a recording, the most at a time"]
    now: Annotated[AdviceNow | None, "", "null: no live process was looked at, or the kernel has no KSM"]
    verdict: Verdict
    kinds: list[Kind]
    if_all: Annotated[KsmAnswer | None, "", "KSM's files, if all had opted in; null: of a recording"]
    opted_in: Annotated[KsmAnswer | None, "", "KSM's files, as memory has opted in; null: of a recording"]
    within: Annotated[list[WithinRow], "", "what isolation costs"]
    tenants: Annotated[str, "", "who are held apart: user, cgroup or vm; of a recording: process"]
    why_not_more: list[Unreachable]
    settings: list[Advised]
    pareto: list[ParetoRow]
    simulated_within: Annotated[str, "", "what merges in these only with its like: process, user, cgroup, vm; or all"]
    period_ms: Annotated[int, "ms of virtual time", "that savings are averaged over"]
    prices: Annotated[PriceList | None, "", "of CPU time; null: nothing was simulated"]
    risk: Risk
    recorded: NotRequired[Annotated[Recorded, "", "of a recording"]]
    compressing: Compressing
    partial: Annotated[bool, "", "whether something is missing; warnings say what"]
    interrupted: Annotated[bool, "", "whether a signal ended it early"]
    warnings: Annotated[list[str], "", "one line each"]
