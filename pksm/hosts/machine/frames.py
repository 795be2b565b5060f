"""Frames: physical pages as columns, their counts, and the counters that follow from them.

A frame's number is its page number in the store. count is every reference, mapcount those of ptes; the swap cache holds
one, each pin one, a lock one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pksm.arrays import BoolArray, I32Array, I64Array, IntArray, Pages, U32Array
from pksm.engine import native
from pksm.engine.memory import grown
from pksm.engine.settle import without_mlocked
from pksm.engine.store import Store
from pksm.errors import PksmError, UsageError
from pksm.hosts.machine.content import blocks
from pksm.hosts.machine.quirks import Quirks

ANON, LOCKED, DIRTY, SWAP_CACHE, MLOCKED, KSM, COMPOUND, UNFIT = (1 << bit for bit in range(8))
# UNFIT: born in a vma that the reverse walk refuses
_TAKEN_OVER = (
    "count mapcount flags anon_vma index born_ms born_in origin replaced classes reach".split()
)  # by a migrated page


class Frames:
    """n frames in a store of their own, all free.

    Columns by frame: count and mapcount int32; flags uint8; anon_vma uint32 and index int64 (where the reverse walk
    starts); origin uint32 (see origins.py); replaced int32 (what pksmd's own
    books say of its sharing, where they are kept); swap_slot uint32 (if SWAP_CACHE); first_sharer int64 (if KSM: see
    rmap.Sharers); classes uint8, of native.FREE and the rest; reach uint8, the same as far as the reverse walk goes.
    born_in uint32 (id of the mm); born_ms int64 (virtual time of birth). memory: uint8 (n, page_size), the bytes.
    """

    clock: Callable[[], int] | None = None  # virtual ms; None: those that a simulation sets
    _now = 0

    def __init__(self, n: int, page_size: int, real_page_size: int | None = None) -> None:
        if n < 1:
            raise UsageError(f"a machine of {n} frames: give it at least 1")
        self.store = Store(page_size, real_page_size)
        self.real_page_size = self.store.real_page_size
        first, self.memory = self.store.allocate(n)
        assert first == 0
        self.n = n
        size = self.store.n_pages
        self.count = np.zeros(size, np.int32)
        self.mapcount = np.zeros(size, np.int32)
        self.flags = np.zeros(size, np.uint8)
        self.anon_vma = np.zeros(size, np.uint32)
        self.index = np.zeros(size, np.int64)
        self.origin = np.zeros(size, np.uint32)
        self.replaced = np.zeros(size, np.int32)
        self.swap_slot = np.zeros(size, np.uint32)
        self.first_sharer = np.zeros(size, np.int64)
        self.born_ms = np.zeros(size, np.int64)
        self.born_in = np.zeros(size, np.uint32)
        self.within = "all"  # pages merge within these alone: see set_within
        self.salts = np.zeros(64, np.uint32)  # by mm
        self.classes = np.full(size, native.NOT_ANON, np.uint8)
        self.reach = np.zeros(size, np.uint8)
        self.marks = np.zeros(size, np.uint32)  # to look for what comes twice; all zero between two calls
        self._free = np.arange(n, dtype=np.uint32)[::-1].copy()  # a stack
        self.n_free = n
        self.ksm_ptes = 0  # ptes that point to KSM frames
        self.ksm_mapped = 0  # KSM frames that have any
        self.quirks = Quirks()
        self.booked_sharing = 0  # pages_sharing, where books are kept
        self.writes = 0  # times that bytes of mapped frames may have changed
        self.pte_changes = 0  # times that ptes have stopped mapping frames, or memory has opted in or out

    @property
    def now(self) -> int:
        """Virtual ms."""
        return self._now if self.clock is None else int(self.clock())

    @now.setter
    def now(self, ms: int) -> None:
        if self.clock is not None:
            raise UsageError("the machine goes by a clock: its time can't be set")
        self._now = ms

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"store": None, "clock": None, "_now": self.now}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Come back from a copy or a pickle: the bytes go to a store of its own."""
        copied = state["memory"]
        self.__dict__.update(state)
        self.store = Store(copied.shape[1], self.real_page_size)
        assert len(copied) == self.n, "a frame has no bytes"
        _, self.memory = self.store.allocate(self.n)
        self.memory[:] = copied

    # ---- birth and death ----

    def require(self, n: int) -> None:
        """Raise PksmError unless n frames are free."""
        if n > self.n_free:
            raise PksmError(
                f"out of frames: {n} needed, {self.n_free} of {self.n} free: unmap something, or raise the argument frames"
            )

    def allocate(self, n: int) -> U32Array:
        """Take n free frames: uint32. They have no references and hold old bytes."""
        self.require(n)
        self.n_free -= n
        return self._free[self.n_free : self.n_free + n][::-1].copy()

    def allocate_compound(self, order_pages: int) -> U32Array:
        """Take a run of order_pages frames that starts at a multiple of it: uint32. PksmError if there is none."""
        free = np.zeros(self.n // order_pages * order_pages, bool)
        stack = self._free[: self.n_free]
        free[stack[stack < len(free)]] = True
        runs = np.flatnonzero(free.reshape(-1, order_pages).all(axis=1))
        if not len(runs):
            raise PksmError(f"no {order_pages} free frames in a row: unmap something, or give the machine more")
        frames = np.arange(order_pages, dtype=np.uint32) + np.uint32(runs[0] * order_pages)
        left = stack[(stack < frames[0]) | (stack > frames[-1])]
        self._free[: len(left)] = left
        self.n_free = len(left)
        return frames

    def set_up(self, frames: Pages, anon_vma: U32Array | np.uint32, index: I64Array, flags: int, mm: int) -> None:
        """Make allocated frames anonymous pages with one pte each. anon_vma and index: where they belong; mm: whose."""
        self.count[frames] = self.mapcount[frames] = 1
        self.flags[frames] = flags | ANON
        self.anon_vma[frames] = anon_vma
        self.index[frames] = index
        self.born_ms[frames] = self.now
        self.born_in[frames] = mm
        if self.within != "all":
            self.store.salt(frames, int(self.salts[mm]) if self.within == "salt" else mm)
        self.origin[frames] = 0
        self.classes[frames] = self.reach[frames] = native.WALK_FAILS if flags & UNFIT else native.FREE

    def set_within(self, within: str) -> None:
        """Let pages be equal within these alone: `all`, or those born in one `process`, or in processes of one `salt`."""
        self.within = within
        self.store.unsalt()
        if within != "all":
            every = np.arange(len(self.born_in), dtype=np.uint32)
            self.store.salt(every, self.salts[self.born_in] if within == "salt" else self.born_in)

    def set_salt(self, mm: int, salt: int) -> None:
        """Let what is born in an mm have this salt."""
        if mm >= len(self.salts):
            self.salts = grown(self.salts, 2 * mm)
        self.salts[mm] = salt

    def take_over(self, old: Pages, new: Pages) -> None:
        """Let allocated frames be what others (each once, not busy) were; those have no references any more."""
        for name in _TAKEN_OVER:
            column = getattr(self, name)
            column[new] = column[old]
        if self.within != "all":
            self.store.salt(new, self.store.salts_of(old))
        self.replaced[old] = 0
        self.count[old] = self.mapcount[old] = 0
        self.pte_changes += 1

    def free(self, frames: Pages) -> None:
        """Give frames without references back."""
        self.flags[frames] = 0
        self.booked_sharing -= int(self.replaced[frames].sum())
        self.replaced[frames] = 0
        self.classes[frames] = native.NOT_ANON
        self._free[self.n_free : self.n_free + len(frames)] = frames[::-1]
        self.n_free += len(frames)

    # ---- references ----

    def add_ptes(self, frames: Pages) -> None:
        """Count one pte more for each of the frames (which may repeat): copies of a fork."""
        np.add.at(self.mapcount, frames, np.int32(1))
        np.add.at(self.count, frames, np.int32(1))
        ksm = frames[self.flags[frames] & KSM != 0]
        self.ksm_ptes += len(ksm)
        if self.quirks.books_sharing and not self.quirks.forks_uncounted:
            self._book(ksm, np.ones(len(ksm), np.int32))

    def add_merged(self, ksm: U32Array, counts: I32Array) -> None:
        """Count counts[i] (int32) replaced ptes more for KSM frames ksm[i] (which may repeat)."""
        np.add.at(self.mapcount, ksm, counts)
        np.add.at(self.count, ksm, counts)
        self.ksm_ptes += int(counts.sum())
        if self.quirks.books_sharing:
            self._book(ksm, counts)

    def open_books(self, kept: bool) -> None:
        """Start to keep the books of pages_sharing, or (kept False) close them."""
        ksm = self.flags & KSM != 0
        self.replaced[:] = np.where(ksm & kept, np.maximum(self.mapcount - 1, 0), 0)
        self.booked_sharing = int(self.replaced.sum())

    def _book(self, frames: Pages, counts: I32Array) -> None:
        """Count so many replaced ptes more (int32) for each of the KSM frames (which may repeat)."""
        np.add.at(self.replaced, frames, counts)
        self.booked_sharing += int(counts.sum())

    def _unbook(self, ksm: U32Array, by_copy: bool) -> None:
        """Subtract ptes of KSM frames (which may repeat) that are about to go: none but those the kernel sees.

        It compares mapcount and books: after the pte has gone, but a copy on write (by_copy) before. Mirrors the test
        in page_remove_rmap.
        """
        frames, gone = np.unique(ksm, return_counts=True)
        mapcount, booked = self.mapcount[frames], self.replaced[frames]
        unseen = mapcount - booked + (by_copy and self.quirks.breaks_uncounted) - 1
        seen = np.clip(gone - np.maximum(unseen, 0), 0, booked).astype(np.int32)
        self.replaced[frames] -= seen
        self.booked_sharing -= int(seen.sum())

    def drop_ptes(self, frames: Pages, by_copy: bool = False) -> U32Array:
        """Count one pte less for each of the frames (which may repeat); by_copy: of a write to a shared page.

        Returns those that no pte maps any more, each once, in the order of their last pte.
        """
        ksm = frames[self.flags[frames] & KSM != 0]
        if len(ksm) and self.quirks.books_sharing:
            self._unbook(ksm, by_copy)
        self.pte_changes += 1
        np.subtract.at(self.mapcount, frames, np.int32(1))
        np.subtract.at(self.count, frames, np.int32(1))
        unmapped = _last_of_each(frames[self.mapcount[frames] == 0], self.count)
        if len(ksm):
            self.ksm_ptes -= len(ksm)
            self.ksm_mapped -= int(np.count_nonzero(self.flags[unmapped] & KSM))
        return unmapped

    def give_up(self, frames: Pages) -> None:
        """Drop all ptes of frames (each once); those without other references may be freed."""
        self.pte_changes += 1
        ksm = frames[self.has(frames, KSM)]
        self.ksm_ptes -= int(self.mapcount[ksm].sum())
        self.ksm_mapped -= len(ksm)
        self.count[frames] -= self.mapcount[frames]
        self.mapcount[frames] = 0

    def make_ksm(self, frames: Pages, first_sharer: int) -> None:
        """Flag frames that were not KSM; first_sharer: the number of the next sharer record."""
        self.flags[frames] |= KSM
        self.first_sharer[frames] = first_sharer
        self.ksm_ptes += int(self.mapcount[frames].sum())
        self.ksm_mapped += int(np.count_nonzero(self.mapcount[frames]))

    def has(self, frames: IntArray, flag: int) -> BoolArray:
        """Return a bool array: which of the frames have the flag."""
        return (self.flags[frames] & flag) != 0

    def is_busy(self, frames: IntArray) -> BoolArray:
        """Return a bool array: locked, or with references that are neither ptes nor the swap cache."""
        return self.count[frames] != self.mapcount[frames] + self.has(frames, SWAP_CACHE)

    def reclassify(self, frames: IntArray) -> None:
        """Say anew whether frames are busy, after their references have changed."""
        classes = self.reach[frames]
        classes[self.is_busy(frames)] = native.BUSY_PAGE
        self.classes[frames] = np.where(self.has(frames, ANON), classes, native.NOT_ANON)

    def mark_mlocked(self) -> None:
        """Say in the classes which frames are mlocked."""
        mlocked = (self.flags & MLOCKED) != 0
        self.classes[:] = without_mlocked(self.classes)
        self.classes[mlocked] |= np.uint8(native.MLOCKED)

    # ---- bytes ----

    def clear(self, frames: Pages) -> None:
        """Fill frames with zeros."""
        for part in blocks(len(frames), self.store.page_size):
            self.memory[frames[part]] = 0

    def copy(self, sources: U32Array, targets: U32Array) -> None:
        """Copy the bytes of sources[i] to targets[i]."""
        for part in blocks(len(sources), self.store.page_size):
            self.memory[targets[part]] = self.memory[sources[part]]

    # ---- counters ----

    @property
    def pages_sharing(self) -> int:
        """ptes that point to KSM frames, beyond the first of each; or what the books say."""
        if self.quirks.books_sharing:
            return self.booked_sharing
        return self.ksm_ptes - self.ksm_mapped

    def check(self, mapcount: I64Array, swap_cached: U32Array) -> None:
        """Raise AssertionError unless all counts agree with what ptes and swap cache say.

        mapcount: by frame, counted from the ptes; swap_cached: frames that the swap cache holds.
        """
        assert np.array_equal(mapcount, self.mapcount), "mapcount differs from the ptes"
        assert np.array_equal(np.flatnonzero(self.flags & SWAP_CACHE), np.sort(swap_cached))
        alive = self.flags & ANON != 0
        assert np.array_equal(alive, self.count > 0), "alive without references, or the other way round"
        extra = self.count - self.mapcount - (self.flags & SWAP_CACHE != 0)
        assert (extra >= (self.flags & LOCKED != 0)).all(), "fewer references than holders"
        free = np.sort(self._free[: self.n_free])
        assert np.array_equal(free, np.flatnonzero(~alive[: self.n])), "the free list holds others than the free frames"
        ksm = self.flags & KSM != 0
        assert int(self.mapcount[ksm].sum()) == self.ksm_ptes
        assert int(np.count_nonzero(self.mapcount[ksm])) == self.ksm_mapped
        assert not self.replaced[~ksm].any() and (self.replaced >= 0).all()
        classes = without_mlocked(self.classes)
        self.reclassify(np.arange(len(classes)))
        assert np.array_equal(classes, self.classes), "a class is out of date"
        booked = self.quirks.books_sharing
        assert booked or not self.replaced.any()
        assert booked <= (self.booked_sharing >= int(self.replaced.sum())), "more is shared than the books say"


def _last_of_each(frames: Pages, scratch_like: I32Array) -> U32Array:
    """Return the frames without repetition, each where it stands last."""
    if len(frames) < 2:
        return frames
    place = np.empty(len(scratch_like), np.int32)
    order = np.arange(len(frames), dtype=np.int32)
    place[frames] = order
    return frames[place[frames] == order]
