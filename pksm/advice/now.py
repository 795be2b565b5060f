"""What is so now: the running kernel's KSM, as far as its files show it."""

from typing import cast

from pksm.documents.advise import AdviceNow
from pksm.documents.common import Setting
from pksm.errors import PksmError
from pksm.linux.ksm import files
from pksm.linux.proc import tasks
from pksm.linux.proc.pagemap import PAGE_SIZE


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
        "left_bytes": None,
    }


def _ksmd_seconds() -> float | None:
    try:
        return round(tasks.cpu_seconds(files.thread()), 2)
    except (PksmError, OSError):
        return None
