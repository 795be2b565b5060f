"""Page contents by id: the same bytes for the same id on every machine and at every time."""

from collections.abc import Iterator

import numpy as np

from pksm.arrays import IdsLike, IntArray, U8Array, U32Array, U64Array
from pksm.errors import UsageError

WORDS_AN_ID = 1024  # words of a 4 KiB page; larger pages would run into the next id's words
MAX_ID = (1 << 22) - 1  # the last id whose words no other id has
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

    Word i of id c below 2**22 is fmix32(1024 * c + i), modulo 2**32; id 0 is the zero page. Up to 4 KiB no word of two
    of these is equal, and no word of one above 0 is zero. Of greater ids, the first 8 bytes differ from those of every
    other id. UsageError for an id that is not from 0 to 2**64 - 1.
    """
    ids = checked_ids(ids)
    out = np.empty((len(ids), page_size), np.uint8)
    write_pages(out, np.arange(len(ids)), ids)
    return out


def checked_ids(ids: IdsLike) -> U64Array:
    """Return content ids as a uint64 array. UsageError unless they are whole numbers from 0 to 2**64 - 1."""
    try:  # numpy makes floats of small and large numbers side by side
        array = (
            np.array(ids, np.uint64) if isinstance(ids, (list, tuple)) and ids and max(ids) >> 63 else np.asarray(ids)
        )
    except (OverflowError, TypeError, ValueError):
        array = np.empty(1, object)
    if array.ndim != 1 or (array.size and (array.dtype.kind not in "iu" or int(array.min()) < 0)):
        raise UsageError(f"content ids are a list of whole numbers from 0 to {(1 << 64) - 1}")
    return array.astype(np.uint64)


def write_pages(memory: U8Array, rows: IntArray, ids: U64Array) -> None:
    """Write the page of content ids[i] to row rows[i] of memory, uint8 (rows, page_size)."""
    n_words = memory.shape[1] // 4
    words_of = memory.view(np.uint32)
    offsets = np.arange(n_words, dtype=np.uint32)
    for part in blocks(len(ids), memory.shape[1]):
        some = ids[part]
        words = some[:, np.newaxis].astype(np.uint32) * np.uint32(WORDS_AN_ID) + offsets
        fmix32(words)
        words[some == 0] = 0
        great = np.flatnonzero(some > MAX_ID)
        if len(great):
            words[great] = _words_of_great(some[great], offsets)
        words_of[rows[part]] = words


def _words_of_great(ids: U64Array, offsets: U32Array) -> U32Array:
    """Return the words of ids above MAX_ID: (n, words)."""
    first = _first_words(ids)
    words = first[:, :1] + offsets * np.uint32(0x9E3779B9)
    fmix32(words)
    words ^= first[:, 1:]
    words[:, :2] = first
    return words


def _first_words(ids: U64Array) -> U32Array:
    """Return the first two words of ids above MAX_ID: no two are equal, and none is that of an id up to MAX_ID.

    A permutation of 64 bits. Where it hits the words of a small id, those that the permutation gives that small id are
    taken, which are nobody else's.
    """
    words = _permuted(ids)
    while True:
        small = _small_id_of(words)
        hit = small <= MAX_ID
        if not hit.any():
            return words
        words[hit] = _permuted(small[hit])


def _permuted(ids: U64Array) -> U32Array:
    """Return two words for each id, a one-to-one function of 64 bits: three rounds of a Feistel network."""
    left, right = (ids >> np.uint64(32)).astype(np.uint32), ids.astype(np.uint32)
    for key in (0x9E3779B9, 0x7F4A7C15, 0xF39CC060):
        left, right = right, left ^ fmix32(right + np.uint32(key))
    return np.stack((left, right), axis=1)


def _small_id_of(words: U32Array) -> U64Array:
    """Return the id up to MAX_ID that begins with these two words (n, 2), and MAX_ID + 1 where none does."""
    first, second = _unmixed(words[:, 0].copy()), _unmixed(words[:, 1].copy())
    begins = (first % np.uint32(WORDS_AN_ID) == 0) & (second == first + np.uint32(1)) & (first != 0)
    begins |= (words == 0).all(axis=1)
    return np.where(begins, first // np.uint32(WORDS_AN_ID), MAX_ID + 1).astype(np.uint64)


def _unmixed(words: U32Array) -> U32Array:
    """Undo fmix32 in place."""
    words ^= words >> np.uint32(16)
    words *= np.uint32(pow(0xC2B2AE35, -1, 1 << 32))
    words ^= (words >> np.uint32(13)) ^ (words >> np.uint32(26))
    words *= np.uint32(pow(0x85EBCA6B, -1, 1 << 32))
    words ^= words >> np.uint32(16)
    return words


def copy_pages(memory: U8Array, rows: IntArray, pages: U8Array) -> None:
    """Copy pages[i] to row rows[i] of memory, uint8 (rows, page_size)."""
    for part in blocks(len(rows), memory.shape[1]):
        memory[rows[part]] = pages[part]
