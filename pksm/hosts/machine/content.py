"""Page contents by id: the same bytes for the same id on every machine and at every time."""

from collections.abc import Iterator

import numpy as np

from pksm.arrays import Ids, IdsLike, IntArray, U8Array, U32Array
from pksm.errors import UsageError

WORDS_AN_ID = 1024  # words of a 4 KiB page; larger pages would run into the next id's words
MAX_ID = (1 << 22) - 1
BLOCK_BYTES = 1 << 20  # made or copied at a time, to stay in the cache; no effect on the bytes


def blocks(n_pages: int, page_size: int) -> Iterator[slice]:
    """Yield slices that cover n_pages pages in blocks of about BLOCK_BYTES."""
    step = max(1, BLOCK_BYTES // page_size)
    for start in range(0, n_pages, step):
        yield slice(start, start + step)


def fmix32(words: U32Array) -> U32Array:
    """Mix a uint32 array in place: a one-to-one function of 32 bits (the finalizer of murmur3)."""
    words ^= words >> np.uint32(16)
    words *= np.uint32(0x85EBCA6B)
    words ^= words >> np.uint32(13)
    words *= np.uint32(0xC2B2AE35)
    words ^= words >> np.uint32(16)
    return words


def pages_of(ids: IdsLike, page_size: int = 4096) -> U8Array:
    """Return the pages of content ids: uint8 (n, page_size).

    Word i of id c is fmix32(1024 * c + i), modulo 2**32; id 0 is the zero page. Up to 4 KiB no word of two ids below
    2**22 is equal, and no word of an id above 0 is zero. UsageError for an id that is not from 0 to 2**22 - 1.
    """
    ids = checked_ids(ids)
    out = np.empty((len(ids), page_size), np.uint8)
    write_pages(out, np.arange(len(ids)), ids)
    return out


def checked_ids(ids: IdsLike) -> U32Array:
    """Return content ids as a uint32 array. UsageError unless they are whole numbers from 0 to 2**22 - 1."""
    ids = np.asarray(ids)
    if ids.ndim != 1 or (ids.size and (ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() > MAX_ID)):
        raise UsageError(f"content ids are a list of whole numbers from 0 to {MAX_ID}")
    return ids.astype(np.uint32)


def write_pages(memory: U8Array, rows: IntArray, ids: Ids) -> None:
    """Write the page of content ids[i] to row rows[i] of memory, uint8 (rows, page_size)."""
    n_words = memory.shape[1] // 4
    words_of = memory.view(np.uint32)
    offsets = np.arange(n_words, dtype=np.uint32)
    for part in blocks(len(ids), memory.shape[1]):
        words = ids[part, np.newaxis] * np.uint32(WORDS_AN_ID) + offsets
        fmix32(words)
        words[ids[part] == 0] = 0
        words_of[rows[part]] = words


def copy_pages(memory: U8Array, rows: IntArray, pages: U8Array) -> None:
    """Copy pages[i] to row rows[i] of memory, uint8 (rows, page_size)."""
    for part in blocks(len(rows), memory.shape[1]):
        memory[rows[part]] = pages[part]
