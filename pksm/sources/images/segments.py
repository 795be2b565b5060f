"""What the segments of a process's core map, and which of their pages the process has for itself.

Only these are merged. A core does not say which mappings are shared; what gives it away is the path, the access, and
what the kernel dumps of such mappings by default (core(5), coredump_filter).
"""

import os
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pksm.arrays import BoolArray, StructArray
from pksm.sources.images import elf

AT_RANDOM, AT_SYSINFO_EHDR = 25, 33
KERNEL_HALF = np.uint64(1 << 63)
FILE_RANGE = np.dtype([("start", "u8"), ("end", "u8"), ("file_page", "u8")])
PROGRAM_RANGES = 3  # of its file that a program maps at least: text, constants, data
HEADER_PAGE = 4096  # of a program or library: dumped by default, so that debuggers know it

# Why pages are not the process's own; "" if they are. UNCLEAR: the core does not say whether they are shared.
REASONS = ("", "left_out", "shared", "huge", "file", "unclear")
OWN, LEFT_OUT, SHARED, HUGE, FILE, UNCLEAR = range(len(REASONS))

# Names under which memory that processes share is mapped: nobody merges it, and two cores would count it twice.
SHARED_PATHS = ("/dev/zero (deleted)", "/SYSV", "/memfd:", "/dev/shm/")
# Huge pages of hugetlbfs: anonymous ones, and where it is mounted by custom.
HUGE_PATHS = ("/anon_hugepage", "/dev/hugepages", "/hugepages", "/mnt/huge", "/run/hugepages", "/var/lib/hugetlbfs")


@dataclass
class Segments:
    """The segments of a core, in order.

    names: of what they map; of_file: whether that is a file; reasons: an index into REASONS for each; lists_files:
    whether the core lists the mapped files.
    """

    names: list[str]
    of_file: np.ndarray
    reasons: np.ndarray
    lists_files: bool


def look_up(core: elf.Core) -> Segments:
    """Find out what the segments of a core (elf.Core) map."""
    ranges, paths = _mapped_files(core.notes.get((b"CORE", elf.NT_FILE), b""))
    starts = core.loads["vaddr"]
    index = np.searchsorted(ranges["start"], starts, "right") - 1
    of_file = (index >= 0) & (starts < np.append(ranges["end"], np.uint64(0))[index])
    found = [paths[place] if is_file else "" for place, is_file in zip(index.tolist(), of_file.tolist(), strict=True)]
    reasons = _reasons(core.loads, of_file, found, _programs(core.loads, found, paths))
    names = [os.path.basename(path) or "anon" for path in found]
    for name, holder in _of_the_kernel(core, of_file).items():
        reasons[holder] = LEFT_OUT if name != "[stack]" else OWN
        for place in np.flatnonzero(holder).tolist():
            names[place] = name
    return Segments(names, of_file, reasons, bool(paths))


def _programs(loads: StructArray, found: Sequence[str], paths: Sequence[str]) -> set[str]:
    """Return the paths of programs and libraries: with text, a name like theirs, or as many mappings as they have.

    gdb leaves out the segments of text, and not the ranges of files.
    """
    with_text = {path for path, flags in zip(found, loads["flags"].tolist(), strict=True) if flags & elf.PF_X}
    many = {path for path, count in Counter(paths).items() if count >= PROGRAM_RANGES}
    return with_text | many | {path for path in paths if ".so" in os.path.basename(path)}


def _reasons(loads: StructArray, of_file: BoolArray, paths: Sequence[str], programs: set[str]) -> np.ndarray:
    """Return why the pages of each segment are not the process's own."""
    executable, writable = loads["flags"] & elf.PF_X != 0, loads["flags"] & elf.PF_W != 0
    whole = of_file & (loads["filesz"] == loads["memsz"])
    text = executable & ~writable
    is_program = np.array([path in programs for path in paths], bool)
    # By default the kernel does not dump the text of programs. Where it did, it dumped all pages of files.
    files_dumped = bool((whole & text & (loads["memsz"] > HEADER_PAGE)).any())
    reasons = np.full(len(loads), OWN)
    reasons[of_file & ~whole] = LEFT_OUT
    reasons[whole & (text | (~writable & files_dumped))] = FILE
    reasons[whole & ~is_program] = UNCLEAR  # written privately, shared and deleted, or shared and dumped
    reasons[np.array([path.startswith(SHARED_PATHS) for path in paths], bool)] = SHARED
    reasons[np.array([path.startswith(HUGE_PATHS) for path in paths], bool)] = HUGE
    return reasons


def _of_the_kernel(core: elf.Core, of_file: BoolArray) -> dict[str, BoolArray]:
    """Return {name: which segments it is} of those that the kernel has made."""
    starts = core.loads["vaddr"]
    ends = starts + core.loads["memsz"]
    auxv = _auxv(core)
    vdso, random = auxv.get(AT_SYSINFO_EHDR), auxv.get(AT_RANDOM)
    nowhere = np.zeros(len(starts), bool)
    return {
        "[vsyscall]": starts >= KERNEL_HALF,
        "[vdso]": nowhere if vdso is None else starts == vdso,
        "[stack]": nowhere if random is None else (starts <= random) & (random < ends) & ~of_file,
    }


def _mapped_files(note: bytes) -> tuple[StructArray, list[str]]:
    """Return the ranges (FILE_RANGE, by address) and paths of an NT_FILE note; none when it is damaged."""
    n_ranges = struct.unpack_from("<Q", note)[0] if len(note) >= 16 else 0
    end = 16 + n_ranges * FILE_RANGE.itemsize
    paths = note[end:].split(b"\0")[:n_ranges] if 16 < end <= len(note) else []
    if len(paths) < n_ranges or not n_ranges:
        return np.empty(0, FILE_RANGE), []
    ranges = np.frombuffer(note, FILE_RANGE, n_ranges, 16)
    order = np.argsort(ranges["start"], kind="stable")
    texts = [_printable(path.decode("utf-8", "replace")) for path in paths]
    return ranges[order], [texts[place] for place in order.tolist()]


def _auxv(core: elf.Core) -> dict[int, int]:
    """Return the auxiliary vector of the process up to its end as {type: value}, without zeros, which name no place."""
    note = core.notes.get((b"CORE", elf.NT_AUXV), b"")
    pairs = np.frombuffer(note[: len(note) // 16 * 16], np.uint64).reshape(-1, 2)
    (ends,) = np.nonzero(pairs[:, 0] == 0)
    pairs = pairs[: ends[0]] if len(ends) else pairs
    return {kind: value for kind, value in pairs.tolist() if value}


def _printable(text: str) -> str:
    """Return a name from a file fit for a terminal."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)
