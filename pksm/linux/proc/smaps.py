"""/proc/PID/smaps: the mappings of a process and which of them are not to be read."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pksm.linux import text
from pksm.linux.proc import tasks
from pksm.linux.proc.areas import Area, names_of, parse_area
from pksm.linux.proc.segments import MemoryEnd, memory_end_in

# `device`: no memory of the process's own, never read. `barred`: resident, but out of merging's reach (huge pages
# of hugetlbfs) or another process's business to fill (userfaultfd: reading could wait for its handler for ever).
# `merged`: pages of it may be KSM's own, which only /proc/PID/mem reads without unmerging them.
# `reason`: an index into REASONS, why resident pages of it that are not anonymous, or any if barred, are out of reach.
VMA = np.dtype(
    [
        ("start", "i8"),
        ("end", "i8"),
        ("device", "?"),
        ("barred", "?"),
        ("resident", "?"),
        ("merged", "?"),
        ("reason", "u1"),
    ]
)
REASONS = ("file", "shared", "huge", "userfault", "device")

KERNEL_AREAS = {b"[vvar]", b"[vvar_vclock]"}
USERFAULT_FLAGS = {b"um", b"ui"}  # missing and minor faults go to a handler
HUGETLB_FLAG = b"ht"
MERGEABLE_FLAG = b"mg"
KSMD_RUNS = "/sys/kernel/mm/ksm/run"
DEVICE_FLAGS = {b"io", b"pf"}
# Mappings of what may write to the process's memory while it sleeps: asynchronous I/O, io_uring, KVM, devices.
DEVICE_NAMES = (b"anon_inode:", b"/[aio]", b"/dev/")
PLAIN_NAMES = (b"/dev/shm/", b"/dev/zero")

# A name cannot hold a newline: the kernel writes \012. It may hold anything else, so a line is known by its start: that of
# an area is a number in small letters, every other one has a name that begins with a capital.
_LINE = re.compile(rb"\n(?:([0-9a-f][^\n]*)|(Rss|Anonymous|KSM|Swap|VmFlags):([^\n]*))")


@dataclass(frozen=True)
class Mapping:
    """A named part of a source's address space, from `start` up to `end` (bytes).

    opted_in: a process lets the kernel's KSM merge it; None where nothing is known of that, as in images.
    """

    name: str
    start: int
    end: int
    opted_in: bool | None = None


@dataclass
class AddressSpace:
    """The mappings of a process by address; `vmas` (VMA array) has one entry a mapping."""

    mappings: list[Mapping]
    vmas: np.ndarray
    anonymous_bytes: int  # in mappings that may be read
    userfault_bytes: int  # resident, in mappings with a userfaultfd handler
    swapped_bytes: int
    ksm_bytes: int | None  # merged by the kernel's own KSM; None where the kernel does not say (before 6.6)
    opted_in_bytes: int  # anonymous, in mappings that the process lets the kernel's KSM merge
    has_devices: bool  # a device or the kernel may write to its memory while it sleeps


@dataclass(slots=True)
class Entry:
    """What smaps says of one area; sizes in bytes, None where there is no such line."""

    area: Area
    rss: int = 0
    anonymous: int = 0
    swap: int = 0
    ksm: int | None = None
    flags: frozenset[bytes] = frozenset()


def read_address_space(pid: int) -> AddressSpace:
    """Read /proc/PID/smaps; empty when the process has no memory any more. Raises OSError, MalformedError."""
    return space_of(read_entries(pid), memory_end_in(pid), ksmd_runs())


def read_entries(pid: int) -> list[Entry]:
    """Read /proc/PID/smaps; nothing when the process has no memory any more. Raises OSError, MalformedError."""
    return list(_entries(_read(pid)))


def ksmd_runs() -> bool:
    """Return whether the kernel's KSM may merge pages at any time."""
    return text.number_in(KSMD_RUNS) == 1


def mergeable_areas(pid: int) -> list[tuple[int, int]]:
    """Return (start, end) of the mappings of a process that it has opted in to KSM. Raises OSError, MalformedError."""
    return [(entry.area.start, entry.area.end) for entry in read_entries(pid) if MERGEABLE_FLAG in entry.flags]


