"""What /proc and /sys say, where names are whatever their owners like: each text is given to all that read it."""

import contextlib
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np

from fuzz.target import Target
from pksm.linux import memory_limits, system, text
from pksm.linux.ksm import files
from pksm.linux.proc import access, pagemap, processes, segments, smaps, tasks
from pksm.linux.proc.areas import Area, names_of

PID = 7
PAGE = mmap.PAGESIZE


@contextlib.contextmanager
def reading(data: bytes) -> Iterator[None]:
    """Let every file of /proc and /sys hold this text meanwhile."""
    with mock.patch.object(text, "read", new=lambda path: data):
        yield


# ---- a process ----


def read_stat(data: bytes) -> None:
    """Read what stat says of a process, and whether it has memory at all."""
    with reading(data), contextlib.suppress(text.MalformedError):
        stat = tasks.read_stat(PID)
        assert len(stat.state) == 1
        assert all(isinstance(place, int) and place >= 0 for place in stat.layout), stat
        with contextlib.suppress(access.UnreadError):
            access.check_kind(PID)
        processes.own_line()


def read_status(data: bytes) -> None:
    """Read whose a process is, and in which namespace."""
    with reading(data):
        with contextlib.suppress(access.UnreadError):
            user = access.user_of(PID)
            assert user and "\n" not in user
        access.check_namespace()


def read_smaps(data: bytes) -> None:
    """Read the areas of a process: in order, apart, each with a name of one line."""
    space = smaps.parse_smaps(data)
    start, end = space.vmas["start"].tolist(), space.vmas["end"].tolist()
    assert [(mapping.start, mapping.end) for mapping in space.mappings] == list(zip(start, end, strict=True))
    reached = 0
    for low, high in zip(start, end, strict=True):
        assert reached <= low < high <= 1 << 63 and low % PAGE == high % PAGE == 0
        reached = high
    assert all("\n" not in mapping.name for mapping in space.mappings)
    assert min(space.anonymous_bytes, space.userfault_bytes, space.swapped_bytes, space.ksm_bytes or 0) >= 0


def read_schedstat(data: bytes) -> None:
    """Read how long a thread has run."""
    with reading(data):
        tasks.cpu_seconds(PID)


