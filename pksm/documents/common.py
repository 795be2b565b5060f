"""What several documents have: units, settings and counters, work and time."""

from typing import Annotated, NotRequired, TypedDict

Pages = Annotated[int, "pages"]
Bytes = Annotated[int, "bytes"]
Seconds = Annotated[float, "seconds"]
Milliseconds = Annotated[int, "ms of virtual time"]
Nanoseconds = Annotated[float, "ns of CPU per page"]
Count = Annotated[int, "count"]
Setting = int | float | str | list[str] | None
Counters = Annotated[dict[str, int], "counts", "the policy's counters under the kernel's names, and the host's"]


class StepTime(TypedDict):
    """How long one step of the work took."""

    wall_s: Annotated[Seconds, "of real time"]
    cpu_s: Annotated[Seconds, "of CPU time"]


class Work(TypedDict):
    """What a policy has done: counts that no clock can blur."""

    pages_visited: Annotated[Pages, "taken from a queue or a scan, as often as they were"]
    bytes_hashed: Annotated[Bytes, "given to checksums"]
    bytes_compared: Annotated[Bytes, "compared, of both pages together once"]
    futile_compares: Annotated[Count, "comparisons of whole pages that found a difference"]
    tree_steps: Annotated[Count, "nodes of trees that searches went through"]
    collisions: Annotated[Count, "equal checksums of different pages"]
    unlinked: Annotated[Count, "items taken out of a tree because they were outdated"]


class MachineFacts(TypedDict):
    """What figures depend on."""

    cpu: Annotated[str, "", "model of the processor"]
    cpu_level: Annotated[str, "", "the widest instruction set in use"]
    cores: Annotated[Count, "CPUs that this process may use"]
    busy_cores: Annotated[float, "CPUs", "load of the last minute, others included"]
    kernel: Annotated[str, "", "release"]
    python: Annotated[str, "", "version"]
    numpy: Annotated[str, "", "version"]
    thp: Annotated[str | None, "", "transparent huge pages: always, madvise or never; null: the kernel has none"]
    huge_kib: NotRequired[Annotated[int, "KiB", "of the memory under measurement, on huge pages"]]


class PriceList(TypedDict):
    """What work costs, of all policies: the prices of KSM's thread."""

    source: Annotated[str, "", "where they come from"]
    kernel: Annotated[str, "", "the release that they are of"]
    wake_ns: Annotated[float, "ns of CPU", "of a wake-up"]
    visit_ns: Annotated[float, "ns of CPU", "of a page that is visited"]
    step_ns: Annotated[float, "ns of CPU", "of a node of a tree that a search goes through"]
    hashed_byte_ns: Annotated[float, "ns of CPU", "of a byte given to a checksum"]
    compared_byte_ns: Annotated[float, "ns of CPU", "of a byte compared"]
    merge_ns: Annotated[float, "ns of CPU", "of a page that is merged"]
    copy_ns: Annotated[float, "ns of CPU", "of a merged page that is copied for a program that writes to it"]
    tick_ms: Annotated[float, "ms", "of the kernel's timer"]
