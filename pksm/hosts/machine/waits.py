"""How long pages have waited for their merges, as a histogram: it stays small however many are merged."""

import numpy as np

from pksm.arrays import I64Array

_AT_ONCE = 1 << 16  # waits that are kept one by one before they are counted


class Waits:
    """Milliseconds of virtual time, and how often each."""

    def __init__(self) -> None:
        self._ms, self._times = np.empty(0, np.int64), np.empty(0, np.int64)
        self._new: list[I64Array] = []
        self._n_new = 0

    def add(self, ms: I64Array) -> None:
        """Add waits, one an entry."""
        self._new.append(ms)
        self._n_new += len(ms)
        if self._n_new > _AT_ONCE or len(self._new) > _AT_ONCE // 64:
            self._count()

    def _count(self) -> None:
        new, times = np.unique(np.concatenate(self._new), return_counts=True)
        self._ms, at = np.unique(np.concatenate((self._ms, new)), return_inverse=True)
        self._times = np.bincount(at, np.concatenate((self._times, times)), len(self._ms)).astype(np.int64)
        self._new, self._n_new = [], 0

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        return sum(array.nbytes for array in (self._ms, self._times, *self._new))

    def all(self) -> I64Array:
        """Return all waits, ascending."""
        if self._new:
            self._count()
        return np.repeat(self._ms, self._times)
