"""kdump-compressed dumps of makedumpfile and QEMU, plain or with zlib; flattened ones, too."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pksm.arrays import BoolArray, I64Array, StructArray, U8Array
from pksm.errors import PksmError, UsageError
from pksm.extents import State, make_runs, mark_runs
from pksm.linux.proc.smaps import Mapping
from pksm.sources import base
from pksm.sources.base import Allocate, Progress, Region
from pksm.sources.files import OpenFile
from pksm.sources.images import flattened, guest, inflate, mapped
from pksm.sources.images.image import Image

MAGIC = b"KDUMP   "
FIELDS = struct.Struct("5I")  # status, block size, blocks of the sub header and of both bitmaps, page frames
FIELDS_AT, FIELDS_AT_32BIT = 424, 412
UTSNAME, UTSNAME_AT = struct.Struct("65s65s65s65s65s65s"), 12  # system, node, release, version, machine, domain
SUB_HEADER = struct.Struct("<Qii10QQ")  # phys_base, dump level, split, ten others, page frames (version 6)
PAGE = np.dtype([("offset", "i8"), ("size", "u4"), ("flags", "u4"), ("page_flags", "u8")])
ZLIB, INCOMPLETE = 0x1, 0x8
OTHERS = {0x2: "lzo", 0x4: "snappy", 0x20: "zstd"}
LEVELS = {1: "zero", 2: "cache", 4: "private cache", 8: "user", 16: "free"}
MAX_FRAMES = 1 << 40
WINDOW, WINDOW_BYTES = 1 << 14, 64 << 20  # page frames looked at together, and their bytes, at most
BITMAP_BYTES = 8 << 20  # of each bitmap, read together
READ_BYTES, NEAR_BYTES = 8 << 20, 64 << 10


def sniff(file: OpenFile) -> bool:
    """Tell whether the file is a kdump-compressed dump, flattened or not."""
    return file.head.startswith((MAGIC, flattened.MAGIC))


def open_file(file: OpenFile) -> "KdumpImage":
    """Open the file as a kdump-compressed dump. Raises PksmError with the reason and the remedy."""
    return KdumpImage(file)


@dataclass
class _Layout:
    """Where the parts of a dump lie: sizes in bytes, offsets from the start of the file."""

    status: int
    block: int
    sub_header: int
    bitmap: int
    bitmap_size: int
    pages: int
    n_frames: int


class KdumpImage(Image):
    """A dump, inflated in parts; pages that are not compressed are mapped where no other is.

    DATA: its pages. ZERO: pages that share one place in the file that holds zeros, and what a dump of level 1 leaves
    out. EXCLUDED: what another level leaves out, and what is cut off or damaged. Frames without memory are left out.
    """

    kind = "kdump"

    def _open(self) -> None:
        self._extents = self.file.extents  # now: the file may shrink
        self._file = flattened.Flattened(self) if self.read_at(0, 16) == flattened.MAGIC else self
        self.n_bytes = self.size
        self._layout = self._read_layout()
        status = self._layout.status
        if status & INCOMPLETE:
            self.remarks.append(f"{self.name}: the dump is marked as incomplete: there was no room for all of it")
        self._refuse_others(status)
        if self._is_by_qemu():
            self.remarks.append(guest.about_untouched_ram(self.name))
        self.mappings = [Mapping(os.path.basename(self.name), 0, self._layout.n_frames * self._layout.block)]

    def _is_by_qemu(self) -> bool:
        """Tell whether QEMU wrote the dump, which names the machine, but no system that runs on it."""
        names = UTSNAME.unpack(self._file.read_at(UTSNAME_AT, UTSNAME.size).ljust(UTSNAME.size, b"\0"))
        system, machine = (name.rstrip(b"\0") for name in (names[0], names[4]))
        return not system and bool(machine)

    def covers(self, offset: I64Array, size: I64Array) -> BoolArray:
        """Tell for each of the ranges (int64 arrays) whether the file holds all of it."""
        return offset + size <= self.size

    def _read_layout(self) -> _Layout:
        head = self._file.read_at(0, 512)
        if head[: len(MAGIC)] != MAGIC:
            raise self.damaged("it does not begin as a kdump-compressed dump does")
        layout = self._fields(head, "<", FIELDS_AT)
        if layout is None:
            for order, at in (("<", FIELDS_AT_32BIT), (">", FIELDS_AT), (">", FIELDS_AT_32BIT)):
                if self._fields(head, order, at) is not None:
                    raise PksmError(
                        f"{self.name}: is a dump of a 32-bit or big-endian machine; "
                        "pksm reads those of 64-bit little-endian ones"
                    )
            raise self.damaged("its header makes no sense, or it is cut off before its list of pages")
        version = struct.unpack_from("<I", head, len(MAGIC))[0]
        sub_header = SUB_HEADER.unpack(self._file.read_at(layout.sub_header, SUB_HEADER.size).ljust(SUB_HEADER.size))
        self._level = sub_header[1] if version >= 1 else 0
        if version >= 2 and sub_header[2]:
            raise PksmError(
                f"{self.name}: is one part of a split dump; join the parts with makedumpfile (option reassemble)"
            )
        if version >= 6:
            layout.n_frames = sub_header[-1]
        if not 0 < layout.n_frames <= min(8 * layout.bitmap_size, MAX_FRAMES):
            raise self.damaged(f"its bitmaps are too small for {layout.n_frames} page frames")
        return layout

    def _fields(self, head: bytes, order: str, at: int) -> _Layout | None:
        """Read the header as one of this byte order and word size; None where that makes no sense."""
        if len(head) < at + FIELDS.size:
            return None
        status, block, sub_blocks, bitmap_blocks, n_frames = struct.unpack_from(order + FIELDS.format, head, at)
        bitmap_size = bitmap_blocks // 2 * block
        pages = (1 + sub_blocks + bitmap_blocks) * block
        sane = base.MIN_PAGE_SIZE <= block <= base.MAX_PAGE_SIZE and not block & (block - 1)
        if not sane or not sub_blocks or not bitmap_size or bitmap_blocks % 2 or pages > self._file.size:
            return None
        return _Layout(status, block, block, (1 + sub_blocks) * block, bitmap_size, pages, n_frames)

    def _refuse_others(self, flags: int) -> None:
        names = [name for flag, name in OTHERS.items() if flags & flag]
        if names:
            raise PksmError(
                f"{self.name}: its pages are compressed with {names[0]}; convert it with: makedumpfile -c -d 0 "
                f"{self.name} NEW (or dump again with zlib: makedumpfile -c, QEMU's kdump-zlib)"
            )

    def _regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        layout = self._layout
        if page_size != layout.block:
            raise UsageError(f"{self.name}: has pages of {layout.block} bytes, not {page_size}", "page_size")
        reading = _Reading(self, layout, self._file, allocate, progress)
        for stored, left_out in self._windows():
            yield from reading.regions(stored)
            if len(left_out):
                yield Region(_runs_of(left_out, self._state_left_out, page_size))
                reading.left_out += len(left_out)
        self.say_cut_off(reading.cut_off)
        self._say_damaged(reading.damaged)
        self._say_left_out(reading.left_out)

    @property
    def _state_left_out(self) -> State:
        return State.ZERO if self._level == 1 else State.EXCLUDED

    def _windows(self) -> Iterator[tuple[I64Array, I64Array]]:
        """Yield (page frames that have a page in the file, those left out) of each window that has any, in order.

        Only bytes that the file holds are looked at: how many frames there are is a promise of the header's.
        """
        layout = self._layout
        window = min(WINDOW, max(8, WINDOW_BYTES // layout.block)) // 8
        n_bytes = -(-layout.n_frames // 8)
        starts = layout.bitmap, layout.bitmap + layout.bitmap_size
        held = np.concatenate([self._file.held(start, n_bytes) - start for start in starts])
        for begin, end in _covering(held, window, max(1, BITMAP_BYTES // window), n_bytes):
            memory, dumped = (self._bits(start + begin, end - begin) for start in starts)
            used = np.zeros(-(-(end - begin) // window) * window, bool)
            used[: end - begin] = (memory | dumped) != 0
            for at in (np.flatnonzero(used.reshape(-1, window).any(axis=1)) * window).tolist():
                first = (begin + at) * 8
                frames = min(window * 8, layout.n_frames - first)
                here, there = (
                    np.unpackbits(bits[at : at + window], bitorder="little")[:frames] for bits in (memory, dumped)
                )
                yield np.flatnonzero(there) + first, np.flatnonzero(here & ~there) + first

    def _bits(self, offset: int, size: int) -> U8Array:
        data = self._file.read_at(offset, size)
        if len(data) != size:
            raise self.damaged("it became shorter while it was read")
        return np.frombuffer(data, np.uint8)

    def held(self, offset: int, size: int) -> I64Array:
        """Return the byte ranges in `size` bytes from `offset` that the file may hold, int64 (n, 2), in order."""
        found = np.clip(self._extents, offset, offset + size)
        return found[found[:, 0] < found[:, 1]]

    def _say_damaged(self, pages: int) -> None:
        if pages:
            self.lost += pages
            self.warnings.append(f"{self.name}: {pages} pages are damaged and were not read")

    def _say_left_out(self, pages: int) -> None:
        if not pages:
            return
        kinds = [name for bit, name in LEVELS.items() if self._level & bit]
        told = f"its dump level {self._level} leaves out {', '.join(kinds) or 'some'} pages"
        then = "are counted as zero pages" if self._level == 1 else "are in no count: dump with level 0 to count all"
        self.warnings.append(f"{self.name}: {told}: {pages} pages, which {then}")


class _Reading:
    """One pass over the pages of a dump, which are listed in the order of their frames."""

    def __init__(
        self,
        image: KdumpImage,
        layout: _Layout,
        file: KdumpImage | flattened.Flattened,
        allocate: Allocate,
        progress: Progress,
    ) -> None:
        self._image, self._layout, self._file = image, layout, file
        self._allocate, self._progress = allocate, progress
        self._next = 0  # page of the list
        self._n_bytes = 0  # of all pages' places in the file
        self._zero_at: set[int] = set()  # places in the file that hold a page of zeros for many
        self.cut_off = self.damaged = self.left_out = 0

    def regions(self, frames: I64Array) -> Iterator[Region]:
        """Yield the regions of these page frames (int64), the next ones of the list."""
        pages = self._listed(len(frames))
        self.cut_off += len(frames) - len(pages)
        states = np.full(len(frames), State.EXCLUDED, np.uint8)
        known = states[: len(pages)]
        offset, size, compressed = pages["offset"], pages["size"].astype(np.int64), pages["flags"] == ZLIB
        block = self._layout.block
        sane = (offset > 0) & (offset < mapped.MAX_BYTES) & (size > 0) & (compressed | (pages["flags"] == 0))
        sane &= (size == block) | (compressed & (size < block))
        held = sane.copy()
        held[sane] = self._file.covers(offset[sane], size[sane])
        self.cut_off += int((sane & ~held).sum())
        self.damaged += int((~sane).sum())
        known[held] = State.DATA
        known[self._zeros(offset, held & ~compressed)] = State.ZERO
        known[self._repeated(offset, size, known == State.DATA)] = State.EXCLUDED
        data = np.flatnonzero(known == State.DATA)
        if self._file is self._image and not compressed[data].any():
            yield from self._mapped(frames[data], offset[data])
        elif len(data):
            yield self._inflated(frames[data], offset[data], size[data], compressed[data])
        rest = states != State.DATA
        if rest.any():
            yield Region(_runs_of(frames[rest], states[rest], block))

    def _listed(self, count: int) -> StructArray:
        """Return the next `count` entries of the list, fewer where it is cut off."""
        start = self._layout.pages + self._next * PAGE.itemsize
        self._next += count
        data = self._file.read_at(start, count * PAGE.itemsize)
        pages = np.frombuffer(data[: len(data) // PAGE.itemsize * PAGE.itemsize], PAGE)
        for flag in OTHERS:
            if (pages["flags"] == flag).any():
                self._image._refuse_others(flag)
        return pages

    def _zeros(self, offset: I64Array, plain: BoolArray) -> BoolArray:
        """Tell which of the plain pages are at a place that many share and that holds zeros, as all writers do it."""
        places, counts = np.unique(offset[plain], return_counts=True)
        if len(places):
            place = int(places[np.argmax(counts)])
            if counts.max() > 1 and place not in self._zero_at:
                if not any(self._file.read_at(place, self._layout.block)):
                    self._zero_at.add(place)
        return plain & np.isin(offset, list(self._zero_at))

    def _repeated(self, offset: I64Array, size: I64Array, chosen: BoolArray) -> I64Array:
        """Count as damaged, and return, those of the chosen pages for which others have taken the place already.

        Only zero pages share a place: a small file would be as many pages as its list of them likes.
        """
        pages = np.flatnonzero(chosen)
        first = np.unique(offset[pages], return_index=True)[1]
        taken = self._n_bytes + np.cumsum(size[pages])
        again = taken > self._file.n_bytes
        again |= ~np.isin(np.arange(len(pages)), first)
        self._n_bytes += int(size[pages].sum())
        self.damaged += int(again.sum())
        return pages[again]

    def _mapped(self, frames: I64Array, offset: I64Array) -> Iterator[Region]:
        if not len(frames):
            return
        block = self._layout.block
        heads = np.append(0, np.flatnonzero((np.diff(frames) != 1) | (np.diff(offset) != block)) + 1)
        address = (frames[heads] * block).astype(np.uint64)
        pieces = mapped.piece(0, address, offset[heads], np.diff(heads, append=len(frames)) * block)
        yield from mapped.regions(self._image.file, pieces, State.ZERO, block, self._allocate, self._progress)

    def _inflated(self, frames: I64Array, offset: I64Array, size: I64Array, compressed: BoolArray) -> Region:
        block = self._layout.block
        copies = self._allocate(len(frames))
        states = np.full(len(frames), State.EXCLUDED, np.uint8)
        order = np.argsort(offset, kind="stable")
        ends = np.maximum.accumulate(offset[order] + size[order])
        begins = offset[order]
        apart = (begins[1:] - ends[:-1] > NEAR_BYTES) | (np.diff(begins // READ_BYTES) != 0)
        heads = np.append(0, np.flatnonzero(apart) + 1).tolist()
        for head, stop in zip(heads, [*heads[1:], len(order)], strict=True):
            begin = int(begins[head])
            data = self._file.read_at(begin, int(ends[stop - 1]) - begin)
            self._fill(copies.array, states, order[head:stop], data, offset - begin, size, compressed)
        lost = int((states != State.DATA).sum())
        self.damaged += lost
        self._progress(len(frames) - lost)
        runs = _runs_of(frames, State.DATA, block)
        return Region(mark_runs(runs, states, block) if lost else runs, copies=copies)

    def _fill(
        self,
        buffer: U8Array,
        states: U8Array,
        pages: I64Array,
        data: bytes,
        starts: I64Array,
        sizes: I64Array,
        compressed: BoolArray,
    ) -> None:
        """Put the pages (indexes) that lie in `data` at `starts` into the buffer, and mark them as DATA."""
        block = self._layout.block
        whole = pages[starts[pages] + sizes[pages] <= len(data)]  # the file may shrink meanwhile
        streams, plain = whole[compressed[whole]], whole[~compressed[whole]]
        inflated, good = inflate.inflate(data, starts[streams], sizes[streams], block)
        buffer[streams[good]] = inflated
        buffer[plain] = inflate.plain(data, starts[plain], block)
        states[streams[good]] = states[plain] = State.DATA


def _covering(ranges: I64Array, step: int, most: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (begin, end) of the parts of [0, end) that cover the ranges: whole steps, `most` of them at a time."""
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    reached = 0
    for low, high in zip((ranges[:, 0] // step).tolist(), (-(-ranges[:, 1] // step)).tolist(), strict=True):
        for begin in range(max(low, reached), high, most):
            yield begin * step, min(min(begin + most, high) * step, end)
        reached = max(reached, high)


def _runs_of(frames: I64Array, states: Any, block: int) -> StructArray:
    """Make runs of page frames (sorted), each in its state."""
    states = np.broadcast_to(np.asarray(states, np.uint8), len(frames))
    heads = np.append(0, np.flatnonzero((np.diff(frames) != 1) | (np.diff(states) != 0)) + 1)
    address = (frames[heads] * block).astype(np.uint64)
    return make_runs(states[heads], 0, address, np.diff(heads, append=len(frames)))
