"""The document of a scan, pksm.scan/1."""

from typing import Annotated, Literal, NotRequired, TypedDict

from pksm.documents.common import Bytes, Count, Pages, Seconds, Setting, StepTime, Work


class SourcePages(TypedDict):
    """The pages of a source by kind; together they are all of its address space that it has."""

    data: Annotated[Pages, "resident and not zero"]
    zero: Annotated[Pages, "resident and zero"]
    hole: Annotated[Pages, "not resident"]
    excluded: Annotated[Pages, "that merging can't have: see out_of_reach"]


class SourceRow(TypedDict):
    """One source by itself. Processes have a pid, a command and a user, and what was met while they were read."""

    name: Annotated[str, "", "a path, or a process with its command"]
    kind: Annotated[str, "", "the reader's name, such as raw or process"]
    pages: SourcePages
    mappings: Annotated[Count, "mappings of its resident pages"]
    duplicates: Annotated[Pages, "not zero, beyond the first of each content"]
    lost: Annotated[Pages, "that could not be read"]
    saving_pages: Annotated[Pages, "that merging this source alone saves"]
    share_bytes: Annotated[
        Bytes | None, "its share of the saving of all sources together; null in the view of mappings"
    ]
    share_mappings: NotRequired[Annotated[float, "mappings", "in that view: as many of those merged"]]
    out_of_reach: Annotated[dict[str, int], "pages", "of hole and excluded, by reason"]
    pid: NotRequired[Annotated[int, "", "process id"]]
    command: NotRequired[Annotated[str, "", "of the process"]]
    user: NotRequired[Annotated[str, "", "who owns the process"]]
    cgroup: NotRequired[Annotated[str, "", "control group of the process, as a path; empty: not known"]]
    vm: NotRequired[Annotated[str, "", "name of the guest that the process runs"]]
    vm_memory: NotRequired[Annotated[str, "", "what holds the guest's memory, as QEMU calls it"]]
    racy: NotRequired[Annotated[Pages | None, "written since they were read; null: unchecked"]]
    frozen: NotRequired[Annotated[bool, "", "whether all its threads stood still while it was read"]]
    opted_in: NotRequired[Annotated[Pages, "resident and private, in mappings that the kernel's KSM may merge"]]
    ksm_merged: NotRequired[Annotated[int | None, "mappings", "merged by the kernel's KSM; null: the kernel is silent"]]


class Unread(TypedDict):
    """A process that could not be read."""

    pid: Annotated[int, "", "process id"]
    command: Annotated[str | None, "", "its command, if even that could be read"]
    cause: Annotated[str, "", "why"]


class ScanTotals(TypedDict):
    """Counts of all sources together, and the kernel's counters."""

    pages: Annotated[Pages, "resident, data and zero"]
    zero: Annotated[Pages, "resident and zero"]
    distinct: Annotated[Count, "contents, the zero page among them if there is one"]
    duplicates: Annotated[Pages, "not zero, beyond the first of each content"]
    pages_shared: Annotated[Count, "frames that are kept for others, as the kernel counts them"]
    pages_sharing: Annotated[Count, "pages merged into these, and zero pages"]
    pages_zero_sharing: Annotated[Pages, "merged with the zero page"]
    pages_unshared: Annotated[Pages, "that no other equals"]


class ScanSaving(TypedDict):
    """What merging saves, and what it needs for that; in the view of mappings, how many mappings are merged."""

    pages: Annotated[Pages, "zero_pages and nonzero_pages"]
    zero_pages: Annotated[Pages, "frames saved of pages that are zero"]
    nonzero_pages: Annotated[Pages, "frames saved of others: as many of totals.duplicates as the policy merges"]
    bytes: Annotated[Bytes | None, "null in the view of mappings: mappings merged are not bytes saved"]
    metadata_bytes: Annotated[Bytes, "of a kernel's records about the pages that the policy tracks at the end"]
    engine_bytes: Annotated[Bytes, "of the engine's own arrays"]
    ksm_metadata_bytes: Annotated[Bytes, "of KSM's records, 64 B per mapping, if KSM merged"]
    net_bytes: Annotated[Bytes | None, "bytes less metadata_bytes; null in the view of mappings"]


class Family(TypedDict):
    """Processes of one user, and of one command where rows are by command, taken together."""

    command: NotRequired[Annotated[str, "", "of all of them"]]
    user: Annotated[str, "", "of all of them"]
    processes: Annotated[Count, "how many"]
    pages: Annotated[Pages, "resident"]
    zero: Annotated[Pages, "resident and zero"]
    duplicates: Annotated[Pages, "not zero, beyond the first of each content"]
    saving_pages: Annotated[Pages, "that merging these processes alone saves"]
    share_bytes: Annotated[
        Bytes | None, "their share of the saving of all sources together; null in the view of mappings"
    ]
    share_mappings: NotRequired[Annotated[float, "mappings", "in that view: as many of those merged"]]


