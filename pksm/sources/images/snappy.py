"""Streams in snappy's framing format, inflated some megabytes at a time."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from pksm.arrays import U8Array
from pksm.sources.images.image import Image

IDENTIFIER = b"\xff\x06\x00\x00sNaPpY"
COMPRESSED, PLAIN = 0x00, 0x01
FIRST_SKIPPABLE = 0x80
MAX_CHUNK = 1 << 16  # inflated bytes; the format allows no more
PART_BYTES = 16 << 20
MAX_EMPTY = 64  # chunks without content one after the other


class Stream:
    """The stream of an open Image that begins at byte `start`, inflates to `size` bytes and is followed by its length.

    inflated: bytes given so far; end: where the file goes on, once all parts were taken.
    """

    def __init__(self, image: Image, library: Any, start: int, size: int) -> None:
        self._image, self._library = image, library
        self._start, self._size = start, size
        self.inflated = 0
        self.end = start

    def parts(self) -> Iterator[U8Array]:
        """Yield the content as uint8 arrays, each valid until the next; stops early where the file is cut off."""
        room = np.empty(min(PART_BYTES + MAX_CHUNK, self._size), np.uint8)
        while self.inflated < self._size:
            begin, length, cut_off = self.end, 0, False
            while not cut_off and length < PART_BYTES and self.inflated + length < self._size:
                self.end, content, cut_off = self._next_chunk(self.end)
                length += content
            if self.inflated + length > self._size:
                raise self._image.damaged(f"the range at byte {self._start} inflates to more than its header says")
            if length:
                self._inflate(begin, room[:length])
                self.inflated += length
                yield room[:length]
            if cut_off:
                self.end = self._image.size
                return
        told = self._image.read_at(self.end, 8)
        if len(told) == 8 and struct.unpack("<Q", told)[0] != self.end - self._start:
            raise self._image.damaged(f"the range at byte {self._start} is not as long as it says at its end")
        self.end += 8

    def _inflate(self, begin: int, room: U8Array) -> None:
        framed = self._image.read_at(begin, self.end - begin)
        if not framed.startswith(IDENTIFIER):
            framed = IDENTIFIER + framed
        try:
            inflated = self._library.snappy.decompress_into(framed, room)
        except self._library.DecompressionError:
            inflated = -1
        if inflated != len(room):
            raise self._image.damaged(f"compressed bytes from {begin} to {self.end} do not inflate") from None

    def _next_chunk(self, at: int) -> tuple[int, int, bool]:
        """Return (end, bytes of content, whether it is cut off) of the first chunk from `at` that has content."""
        for _ in range(MAX_EMPTY):
            head = self._image.read_at(at, 13)  # kind, length, checksum, and how long a compressed chunk inflates
            length = int.from_bytes(head[1:4], "little")
            if len(head) < 4 or at + 4 + length > self._image.size:
                return at, 0, True
            content = _content(head, length)
            if content:
                return at + 4 + length, content, False
            if content is None:
                raise self._image.damaged(f"no snappy chunk at byte {at}")
            at += 4 + length
        raise self._image.damaged(f"no snappy chunk with content before byte {at}")


def _content(head: bytes, length: int) -> int | None:
    """Return how many bytes a chunk inflates to: 0 for one to be skipped, None for one that can't be."""
    kind = head[0]
    if kind >= FIRST_SKIPPABLE:
        return 0
    if kind not in (COMPRESSED, PLAIN) or length < 5:
        return None
    size = length - 4 if kind == PLAIN else _varint(head[8 : 4 + length])
    return size if 0 < size <= MAX_CHUNK else None


def _varint(data: bytes) -> int:
    """Return the number that `data` begins with, seven bits a byte, the lowest first; 0 when it does not end."""
    number = 0
    for place, byte in enumerate(data[:5]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number
    return 0
