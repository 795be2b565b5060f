"""Headers of ELF cores: the program headers and the notes, checked before anything is made of them."""

import os
import struct
from dataclasses import dataclass

import numpy as np

from pksm.arrays import U64Array
from pksm.errors import PksmError
from pksm.sources.images import extras, mapped
from pksm.sources.images.image import Image

PT_LOAD, PT_NOTE = 1, 4
PF_X, PF_W = 1, 2
NT_FILE, NT_AUXV = 0x46494C45, 6
PHDR = np.dtype([("type", "u4"), ("flags", "u4"), ("offset", "u8"), ("vaddr", "u8"), ("paddr", "u8"),
                 ("filesz", "u8"), ("memsz", "u8"), ("align", "u8")])  # fmt: skip
MAX_SEGMENTS = 1 << 20  # sixteen times what a process may map by default
MAX_NOTE_BYTES = 64 << 20
MAX_NOTES = 1 << 18


@dataclass
class Core:
    """The LOAD segments (PHDR) of a core in the order of their addresses, and its notes as {(owner, type): bytes}.

    physical: addresses are those of physical memory (`paddr`), not of a process (`vaddr`).
    """

    loads: np.ndarray
    notes: dict[tuple[bytes, int], bytes]
    physical: bool

    @property
    def addresses(self) -> U64Array:
        """Where each segment lies (uint64, bytes)."""
        return self.loads["paddr" if self.physical else "vaddr"]


def is_core(head: bytes) -> bool:
    """Tell whether a file that begins with `head` is an ELF core, of whatever word size and byte order."""
    return head[:4] == b"\x7fELF" and head[16:18] in (b"\4\0", b"\0\4")


def read_core(image: Image) -> Core:
    """Read the headers of an open Image. Raises PksmError for what is damaged or not ours to read."""
    headers = _program_headers(image)
    notes: dict[tuple[bytes, int], bytes] = {}
    for note in headers[headers["type"] == PT_NOTE]:
        _read_notes(image, int(note["offset"]), int(note["filesz"]), notes)
    loads = headers[(headers["type"] == PT_LOAD) & (headers["memsz"] > 0)]
    if not len(loads):
        raise PksmError(f"{image.name}: an ELF core without memory in it; make it again with all its segments")
    physical = any(owner == b"QEMU" for owner, _ in notes) or bool(loads["paddr"].any())
    core = Core(loads, notes, physical)
    core.loads = loads[np.argsort(core.addresses, kind="stable")]
    _check(image, core)
    return core


def _program_headers(image: Image) -> np.ndarray:
    library = extras.load("elftools.elf.elffile", f"{image.name}: reading ELF cores")
    with open(os.dup(image.file.fd), "rb") as stream:
        try:
            elf = library.ELFFile(stream)
            little_endian, bits, entry_size = elf.little_endian, elf.elfclass, elf["e_phentsize"]
            start, count = elf["e_phoff"], elf.num_segments()
        except Exception:  # whatever a parser makes of bytes that are not a header
            raise image.damaged("its ELF header makes no sense or is cut off") from None
    if bits != 64 or not little_endian:
        order = "little" if little_endian else "big"
        raise PksmError(f"{image.name}: is a {bits}-bit {order}-endian core; pksm reads 64-bit little-endian ones")
    if entry_size != PHDR.itemsize or count > MAX_SEGMENTS or start + count * PHDR.itemsize > image.size:
        raise image.damaged(f"its ELF header announces {count} segments of {entry_size} bytes at byte {start}")
    table = image.read_at(start, count * PHDR.itemsize)
    return np.frombuffer(table[: len(table) // PHDR.itemsize * PHDR.itemsize], PHDR)


def _read_notes(image: Image, start: int, size: int, notes: dict[tuple[bytes, int], bytes]) -> None:
    """Add the notes of a segment to `notes`, the first of each kind; those of a broken end are left out."""
    if start >= image.size:
        return
    data = image.read_at(start, min(size, MAX_NOTE_BYTES))
    at = 0
    for _ in range(MAX_NOTES):
        if at + 12 > len(data):
            return
        name_size, content_size, kind = struct.unpack_from("<3I", data, at)
        name = data[at + 12 : at + 12 + min(name_size, 16)].rstrip(b"\0")
        content = at + 12 + -(-name_size // 4) * 4
        if content + content_size > len(data):
            return
        notes.setdefault((name, kind), data[content : content + content_size])
        at = content + -(-content_size // 4) * 4


def _check(image: Image, core: Core) -> None:
    """Refuse segments that no memory can have; overlapping ones would count bytes twice."""
    loads, addresses = core.loads, core.addresses
    too_big = (loads["memsz"] > mapped.MAX_BYTES) | (addresses > ~loads["memsz"])
    if too_big.any() or loads["memsz"].sum(dtype=float) > mapped.MAX_BYTES:
        raise image.damaged("its segments are larger than any memory")
    if (loads["filesz"] > loads["memsz"]).any():
        raise image.damaged("a segment has more bytes in the file than in memory")
    held = loads[loads["filesz"] > 0]
    if (held["offset"] > np.uint64(1 << 62)).any():
        raise image.damaged("a segment begins far behind the end of the file")
    if mapped.overlap(addresses, loads["memsz"]):
        raise image.damaged("its segments overlap in memory")
    if mapped.overlap(held["offset"], held["filesz"]):
        raise image.damaged("its segments overlap in the file")
