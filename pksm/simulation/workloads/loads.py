"""The static loads: pages of known content, the same bytes from the same seed on every machine.

Everything is made of the raw 64-bit words of one SFC64 stream: numpy promises never to change those (nor how
SeedSequence starts them), while the numbers that Generator's methods derive from them may differ from version to
version. The words are stored little endian.

The last 8 bytes of a page that is not zero are its label: a one-to-one function of its content id, and never
zero. So different ids mean different bytes for certain, at every page size, whatever the bytes before them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from pksm.arrays import I64Array, Ids, Pages, U8Array, U32Array, U64Array
from pksm.errors import UsageError
from pksm.naming import unknown
from pksm.simulation.workloads.names import LOADS

WORD = np.dtype("<u8")
BLOCK_BYTES = 1 << 20  # painted at a time, to stay in the cache; no effect on the bytes
N_HEADERS = 64
POINTER_BASE = np.uint64(0x7F00_0000_0000)  # where Linux on x86 maps libraries and stacks


@dataclass(frozen=True)
class Load:
    """A load in memory and its true answer."""

    name: str
    contents: np.ndarray  # uint32 content id of each page: equal ids mean equal bytes, 0 is the zero page

    def expected(self) -> dict[str, int]:
        """Count pages, zero pages, contents (the zero page's included) and duplicates that are not zero."""
        pages = len(self.contents)
        distinct = int(np.count_nonzero(np.bincount(self.contents)))
        zero = int(np.count_nonzero(self.contents == 0))
        return {
            "pages": pages,
            "zero": zero,
            "distinct": distinct,
            "duplicates": pages - distinct - max(0, zero - 1),
        }


def make(name: str, out: U8Array, seed: int = 0) -> Load:
    """Fill `out` with a load and return it.

    out: C-contiguous uint8 array (n_pages, page_size), page_size a power of two from 8; every byte is written.
    Temporary memory: about 65 bytes per page, and a few blocks of BLOCK_BYTES (or of one page).
    """
    _check(name, out, seed)
    n_pages, page_size = out.shape
    stream = _Stream(name, seed)
    painter = _Painter(stream, page_size // 8)
    n_zero, classes = _MIXES[name](n_pages, stream)

    sizes = np.concatenate([sizes for _, sizes in classes])
    slots = np.zeros(n_pages, dtype=np.uint32)
    slots[n_zero:] = np.repeat(np.arange(1, len(sizes) + 1, dtype=np.uint32), sizes)
    place = np.argsort(stream.draw(n_pages), kind="stable").astype(np.uint32)  # slot -> page
    contents = np.empty(n_pages, dtype=np.uint32)
    contents[place] = slots

    firsts = n_zero + np.cumsum(sizes) - sizes  # each content's first slot
    words = out.reshape(-1).view(WORD).reshape(n_pages, page_size // 8)
    words[place[:n_zero]] = 0
    id_end = 1
    for kind, class_sizes in classes:
        ids = np.arange(id_end, id_end + len(class_sizes), dtype=np.uint32)
        id_end += len(class_sizes)
        pages = place[firsts[ids - 1]]
        ascending = np.argsort(pages)
        painter.paint(kind, words, pages[ascending], ids[ascending])
    _copy(words, place, firsts, sizes)
    return Load(name, contents)


def _check(name: str, out: object, seed: object) -> None:
    if name not in LOADS:
        raise unknown("unknown load", name, LOADS)
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise UsageError(f"seed {seed!r} of load {name}: must be a whole number from 0")
    if not isinstance(out, np.ndarray) or out.ndim != 2 or out.dtype != np.uint8:
        raise UsageError(f"load {name} needs a uint8 array (n_pages, page_size) to fill")
    page_size = out.shape[1]
    if page_size < 8 or page_size & (page_size - 1):
        raise UsageError(f"page size {page_size} of load {name}: must be a power of two from 8")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise UsageError(f"load {name} needs a contiguous, writable array to fill")


class _Stream:
    """Raw random words that depend on load and seed alone."""

    def __init__(self, name: str, seed: int) -> None:
        self._bits = np.random.SFC64(np.random.SeedSequence([int(seed), ord(name)]))

    def draw(self, *shape: int) -> U64Array:
        """Return the next words of the stream, uint64 in this shape."""
        return self._bits.random_raw(int(np.prod(shape))).reshape(shape)


class _Painter:
    """Makes the bytes of contents, a block at a time."""

    def __init__(self, stream: _Stream, n_words: int) -> None:
        self._stream = stream
        self._n_words = n_words
        self._salt = stream.draw(1) >> np.uint64(32) << np.uint64(32)
        self._page = stream.draw(n_words)
        self._headers = stream.draw(N_HEADERS, n_words // 8)

    def paint(self, kind: "Kind", words: U64Array, pages: Pages, ids: Ids) -> None:
        """Write contents `ids`, all of one kind, to `pages`."""
        step = max(1, BLOCK_BYTES // (8 * self._n_words))
        for start in range(0, len(pages), step):
            labels = self._labels(ids[start : start + step])
            block = kind(self, labels)
            block[:, -1] = labels
            words[pages[start : start + step]] = block

    def random(self, labels: U64Array) -> U64Array:
        return self._stream.draw(len(labels), self._n_words)

    def alike(self, labels: U64Array) -> U64Array:
        return np.tile(self._page, (len(labels), 1))

    def behind_zeros(self, labels: U64Array) -> U64Array:
        """Zero 0 to page_size - 8 bytes, all lengths equally likely; the label chooses."""
        block = self.random(labels)
        lengths = (labels >> np.uint64(32)) * np.uint64(8 * self._n_words - 7) >> np.uint64(32)
        boundary = (lengths >> np.uint64(3)).astype(np.intp)
        np.copyto(block, 0, where=np.arange(self._n_words) < boundary[:, None])
        # Little endian: the first bytes of a word are its low ones.
        block[np.arange(len(block)), boundary] &= ~np.uint64(0) << ((lengths & np.uint64(7)) << np.uint64(3))
        return block

    def pointers(self, labels: U64Array) -> U64Array:
        """One of the shared headers, an eighth of the page, then addresses of 8-aligned things within 1 TiB."""
        block = self.random(labels)
        block >>= np.uint64(24)
        block &= ~np.uint64(7)
        block |= POINTER_BASE
        block[:, : self._headers.shape[1]] = self._headers[labels % np.uint64(N_HEADERS)]
        return block

    def _labels(self, ids: Ids) -> U64Array:
        """Scramble 32 bits of seed and the id: every step can be undone and 0 alone gives 0."""
        x = self._salt | ids.astype(np.uint64)
        for shift, odd in ((32, 0x9E3779B97F4A7C15), (29, 0x243F6A8885A308D3)):
            x ^= x >> np.uint64(shift)
            x *= np.uint64(odd)
        return x ^ (x >> np.uint64(32))


def _copy(words: U64Array, place: U32Array, firsts: I64Array, sizes: I64Array) -> None:
    """Copy each content from its first page to its others, block by block."""
    copied = np.flatnonzero(sizes > 1)
    if not len(copied):
        return
    counts = sizes[copied] - 1
    sources = np.repeat(place[firsts[copied]], counts)
    within = np.arange(len(sources)) - np.repeat(np.cumsum(counts) - counts, counts)
    targets = place[np.repeat(firsts[copied] + 1, counts) + within]
    step = max(1, BLOCK_BYTES // (8 * words.shape[1]))
    for start in range(0, len(sources), step):
        words[targets[start : start + step]] = words[sources[start : start + step]]


# Each mix returns the number of zero pages and its classes of contents: (kind, pages of each content).


# Contents of a kind: how they are painted, and how many pages have each.
Kind: TypeAlias = Callable[[_Painter, U64Array], U64Array]
Mix: TypeAlias = tuple[int, list[tuple[Kind, I64Array]]]  # with the number of zero pages


def _unique(kind: Kind) -> Callable[[int, _Stream], Mix]:
    return lambda n_pages, stream: (0, [(kind, _ones(n_pages))])


def _half_in_pairs(n_pages: int, stream: _Stream) -> Mix:
    n_pairs = n_pages // 4
    return 0, [(_Painter.random, np.full(n_pairs, 2)), (_Painter.random, _ones(n_pages - 2 * n_pairs))]


def _sixteens(n_pages: int, stream: _Stream) -> Mix:
    full, rest = divmod(n_pages, 16)
    return 0, [(_Painter.random, np.array([16] * full + [rest] * (rest > 0), dtype=np.intp))]


def _zero_and_unique(n_pages: int, stream: _Stream) -> Mix:
    n_zero = n_pages * 30 // 100
    return n_zero, [(_Painter.random, _ones(n_pages - n_zero))]


def _realistic(n_pages: int, stream: _Stream) -> Mix:
    n_zero, n_prefixed, n_pointers = n_pages * 15 // 100, n_pages * 20 // 100, n_pages * 20 // 100
    groups = _group_sizes(n_pages * 25 // 100, stream)
    n_random = n_pages - n_zero - n_prefixed - n_pointers - int(groups.sum())
    return n_zero, [
        (_Painter.random, groups),
        (_Painter.behind_zeros, _ones(n_prefixed)),
        (_Painter.pointers, _ones(n_pointers)),
        (_Painter.random, _ones(n_random)),
    ]


def _group_sizes(n_pages: int, stream: _Stream) -> I64Array:
    """Draw sizes 2 to 32, equally likely; the last one is what is left. A single page left over is not used."""
    sizes = 2 + ((stream.draw(n_pages // 2 + 1) >> np.uint64(32)) * np.uint64(31) >> np.uint64(32)).astype(np.intp)
    ends = np.cumsum(sizes)
    n_full = int(np.searchsorted(ends, n_pages, side="right"))
    rest = n_pages - (int(ends[n_full - 1]) if n_full else 0)
    return np.append(sizes[:n_full], rest) if rest > 1 else sizes[:n_full]


def _ones(n: int) -> I64Array:
    return np.ones(n, dtype=np.intp)


_MIXES: dict[str, Callable[[int, _Stream], Mix]] = {
    "a": _unique(_Painter.random),
    "b": _half_in_pairs,
    "c": _sixteens,
    "d": _zero_and_unique,
    "e": _unique(_Painter.alike),
    "f": _realistic,
    "p": _unique(_Painter.behind_zeros),
}
