"""/proc/PID/smaps: the mappings of a process and which of them are not to be read."""

import mmap
import os
import re
from dataclasses import dataclass

import numpy as np

# `device`: no memory of the process's own, never read. `barred`: resident, but out of merging's reach (huge pages
# of hugetlbfs) or another process's business to fill (userfaultfd: reading could wait for its handler for ever).
# `reason`: an index into REASONS, why resident pages of it that are not anonymous, or any if barred, are out of reach.
VMA = np.dtype([("start", "i8"), ("end", "i8"), ("device", "?"), ("barred", "?"), ("resident", "?"), ("reason", "u1")])
REASONS = ("file", "shared", "huge", "userfault", "device")

KERNEL_AREAS = {"[vvar]", "[vvar_vclock]"}
USERFAULT_FLAGS = {"um", "ui"}  # missing and minor faults go to a handler
HUGETLB_FLAG = "ht"
DEVICE_FLAGS = {"io", "pf"}
# Mappings of what may write to the process's memory while it sleeps: asynchronous I/O, io_uring, KVM, devices.
DEVICE_NAMES = ("anon_inode:", "/[aio]", "/dev/")
PLAIN_NAMES = ("/dev/shm/", "/dev/zero")

# How the C library lays out a heap of a thread, and its stack behind a guard page.
ARENA_BYTES = 64 << 20
GUARD_BYTES = mmap.PAGESIZE
STACK_STEP = 64 << 10

_LINE = re.compile(
    r"^(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) (?P<access>\S+) [0-9a-f]+ \S+ \d+ *(?P<name>.*)$"
    r"|^Rss: +(?P<rss>\d+) kB$|^Anonymous: +(?P<anonymous>\d+) kB$|^KSM: +(?P<ksm>\d+) kB$"
    r"|^Swap: +(?P<swap>\d+) kB$|^VmFlags: (?P<flags>.*)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Mapping:
    """A named part of a source's address space, from `start` up to `end` (bytes)."""

    name: str
    start: int
    end: int


@dataclass
class AddressSpace:
    """The mappings of a process by address; `vmas` (VMA array) has one entry a mapping."""

    mappings: list[Mapping]
    vmas: np.ndarray
    anonymous_bytes: int  # in mappings that may be read
    userfault_bytes: int  # resident, in mappings with a userfaultfd handler
    swapped_bytes: int
    ksm_bytes: int | None  # merged by the kernel's own KSM; None where the kernel does not tell (before 6.6)
    has_devices: bool  # a device or the kernel may write to its memory while it sleeps


def read_address_space(pid: int) -> AddressSpace:
    """Read /proc/PID/smaps; empty when the process has no memory any more. Raises OSError."""
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as smaps:
        try:
            return parse_smaps(smaps.read())
        except ProcessLookupError:
            return parse_smaps("")


def parse_smaps(text: str) -> AddressSpace:
    """Parse the text of a smaps file; areas beyond the process's half of the address space are left out."""
    areas, rows = [], []
    anonymous_bytes = userfault_bytes = swapped_bytes = 0
    rss = anonymous = 0
    ksm_bytes = None
    for line in _LINE.finditer(text):
        kind = line.lastgroup
        if kind == "name":
            start, end, name = int(line["start"], 16), int(line["end"], 16), line["name"]
            access = line["access"]
        elif kind == "rss":
            rss = int(line["rss"]) << 10
        elif kind == "anonymous":
            anonymous = int(line["anonymous"]) << 10
        elif kind == "swap":
            swapped_bytes += int(line["swap"]) << 10
        elif kind == "ksm":
            ksm_bytes = (ksm_bytes or 0) + (int(line["ksm"]) << 10)
        elif start < 1 << 63:
            flags = set(line["flags"].split())
            device = name in KERNEL_AREAS or not flags.isdisjoint(DEVICE_FLAGS)
            userfault = not flags.isdisjoint(USERFAULT_FLAGS)
            huge = HUGETLB_FLAG in flags
            barred = userfault or huge
            reason = "device" if device else "userfault" if userfault else "huge" if huge else _kind(access)
            rows.append((start, end, device, barred, rss > 0 or huge, REASONS.index(reason)))
            areas.append((start, end, access, name))
            anonymous_bytes += 0 if device or barred else anonymous
            userfault_bytes += rss if userfault else 0
    vmas = np.array(rows, VMA)
    has_devices = any(area[3].startswith(DEVICE_NAMES) and not area[3].startswith(PLAIN_NAMES) for area in areas)
    return AddressSpace(_named(areas), vmas, anonymous_bytes, userfault_bytes, swapped_bytes, ksm_bytes, has_devices)


def _kind(access: str) -> str:
    return "shared" if access.endswith("s") else "file"


def _named(areas) -> list[Mapping]:
    """Make the mappings of (start, end, access, name) in order; the unnamed ones by what lies beside them."""
    around = zip([None, *areas], areas, [*areas[1:], None], strict=False)
    return [Mapping(_short_name(area[3] or _guess(before, area, after)), *area[:2]) for before, area, after in around]


def _guess(before, area, after) -> str:
    """Tell what an unnamed area is where its neighbours and its place show it, else ""."""
    start, end, access, _ = area
    if access != "rw-p":
        return ""
    if before and before[1] == start:
        low, _, beside, name = before
        if name.startswith("/") and beside == "rw-p":
            return f"{os.path.basename(name)} (bss)"
        is_guard = not name and beside == "---p" and start - low == GUARD_BYTES
        if is_guard and 0 in ((end - start) % STACK_STEP, (end - low) % STACK_STEP):
            return "[thread stack]"
    if start % ARENA_BYTES == 0 and after and after[0] == end and after[1] == start + ARENA_BYTES:
        return "[arena]" if after[2:] == ("---p", "") else ""
    return ""


def _short_name(name: str) -> str:
    """ "anon" for no name, the last part of a path, anything in brackets as it is."""
    if not name:
        return "anon"
    return os.path.basename(name) if name.startswith("/") else name
