"""What a page looks like, in a few words and without showing its bytes.

All functions take a uint8 array (n, page_size), page_size a multiple of 8, and answer once per page.
"""

import numpy as np

from pksm.arrays import AnyArray, BoolArray, FloatArray, IntArray, U8Array

PREFIX = 0.25  # this part of a page must be zero from the start on to be called a prefix
MOST = 0.9  # of the words behind the prefix must be of a kind
POINTERS = 0.4  # of the words that are not zero: objects hold counts and lengths besides
TEXT = 0.95  # of the bytes
SPARSE = 0.9  # of the bytes are zero
SMALL = 1 << 16
BYTES_AT_ONCE = 1 << 17  # looking takes some twenty times as many for a while: that fits the caches

_TEXT_BYTE = np.zeros(256, bool)
_TEXT_BYTE[[9, 10, 13, *range(32, 127)]] = True


def looks(pages: U8Array) -> list[str]:
    """Return a list of words: what each page looks like. Pages must not be zero."""
    at_once = pages_at_once(pages.shape[1])
    parts = (pages[at : at + at_once] for at in range(0, len(pages), at_once))
    return [words for part in parts for words in _looks(np.ascontiguousarray(part))]


def pages_at_once(page_size: int) -> int:
    """How many pages of this size (bytes) to look at in one piece."""
    return max(1, BYTES_AT_ONCE // page_size)


def _looks(pages: U8Array) -> list[str]:
    page_size = pages.shape[1]
    words, halves = pages.view("<u8"), pages.view("<u4")
    zeros_before = np.argmax(pages != 0, axis=1)
    prefixed = zeros_before >= PREFIX * page_size
    skipped = np.where(prefixed, zeros_before, 0)
    body = np.arange(page_size) >= skipped[:, None]  # bytes behind the prefix
    whole = np.arange(page_size // 8) >= -(-skipped[:, None] // 8)  # words behind it
    filled = whole & (words != 0)
    n_body, n_filled = page_size - skipped, np.count_nonzero(filled, axis=1)
    enough = n_filled * 4 >= page_size // 8 - -(-skipped // 8)  # a few words among zeros are not an array of them
    kinds = [
        ("one byte repeated", (pages == pages[:, :1]).all(axis=1)),
        ("one word repeated", (words == words[:, :1]).all(axis=1) | (halves == halves[:, :1]).all(axis=1)),
        ("text", _share(_TEXT_BYTE[pages], body, n_body) >= TEXT),
        ("sparse", _share(pages == 0, body, n_body) >= SPARSE),
        ("small integers", enough & (_small_integers(pages, body) >= MOST)),
        ("pointers", enough & (_share(_is_pointer(words), filled, n_filled) >= POINTERS)),
        ("floating point", enough & (_share(_is_float(words), filled, n_filled) >= MOST)),
        ("high entropy", _entropy(pages, body, n_body) >= _random_entropy(n_body) - 0.2),
    ]
    names = [name for name, _ in kinds]
    found = np.select([mask for _, mask in kinds], range(len(kinds)), len(kinds)).tolist()
    bodies = [[*names, "mixed"][number] for number in found]
    return [
        f"zero-prefixed, then {kind}" if behind_zeros else kind
        for kind, behind_zeros in zip(bodies, prefixed.tolist(), strict=True)
    ]


def _share(mask: BoolArray, among: BoolArray, n: IntArray) -> FloatArray:
    """The part of `among` (bool, n of each page) that the mask holds, 0 where there is none."""
    return np.count_nonzero(mask & among, axis=1) / np.maximum(n, 1)


def _is_pointer(words: AnyArray) -> BoolArray:
    """Addresses above 4 GiB in either half of 48 bits, and no pairs of small 4-byte numbers."""
    top, low = words >> np.uint64(48), words & np.uint64(0xFFFFFFFF)
    return (words >= 1 << 32) & ((top == 0) | (top == 0xFFFF)) & (low >= SMALL)


def _small_integers(pages: U8Array, body: BoolArray) -> FloatArray:
    """The share of small numbers, positive or negative, in the width that fits better: 8 or 4 bytes."""
    shares = []
    for signed in (pages.view("<i8"), pages.view("<i4")):
        width = signed.dtype.itemsize
        small = (signed > -SMALL) & (signed < SMALL)
        whole = body[:, ::width]  # its first byte is behind the prefix, so all of it is
        shares.append(_share(small, whole, np.count_nonzero(whole, axis=1)))
    return np.maximum(*shares)


def _is_float(words: AnyArray) -> BoolArray:
    """Doubles from about 1e-15 to 1e15, of either sign."""
    exponent = (words >> np.uint64(52)) & np.uint64(0x7FF)
    return (exponent > 1023 - 50) & (exponent < 1023 + 50)


def _entropy(pages: U8Array, body: BoolArray, n_body: IntArray) -> FloatArray:
    """Bits per byte, from how often each byte value occurs behind the prefix."""
    n = len(pages)
    cells = pages.astype(np.int64) + 256 * np.arange(n)[:, None]
    cells = cells.reshape(-1) if body.all() else cells[body]
    share = np.bincount(cells, minlength=256 * n).reshape(n, 256) / np.maximum(n_body, 1)[:, None]
    return -(share * np.log2(share, where=share > 0, out=np.zeros_like(share))).sum(axis=1)


def _random_entropy(n_bytes: IntArray) -> FloatArray:
    """What n random bytes come to, about: fewer bytes fill fewer of the 256 values."""
    return np.minimum(8 - 255 / (2 * np.log(2) * np.maximum(n_bytes, 1)), np.log2(np.maximum(n_bytes, 1)))
