"""ELF cores of processes (the kernel's, gdb's gcore) and of guests (QEMU's dump-guest-memory)."""

import os
import struct

import numpy as np

from pksm.extents import State
from pksm.linux.proc.smaps import Mapping
from pksm.sources.files import OpenFile
from pksm.sources.images import elf, guest, mapped

AT_RANDOM, AT_SYSINFO_EHDR = 25, 33
KERNEL_HALF = np.uint64(1 << 63)
# Names under which memory that processes share is mapped: nobody merges it, and two cores would count it twice.
SHARED = ("/dev/zero (deleted)", "/SYSV", "/memfd:", "/dev/shm/")
FILE_RANGE = np.dtype([("start", "u8"), ("end", "u8"), ("file_page", "u8")])


def sniff(file: OpenFile) -> bool:
    """Tell whether the file is an ELF core."""
    return elf.is_core(file.head)


def open_file(file: OpenFile) -> "ElfCore":
    """Open the file as the kind of core it is. Raises PksmError with the reason and the remedy."""
    return ElfCore(file)


class ElfCore(mapped.MappedImage):
    """A core, mapped.

    Of a process, DATA: its pages in the file. HOLE: holes of the file, and anonymous mappings that are not in it: the
    kernel writes nothing for one that was never touched (one under MADV_DONTDUMP looks the same). EXCLUDED: pages of
    files that were not dumped or are not the process's own, shared memory, the kernel's pages, what is cut off.
    """

    kind = "core"

    def _open(self):
        core = elf.read_core(self)
        if core.physical:
            self.kind = "qemu"
            guest.lay_out(self, core)
        else:
            self.hole_state = State.HOLE
            _lay_out(self, core)


def _lay_out(image, core):
    """Tell the image where the memory of a process lies, and under which names."""
    loads, address = core.loads, core.loads["vaddr"]
    size, held = loads["memsz"].astype(np.int64), loads["filesz"].astype(np.int64)
    number = np.arange(len(loads))
    names, of_file, shared = _look_up(image, core)
    image.mappings = [
        Mapping(name, start, start + length)
        for name, start, length in zip(names, address.tolist(), size.tolist(), strict=True)
    ]
    # Of a file's mapping that is dumped in part it is the page with the ELF header, which is the file's own.
    kernels = (address >= KERNEL_HALF) | (address == _auxv(core).get(AT_SYSINFO_EHDR, 0))
    left_out = shared | kernels | (of_file & (held < size))
    held = np.where(left_out, 0, held)
    states = np.where(of_file | left_out, State.EXCLUDED, State.HOLE)
    gaps = mapped.gap(states, number, address + held.astype(np.uint64), size - held)
    image.hold(mapped.piece(number, address, loads["offset"], held), [gaps])
    _remark(image, loads, int(loads["filesz"][shared].sum()))


def _remark(image, loads, shared_bytes):
    if shared_bytes:
        image.remarks.append(
            f"{image.name}: {shared_bytes >> 10} KiB of shared memory are left out: only private pages are merged"
        )
    extents = image.file.extents
    if len(extents) == 1 and extents[0].tolist() == [0, image.size]:
        by_gdb = (loads["filesz"] == loads["memsz"]).all()
        maker = "gdb's gcore writes cores" if by_gdb else "copies and pipes leave cores"
        image.remarks.append(
            f"{image.name}: the core has no holes, as {maker}: pages that were never touched are in it as zeros and "
            "count as zero pages; scan the live process, or a core that the kernel wrote to a file"
        )


def _look_up(image, core):
    """Return what each segment maps: (names, whether it maps a file, whether processes share it)."""
    ranges, paths = _mapped_files(core.notes.get((b"CORE", elf.NT_FILE), b""))
    if not paths:
        image.remarks.append(
            f"{image.name}: the core does not tell which files were mapped (NT_FILE): mappings have no names, and what "
            "was not dumped counts as not resident"
        )
    auxv = _auxv(core)
    starts = core.loads["vaddr"]
    ends = starts + core.loads["memsz"]
    index = np.searchsorted(ranges["start"], starts, "right") - 1
    of_file = (index >= 0) & (starts < np.append(ranges["end"], np.uint64(0))[index])
    found = [paths[place] if is_file else "" for place, is_file in zip(index.tolist(), of_file.tolist(), strict=True)]
    names = [os.path.basename(path) or "anon" for path in found]
    for name, holder in (
        ("[vsyscall]", starts >= KERNEL_HALF),
        ("[vdso]", starts == auxv.get(AT_SYSINFO_EHDR, 0)),
        ("[stack]", (starts <= auxv.get(AT_RANDOM, 0)) & (auxv.get(AT_RANDOM, 0) < ends) & ~of_file),
    ):
        for place in np.flatnonzero(holder).tolist():
            names[place] = name
    return names, of_file, np.array([path.startswith(SHARED) for path in found], bool)


def _mapped_files(note: bytes):
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


def _auxv(core) -> dict:
    """Return the auxiliary vector of the process as {type: value}."""
    note = core.notes.get((b"CORE", elf.NT_AUXV), b"")
    return dict(np.frombuffer(note[: len(note) // 16 * 16], np.uint64).reshape(-1, 2).tolist())


def _printable(text: str) -> str:
    """Return a name from a file fit for a terminal."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)
