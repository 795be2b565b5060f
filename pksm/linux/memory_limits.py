"""How much memory we may still use: the least of what the machine has and of all limits above us."""

import os
import resource
from collections.abc import Callable

from pksm.errors import ShortageError
from pksm.linux import text
from pksm.linux.proc import processes
from pksm.linux.proc.pagemap import PAGE_SIZE

MEMINFO = "/proc/meminfo"
OWN_STATM = "/proc/self/statm"
CGROUP1_MOUNT = "/sys/fs/cgroup/memory"
# Names of (limit, use, part of it that the kernel gives up before it kills) in a control group of each version.
CGROUP2_FILES = ("memory.max", "memory.current", b"inactive_file")
CGROUP1_FILES = ("memory.limit_in_bytes", "memory.usage_in_bytes", b"total_inactive_file")

_somebody_else: Callable[[int | None], int | None] | None = None


def ask(somebody_else: Callable[[int | None], int | None] | None) -> None:
    """Ask another process from now on, for one that can open no path: its available_bytes(enough)."""
    global _somebody_else
    _somebody_else = somebody_else


def require(size: int, about: str = "scan less at a time") -> None:
    """Raise ShortageError unless `size` bytes of memory are available.

    Args:
        size: bytes that will be allocated and written.
        about: what to do if they are not.
    """
    available = available_bytes(size)
    if available is not None and size > available:
        raise ShortageError(f"{size >> 20:,} MiB of memory are needed and {available >> 20:,} MiB available: {about}")


def available_bytes(enough: int | None = None) -> int | None:
    """Return the bytes that can be used without swapping, and without meeting a limit of ours; None if unknown.

    Looks at MemAvailable, at the memory limits of our control group and all those above it, and at RLIMIT_AS.

    Args:
        enough: the cache that a control group could give up is looked up only where less than this is free without it.
    """
    if _somebody_else is not None:
        return _somebody_else(enough)
    known = [_of_machine(), _of_address_space(), *_of_cgroups(enough)]
    return min((n_bytes for n_bytes in known if n_bytes is not None), default=None)


def peak_bytes() -> int:
    """Return the most memory that this process has had at a time; 0 if it is not known."""
    return text.kib(text.field(text.read_if_any("/proc/self/status") or b"", "VmHWM")) or 0


def _of_machine() -> int | None:
    return text.kib(text.field(text.read_if_any(MEMINFO) or b"", "MemAvailable"))


def _of_address_space() -> int | None:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    mapped = text.number((text.read_if_any(OWN_STATM) or b"").split(b" ")[0])
    if limit == resource.RLIM_INFINITY or mapped is None:
        return None
    return max(0, limit - mapped * PAGE_SIZE)


def _of_cgroups(enough: int | None) -> list[int | None]:
    """Return what is left in each of the control groups above us that has a limit."""
    left = []
    for controllers, path in processes.own_cgroups().items():
        if not controllers:
            left += [_left(place, *CGROUP2_FILES, enough) for place in _above(processes.CGROUP_MOUNTS, path)]
        elif "memory" in controllers.split(","):
            left += [_left(place, *CGROUP1_FILES, enough) for place in _above((CGROUP1_MOUNT,), path)]
    return left


def _above(mounts: tuple[str, ...], path: str) -> list[str]:
    """Return the directories of a control group and of those above it; in a container only the last may be there."""
    parts = [] if ".." in path.split("/") else [part for part in path.split("/") if part]
    return [os.path.join(mount, *parts[:depth]) for mount in mounts for depth in range(len(parts), -1, -1)]


def _left(directory: str, limit: str, use: str, cache: bytes, enough: int | None) -> int | None:
    most = text.number_in(os.path.join(directory, limit))  # "max" is not a number
    used = None if most is None else text.number_in(os.path.join(directory, use))
    if most is None or used is None:
        return None
    left = most - used
    if enough is None or left < enough:
        for line in text.lines(text.read_if_any(os.path.join(directory, "memory.stat")) or b""):
            if line.startswith(cache + b" "):
                left += text.number(line[len(cache) :]) or 0
    return max(0, left)