def read_pagemap(data: bytes) -> None:
    """Read entries of a page map: resident pages become runs that hold all of them."""
    entries = np.frombuffer(data[: len(data) // 8 * 8], np.uint64)
    flags = pagemap.flags_of(entries)
    runs = pagemap._resident_runs(PAGE, entries)
    sizes = (runs["end"] - runs["start"]) // PAGE
    assert (sizes > 0).all() and int(sizes.sum()) == np.count_nonzero(pagemap.is_present(flags))
    assert not (pagemap.is_exclusive(flags) & ~pagemap.is_present(flags)).any()
    assert not (pagemap.is_anonymous(flags) & ~pagemap.is_present(flags)).any()


def read_program(data: bytes) -> None:
    """Read how far the memory of a program file goes, and name what lies behind it."""
    end = segments.parse(lambda offset, size: data[offset : offset + size])
    assert end is None or (end >= 0 and end % PAGE == 0)
    around = [Area(PAGE, 2 * PAGE, b"rw-p", 0, b"/x"), Area(2 * PAGE, 3 * PAGE, b"rw-p", 0, b"")]
    assert list(names_of(around, lambda path: end))[1] in ("anon", "x (bss)")


# ---- control groups, memory, KSM ----


def read_cgroup(data: bytes) -> None:
    """Read our control groups, their members and their limits."""
    with reading(data):
        assert all(isinstance(path, str) for path in processes.own_cgroups().values())
        processes.is_in_cgroup("/sys/fs/cgroup/a")
        processes.is_frozen("/sys/fs/cgroup/a")
        assert all(pid >= 0 for pid in processes.cgroup_pids("/nowhere"))
        left = memory_limits.available_bytes(1 << 40)
        assert left is None or left >= 0


def read_ksm(data: bytes) -> None:
    """Read what KSM's files say, and the facts of the machine."""
    with reading(data):
        values = files.ksm_stat(PID).values()
        assert all(isinstance(value, int | str) for value in values)
        assert "\n" not in system.processor() and "\n" not in (system.huge_pages() or "")
        value = files.read("run")
        assert isinstance(value, int) or "\n" not in value


# ---- seeds ----

STAT = b"7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 4567 1000 20 18446744073709551615 94 99 140 0 0 0 0 0\n"
STATUS = b"Name:\ta\nUmask:\t0022\nState:\tS (sleeping)\nUid:\t0\t6\t7\t8\nNSpid:\t7\nVmRSS:\t 12 kB\n"
CGROUP = b"12:memory,cpu:/a/b\n0::/user.slice/c\\040d\n"
LIMITS = b"inactive_file 4096\ntotal_inactive_file 12\nMemAvailable:  123 kB\nfrozen 1\n7\n8\n"
KSM = b"ksm_rmap_items 3\nksm_mergeable: yes\nksm_merge_any: no\nksm_zero_pages 0\n"


def smaps_text(areas: int) -> bytes:
    """Make the text of a smaps file with a library, a heap and unnamed areas."""
    names = [b"/usr/lib/a b.so", b"[heap]", b"", b"/dev/zero (deleted)", b"[vdso]", b"[anon:x\ty]"]
    lines = []
    for number in range(areas):
        low, high = (3 * number + 1) * PAGE, (3 * number + 3) * PAGE
        lines.append(b"%x-%x rw-p 00000000 fe:00 12   %s\n" % (low, high, names[number % len(names)]))
        lines.append(b"Size: 8 kB\nRss: 8 kB\nAnonymous: 4 kB\nKSM: 4 kB\nSwap: 0 kB\nVmFlags: rd wr mr mw ac mg \n")
    return b"".join(lines)


def pagemap_entries() -> list[bytes]:
    """Make entries of pages that are resident, swapped out, of a file, or nothing."""
    return [struct.pack("<8Q", *(number << 55 | number for number in (0, 1, 256, 257, 128, 320, 64, 511)))]


def programs() -> list[bytes]:
    """Take the beginning of a program file."""
    return [Path("/proc/self/exe").read_bytes()[:1024]]


WORDS = [b"\r", b"\n", b"\x85", b"\xff", b"\x00", b"-", b" ", b"kB", b")", b"(", b"\xe2\x80\xa8", b"9" * 21, b": "]
SMAPS_WORDS = [
    b"rw-p",
    b"---p",
    b"Rss: 4 kB\n",
    b"VmFlags: ht um io\n",
    b"ffffffffff600000-ffffffffff601000",
    b"7fffffffffff",
]

TARGETS = {
    "stat": Target(read_stat, lambda: [STAT, STAT.replace(b"4194560", b"2097152")], WORDS, 512),
    "status": Target(read_status, lambda: [STATUS], [*WORDS, b"Uid:\t", b"NSpid:\t"], 512),
    "smaps": Target(read_smaps, lambda: [smaps_text(1), smaps_text(6)], [*WORDS, *SMAPS_WORDS], 4096),
    "schedstat": Target(read_schedstat, lambda: [b"123 456 7\n"], WORDS, 256),
    "pagemap": Target(read_pagemap, pagemap_entries, [], 4096),
    "program": Target(read_program, programs, [b"\x7fELF\x02\x01", b"\x7fELF\x01\x02"], 4096),
    "cgroup": Target(read_cgroup, lambda: [CGROUP, LIMITS, b"max\n", b"4096\n"], [*WORDS, b"0::/", b".."], 1024),
    "ksm": Target(read_ksm, lambda: [KSM, b"12\n", b"always [madvise] never\n", b"model name\t: A\n"], WORDS, 1024),
}
