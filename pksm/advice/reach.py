"""Why not more: memory that KSM does not merge as it is, the cause, and what would help."""

from collections import Counter

from pksm.documents import ScanDocument, SourceRow
from pksm.documents.advise import Unreachable
from pksm.linux.proc import guests
from pksm.linux.proc.rollup import rollup

# cause -> (what it is, what to do)
CAUSES = {
    "not opted in": (
        "private memory that KSM may not touch",
        "opt in: MemoryKSM=yes of a service, mem-merge=on of QEMU, prctl or madvise in a program",
    ),
    "file": ("pages of files: the page cache holds them once already", "nothing to do: processes share them"),
    "shared memory": (
        "MAP_SHARED, memfd or tmpfs: no kernel merges shared memory",
        "use private anonymous memory if nobody else needs it",
    ),
    "guest memory, shared": (
        "a guest whose memory is a file or memfd mapped shared, as for virtiofs, vhost-user or DPDK",
        "memory-backend-ram, or share=off, if the guest has no such device",
    ),
    "hugetlb": ("huge pages of hugetlbfs: never merged", "ordinary pages, or transparent huge pages, for the guest"),
    "huge pages (THP)": (
        "transparent huge pages: KSM splits one to merge a page of it, and accesses get slower",
        "nothing to do for KSM; weigh it where the memory is hot",
    ),
    "locked": (
        "mlocked, and perhaps pinned for devices (VFIO): pinned pages are never merged",
        "leave devices out that pin guest memory, or leave this process out",
    ),
    "swapped": ("swapped out: KSM merges what is in memory", "nothing to do; it is merged once it is back"),
    "already merged": ("KSM holds these merged already", "nothing to do"),
    "userfault": ("under userfaultfd, as while a guest is migrated in", "look again when that is over"),
    "device": ("memory of devices", "nothing to do"),
    "unreadable": ("could not be read, so it was not counted", "run as root"),
    "untold": ("mapped more than once, and frames are hidden from this user: not counted", "run as root"),
}
_OF_SCAN = {
    "file": "file", "shared": "shared memory", "huge": "hugetlb", "swapped": "swapped", "userfault": "userfault",
    "device": "device", "unreadable": "unreadable", "untold": "untold",
}  # fmt: skip


def why_not_more(document: ScanDocument) -> list[Unreachable]:
    """Return the memory that KSM does not merge as it is, the largest part first."""
    page_size, found = document["page_size"], Counter[str]()
    for source in document["sources"]:
        found.update(_of_source(source, page_size))
    return [
        {"cause": cause, "bytes": n_bytes, "meaning": CAUSES[cause][0], "remedy": CAUSES[cause][1]}
        for cause, n_bytes in found.most_common()
        if n_bytes > 0
    ]


def _of_source(source: SourceRow, page_size: int) -> Counter[str]:
    found = Counter[str]()
    for reason, pages in source["out_of_reach"].items():
        if reason in _OF_SCAN:
            found[_OF_SCAN[reason]] += pages * page_size
    if "pid" not in source:
        return found
    guest = guests.guest_of(guests.command_line(source["pid"]))
    if guest and guest.shared:
        found["guest memory, shared"] += found.pop("shared memory", 0)
    resident = source["pages"]["data"] + source["pages"]["zero"]
    found["not opted in"] += max(0, resident - source.get("opted_in", 0)) * page_size
    found["already merged"] += (source.get("ksm_merged") or 0) * page_size
    found.update(_of_rollup(source["pid"]))
    return found


def _of_rollup(pid: int) -> Counter[str]:
    """Return what the sums of a process's mappings say: huge and locked memory."""
    huge, locked = rollup(pid, ("AnonHugePages", "Locked"))
    return Counter({"huge pages (THP)": huge, "locked": locked})
