"""LiME images: ranges of physical memory as they are (AVML writes them, too, when it does not compress)."""

import os
import struct

import numpy as np

from pksm.errors import PksmError
from pksm.linux.proc.smaps import Mapping
from pksm.sources.files import OpenFile
from pksm.sources.images import mapped
from pksm.sources.images.image import Image

HEADER = struct.Struct("<4sIQQQ")  # magic, version, first and last address, reserved
MAGIC = b"EMiL"  # 0x4C694D45, little-endian
MAX_RANGES = 1 << 16


def sniff(file: OpenFile) -> bool:
    """Tell whether the file is a LiME image, of either byte order."""
    return file.head[:4] == MAGIC or file.head[:8] == b"LiME\0\0\0\1"


def open_file(file: OpenFile) -> "LimeImage":
    """Open the file as a LiME image. Raises PksmError with the reason and the remedy."""
    return LimeImage(file)


class LimeImage(mapped.MappedImage):
    """A LiME image, mapped. DATA: all of its ranges; what lies between them was not memory and is left out."""

    kind = "lime"

    def _open(self) -> None:
        if self.read_at(0, 4) != MAGIC:
            raise PksmError(f"{self.name}: is a big-endian LiME image; pksm reads little-endian ones")
        ranges = []
        at = 0
        while at + HEADER.size <= self.size:
            start, size = read_range(self, at, MAGIC, 1)
            ranges.append((start, at + HEADER.size, size))
            at += HEADER.size + size
            if len(ranges) > MAX_RANGES:
                raise self.damaged(f"it has more than {MAX_RANGES} ranges")
        if at < self.size:
            self.remarks.append(self.cut_off_in_header())
        if not ranges:
            raise self.damaged("it is shorter than its first header")
        starts, offsets, sizes = (np.array(column) for column in zip(*ranges, strict=True))
        starts = starts.astype(np.uint64)
        if mapped.overlap(starts, sizes):
            raise self.damaged("its ranges overlap")
        self.mappings = [Mapping(os.path.basename(self.name), 0, max(low + length for low, _, length in ranges))]
        self.hold(mapped.piece(0, starts, offsets, sizes))


def read_range(image: Image, at: int, magic: bytes, version: int) -> tuple[int, int]:
    """Return (first address, bytes) of the header at byte `at`. Raises PksmError unless it is one of this version."""
    header = image.read_at(at, HEADER.size)
    if len(header) < HEADER.size:
        raise image.damaged(f"it ended at byte {at} while it was read")
    found, its_version, first, last, _ = HEADER.unpack(header)
    if found != magic:
        raise image.damaged(f"no header where the range at byte {at} must begin")
    if its_version != version:
        raise PksmError(f"{image.name}: has version {its_version} of its format; pksm reads version {version}")
    size = last - first + 1
    if size <= 0 or last >= 1 << 62 or size > mapped.MAX_BYTES:
        raise image.damaged(f"the range at byte {at} goes from {first:#x} to {last:#x}")
    return first, size