class MappingRow(TypedDict):
    """The mappings of one name in all sources."""

    mapping: Annotated[str, "", "a path, or a name in brackets such as [heap]"]
    pages: Annotated[Pages, "resident, as often as they are mapped"]
    zero: Annotated[Pages, "resident and zero"]
    merging: Annotated[Pages, "zero, or with an equal somewhere"]
    share_bytes: Annotated[Bytes | None, "their share of the saving; null in the view of mappings"]
    share_mappings: NotRequired[Annotated[float, "mappings", "in that view: as many of those merged"]]


class Place(TypedDict):
    """Where pages of a group are mapped."""

    source: Annotated[str, "", "its name"]
    mapping: Annotated[str, "", "its name"]
    pages: Annotated[Pages, "as often as the group is mapped there"]


class FirstBytes(TypedDict):
    """The first bytes of a group that are not zero; only if they were asked for."""

    offset: Annotated[Bytes, "from the start of the page"]
    hex: Annotated[str, "", "in hexadecimal"]


class Group(TypedDict):
    """Pages that are equal."""

    pages: Annotated[Pages, "how many are equal"]
    looks: Annotated[str, "", "what the bytes look like; empty where nothing is known of them"]
    where: list[Place]
    bytes: NotRequired[FirstBytes]


class KsmProcess(TypedDict):
    """What KSM would come to in one process; a file in place of it has no pid."""

    name: Annotated[str, "", "of the source"]
    pid: NotRequired[Annotated[int, "", "process id"]]
    ksm_rmap_items: Annotated[Count, "mappings that KSM would track"]
    ksm_merging_pages: Annotated[Pages, "mappings that would hang on stable pages"]
    ksm_zero_pages: Annotated[Pages, "mappings of the kernel's zero page"]
    ksm_process_profit: Annotated[Bytes, "as /proc/PID/ksm_stat would show it"]


class KsmAnswer(TypedDict):
    """What KSM's files would show at rest, if these mappings had opted in."""

    rmap_items: Annotated[Count, "mappings that KSM would track"]
    pages_shared: Annotated[Count, "stable pages: one per max_page_sharing mappings of a content"]
    pages_sharing: Annotated[Count, "mappings that hang on these, beyond the first of each"]
    ksm_zero_pages: Annotated[Pages, "mappings of the kernel's zero page; 0 without use_zero_pages"]
    general_profit: Annotated[Bytes, "as the kernel would show it: it counts mappings, not frames"]
    frames_saved: Annotated[Pages, "that are freed: what forks share already is not counted"]
    net_bytes: Annotated[Bytes, "of the frames saved, less KSM's records: 64 per mapping and per stable page"]
    processes: list[KsmProcess]


class UnderKsm(TypedDict):
    """KSM's own answer, for memory as it has opted in, and as if all of it had."""

    max_page_sharing: Annotated[int, "", "mappings of a stable page at most; 0: no limit"]
    use_zero_pages: Annotated[int, "", "1: empty pages go to the kernel's zero page"]
    opted_in: KsmAnswer
    if_all: KsmAnswer


class WithinRow(TypedDict):
    """What isolation costs: merging only within such parts."""

    within: Annotated[str, "", "process, user, cgroup, vm or all"]
    parts: Annotated[Count, "how many there are"]
    saving_pages: Annotated[Pages, "that merging all equal pages within the parts saves"]
    ksm_frames_saved: Annotated[Pages, "that KSM would save within the parts, if all had opted in"]
    ksm_net_bytes: Annotated[Bytes, "of these, less KSM's records"]


class ScanCost(Work):
    """What a scan took. The steps of the engine are parts of `merge`."""

    wall_s: Annotated[Seconds, "of real time"]
    cpu_s: Annotated[Seconds, "of CPU time"]
    pages_per_s: Annotated[float, "pages per second", "while merging"]
    steps: dict[str, StepTime]


View = Literal["frames", "mappings"]


class ScanDocument(TypedDict):
    """What merging saves in some memory: what `pksm.scan.scan` returns."""

    schema: Literal["pksm.scan/1"]
    page_size: Annotated[Bytes, "of a page"]
    view: Annotated[View, "", "whether a frame counts once or as often as it is mapped"]
    settings: Annotated[dict[str, Setting], "", "the policy's settings by name, and those of the scan"]
    sources: list[SourceRow]
    unread: list[Unread]
    totals: ScanTotals
    saving: ScanSaving
    by_command: list[Family]
    by_user: list[Family]
    by_mapping: list[MappingRow]
    matrix: Annotated[list[list[int]] | None, "contents", "not zero, that every two of 2 to 32 sources both have"]
    fingerprints: Annotated[bool, "", "whether fingerprints were scanned, not memory"]
    under_ksm: NotRequired[Annotated[UnderKsm, "", "if KSM is the policy"]]
    within: NotRequired[Annotated[list[WithinRow], "", "if it was asked for"]]
    groups: Annotated[list[Group], "", "the largest ones"]
    groups_found: Annotated[Count, "how many groups there are, shown or not"]
    cost: ScanCost
    partial: Annotated[bool, "", "whether something is missing; warnings say what"]
    interrupted: Annotated[bool, "", "whether a signal ended it early"]
    warnings: Annotated[list[str], "", "one line each"]
