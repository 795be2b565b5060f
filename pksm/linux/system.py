"""Facts of this machine: processor, huge pages, kernel, and what this user may do."""

import contextlib
import ctypes
import mmap
import os
import platform
from collections.abc import Iterator
from typing import Any

from pksm.linux import soft_dirty, text, written
from pksm.linux.inject import tried
from pksm.linux.ksm import files
from pksm.linux.proc import access, pagemap

THP_ENABLED = "/sys/kernel/mm/transparent_hugepage/enabled"


def machine() -> dict[str, Any]:
    """Return what figures depend on: CPU, cores this process may use, others' load, kernel, Python, huge pages."""
    return {
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "busy_cores": round(os.getloadavg()[0], 2),  # in the last minute, others included
        "kernel": platform.release(),
        "python": platform.python_version(),
        "thp": huge_pages(),
    }


def abilities() -> dict[str, Any]:
    """Return what this machine and this user can do, as `pksm features` shows it."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "page_size": mmap.PAGESIZE,
        "huge_pages": huge_pages(),
        "frame_numbers": shows_frames(),
        "pagemap_scan": has_pagemap_scan(),
        "process_vm_readv": has_readv(),
        "ptrace_scope": access.ptrace_scope(),
        "write_tracking": not written.why_not(),
        "soft_dirty": not soft_dirty.why_not(),
        "injection": not tried.why_not(),
        "kernel_ksm": files.exists(),
    }


def processor() -> str:
    """Return the name of the processor."""
    name = text.field(text.read_if_any("/proc/cpuinfo") or b"", "model name")
    return text.decoded(name) if name else platform.machine()


def huge_pages() -> str | None:
    """Return when the kernel makes huge pages: always, madvise or never; None where it cannot."""
    return text.chosen(text.read_if_any(THP_ENABLED))


def own_huge_bytes() -> int:
    """Return the bytes of our own memory that are on huge pages."""
    return text.kib(text.field(text.read_if_any("/proc/self/smaps_rollup") or b"", "AnonHugePages")) or 0


def shows_frames() -> bool:
    """Return whether this user is shown the numbers of frames."""
    try:
        return pagemap.zero_frame() != 0
    except OSError:
        return False


def has_pagemap_scan() -> bool:
    """Return whether the kernel has the ioctl PAGEMAP_SCAN (Linux 6.7)."""
    try:
        with contextlib.closing(pagemap.Pagemap(os.getpid())) as pages:
            return pages.tells_zero_pages
    except OSError:
        return False


def has_readv() -> bool:
    """Return whether process_vm_readv works: eight bytes of our own are read as those of another process would be."""
    pointer, length = ctypes.c_void_p, ctypes.c_size_t
    source, target = ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)
    remote, local = ((pointer * 2)(ctypes.addressof(buffer), 8) for buffer in (source, target))
    read = ctypes.CDLL(None).process_vm_readv
    read.argtypes = [ctypes.c_int, pointer, length, pointer, length, length]
    return bool(read(os.getpid(), local, 1, remote, 1, 0) == 8)


@contextlib.contextmanager
def pinned(threads: int = 1) -> Iterator[None]:
    """Keep this thread to the last of the CPUs it may use, and give it all of them back; for one thread only."""
    allowed = os.sched_getaffinity(0)
    if threads == 1:
        os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
