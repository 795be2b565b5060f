"""Files of every format that pksm reads, opened and read to their end as a scan does it."""

import functools
import os
import struct
import tempfile
from collections.abc import Callable

import numpy as np

from fuzz.target import Target, one_of

from support.hostile_files import check, check_fingerprints, check_rows
from support.writers import elf, kdump, lime
from support.writers.fingerprints import fingerprints, sealed

PAGE = 512  # the smallest pages, so that inputs are small
HOLE_STEP = 4096
HEADER_BYTES, PHDR_BYTES = 64, 56  # of an ELF file


def page(number: int) -> bytes:
    """Return a page that has another content for each number, zeros for 0."""
    return struct.pack("<Q", number) * 8 + bytes(PAGE - 64) if number else bytes(PAGE)


def text_page(number: int) -> bytes:
    """Return a page that can't be compressed."""
    return np.random.default_rng(number).integers(0, 256, PAGE, np.uint8).tobytes()


# ---- inputs as files ----


@functools.cache
def _descriptor(kind: Callable[[], int]) -> int:
    return kind()


def _in_memory() -> int:
    return os.memfd_create("input")


def _on_disk() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def as_file(data: bytes) -> str:
    """Write an input to a file and return its path: one in memory, or one on a disk, which is read in other ways.

    On a disk it takes a hundred times as long to cut a file off.
    """
    fd = _descriptor(one_of((_on_disk, *[_in_memory] * 63), data))
    os.ftruncate(fd, 0)
    os.ftruncate(fd, len(data))
    for at in range(0, len(data), HOLE_STEP):  # zeros stay holes
        block = data[at : at + HOLE_STEP]
        if block.strip(b"\0"):
            os.pwrite(fd, block, at)
    return f"/proc/self/fd/{fd}"


def read_image(data: bytes) -> None:
    """Read an image as any reader that takes it does."""
    if data:
        check(as_file(data), PAGE)


def read_fingerprints(data: bytes) -> None:
    """Scan fingerprints, and make all reports."""
    if data:
        path = as_file(one_of((sealed, sealed, bytes), data)(data))
        check_fingerprints(path)
        check_rows(path)


# ---- seeds ----


def core_of(segments, notes: bytes, physical: bool = False) -> bytes:
    """Return a core of segments (address, [pages], bytes in memory, flags), without a gap between its parts."""
    notes_at = HEADER_BYTES + PHDR_BYTES * (len(segments) + 1)
    at = notes_at + len(notes)
    headers = [elf.phdr(elf.PT_NOTE, 0, notes_at, 0, 0, len(notes), 0, 4)]
    for address, pages, in_memory, flags in segments:
        places = (0, address) if physical else (address, 0)
        headers.append(elf.phdr(elf.PT_LOAD, flags, at, *places, len(pages) * PAGE, in_memory, 1))
        at += len(pages) * PAGE
    parts = [elf.header(len(headers)), *headers, notes, *(page for _, pages, *_ in segments for page in pages)]
    return b"".join(parts)


def cores() -> list[bytes]:
    """Make cores of processes."""
    base = 0x5555_0000_0000
    files = [(base, base + 4096, b"/usr/bin/one"), (base + 8192, base + 12288, b"/dev/zero (deleted)")]
    notes = elf.nt_file(files) + elf.nt_auxv({25: 0x7FFF_0000_0100, 33: 0x7FFF_8000_0000})
    segments = [
        (base, [page(1)], 4096, elf.R),
        (base + 8192, [page(2), page(0)], 4096, elf.R | elf.W),
        (base + 65536, [], 8192, 0),
        (0x7FFF_0000_0000, [page(0), page(3)], 8192, elf.R | elf.W),
    ]
    return [core_of(segments, notes), core_of(segments[:1], elf.nt_auxv({6: 4096}))]


