"""Ids of contents: equal checksums of 128 bits get the same id, and new ones the next, in the order in which they come."""

from typing import NamedTuple

import numpy as np

from pksm.arrays import AnyArray, BoolArray, I64Array, U32Array, U64Array
from pksm.errors import PksmError
from pksm.recording.events import NEVER_ID

_KEPT = 1 << 20  # ids of contents that no page has, before they are forgotten
_MET_SHIFT = np.uint64(64 - 24)  # most of what is written has not been met: that is known without a search


class _Run(NamedTuple):
    """Ids by checksum: first (sorted), second, ids."""

    first: U64Array
    second: U64Array
    ids: U32Array


class Contents:
    """Ids by two checksums of 64 bits.

    Args:
        first, second: of the zero page, whose id is 0.
    """

    def __init__(self, first: int, second: int) -> None:
        zero = _Run(np.array([first], np.uint64), np.array([second], np.uint64), np.zeros(1, np.uint32))
        self._zero = zero
        self._runs = [zero]  # each has more than twice as many as the next
        self._met = np.zeros(1 << 24, bool)  # by the top bits of the first checksum
        self._met[zero.first >> _MET_SHIFT] = True
        self._twins: dict[tuple[int, int], int] = {}  # those whose first checksum others have
        self.next = 1

    def __len__(self) -> int:
        return sum(len(run.ids) for run in self._runs) + len(self._twins)

    def ids(self, first: U64Array, second: U64Array) -> U32Array:
        """Return the id of each content: uint32 (n,)."""
        keys, index, which = np.unique(first, return_index=True, return_inverse=True)
        seconds = second[index]
        ids = np.full(len(keys), NEVER_ID, np.uint32)
        odd: BoolArray = np.isin(keys, np.array([one for one, _ in self._twins], np.uint64))
        met = np.flatnonzero(self._met[keys >> _MET_SHIFT])
        for run in self._runs:
            at = np.minimum(np.searchsorted(run.first, keys[met]), len(run.first) - 1)
            same = run.first[at] == keys[met]
            at, hit = at[same], met[same]
            odd[hit] |= run.second[at] != seconds[hit]
            ids[hit] = run.ids[at]
        odd[which[second != seconds[which]]] = True
        if odd.any():
            return self._one_by_one(first, second, odd[which])
        new = ids == NEVER_ID
        self._learn(keys, seconds, ids, new, index)
        return ids[which]

    def _learn(self, keys: U64Array, seconds: U64Array, ids: U32Array, new: BoolArray, index: AnyArray) -> None:
        """Give the new ones ids, by when they came, and remember them."""
        n = int(np.count_nonzero(new))
        if not n:
            return
        if self.next + n >= NEVER_ID:
            raise PksmError("more than four thousand million contents: record for a shorter time")
        rank: I64Array = np.empty(n, np.int64)
        rank[np.argsort(index[new])] = np.arange(n)
        ids[new] = rank + self.next
        self.next += n
        run = _Run(keys[new], seconds[new], ids[new])
        self._met[run.first >> _MET_SHIFT] = True
        while self._runs and len(self._runs[-1].ids) < 2 * len(run.ids):
            run = _merged(self._runs.pop(), run)
        self._runs.append(run)

    def _one_by_one(self, first: U64Array, second: U64Array, odd: BoolArray) -> U32Array:
        """Do it where a checksum of 64 bits is that of two contents, which hardly ever happens."""
        ids = np.empty(len(first), np.uint32)
        plain = np.flatnonzero(~odd)
        ids[plain] = self.ids(first[plain], second[plain])
        for at in np.flatnonzero(odd).tolist():  # two of 2**32 contents, at most
            one = int(first[at]), int(second[at])
            found = self._found(*one)
            if found is None:
                found = self._twins[one] = self.next
                self.next += 1
            ids[at] = found
        return ids

    def _found(self, first: int, second: int) -> int | None:
        for run in self._runs:
            at = int(np.searchsorted(run.first, np.uint64(first)))
            if at < len(run.first) and int(run.first[at]) == first and int(run.second[at]) == second:
                return int(run.ids[at])
        return self._twins.get((first, second))

    def is_full(self, alive: int) -> bool:
        """Return whether it is worth the while to forget what no page has; alive: pages there are."""
        return len(self) > 4 * alive + _KEPT

    def forget_but(self, ids: U32Array) -> None:
        """Forget all contents but those with these ids."""
        alive = np.unique(ids)
        run = _Run(*(np.concatenate(columns) for columns in zip(*self._runs, strict=True)))
        at = np.minimum(np.searchsorted(alive, run.ids), max(0, len(alive) - 1))
        stays = (alive[at] == run.ids if len(alive) else np.zeros(len(run.ids), bool)) | (run.ids == 0)
        order = np.argsort(run.first[stays], kind="stable")
        self._runs = [_Run(*(column[stays][order] for column in run))]
        self._met[:] = False
        self._met[self._runs[0].first >> _MET_SHIFT] = True
        self._twins = {one: found for one, found in self._twins.items() if found in alive}


def _merged(one: _Run, other: _Run) -> _Run:
    first = np.concatenate([one.first, other.first])
    order = np.argsort(first, kind="stable")
    second, ids = np.concatenate([one.second, other.second]), np.concatenate([one.ids, other.ids])
    return _Run(first[order], second[order], ids[order])
