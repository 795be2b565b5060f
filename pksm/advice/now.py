"""What is so now: the running kernel's KSM, as far as its files show it."""

from typing import cast

from pksm.documents.advise import AdviceNow
from pksm.documents.common import Setting
from pksm.errors import PksmError
from pksm.linux import text
from pksm.linux.ksm import files
from pksm.linux.proc import tasks
from pksm.linux.proc.pagemap import PAGE_SIZE

MEMINFO = "/proc/meminfo"
NODES = "/sys/devices/system/node/online"
THP = "/sys/kernel/mm/transparent_hugepage/enabled"
MAX_PTES_NONE = "/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none"


def ksm_now() -> AdviceNow | None:
    """Return what KSM does now; None where this kernel has no KSM, or its files cannot be read."""
    if not files.exists("run"):
        return None
    try:
        counters, knobs = files.counters(), files.knobs()
    except PksmError:
        return None
    saved = counters.get("pages_sharing", 0) + counters.get("ksm_zero_pages", 0)
    return {
        "runs": knobs.get("run") == 1,
        "saved_bytes": saved * PAGE_SIZE,
        "general_profit": counters.get("general_profit"),
        "full_scans": counters.get("full_scans", 0),
        "cpu_seconds": _ksmd_seconds(),
        "settings": {name: cast(Setting, value) for name, value in knobs.items()},
    }


def _ksmd_seconds() -> float | None:
    try:
        return round(tasks.cpu_seconds(files.thread()), 2)
    except (PksmError, OSError):
        return None


def memory_bytes() -> int | None:
    """Return the bytes of this machine's memory; None if they are not known."""
    return text.kib(text.field(text.read_if_any(MEMINFO) or b"", "MemTotal"))


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
