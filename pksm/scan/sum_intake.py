"""An intake that keeps two checksums of each frame, and no bytes."""

import numpy as np

from pksm.arrays import AnyArray, Pages, U64Array
from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.store import Store
from pksm.extents import expand, page_runs
from pksm.scan.intake import Intake
from pksm.scan.interrupts import Hold
from pksm.sources.base import Allocation
from pksm.sources.files import release

BYTES_AT_ONCE = 4 << 20  # summed, and let go of
MORE = 1 << 16  # sums that room is made for, or an eighth of what there is


class SumIntake(Intake):
    """The sums of frames, numbered from 0 in the order in which they come; pages are frames' numbers.

    Args:
        page_size: bytes.
        hold: keeps interrupts away.
        key: 16 bytes that sums are made with, or None.
    """

    def __init__(self, page_size: int, hold: Hold, key: bytes | None = None) -> None:
        super().__init__(Store(page_size), "frames", True, hold)
        self._strategies = [checksums.make(name, page_size) for name in ("xxh3-64", "xxh64")]
        self._key = key
        self._all_sums: U64Array = np.empty((0, 2), np.uint64)
        self.n_frames = 0

    @property
    def sums(self) -> U64Array:
        """Both checksums of every frame, uint64 (n_frames, 2); both are 0 for a zero page only."""
        return self._all_sums[: self.n_frames]

    def add_view(self, view: np.ndarray, runs: np.ndarray) -> np.ndarray:
        """Sum the DATA runs of a mapped file; return the number of each of their frames."""
        store = Store(self.store.page_size)
        store.add(view.reshape(-1))
        pages = expand(runs["first"].astype(np.int64), runs["pages"].astype(np.int64))
        numbers = self._added(store, pages, view)
        self.born.append(page_runs(numbers))
        return numbers

    def _moved(self, copies: Allocation, index: AnyArray, of_family: bool) -> Pages:
        return self._added(self.store, (index + copies.first).astype(np.uint32), None)

    def _added(self, store: Store, pages: Pages, view: np.ndarray | None) -> Pages:
        start, step = self.n_frames, max(1, BYTES_AT_ONCE // store.page_size)
        if start + len(pages) > len(self._all_sums):
            more = max(len(pages), MORE, len(self._all_sums) // 8)
            self._all_sums.resize((len(self._all_sums) + more, 2), refcheck=False)
        for begin in range(0, len(pages), step):
            part = pages[begin : begin + step]
            self._all_sums[start + begin : start + begin + len(part)] = self._summed(store, part)
            if view is not None:
                release([view])
        self.n_frames += len(pages)
        return np.arange(start, self.n_frames, dtype=np.uint32)

    def _summed(self, store: Store, pages: Pages) -> U64Array:
        sums: U64Array = np.stack(
            [native.checksum_pages(store.view, strategy, pages) for strategy in self._strategies], axis=1
        )
        zero = native.pages_are_zero(store.view, pages).astype(bool)
        sums[~zero & ~sums.any(axis=1), 1] = 1  # both sums are zero for zero pages alone
        sums[zero] = 0
        if self._key is not None:
            native.keyed_sums(self._key, sums)
        return sums
