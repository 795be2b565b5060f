"""pksm features: what this build and this machine can do."""

import contextlib
import ctypes
import mmap
import os

from pksm import __version__
from pksm.cli import output
from pksm.policies.pksmd import tunables

HELP = "tell what this build and this machine can do"
USAGE = "pksm features [--json|--csv]"
DESCRIPTION = f"{HELP[0].upper()}{HELP[1:]}."


def add_arguments(parser):
    """Declare the options of this verb."""
    form = parser.add_argument_group("what to print").add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as one JSON document (schema pksm.features/1)")
    form.add_argument("--csv", action="store_true", help="a line for each fact")


def run(options, interrupts):
    """Look, print and return the exit code."""
    output.document(gather_facts(), options)
    return 0


def gather_facts():
    """Return what there is, as a dict ready for json."""
    from pksm.engine import native
    from pksm.engine.checksums import strategies as checksums

    return {
        "schema": "pksm.features/1",
        "version": __version__,
        "cpu_levels": native.cpu_levels(),
        "checksums": checksums.widths(),
        "default_checksum": checksums.DEFAULT,
        "orders": list(tunables.SETTINGS["order"].metadata["choices"]),
        "presets": list(tunables.PRESETS),
        "sources": _sources(),
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "page_size": mmap.PAGESIZE,
            "huge_pages": _bracketed("/sys/kernel/mm/transparent_hugepage/enabled"),
            "frame_numbers": _tells_frames(),
            "pagemap_scan": _has_pagemap_scan(),
            "process_vm_readv": _has_readv(),
            "ptrace_scope": _number("/proc/sys/kernel/yama/ptrace_scope"),
            "kernel_ksm": os.path.isdir("/sys/kernel/mm/ksm"),
        },
    }


def _sources():
    """Kinds of sources by name, with the first line of what their modules say of themselves."""
    from pksm import sources
    from pksm.sources.live import process

    return {**sources.formats(), "process": process.__doc__.partition("\n")[0]}


def _tells_frames():
    from pksm.linux.proc import pagemap

    try:
        return pagemap.zero_frame() != 0
    except OSError:
        return False


def _has_pagemap_scan():
    from pksm.linux.proc.pagemap import Pagemap

    try:
        with contextlib.closing(Pagemap(os.getpid())) as pages:
            return pages.tells_zero_pages
    except OSError:
        return False


def _has_readv():
    """Read eight bytes of our own as those of another process would be read."""
    pointer, length = ctypes.c_void_p, ctypes.c_size_t
    source, target = ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)
    remote, local = ((pointer * 2)(ctypes.addressof(buffer), 8) for buffer in (source, target))
    read = ctypes.CDLL(None).process_vm_readv
    read.argtypes = [ctypes.c_int, *[pointer, length] * 2, length]
    return read(os.getpid(), local, 1, remote, 1, 0) == 8


def _bracketed(path):
    """Return the choice that a sysfs file marks, None where it is not."""
    text = _read(path)
    return text.partition("[")[2].partition("]")[0] or None


def _number(path):
    text = _read(path)
    return int(text) if text else None


def _read(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""
