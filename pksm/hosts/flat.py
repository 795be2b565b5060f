"""FlatHost: pages that are mapped once each. A dump, a copy of live memory, another simulator's pages.

Page numbers stand for mappings and for the frames they were born with; merging makes a mapping point to the frame of
another, whose page number is then its kpage. What is written through the host (write) is copied on write: see writers.
"""

from collections.abc import Collection

import numpy as np

from pksm.arrays import IdsLike, Pages, U8Array, distinct
from pksm.engine import native
from pksm.engine.exclusive import Exclusive, exclusive
from pksm.engine.memory import grown, zeros
from pksm.engine.native import ids_array
from pksm.engine.state import State, below, column
from pksm.engine.store import Store
from pksm.errors import PageError, UsageError
from pksm.hosts.attached import NoPolicy, require_alone
from pksm.hosts.flat_anon_vmas import FlatAnonVmas
from pksm.hosts.flat_mappings import FlatMappings
from pksm.hosts.flat_memory import FlatMemory
from pksm.hosts.watch import Watch
from pksm.hosts.writers import Writers
from pksm.protocols import NO_FRAME, ZERO_FRAME, Policy, Saved, require_within
from pksm.saving import Saveable

MAX_ANON_VMAS = 1 << 24  # there is a count for each up to the highest


