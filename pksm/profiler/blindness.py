"""How often a checksum stays the same though the page has changed: measured, and calculated where that can be done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import comb, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from pksm.arrays import U8Array, U32Array
from pksm.engine import native
from pksm.engine.checksums.adaptive import Adaptive

if TYPE_CHECKING:
    from pksm.profiler.subject import Subject


WORDS = (1, 2, 4, 8, 16, 32, 64)  # changed at a time
TRIALS_PAGES = 4096  # pages of the sample that are changed, each once per round
ROUNDS = 2
CONFIDENCE_Z = 1.96  # 95 %
LINE_WORDS, TAIL_BYTES = 16, 8


def kinds(page_size: int) -> dict[str, Any]:
    """Return the names of the changes that fit into a page: {name: words changed, or None}."""
    fitting = {f"{k}_word{'s' * (k > 1)}": k for k in WORDS if k <= page_size // 4}
    return {**fitting, "byte": None, "line": None, "tail": None}


class Changes:
    """Random changes of a subject's sample, the same for every strategy.

    Each kind is an array to be xored onto the rows, made anew for each round.
    """

    def __init__(self, subject: Subject, seed: int = 0) -> None:
        self._rows, self._pages = subject.rows[:TRIALS_PAGES], subject.row_pages[:TRIALS_PAGES]
        self._view, self._page_size = subject.store.view, subject.page_size
        self._random = np.random.Generator(np.random.PCG64(seed))

    def missed(
        self, checksums: Mapping[str, native.AnyChecksum], progress: Callable[[str], object] = lambda kind: None
    ) -> dict[str, dict[str, tuple[int, int]]]:
        """Return {name: {kind: (missed, trials)}} for checksums, {name: checksum}."""
        counts: dict[str, dict[str, tuple[int, int]]] = {name: {} for name in checksums}
        before = {name: native.checksum_pages(self._view, one, self._pages) for name, one in checksums.items()}
        for kind in kinds(self._page_size):
            progress(kind)
            for _ in range(ROUNDS):
                change = self._change(kind)
                np.bitwise_xor(self._rows, change, out=self._rows)
                try:
                    for name, checksum in checksums.items():
                        same = native.checksum_pages(self._view, checksum, self._pages) == before[name]
                        missed, trials = counts[name].get(kind, (0, 0))
                        counts[name][kind] = missed + int(np.count_nonzero(same)), trials + len(same)
                finally:
                    np.bitwise_xor(self._rows, change, out=self._rows)
        return counts

    def _change(self, kind: str) -> U8Array:
        n, n_words = len(self._rows), self._page_size // 4
        change = np.zeros(self._rows.shape, np.uint8)
        words, row = change.view(np.uint32), np.arange(n)
        if kind == "byte":
            change[row, self._random.integers(0, self._page_size, n)] = self._random.integers(1, 256, n)
        elif kind == "tail":
            change[:, -TAIL_BYTES:] = self._random.integers(0, 256, (n, TAIL_BYTES))
            change[:, -1] |= 1
        elif kind == "line":
            size = min(LINE_WORDS, n_words)
            first = self._random.integers(0, n_words // size, n) * size
            words[row[:, None], first[:, None] + np.arange(size)] = self._values((n, size))
        else:
            k = kinds(self._page_size)[kind] or 1
            where = self._random.random((n, n_words), np.float32).argpartition(k - 1, axis=1)[:, :k]
            words[row[:, None], where] = self._values((n, k))
        return change

    def _values(self, shape: tuple[int, int]) -> U32Array:
        return self._random.integers(1, 1 << 32, shape, np.uint32)


def interval(missed: int, trials: int) -> tuple[float, float]:
    """Return (low, high): where the probability lies with 95 % confidence, by Wilson."""
    z2 = CONFIDENCE_Z**2
    p = missed / trials
    middle = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = CONFIDENCE_Z * sqrt(p * (1 - p) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return max(0.0, middle - half), min(1.0, middle + half)


def analytic(checksum: native.AnyChecksum, kind: str, page_size: int) -> float | None:
    """Return the probability of missing a change of this kind, None where nothing is known of the checksum."""
    if not isinstance(checksum, native.Checksum):
        return None
    n_words = page_size // 4
    if checksum.words is None:
        # a CRC misses no change within as many bits as it has
        return 0.0 if checksum.name.startswith("crc32") and kind in ("byte", "1_word") else 2.0**-checksum.width
    words = checksum.words[: checksum.strength] if isinstance(checksum, Adaptive) else checksum.words
    seen = np.zeros(n_words, bool)
    seen[(words[:, None] + np.arange(checksum.run)).ravel()] = True
    unseen = n_words - int(np.count_nonzero(seen))
    if kind == "byte":
        return unseen / n_words
    if kind == "tail":
        return float(not seen[-TAIL_BYTES // 4 :].any())
    if kind == "line":
        return float((~seen.reshape(-1, min(LINE_WORDS, n_words)).any(axis=1)).mean())
    k = kinds(page_size)[kind] or 1
    return comb(unseen, k) / comb(n_words, k)


def as_columns(
    checksum: native.AnyChecksum, counts: dict[str, tuple[int, int]], page_size: int
) -> dict[str, dict[str, Any]]:
    """Return a strategy's {kind: {measured, low, high, trials, analytic}}."""
    row = {}
    for kind, (missed, trials) in counts.items():
        low, high = interval(missed, trials)
        row[kind] = {
            "measured": missed / trials,
            "low": low,
            "high": high,
            "trials": trials,
            "analytic": analytic(checksum, kind, page_size),
        }
    return row
