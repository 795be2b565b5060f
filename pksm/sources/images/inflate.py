"""Many small zlib streams inflated without a Python statement for each."""

import operator
import zlib
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

import numpy as np

from pksm.arrays import BoolArray, IntArray, U8Array

_decompress = type(zlib.decompressobj()).decompress


def inflate(data: bytes, starts: IntArray, sizes: IntArray, page_size: int) -> tuple[U8Array, BoolArray]:
    """Inflate the streams of `data` (starts, sizes: bytes) to pages.

    Returns (pages, good): the good pages, uint8 (n, page_size), and which of the streams they are.
    """
    # One byte more than a page is asked for: then the checksum behind it is read, too.
    streams = map(_decompress, _fresh_objects(len(starts)), _slices(data, starts, sizes), repeat(page_size + 1))
    pages: list[bytes] = []
    while len(pages) < len(starts):
        try:
            pages.extend(streams)
        except zlib.error:  # what came before is in `pages`, and the map goes on behind the stream that failed
            pages.append(b"")
    good = np.fromiter(map(len, pages), np.int64, len(pages)) == page_size
    if not good.all():
        pages = [pages[place] for place in np.flatnonzero(good).tolist()]
    return _as_pages(pages, page_size), good


def plain(data: bytes, starts: IntArray, page_size: int) -> U8Array:
    """Return the pages that lie in `data` at `starts`, uint8 (n, page_size)."""
    return _as_pages(_slices(data, starts, np.full(len(starts), page_size)), page_size)


def _fresh_objects(count: int) -> Iterator[Any]:
    return map(operator.call, repeat(zlib.decompressobj, count))


def _slices(data: bytes, starts: IntArray, sizes: IntArray) -> Iterator[bytes]:
    return map(data.__getitem__, map(slice, starts.tolist(), (starts + sizes).tolist()))


def _as_pages(pages: Iterable[bytes], page_size: int) -> U8Array:
    return np.frombuffer(b"".join(pages), np.uint8).reshape(-1, page_size)
