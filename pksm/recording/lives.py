"""How long pages keep what they hold, and how long equal ones stay equal, while a recording is gone through.

A copy is a frame with a content: a page that a fork shares is the same copy as its parent's until one of them is
written. A copy has an equal while another has the same content. Memory goes by the copies alive.
"""

from dataclasses import dataclass

import numpy as np

from pksm.arrays import BoolArray, I64Array, U32Array

SOON_MS = 60_000  # what is rewritten within a minute is volatile
STEPS = 64  # of a histogram, for a doubling of time: each is about 1 % wide
_BINS = 53 * STEPS + 1  # the longest time there is may be rounded up


@dataclass
class Times:
    """Lengths of time, in steps of 1 %: how many there are of each, and the longest (ms)."""

    counts: I64Array
    longest: int = 0

    @classmethod
    def none(cls) -> "Times":
        """Return none at all."""
        return cls(np.zeros(_BINS, np.int64))

    def add(self, ms: I64Array) -> None:
        """Add lengths of time (ms)."""
        bins = np.rint(STEPS * np.log2(np.maximum(ms, 1))).astype(np.int64)
        self.counts += np.bincount(bins, minlength=_BINS)
        self.longest = max(self.longest, int(ms.max(initial=1)))

    def percentiles(self, *wanted: int) -> dict[str, float] | None:
        """Return {"p50": seconds}, by nearest rank; None if there are none."""
        sums = np.cumsum(self.counts)
        n = int(sums[-1])
        if not n:
            return None
        ranks = {p: int(np.searchsorted(sums, -(-p * n // 100))) for p in wanted}
        return {f"p{p}": round(min(2 ** (at / STEPS), self.longest) / 1000, 3) for p, at in ranks.items()}


class Lives:
    """Copies by number, contents by id.

    Attributes:
        ended: how long copies had had an equal when they were written or went.
        spare: copies that there are beyond one of each content: what merging could save now.
        spare_ms, volatile_ms: spare copies times the ms that they were there; ms that copies lasted which were written
            within SOON_MS.
        steps: entries of tables that were gone through besides those that were asked for.
    """

    def __init__(self) -> None:
        self.ended = Times.none()
        self.spare = self.spare_ms = self.volatile_ms = self.steps = 0
        self._ms = self._from_ms = 0
        # By copy: how many pages have it, since when, and its content.
        self._pages, self._since = np.zeros(0, np.uint32), np.zeros(0, np.int64)
        self._content = np.zeros(0, np.uint32)
        self._free = np.empty(0, np.uint32)
        # By content, the first _n sorted by id: how many copies it has (_n_held: have any), and since when there are two.
        self._n = self._n_held = 0
        self._ids, self._copies = np.zeros(0, np.uint32), np.zeros(0, np.int64)
        self._equal_since = np.zeros(0, np.int64)

    def at(self, ms: int) -> None:
        """Let time go on."""
        self.spare_ms += self.spare * (ms - self._ms)
        self._ms = ms

    def count_from(self, ms: int) -> None:
        """Forget what has ended, and how long anything was there, until a time; copies are as old as they are."""
        self.ended = Times.none()
        self.spare_ms = self.volatile_ms = 0
        self._ms = self._from_ms = ms

    def begin(self, contents: U32Array) -> U32Array:
        """Return the numbers of new copies with these contents, each of one page."""
        new = self._taken(len(contents))
        self._pages[new], self._since[new], self._content[new] = 1, self._ms, contents
        ids, counts = np.unique(contents, return_counts=True)
        at = self._places(ids)
        before = self._copies[at]
        self._copies[at] = before + counts
        self._n_held += int(np.count_nonzero(before == 0))
        self._equal_since[at[(before < 2) & (before + counts >= 2)]] = self._ms
        self.spare += int((np.maximum(before + counts, 1) - np.maximum(before, 1)).sum())
        return new

    def share(self, copies: U32Array) -> None:
        """Let each of these copies be of one more page: that of a fork."""
        self._pages[copies] += 1

    def is_shared(self, copies: U32Array) -> BoolArray:
        """Return which copies are of several pages."""
        return self._pages[copies] > 1

    def contents(self, copies: U32Array) -> U32Array:
        """Return what copies hold."""
        return self._content[copies]

    def end(self, copies: U32Array, written: BoolArray) -> None:
        """Let a page of each of these copies be written, or go."""
        self._pages[copies] -= 1
        last = self._pages[copies] == 0
        gone, written = copies[last], written[last]
        ids, which, counts = np.unique(self._content[gone], return_inverse=True, return_counts=True)
        at = self._places(ids)
        before = self._copies[at]
        self._copies[at] = before - counts
        self._n_held -= int(np.count_nonzero(before == counts))
        self.spare -= int((np.maximum(before, 1) - np.maximum(before - counts, 1)).sum())
        since = self._since[gone]
        equal = before[which] >= 2
        self.ended.add(self._ms - np.maximum(since, self._equal_since[at][which])[equal])
        ages = (self._ms - since)[written]
        self.volatile_ms += int(np.minimum(ages[ages <= SOON_MS], self._ms - self._from_ms).sum())
        self.steps += len(self._free)
        self._free = np.append(self._free, gone)

    def lasting(self) -> Times:
        """Return how long copies have had an equal that have one now."""
        there = np.flatnonzero(self._pages)
        at = self._places(self._content[there])
        equal = self._copies[at] >= 2
        found = Times.none()
        found.add(self._ms - np.maximum(self._since[there], self._equal_since[at])[equal])
        return found

    # ---- tables ----

    def _taken(self, n: int) -> U32Array:
        """Return n numbers that no copy has."""
        lacking = n - len(self._free)
        if lacking > 0:
            old = len(self._pages)
            more = max(lacking, old // 4)
            self._pages = np.append(self._pages, np.zeros(more, np.uint32))
            self._since = np.append(self._since, np.zeros(more, np.int64))
            self._content = np.append(self._content, np.zeros(more, np.uint32))
            self._free = np.append(np.arange(old + more, old, -1, dtype=np.uint32) - np.uint32(1), self._free)
        cut = len(self._free) - n
        taken = self._free[cut:]
        self._free = self._free[:cut]
        return taken

    def _places(self, ids: U32Array) -> I64Array:
        """Return where contents are in the table, into which new ones are put. ids: sorted where some are new."""
        known = self._ids[: self._n]
        at = np.searchsorted(known, ids)
        is_new = at == self._n
        is_new[~is_new] = known[at[~is_new]] != ids[~is_new]
        if not is_new.any():
            return at
        if 2 * self._n_held < self._n:
            kept = np.flatnonzero(self._copies[: self._n])
            self._n = len(kept)
            for column in (self._ids, self._copies, self._equal_since):
                column[: self._n] = column[kept]
            return self._places(ids)
        self._put(ids[is_new], at[is_new])
        return at + np.cumsum(is_new) - is_new

    def _put(self, ids: U32Array, into: I64Array) -> None:
        """Put new contents into the table: most are beyond all that were, as ids come."""
        had, self._n = self._n, self._n + len(ids)
        if self._n > len(self._ids):
            more = self._n + self._n // 2 - len(self._ids)
            self._ids = np.append(self._ids, np.zeros(more, np.uint32))
            self._copies = np.append(self._copies, np.zeros(more, np.int64))
            self._equal_since = np.append(self._equal_since, np.zeros(more, np.int64))
        if into[0] < had:
            self.steps += had
            self._ids[: self._n] = np.insert(self._ids[:had], into, ids)
            self._copies[: self._n] = np.insert(self._copies[:had], into, 0)
            self._equal_since[: self._n] = np.insert(self._equal_since[:had], into, 0)
        else:
            self._ids[had : self._n] = ids
            self._copies[had : self._n] = self._equal_since[had : self._n] = 0
