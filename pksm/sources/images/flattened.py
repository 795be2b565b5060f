"""makedumpfile's flattened format: a file as a stream of records that say where their bytes belong."""

import struct
from array import array

import numpy as np

from pksm.arrays import BoolArray, I64Array, distinct
from pksm.errors import PksmError
from pksm.sources.images import mapped
from pksm.sources.images.image import Image

MAGIC = b"makedumpfile\0\0\0\0"
HEADER_BYTES = 4096
RECORD = struct.Struct(">qq")  # offset in the file that was meant, bytes; always big-endian
END = -1
MAX_PAINTED = 1 << 26


class Flattened:
    """The file that an open Image in this format stands for.

    Attributes:
        size: where its last record ends.
        n_bytes: how many bytes records hold.
    """

    def __init__(self, image: Image) -> None:
        self._image = image
        if struct.unpack(">qq", image.read_at(len(MAGIC), 16).ljust(16, b"\0")) != (1, 1):
            raise PksmError(f"{image.name}: is flattened in a way that is not known; rearrange it with makedumpfile -R")
        records = np.frombuffer(self._records(), np.int64).reshape(-1, 3)
        if not len(records):
            raise image.damaged("it ends before its first record")
        self._start, self._end, self._place = _painted(image, *records.T)
        self.size = int(self._end[-1])
        self._bytes_below = np.append(0, np.cumsum(self._end - self._start))
        self.n_bytes = int(self._bytes_below[-1])

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer at the end of the file; what no record holds is zero."""
        size = max(0, min(size, self.size - offset))
        room = bytearray(size)
        low = np.searchsorted(self._end, offset, "right")
        high = np.searchsorted(self._start, offset + size, "left")
        records = zip(*(column[low:high].tolist() for column in (self._start, self._end, self._place)), strict=True)
        for start, end, place in records:
            begin, stop = max(start, offset), min(end, offset + size)
            room[begin - offset : stop - offset] = self._image.read_at(place + begin - start, stop - begin)
        return bytes(room[:size])

    def covers(self, offset: I64Array, size: I64Array) -> BoolArray:
        """Tell for each of the ranges (int64 arrays) whether records hold all of it."""
        return self._held_below(offset + size) - self._held_below(offset) == size

    def held(self, offset: int, size: int) -> I64Array:
        """Return the byte ranges in `size` bytes from `offset` that records and the image hold, int64 (n, 2), in order."""
        low = np.searchsorted(self._end, offset, "right")
        high = np.searchsorted(self._start, offset + size, "left")
        records = mapped.piece(0, self._start[low:high], self._place[low:high], (self._end - self._start)[low:high])
        found, owner = mapped.found_in(records, self._image.file.extents)
        found = np.clip(found, 0, records["size"][owner, None]) + records["address"].astype(np.int64)[owner, None]
        found = np.clip(found, offset, offset + size)
        return found[found[:, 0] < found[:, 1]]

    def _held_below(self, offset: I64Array) -> I64Array:
        index = np.searchsorted(self._start, offset, "right") - 1
        inside = np.clip(offset - self._start[index], 0, self._end[index] - self._start[index])
        return np.where(index < 0, 0, self._bytes_below[index] + inside)

    def _records(self) -> "array[int]":
        """Return (offset, bytes, place in the image) of all records, one after the other in a flat array."""
        image, at, records = self._image, HEADER_BYTES, array("q")
        while True:
            head = image.read_at(at, RECORD.size)
            if len(head) < RECORD.size:
                image.remarks.append(f"{image.name}: the flattened stream has no end: it is cut off")
                return records
            offset, size = RECORD.unpack(head)
            if offset == END:
                return records
            if offset < 0 or size <= 0 or offset + size > mapped.MAX_BYTES:
                raise image.damaged(f"the record at byte {at} is for {size} bytes at {offset}")
            at += RECORD.size
            held = min(size, image.size - at)
            if held > 0:
                records.extend((offset, held, at))
            at += size


def _painted(image: Image, offset: I64Array, size: I64Array, place: I64Array) -> tuple[I64Array, I64Array, I64Array]:
    """Return (start, end, place) of what each record holds once later ones have replaced parts of earlier ones."""
    end = offset + size
    if mapped.overlap(offset, size):
        edges = distinct(np.concatenate([offset, end]))
        low, high = np.searchsorted(edges, offset), np.searchsorted(edges, end)
        if (high - low).sum() > MAX_PAINTED:
            raise image.damaged("its records write the same bytes again and again")
        owner = np.full(len(edges) - 1, -1)
        for record, (first, last) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            owner[first:last] = record
        kept = owner >= 0
        owner = owner[kept]
        start, end = edges[:-1][kept], edges[1:][kept]
        return start, end, place[owner] + start - offset[owner]
    order = np.argsort(offset, kind="stable")
    return offset[order], end[order], place[order]
