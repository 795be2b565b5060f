"""KSM's files: counters and knobs in /sys/kernel/mm/ksm, what processes say of themselves, ksmd as a thread."""

import os

from pksm.errors import PksmError, UnsupportedError
from pksm.linux import text
from pksm.linux.proc import smaps, tasks

DIRECTORY = "/sys/kernel/mm/ksm"
COUNTERS = (
    "pages_shared",
    "pages_sharing",
    "pages_unshared",
    "pages_volatile",
    "pages_scanned",
    "pages_skipped",
    "full_scans",
    "ksm_zero_pages",
    "stable_node_chains",
    "stable_node_dups",
    "general_profit",
)
KNOBS = (  # in the order they are restored: max_page_sharing can't change while pages are shared; run comes last
    "max_page_sharing",
    "merge_across_nodes",
    "use_zero_pages",
    "smart_scan",
    "stable_node_chains_prune_millisecs",
    "pages_to_scan",
    "sleep_millisecs",
    "advisor_max_cpu",
    "advisor_max_pages_to_scan",
    "advisor_min_pages_to_scan",
    "advisor_target_scan_time",
    "advisor_mode",
    "run",
)


def path_of(name: str) -> str:
    """Return the path of one of KSM's files."""
    return os.path.join(DIRECTORY, name)


def exists(name: str = "") -> bool:
    """Return whether this kernel has one of KSM's files, or KSM at all."""
    return os.path.exists(path_of(name))


def why_idle() -> str:
    """Return why nothing is merged if KSM does not run; "" if it does, or if this kernel has none."""
    if not exists("run") or read("run") == 1:
        return ""
    return "the kernel's KSM does not run: root writes 1 to /sys/kernel/mm/ksm/run"


def read(name: str) -> int | str:
    """Return what one of KSM's files says: a number, or the chosen word of those in brackets.

    Raises:
        PksmError: it cannot be read, or says something else.
    """
    try:
        data = text.read(path_of(name))
    except OSError as error:
        raise PksmError(f"{path_of(name)}: cannot be read: {error.strerror}") from None
    number = text.number(data, signed=True)
    if number is not None:
        return number
    word = text.chosen(data)
    if word is None:
        raise text.MalformedError(f"{path_of(name)}: neither a number nor a choice")
    return word


def write(name: str, value: int | str) -> None:
    """Set one of KSM's knobs.

    Raises:
        PksmError: the kernel refuses it.
    """
    try:
        with open(path_of(name), "w", encoding="ascii") as file:
            file.write(str(value))
    except OSError as error:
        raise PksmError(f"{path_of(name)}: the kernel refuses {value}: {error.strerror}") from None


def counters() -> dict[str, int]:
    """Return the counters that this kernel has."""
    return {name: int(read(name)) for name in COUNTERS if exists(name)}


def knobs() -> dict[str, int | str]:
    """Return the knobs that this kernel has, in the order in which they can be set again."""
    return {name: read(name) for name in KNOBS if exists(name)}


def ksm_stat(pid: int) -> dict[str, int | str]:
    """Return what /proc/PID/ksm_stat says of one process: numbers, or "yes" or "no"; {} if it says nothing."""
    data = text.read_if_any(f"/proc/{pid}/ksm_stat") or b""
    pairs = (line.replace(b":", b" ").split() for line in text.lines(data))
    stat: dict[str, int | str] = {}
    for name, value in (pair for pair in pairs if len(pair) == 2):
        number = text.number(value, signed=True)
        stat[text.decoded(name)] = text.decoded(value) if number is None else number
    return stat


def mergeable_processes() -> list[int]:
    """Return the ids of the processes that have mergeable memory, in order."""
    return [pid for pid in tasks.pids() if _is_mergeable(pid)]


def _is_mergeable(pid: int) -> bool:
    stat = ksm_stat(pid)
    if "ksm_mergeable" in stat:
        return "yes" in (stat["ksm_mergeable"], stat.get("ksm_merge_any"))
    if stat.get("ksm_rmap_items"):
        return True
    try:
        return bool(smaps.mergeable_areas(pid))
    except OSError:
        return False


def thread() -> int:
    """Return the process id of ksmd.

    Raises:
        UnsupportedError: it cannot be seen from here.
    """
    for pid in tasks.pids():
        try:
            stat = tasks.read_stat(pid)
        except OSError:
            continue
        if stat.command == "ksmd" and stat.is_kernel_thread:
            return pid
    raise UnsupportedError("ksmd: no such kernel thread can be seen: run outside of the container")