class FlatHost(FlatMemory, FlatMappings, FlatAnonVmas, Exclusive, Saveable):
    """A PageHost and MappingHost over a store; each page mapped once.

    Args:
        store: whose pages they are.
        static: a promise that no page's bytes ever change, as in a dump.

    Attributes:
        frame_of: uint32 by page number: the page whose frame holds its bytes (itself while unmerged), ZERO_FRAME or
            NO_FRAME.
        watch: a Watch that is called after each batch; None, as at first, for nobody.
    """

    def __init__(self, store: Store, static: bool = False) -> None:
        self.store = store
        self.static = static
        self.classes: U8Array | None = None
        self.frame_of = np.empty(0, np.uint32)
        self._mapcount = np.empty(0, np.uint32)  # by frame
        self._anon_vma = np.empty(0, np.uint32)  # by page
        self._salt = np.empty(0, np.uint32)  # by page
        self._has_salts = False
        self._within = "all"
        self._has_anon_vmas = False  # else the column is all zeros, and no memory is touched for it
        self._view = native.FramesView(self.frame_of, self._mapcount)
        self._references = np.zeros(1, np.int64)  # by anon_vma
        self._mapped = self._frames = self._zero = 0
        self._policy: Policy = NoPolicy()
        self._writers: Writers | None = None  # once something was written
        self.watch: Watch | None = None
        store.add_user(self._uses)

    def to_dict(self) -> dict[str, int]:
        """Return {name: number} of what there is, a row of a table."""
        return {
            "pages": self._mapped + self._zero,
            "frames": self._frames,
            "pages_sharing": self.pages_sharing,
            "pages_zero_sharing": self.pages_zero_sharing,
            "frames_saved": self.frames_saved,
        }

    def __repr__(self) -> str:
        now = self.to_dict()
        return f"<{type(self).__name__}: {now['pages']:,} pages in {now['frames']:,} frames, {self._zero:,} zero>"

    def __getstate__(self) -> State:
        """Return all but the policy: a copy, or what comes out of a pickle, is attached to nobody."""
        return super().__getstate__() | {"_policy": None, "_view": None, "watch": None}

    def __setstate__(self, state: State) -> None:
        self.__dict__.update(state)
        n, frames = len(column(self.frame_of, np.uint32)), self.frame_of
        assert len(column(self._mapcount, np.uint32)) == len(column(self._anon_vma, np.uint32)) == n
        assert len(column(self._salt, np.uint32)) == n, "a page has no salt"
        assert n <= self.store.n_pages and bool(((frames < n) | (frames >= NO_FRAME)).all()), "a page maps no frame"
        below(self._anon_vma, len(column(self._references, np.int64)))
        self._view = native.FramesView(self.frame_of, self._mapcount)
        self._policy = NoPolicy()
        self.store.add_user(self._uses)

    def _uses(self, first: int, end: int) -> bool:
        """Return whether one of the pages is alive, or its frame serves others."""
        return bool((self.frame_of[first:end] != NO_FRAME).any() or self._mapcount[first:end].any())

    @exclusive
    def attach(self, policy: Policy) -> None:
        """Report births and deaths to this policy from now on.

        One that merges hears at once of the pages that are alive, but for those that are merged.
        UsageError if another policy merges its pages already.
        """
        require_alone(self._policy, policy)
        if policy is self._policy:
            return
        self._policy = policy
        alone = np.flatnonzero(self._mapcount == 1).astype(np.uint32)
        if getattr(policy, "merges", False) and len(alone):
            policy.on_new(alone)

    @exclusive
    def detach(self) -> None:
        """Tell nobody: another policy may be attached, such as one resumed from the state of the last."""
        self._policy = NoPolicy()

    @property
    def pages_sharing(self) -> int:
        """Ptes that point to a kept page, beyond the first of each."""
        return self._mapped - self._frames

    @property
    def pages_zero_sharing(self) -> int:
        """Ptes that point to the zero page."""
        return self._zero

    @property
    def frames_saved(self) -> int:
        """Frames that merging has freed and that are still saved."""
        return self._mapped + self._zero - self._frames

    @property
    def nbytes(self) -> int:
        """Bytes of the columns."""
        columns = self.frame_of.nbytes + self._mapcount.nbytes + self._has_anon_vmas * self._anon_vma.nbytes
        columns += self._has_salts * self._salt.nbytes
        return columns + (self._writers.nbytes if self._writers else 0)

    @exclusive
    def add(self, pages: IdsLike, anon_vma: IdsLike | int = 0, salt: IdsLike | int = 0) -> None:
        """Make pages live, each with a frame of its own, and hand them to the policy.

        Args:
            pages: uint32 (n,), each in the store, none alive, none twice.
            anon_vma: one for all, or one for each.
            salt: the same, below 2**32: policies with within=salt merge pages of one salt alone.

        Raises:
            PageError: a page that is not in the store, that is alive, or that comes twice.
            UsageError: another number of anon_vmas or salts.
        """
        pages, anon_vmas = ids_array(pages), ids_array([anon_vma] if isinstance(anon_vma, int) else anon_vma)
        if len(anon_vmas) not in (1, len(pages)):
            raise UsageError(f"{len(pages)} pages with {len(anon_vmas)} anon_vmas: give one for all, or one for each")
        salts = ids_array([salt] if isinstance(salt, int) else salt)
        if len(salts) not in (1, len(pages)):
            raise UsageError(f"{len(pages)} pages with {len(salts)} salts: give one for all, or one for each")
        self.store.check_pages(pages)
        self._grow()
        at = native.span(pages)
        taken = (self.frame_of[at] != NO_FRAME) | (self._mapcount[at] != 0)
        if taken.any():
            raise PageError(f"page {pages[taken][0]} is alive already")
        if at is pages:
            places = np.arange(len(pages), dtype=np.uint32)
            self.frame_of[pages] = places
            twice = self.frame_of[pages] != places
            self.frame_of[pages] = NO_FRAME
            if twice.any():
                raise PageError(f"page {pages[twice][0]} is born twice")
        highest = int(anon_vmas.max(initial=0))
        if highest >= MAX_ANON_VMAS:
            raise UsageError(f"anon_vma {highest}: number them from 0 to {MAX_ANON_VMAS - 1}")
        if highest >= len(self._references):
            self._references = grown(self._references, highest * 3 // 2 + 1)
        self.frame_of[at] = pages
        self._mapcount[at] = 1
        self._has_anon_vmas |= highest > 0
        if self._has_anon_vmas:
            self._anon_vma[at] = anon_vmas
        self._has_salts |= bool(salts.any())
        if self._has_salts:
            self._salt[at] = salts
        if self._within != "all":
            self.store.salt(pages, salts)
        if self._writers:
            self._writers.born(at, pages)
        self._mapped += len(pages)
        self._frames += len(pages)
        self._policy.on_new(pages)

    @exclusive
    def free(self, pages: IdsLike) -> None:
        """Unmap live pages; frames that nobody maps any more are freed.

        Args:
            pages: uint32 (n,).

        Raises:
            PageError: one is not alive, or comes twice.
        """
        pages = ids_array(pages)
        frames = self._live_frames(pages)
        self.frame_of[pages] = NO_FRAME
        zero = frames == ZERO_FRAME
        self._zero -= int(zero.sum())
        self._mapped -= len(pages) - int(zero.sum())
        self.pte_changes += 1
        self._drop(frames[~zero])

    @exclusive
    def merge(self, pages: Pages, kpages: Pages) -> None:
        """Point pages to the frames of kpages and free theirs.

        Args:
            pages: uint32 (n,), unmerged.
            kpages: uint32 (n,), alive.

        Raises:
            PageError: unless all are so.
        """
        self._remap(pages, kpages)

    @exclusive
    def merge_zero(self, pages: Pages) -> None:
        """Point unmerged pages to the zero page and free their frames. PageError unless all are unmerged."""
        self._remap(pages, None)
        self._zero += len(pages)
        self._mapped -= len(pages)

    def _remap(self, pages: Pages, kpages: Pages | None) -> None:
        try:
            if not (self._writers and self._writers.remap(pages, kpages)):
                native.remap(self._view, pages, kpages)
        except ValueError:
            raise PageError("only pages without sharers can be merged, and only into live frames") from None
        if self._writers and kpages is not None:
            self._writers.kept[kpages] = True
        self._frames -= len(pages)
        self._policy.on_free(pages)
        if self.watch:
            self.watch.merged(pages, kpages)

    @exclusive
    def split(self, pages: IdsLike) -> None:
        """Give merged pages a frame of their own again, with the bytes they had; they are born anew.

        Args:
            pages: uint32 (n,).

        Raises:
            PageError: one is not merged, or its own frame still serves others.
        """
        pages = ids_array(pages)
        frames = self._live_frames(pages)
        if self._writers:
            if not self._writers.is_merged(pages).all():
                raise PageError("a page to split is not merged")
            born = self._copy_on_write(pages, self.read(pages))
            if self.watch:
                self.watch.unmerged(born)
            return
        if (frames == pages).any() or self._mapcount[pages].any():
            raise PageError("a page to split is not merged, or its own frame still serves others")
        zero = frames == ZERO_FRAME
        self._zero -= int(zero.sum())
        self._mapped -= len(pages) - int(zero.sum())
        self.frame_of[pages] = NO_FRAME
        self._drop(frames[~zero])
        self.add(pages, anon_vma=self._anon_vma[pages], salt=self._salt[pages])
        if self.watch:
            self.watch.unmerged(pages)

    def set_quirks(self, ids: Collection[str]) -> None:
        """Do nothing: none of the faults has an effect on pages that are mapped once each."""

    @exclusive
    def set_within(self, within: str) -> None:
        """Let pages merge within those of one salt alone, as they were added; or with all."""
        require_within(within, ("all", "salt"))
        self._within = within
        self.store.unsalt()
        if within != "all":
            self._grow()
            self.store.salt(slice(0, len(self._salt)), self._salt)

    def keep(self, pages: Pages) -> None:
        """Let nobody write to the frames of these pages any more. Any page can be kept."""
        if self._writers:
            self._writers.kept[pages] = True

    def hold(self, pages: Pages) -> None:
        """Do nothing: there are no references here."""

    def forget(self, pages: Pages) -> None:
        """Let the watch know: there is no count of it here."""
        if self.watch:
            self.watch.dropped(pages)

    def saved_by(self, pages: IdsLike | None = None) -> Saved:
        """Return what merging saves on live pages (None: on all), as Saved. PageError if one is not alive."""
        known = np.flatnonzero(self.frame_of != NO_FRAME) if pages is None else self._known(pages)
        frames = self.frame_of[known]
        if (frames == NO_FRAME).any():
            raise PageError("a page that is not alive")
        zero = frames == ZERO_FRAME
        merged = frames[~zero]
        merged = merged[self._mapcount[merged] > 1]
        shared, n_zero = len(distinct(merged)), int(zero.sum())
        return Saved(shared, len(merged) - shared, n_zero, len(frames) - n_zero - len(merged))

    @exclusive
    def unmerge_all(self) -> None:
        """Give every merged page a frame of its own, born anew."""
        pages = np.arange(len(self.frame_of), dtype=np.uint32)
        pages = pages[(self.frame_of != pages) & (self.frame_of != NO_FRAME)]
        self.split(pages[self._writers.is_merged(pages)] if self._writers else pages)

    def _known(self, pages: IdsLike) -> Pages:
        """Return pages as uint32. PageError unless there are or have been such."""
        pages = ids_array(pages)
        if len(pages) and int(pages.max()) >= len(self.frame_of):
            raise PageError(f"page {pages.max()} has never been alive")
        return pages

    def _drop(self, frames: Pages) -> None:
        """One pte of each frame is gone (frames may repeat); those without any are free."""
        np.subtract.at(self._mapcount, frames, np.uint32(1))
        dead = distinct(frames[self._mapcount[frames] == 0])
        if len(dead):
            self._free_frames(dead)

    def _free_frames(self, frames: Pages) -> None:
        self._mapcount[frames] = 0
        self._frames -= len(frames)
        self._policy.on_free(frames)

    def _live_frames(self, pages: Pages) -> Pages:
        """Return the frame of each page. PageError if one is not alive, or comes twice."""
        if len(pages) and int(pages.max()) >= len(self.frame_of):
            raise PageError("a page that is not alive")
        at = native.span(pages)
        frames = self.frame_of[at].copy()
        if (frames == NO_FRAME).any():
            raise PageError("a page that is not alive")
        if at is pages and len(distinct(pages)) != len(pages):
            raise PageError("a page is named twice")
        return frames

    def _grow(self) -> None:
        n_pages = self.store.n_pages
        if n_pages > len(self.frame_of):
            self.frame_of = grown(self.frame_of, n_pages, NO_FRAME)
            self._mapcount = grown(self._mapcount, n_pages)
            self._salt = grown(self._salt, n_pages) if self._has_salts else zeros(n_pages, np.uint32)
            self._anon_vma = grown(self._anon_vma, n_pages) if self._has_anon_vmas else zeros(n_pages, np.uint32)
            self._view = native.FramesView(self.frame_of, self._mapcount)
            if self._writers:
                self._writers.grow(n_pages)

    @exclusive
    def check(self) -> None:
        """Raise AssertionError unless mappings, frames and references agree, and no merge has changed a byte."""
        pages = np.flatnonzero(self.frame_of != NO_FRAME).astype(np.uint32)
        frames = self.frame_of[pages]
        zero = frames == ZERO_FRAME
        assert int(zero.sum()) == self._zero and len(pages) - self._zero == self._mapped
        counts = np.bincount(frames[~zero], minlength=len(self._mapcount)).astype(np.uint32)
        assert np.array_equal(counts, self._mapcount)
        assert int((counts > 0).sum()) == self._frames
        assert (self._references >= 0).all()
        home = np.ones(len(pages), bool)
        if self._writers:
            self._writers.check()
            home = ~self._writers.strayed[pages]
        assert not self.store.bytes_of(pages[zero & home]).any(), "a page merged with the zero page is not zero"
        merged = (frames != pages) & ~zero & home
        own, kept = self.store.bytes_of(pages[merged]), self.store.bytes_of(frames[merged])
        assert np.array_equal(own, kept), "a merged page differs from its kpage"
