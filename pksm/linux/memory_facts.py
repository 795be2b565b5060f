"""What this machine's memory is made of: how much, on how many nodes, and whether the kernel makes huge pages."""

from pksm.linux import text

MEMINFO = "/proc/meminfo"
NODES = "/sys/devices/system/node/online"
THP = "/sys/kernel/mm/transparent_hugepage/enabled"
MAX_PTES_NONE = "/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none"


def memory_bytes() -> int | None:
    """Return the bytes of this machine's memory; None if they are not known."""
    return text.kib(text.field(text.read_if_any(MEMINFO) or b"", "MemTotal"))


def available_bytes() -> int | None:
    """Return the bytes that programs can have without swapping; None if they are not known."""
    return text.kib(text.field(text.read_if_any(MEMINFO) or b"", "MemAvailable"))


def nodes() -> int:
    """Return how many memory nodes there are."""
    said = text.decoded(text.read_if_any(NODES) or b"0").strip()
    return 1 if said == "0" else sum(_span(part) for part in said.split(",") if part)


def _span(part: str) -> int:
    first, dash, last = part.partition("-")
    return int(last) - int(first) + 1 if dash and last.isdecimal() and first.isdecimal() else 1


def makes_huge_pages() -> bool:
    """Return whether this kernel makes transparent huge pages by itself, or where it is asked to."""
    return text.chosen(text.read_if_any(THP) or b"") in ("always", "madvise")
