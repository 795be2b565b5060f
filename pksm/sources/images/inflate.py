"""Many small zlib streams inflated without a Python statement for each."""

import operator
import zlib
from itertools import repeat

import numpy as np

_decompress = type(zlib.decompressobj()).decompress


def inflate(data: bytes, starts, sizes, page_size: int):
    """Inflate the streams of `data` (starts, sizes: bytes) to pages.

    Returns (pages, good): the good pages, uint8 (n, page_size), and which of the streams they are.
    """
    # One byte more than a page is asked for: then the checksum behind it is read, too.
    streams = map(_decompress, _fresh_objects(len(starts)), _slices(data, starts, sizes), repeat(page_size + 1))
    pages = []
    while len(pages) < len(starts):
        try:
            pages.extend(streams)
        except zlib.error:  # what came before is in `pages`, and the map goes on behind the stream that failed
            pages.append(b"")
    good = np.fromiter(map(len, pages), np.int64, len(pages)) == page_size
    if not good.all():
        pages = [pages[place] for place in np.flatnonzero(good).tolist()]
    return _as_pages(pages, page_size), good


def plain(data: bytes, starts, page_size: int):
    """Return the pages that lie in `data` at `starts`, uint8 (n, page_size)."""
    return _as_pages(_slices(data, starts, np.full(len(starts), page_size)), page_size)


def _fresh_objects(count):
    return map(operator.call, repeat(zlib.decompressobj, count))


def _slices(data, starts, sizes):
    return map(data.__getitem__, map(slice, starts.tolist(), (starts + sizes).tolist()))


def _as_pages(pages, page_size):
    return np.frombuffer(b"".join(pages), np.uint8).reshape(-1, page_size)
