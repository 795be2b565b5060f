"""/proc/PID/smaps: the mappings of a process and which of them are not to be read."""

import os
import re
from dataclasses import dataclass

import numpy as np

from pksm.sources.base import Mapping

# `device`: no memory of the process's own, never read. `barred`: resident, but out of merging's reach (huge pages
# of hugetlbfs) or another process's business to fill (userfaultfd: reading could wait for its handler for ever).
VMA = np.dtype([("start", "i8"), ("end", "i8"), ("device", "?"), ("barred", "?"), ("resident", "?")])

KERNEL_AREAS = {"[vvar]", "[vvar_vclock]"}
USERFAULT_FLAGS = {"um", "ui"}  # missing and minor faults go to a handler
HUGETLB_FLAG = "ht"
DEVICE_FLAGS = {"io", "pf"}

_LINE = re.compile(
    r"^(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) \S+ [0-9a-f]+ \S+ \d+ *(?P<name>.*)$"
    r"|^Rss: +(?P<rss>\d+) kB$|^Anonymous: +(?P<anonymous>\d+) kB$|^VmFlags: (?P<flags>.*)$",
    re.MULTILINE,
)


@dataclass
class AddressSpace:
    """The mappings of a process by address; `vmas` (VMA array) has one entry a mapping."""

    mappings: list[Mapping]
    vmas: np.ndarray
    anonymous_bytes: int  # in mappings that may be read
    userfault_bytes: int  # resident, in mappings with a userfaultfd handler


def read_address_space(pid: int) -> AddressSpace:
    """Read /proc/PID/smaps; empty when the process has no memory any more. Raises OSError."""
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as smaps:
        try:
            return parse_smaps(smaps.read())
        except ProcessLookupError:
            return parse_smaps("")


def parse_smaps(text: str) -> AddressSpace:
    """Parse the text of a smaps file; areas beyond the process's half of the address space are left out."""
    mappings, rows = [], []
    anonymous_bytes = userfault_bytes = 0
    rss = anonymous = 0
    for line in _LINE.finditer(text):
        kind = line.lastgroup
        if kind == "name":
            start, end, name = int(line["start"], 16), int(line["end"], 16), line["name"]
        elif kind == "rss":
            rss = int(line["rss"]) << 10
        elif kind == "anonymous":
            anonymous = int(line["anonymous"]) << 10
        elif start < 1 << 63:
            flags = set(line["flags"].split())
            device = name in KERNEL_AREAS or not flags.isdisjoint(DEVICE_FLAGS)
            userfault = not flags.isdisjoint(USERFAULT_FLAGS)
            barred = userfault or HUGETLB_FLAG in flags
            rows.append((start, end, device, barred, rss > 0 or HUGETLB_FLAG in flags))
            mappings.append(Mapping(_short_name(name), start, end))
            anonymous_bytes += 0 if device or barred else anonymous
            userfault_bytes += rss if userfault else 0
    return AddressSpace(mappings, np.array(rows, VMA), anonymous_bytes, userfault_bytes)


def _short_name(name: str) -> str:
    """"anon" for no name, the last part of a path, anything in brackets as it is."""
    if not name:
        return "anon"
    return os.path.basename(name) if name.startswith("/") else name