def guests() -> list[bytes]:
    """Make dumps of guests as QEMU does."""
    segments = [(0, [page(1), page(2)], 1024, 7), (0x10000, [page(0)], 1024, 7), (0xFFFC0000, [page(4)], 512, 7)]
    return [core_of(segments, elf.qemu_note(), physical=True)]


def limes() -> list[bytes]:
    """Make LiME images."""
    ranges = [(0x1000, page(1) + page(2)), (0x9000, page(3)), (0x100000, page(0) + page(4))]
    return [lime.lime(ranges), lime.lime(ranges[:1])]


def avmls() -> list[bytes]:
    """Make AVML images, compressed."""
    ranges = [(0x1000, page(1) * 20), (0x100000, page(0) + text_page(4))]
    return [lime.avml(ranges), lime.avml(ranges[:1])]


PAGES = {1: page(1), 2: kdump.ZERO, 3: text_page(3), 5: kdump.ZERO, 9: kdump.LEFT_OUT, 70: page(2)}


def kdumps() -> list[bytes]:
    """Make kdump-compressed dumps."""
    return [kdump.kdump(PAGES, block=PAGE, compress=compress, level=31) for compress in (True, False)]


def flattened() -> list[bytes]:
    """Make the flattened form of such dumps, with a record that comes twice."""
    return [kdump.flatten(dump, 400, extra=[(0, dump[:PAGE])]) for dump in kdumps()]


def raws() -> list[bytes]:
    """Make raw memory, and what begins as other things do."""
    return [page(1) * 3 + page(0), bytes(9 * PAGE), b"\x1f\x8b\x08" + page(1), elf.header(0, kind=2) + page(2)]


def fingerprint_files() -> list[bytes]:
    """Make files of fingerprints."""
    facts = {"pid": 7, "command": "bash", "user": "root", "racy": 1, "frozen": False, "ksm_merged": None}
    return [
        fingerprints({"one": (facts, [1, 2, 2, 0, 9]), "two": ({}, [0, 9, 4, 4])}),
        fingerprints({"one": ({**facts, "racy": None, "ksm_merged": 5}, [3]), "two": (facts, [])}),
        fingerprints({"one": (facts, [3, 4]), "two": (facts, [4])}, below=5, heavy=[(1 << 63, 7)]),
    ]


NUMBERS = [struct.pack("<Q", number) for number in (PAGE, 4096, 1 << 40, 1 << 63, (1 << 63) - 1, (1 << 64) - 1)]
JSON = [b"null", b"true", b"[]", b"{}", b"-1", b"1e300", b"1e999", b'"\\ud800\\n"', b'"sources"', b'"out_of_reach"',
        b'"records"', b'"facts"', b'"zero"', b'"warnings"', b'"racy"']  # fmt: skip
MAGICS = [
    b"\x1f\x8b",
    b"\xfd7zXZ",
    b"(\xb5/\xfd",
    b"QEVM",
    b"LibvirtQemudSave",
    b"PAGEDU64",
    b"MDMP",
    b"hibr",
    b"QFI\xfb",
]

TARGETS = {
    "core": Target(read_image, cores, [b"\x7fELF", *NUMBERS, b"CORE\0", b"/dev/shm/x (deleted)"]),
    "guest": Target(read_image, guests, [b"\x7fELF", *NUMBERS, b"QEMU\0"]),
    "lime": Target(read_image, limes, [b"EMiL", *NUMBERS]),
    "avml": Target(read_image, avmls, [b"AVML", b"\xff\x06\0\0sNaPpY", *NUMBERS]),
    "kdump": Target(read_image, kdumps, [b"KDUMP   ", *NUMBERS]),
    "flattened": Target(read_image, flattened, [b"makedumpfile", b"KDUMP   ", b"\xff" * 16, *NUMBERS]),
    "raw": Target(read_image, raws, MAGICS),
    "fingerprints": Target(read_fingerprints, fingerprint_files, [b"pksmhash", *NUMBERS, *JSON]),
}
