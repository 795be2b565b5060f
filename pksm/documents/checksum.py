"""The documents about checksums, pksm.checksum/1, pksm.checksum.list/1 and pksm.checksum.sum/1."""

from typing import Annotated, Literal, NotRequired, TypedDict

from pksm.documents.common import Bytes, Count, MachineFacts, Milliseconds, Nanoseconds, Pages, StepTime


class Timing(TypedDict):
    """What one page takes, on average."""

    hot: Annotated[Nanoseconds, "in the caches"]
    cold: Annotated[Nanoseconds, "pages in order, out of the caches"]
    random: Annotated[Nanoseconds, "pages at random, out of the caches"]


class Interval(TypedDict):
    """Where repeated measurements of one thing lie; their median is in the row."""

    low: Annotated[Nanoseconds, "the least"]
    high: Annotated[Nanoseconds, "the most"]
    repeats: Count


class Recommendation(TypedDict):
    """The strategy to take, and why."""

    strategy: Annotated[str | None, "", "null: every one missed merges, or is too narrow for so many pages"]
    sentence: Annotated[str, "", "the reason, in words"]


class ProfileSubject(TypedDict):
    """Pages that strategies are profiled on."""

    name: Annotated[str, "", "of a load, a file or a process"]
    pages: Annotated[Pages, "that it has"]
    bytes: Annotated[Bytes, "that it has"]
    contents: Annotated[Count, "different contents, the zero page among them"]
    zero_pages: Annotated[Pages, "among them"]
    saving_pages: Annotated[Pages, "that merging saves"]
    yardsticks: Annotated[dict[str, Timing], "", "read and memcmp: what strategies are held against"]
    recommendation: Recommendation


class Missed(TypedDict):
    """How probable it is that a strategy misses a change of one kind."""

    measured: Annotated[float, "share", "of the trials"]
    low: Annotated[float, "share", "end of the 95 % interval"]
    high: Annotated[float, "share", "end of the 95 % interval"]
    trials: Annotated[Count, "how many"]
    analytic: Annotated[float | None, "share", "by calculation; null: not known"]


class StrategyAbout(TypedDict):
    """A checksum strategy as such."""

    name: Annotated[str, "", "with its options"]
    width: Annotated[int, "bits", "that can be set"]
    bytes: Annotated[int | None, "bytes", "of a page that it reads; null: not known"]
    lines: Annotated[float | None, "cache lines of 64 B", "that it reads of a page, on average; null: not known"]
    seed: Annotated[str | None, "", "what the seed is or comes from"]
    users: Annotated[str | None, "", "who uses it"]


class StrategyRow(StrategyAbout):
    """A checksum strategy on the pages of one subject."""

    subject: Annotated[str, "", "on which it was profiled"]
    ns_hot: Annotated[Nanoseconds, "in the caches"]
    ns_cold: Annotated[Nanoseconds, "out of the caches, in order"]
    ns_random: Annotated[Nanoseconds, "out of the caches, at random"]
    intervals: Annotated[dict[str, Interval], "", "hot, cold, random and to_rest: of the repeated measurements"]
    read_bound: Annotated[list[str], "", "of hot, cold, random: measured below what reading takes, and shown as that"]
    gb_s_hot: Annotated[float | None, "GB/s", "null: too quick for the clock"]
    gb_s_cold: Annotated[float | None, "GB/s", "out of the caches, in order"]
    gb_s_random: Annotated[float | None, "GB/s", "out of the caches, at random"]
    times_read_hot: Annotated[float | None, "times as long as reading", "in the caches"]
    times_read_cold: Annotated[float | None, "times as long as reading", "out of the caches, in order"]
    times_read_random: Annotated[float | None, "times as long as reading", "out of the caches, at random"]
    contents: Annotated[Count, "different contents"]
    checksums: Annotated[Count, "different checksums"]
    colliding_pairs: Annotated[Count, "pairs of contents with one checksum"]
    expected_pairs: Annotated[float, "count", "of colliding pairs, of an ideal checksum of that width"]
    false_zero: Annotated[Pages, "not zero, with the checksum of the zero page"]
    missed: Annotated[dict[str, Missed], "", "kind of change: whether it is noticed"]
    cpu_ns_to_rest: Annotated[Nanoseconds, "of pksmd until it is at rest, the median of several runs"]
    cpu_ns_steps: Annotated[dict[str, float], "ns of CPU per page", "its steps"]
    virtual_ms_to_rest: Annotated[Milliseconds, "until pksmd is at rest"]
    bytes_hashed: Annotated[Bytes, "until then"]
    bytes_compared: Annotated[Bytes, "until then"]
    futile_compares: Annotated[Count, "comparisons that found a difference"]
    merges: Annotated[Pages, "merged"]
    missed_merges: Annotated[Pages, "equal to others and not merged"]
    changes: Annotated[Pages, "changed by a word, each to equal another"]
    missed_changes: Annotated[Pages, "whose checksum stayed the same"]
    missed_after_change: Annotated[Pages, "changed and not merged"]
    limbo_pages: Annotated[Pages, "booked as merged by the published PKSM and not merged"]
    published_missed_merges: Annotated[Pages, "not merged by the published PKSM"]
    ksmd_cpu_ns_to_rest: Annotated[Nanoseconds, "of ksmd"]
    ksmd_full_scans: Annotated[Count, "until ksmd is at rest"]
    ksmd_futile_compares: Annotated[Count, "comparisons of ksmd that found a difference"]
    ksmd_merges: Annotated[Pages, "merged by ksmd"]
    ksmd_missed_merges: Annotated[Pages, "equal to others and not merged by ksmd"]


class ProfileDocument(TypedDict):
    """Checksum strategies on evidence: what `pksm.profiler.profile` returns."""

    schema: Literal["pksm.checksum/1"]
    pksm: Annotated[str, "", "version"]
    commit: NotRequired[Annotated[str | None, "", "of the checkout that pksm ran from; null: it was installed"]]
    machine: MachineFacts
    page_size: Annotated[Bytes, "of a page"]
    seed: Annotated[int, "", "of what is random in it"]
    changes: Annotated[float, "share", "of the unshared pages of a sample that change by a word"]
    subjects: list[ProfileSubject]
    strategies: list[StrategyRow]
    warnings: Annotated[list[str], "", "one line each"]
    partial: Annotated[bool, "", "whether something is missing; warnings say what"]
    cost: StepTime


class ChecksumListDocument(TypedDict):
    """The strategies that there are."""

    schema: Literal["pksm.checksum.list/1"]
    strategies: list[StrategyAbout]


class ChecksumSumDocument(TypedDict):
    """The checksums of a file."""

    schema: Literal["pksm.checksum.sum/1"]
    strategy: Annotated[str, "", "name of the checksum, with its options"]
    page_size: Annotated[Bytes, "of a page"]
    sums: Annotated[list[str], "", "of each page, in hexadecimal"]
