"""What the kernel's KSM says at a moment, to be compared with another."""

import time
from dataclasses import dataclass

from pksm.errors import PksmError, UnsupportedError
from pksm.linux import text
from pksm.linux.ksm import files
from pksm.linux.ksm.cpu import CpuTime
from pksm.linux.proc import tasks

VMSTAT = "/proc/vmstat"
MOST_PROCESSES = 10


@dataclass(frozen=True)
class Sample:
    """What the kernel says at a moment.

    Args:
        at_s: the time, as time.monotonic() has it.
        counters: of /sys/kernel/mm/ksm.
        cow: merged pages copied so far; None where the kernel does not count them.
        cpu_ns: CPU time of ksmd; None where nobody counts it.
    """

    at_s: float
    counters: dict[str, int]
    cow: int | None
    cpu_ns: int | None

    @property
    def saved_pages(self) -> int:
        """Pages saved by merging, zero pages too."""
        return self.counters.get("pages_sharing", 0) + self.counters.get("ksm_zero_pages", 0)

    @property
    def tracked_pages(self) -> int:
        """Pages that a full scan looks at, at most."""
        return self.saved_pages + sum(
            self.counters.get(name, 0) for name in ("pages_shared", "pages_unshared", "pages_volatile")
        )


class Watch:
    """Reads samples. UnsupportedError where the kernel has no KSM."""

    def __init__(self) -> None:
        if not files.exists("run"):
            raise UnsupportedError(f"{files.DIRECTORY}: this kernel has no KSM")
        try:
            self._cpu: CpuTime | None = CpuTime()
        except UnsupportedError:
            self._cpu = None

    def sample(self) -> Sample:
        """Return what the kernel says now. PksmError if its files can't be read."""
        return Sample(time.monotonic(), files.counters(), cow_of(text.read_if_any(VMSTAT)), self._cpu_ns())

    def _cpu_ns(self) -> int | None:
        try:
            return self._cpu.ns() if self._cpu else None
        except PksmError:
            return None


def cow_of(vmstat: bytes | None) -> int | None:
    """Return cow_ksm of /proc/vmstat; None if it is not there."""
    for line in text.lines(vmstat or b""):
        name, _, value = line.partition(b" ")
        if name == b"cow_ksm":
            return text.number(value)
    return None


@dataclass(frozen=True)
class Merging:
    """A process of which KSM has merged pages: mappings of merged pages, its profit in bytes, pages that KSM tracks."""

    pid: int
    name: str
    merged: int
    profit_bytes: int
    tracked: int = 0


def processes() -> list[Merging]:
    """Return the processes with the most merged pages, at most MOST_PROCESSES."""
    found = []
    for pid in tasks.pids():
        stat = files.ksm_stat(pid)
        merged = _number(stat.get("ksm_merging_pages")) + _number(stat.get("ksm_zero_pages"))
        if merged > 0:
            found.append((merged, pid, _number(stat.get("ksm_process_profit")), _number(stat.get("ksm_rmap_items"))))
    found.sort(key=lambda one: (-one[0], one[1]))
    return [Merging(pid, _name(pid), merged, *more) for merged, pid, *more in found[:MOST_PROCESSES]]


def zero_pages(pid: int) -> int:
    """Return how many pages of a process KSM has given back for the zero page."""
    return _number(files.ksm_stat(pid).get("ksm_zero_pages"))


def _number(value: int | str | None) -> int:
    return value if isinstance(value, int) else 0


def _name(pid: int) -> str:
    try:
        return str(tasks.read_stat(pid).command)
    except (OSError, PksmError):
        return "?"