def parse_smaps(data: bytes, memory_end: MemoryEnd = lambda path: None, ksmd_runs: bool = False) -> AddressSpace:
    """Parse the text of a smaps file; areas of the kernel's half of the address space are left out.

    Args:
        data: the text.
        memory_end: returns how far the memory of a program file goes; see segments.py.
        ksmd_runs: whether pages of mergeable areas may be merged at any time.

    Raises:
        MalformedError: areas are empty, overlap, or are out of order.
    """
    return space_of(list(_entries(data)), memory_end, ksmd_runs)


def space_of(entries: Sequence[Entry], memory_end: MemoryEnd, ksmd_runs: bool) -> AddressSpace:
    """Return what the entries of a smaps file come to; see parse_smaps()."""
    rows, anonymous_bytes, userfault_bytes, opted_in_bytes = [], 0, 0, 0
    for entry in entries:
        flags, access, name = entry.flags, entry.area.access, entry.area.name
        device = name in KERNEL_AREAS or not flags.isdisjoint(DEVICE_FLAGS)
        userfault = not flags.isdisjoint(USERFAULT_FLAGS)
        huge = HUGETLB_FLAG in flags
        barred = userfault or huge
        kind = "shared" if access.endswith(b"s") else "file"
        reason = "device" if device else "userfault" if userfault else "huge" if huge else kind
        resident = entry.rss > 0 or huge
        merged = bool(entry.ksm) or (MERGEABLE_FLAG in flags and (entry.ksm is None or ksmd_runs))
        rows.append((entry.area.start, entry.area.end, device, barred, resident, merged, REASONS.index(reason)))
        anonymous_bytes += 0 if device or barred else entry.anonymous
        userfault_bytes += entry.rss if userfault else 0
        opted_in_bytes += entry.anonymous if MERGEABLE_FLAG in flags and not (device or barred) else 0
    areas = [entry.area for entry in entries]
    names = names_of(areas, memory_end)
    ksm_bytes = [entry.ksm for entry in entries if entry.ksm is not None]
    return AddressSpace(
        mappings=[
            Mapping(name, entry.area.start, entry.area.end, MERGEABLE_FLAG in entry.flags)
            for name, entry in zip(names, entries, strict=True)
        ],
        vmas=np.array(rows, VMA),
        anonymous_bytes=anonymous_bytes,
        userfault_bytes=userfault_bytes,
        swapped_bytes=sum(entry.swap for entry in entries),
        ksm_bytes=sum(ksm_bytes) if ksm_bytes else None,
        opted_in_bytes=opted_in_bytes,
        has_devices=has_devices(areas),
    )


def has_devices(areas: Iterable[Area]) -> bool:
    """Return whether a device or the kernel may write to the memory of a process with these areas while it sleeps."""
    return any(area.name.startswith(DEVICE_NAMES) and not area.name.startswith(PLAIN_NAMES) for area in areas)


def _read(pid: int) -> bytes:
    """Return the text of a smaps file; nothing when the process has no memory any more. Raises OSError."""
    try:
        return text.read(f"{tasks.directory(pid)}/smaps")
    except ProcessLookupError:
        return b""


def _entries(data: bytes) -> Iterator[Entry]:
    """Yield the entries of a smaps file, but those of the kernel's half of the address space. Raises MalformedError."""
    entry, reached = None, 0
    for area, name, value in _LINE.findall(b"\n" + data):
        if area:
            if entry is not None:
                yield entry
            found, reached = parse_area(area, reached)
            entry = None if found is None else Entry(found)
            continue
        if entry is None:
            continue
        if name == b"VmFlags":
            entry.flags = frozenset(value.split())
            continue
        n_bytes = text.kib(value.strip(b" ")) or 0
        if name == b"Rss":
            entry.rss = n_bytes
        elif name == b"Anonymous":
            entry.anonymous = n_bytes
        elif name == b"Swap":
            entry.swap = n_bytes
        else:
            entry.ksm = n_bytes
    if entry is not None:
        yield entry
