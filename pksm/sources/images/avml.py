"""AVML images, version 2: ranges of physical memory, compressed with snappy."""

import os
from collections.abc import Iterable, Iterator

import numpy as np

from pksm import extents
from pksm.arrays import U8Array
from pksm.extents import State
from pksm.linux.proc.smaps import Mapping
from pksm.sources.base import Allocate, Progress, Region
from pksm.sources.files import OpenFile
from pksm.sources.images import extras, lime, snappy
from pksm.sources.images.image import Image

MAGIC = b"AVML"
SKIPPED_BYTES = 16 << 20  # blocks of this size are left out when they are all zero


def sniff(file: OpenFile) -> bool:
    """Tell whether the file is a compressed AVML image."""
    return file.head[:4] == MAGIC


def open_file(file: OpenFile) -> "AvmlImage":
    """Open the file as an AVML image. Raises PksmError, UnsupportedError when the package for snappy is missing."""
    return AvmlImage(file)


class AvmlImage(Image):
    """An AVML image, inflated in parts. DATA: its ranges; EXCLUDED: the rest of a range that is cut off."""

    kind = "avml"

    def _open(self) -> None:
        self._library = extras.load("cramjam", f"{self.name}: reading AVML images")
        lime.read_range(self, 0, MAGIC, 2)

    def _regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        at = end = size = gap_bytes = bytes_over = 0
        name = os.path.basename(self.name)
        while at + lime.HEADER.size <= self.size:
            start, size = lime.read_range(self, at, MAGIC, 2)
            if start < end:
                raise self.damaged("its ranges overlap, or are not in order")
            gap_bytes += start - end if end and start - end >= SKIPPED_BYTES else 0
            end = start + size
            self.mappings = [Mapping(name, 0, end)]
            stream = snappy.Stream(self, self._library, at + lime.HEADER.size, size)
            pages = _Pages(start, page_size)
            yield from pages.regions(stream.parts(), allocate, progress)
            if stream.inflated < size:
                missing = -(-(end - pages.address) // page_size)
                yield Region(extents.make_runs(State.EXCLUDED, 0, [pages.address], [missing]))
                self.say_cut_off(missing)
            else:
                bytes_over += pages.bytes_over
            at = stream.end
        if at < self.size:
            self.warnings.append(self.cut_off_in_header())
        if bytes_over:
            self.warnings.append(
                f"{self.name}: {bytes_over} bytes at the ends of its ranges fill no page of {page_size} bytes and are "
                "left out"
            )
        if gap_bytes or size == SKIPPED_BYTES:
            self.warnings.append(
                f"{self.name}: AVML leaves out blocks of 16 MiB that are all zero: between the ranges that are there "
                f"({gap_bytes >> 20} MiB), and behind them, there may be zero pages that are not counted"
            )


class _Pages:
    """Whole pages of a stream of bytes that begins at `address`; `bytes_over` lie before, behind and not in them."""

    def __init__(self, address: int, page_size: int):
        self.address = address
        self.bytes_over = 0
        self._page_size = page_size

    def regions(self, parts: Iterable[U8Array], allocate: Allocate, progress: Progress) -> Iterator[Region]:
        """Yield the pages in parts (uint8 arrays) as regions; `address` moves on with them."""
        tail, size = np.empty(0, np.uint8), self._page_size
        for part in parts:
            data = np.concatenate([tail, part]) if len(tail) else part
            skipped = min(-self.address % size, len(data))
            self.address += skipped
            self.bytes_over += skipped
            pages = (len(data) - skipped) // size
            stop = skipped + pages * size
            if pages:
                copies = allocate(pages)
                copies.array.reshape(-1)[:] = data[skipped:stop]
                progress(pages)
                yield Region(extents.make_runs(State.DATA, 0, [self.address], [pages]), copies=copies)
                self.address += pages * size
            tail = data[stop:].copy()
        self.bytes_over += len(tail)
