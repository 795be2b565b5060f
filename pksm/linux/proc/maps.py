"""/proc/PID/maps: the mappings of a process, without the walk over all of its pages that smaps takes.

maps has no flags. It is enough where a process cannot have what only flags show: mappings that KSM may merge, of devices,
of hugetlbfs, under userfaultfd; and where nothing of it is swapped out.
"""

import os
from collections import OrderedDict
from dataclasses import replace

import numpy as np

from pksm.linux import text
from pksm.linux.proc import smaps, tasks
from pksm.linux.proc.areas import Area, names_of, parse_areas
from pksm.linux.proc.segments import memory_end_in
from pksm.linux.proc.smaps import KERNEL_AREAS, REASONS, VMA, AddressSpace, Mapping, has_devices

KSM = "/sys/kernel/mm/ksm"
USERFAULT_CONTEXTS = "/sys/kernel/slab/userfaultfd_ctx_cache/objects"
USERFAULT_LINK = "anon_inode:[userfaultfd]"
MOST_DESCRIPTORS = 1 << 17  # of all processes, to be looked at: of more, that takes longer than smaps of many processes
REMEMBERED = 16  # address spaces
PLAIN = {b"", b"[heap]", b"[stack]", b"[vdso]"}
NAMED = b"[anon:"
SPECIAL = (
    b"/dev/",
    b"/sys/",
    b"/proc/",
)  # files that may be mapped now in this way, now in that, but smaps.PLAIN_NAMES

# What distinguishes files, and what is mapped of them: bytes, access, offset, device and inode, name.
_Part = tuple[int, bytes, int, bytes, bytes]


class AddressSpaces:
    """Reads the address spaces of many processes, and learns: what is known from the smaps of one serves the others.

    Made for one scan: files are known by their numbers, which may stand for other files later.
    """

    def __init__(self) -> None:
        self._plain: set[_Part] = set()  # no devices, no huge pages
        self._seen: OrderedDict[bytes, AddressSpace] = OrderedDict()  # by the text of maps
        self._userfaults: bool | None = None

    def read(self, pid: int, thread: int | None = None) -> AddressSpace:
        """Return the address space of a process; an empty one when it has no memory any more.

        Args:
            pid: the process.
            thread: one that lives, if that is known.

        Raises:
            OSError: it cannot be read.
            MalformedError: what the kernel wrote cannot be understood.
        """
        space = None
        if self._plain and not self._may_have_handlers():
            directory = tasks.directory(pid, thread)
            space = None if _may_merge(directory) else self._from_maps(pid, directory)
        return self._from_smaps(pid) if space is None else space

    def _from_smaps(self, pid: int) -> AddressSpace:
        entries = smaps.read_entries(pid)
        for entry in entries:
            if entry.flags and entry.flags.isdisjoint(smaps.DEVICE_FLAGS) and smaps.HUGETLB_FLAG not in entry.flags:
                self._plain.add(_part(entry.area))
        return smaps.space_of(entries, memory_end_in(pid), smaps.ksmd_runs())

    def _from_maps(self, pid: int, directory: str) -> AddressSpace | None:
        """Return what maps says; None where only smaps will do."""
        status = text.read(f"{directory}/status")
        anonymous_bytes = text.kib(text.field(status, "RssAnon"))
        data = text.read(f"{directory}/maps")
        if anonymous_bytes is None or text.kib(text.field(status, "VmSwap")) != 0 or not data:
            return None
        space = self._seen.get(data)
        if space is None:
            areas = parse_areas(data)
            if not all(self._is_plain(area) for area in areas):
                return None
            space = self._seen[data] = _space(areas, pid)
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return replace(space, anonymous_bytes=anonymous_bytes)

    def _is_plain(self, area: Area) -> bool:
        if area.name in KERNEL_AREAS:
            return True
        if not area.has_file and (area.name in PLAIN or area.name.startswith(NAMED)):
            return True
        special = area.name.startswith(SPECIAL) and not area.name.startswith(smaps.PLAIN_NAMES)
        return not special and _part(area) in self._plain

    def _may_have_handlers(self) -> bool:
        """Return whether any process may have memory under userfaultfd."""
        if text.number_in(USERFAULT_CONTEXTS) == 0:
            return False
        if self._userfaults is None:
            self._userfaults = _may_hold_userfaultfd()
        return self._userfaults


def _may_merge(directory: str) -> bool:
    """Return whether the kernel's KSM may have merged memory of a process, or may yet do so."""
    said = text.read_if_any(f"{directory}/ksm_stat")
    if said is None:
        return os.path.isdir(KSM)
    return text.field(said, "ksm_mergeable") != b"no" or text.field(said, "ksm_merge_any") != b"no"


def _may_hold_userfaultfd() -> bool:
    """Return whether any process has a userfaultfd open: its memory, or that of others, may be under it.

    Those of this process count writes alone (pksm.linux.written), and nobody waits for them.
    """
    left, ours = MOST_DESCRIPTORS, os.getpid()
    for pid in tasks.pids():
        if pid == ours:
            continue
        directory = f"/proc/{pid}/fd"
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            continue
        except OSError:
            return True
        left -= len(names)
        if left < 0:
            return True
        for name in names:
            try:
                if os.readlink(f"{directory}/{name}") == USERFAULT_LINK:
                    return True
            except OSError:
                continue  # closed meanwhile
    return False


def _part(area: Area) -> _Part:
    return area.end - area.start, area.access, area.offset, area.file, area.name


def _space(areas: list[Area], pid: int) -> AddressSpace:
    rows = []
    for area in areas:
        device = area.name in KERNEL_AREAS
        reason = "device" if device else "shared" if area.access.endswith(b"s") else "file"
        rows.append((area.start, area.end, device, False, True, False, REASONS.index(reason)))
    return AddressSpace(
        mappings=[
            Mapping(name, area.start, area.end, opted_in=False)  # or smaps would have been asked
            for name, area in zip(names_of(areas, memory_end_in(pid)), areas, strict=True)
        ],
        vmas=np.array(rows, VMA),
        anonymous_bytes=0,
        userfault_bytes=0,
        swapped_bytes=0,
        ksm_bytes=0,
        opted_in_bytes=0,
        has_devices=has_devices(areas),
    )
