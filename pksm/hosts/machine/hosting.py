"""The machine as a host of pages (protocols in pksm/protocols.py): what policies that see frames ask of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from pksm.arrays import BoolArray, IdsLike, Pages, U8Array, U32Array
from pksm.engine.exclusive import exclusive
from pksm.errors import PageError
from pksm.hosts.attached import NoPolicy, require_alone
from pksm.hosts.machine import border, fault, merge, reach
from pksm.hosts.machine import frames as flag
from pksm.hosts.machine.page_tables import LIMIT
from pksm.hosts.machine.quirks import Quirks
from pksm.protocols import WITHIN, Policy, require_within


class Hosting:
    """The part of a Machine that is a PageHost."""

    @exclusive
    def attach(self: Any, policy: Policy) -> None:
        """Report births and deaths to this policy from now on.

        One that merges hears at once of the pages that there are, in order of frame number.
        UsageError if another policy merges its pages already.
        """
        require_alone(self.policy, policy)
        if policy is self.policy:
            return
        self.policy = policy
        there = np.flatnonzero((self.frames.mapcount > 0) & (self.frames.flags & flag.COMPOUND == 0))
        if getattr(policy, "merges", False) and len(there):
            policy.on_new(there.astype(np.uint32))

    @exclusive
    def detach(self: Any) -> None:
        """Tell nobody: another policy may be attached, such as one resumed from the state of the last."""
        self.policy = NoPolicy()

    @exclusive
    def set_quirks(self: Any, ids: Collection[str]) -> None:
        """Have these faults of the published kernels; those that need no page tables do nothing."""
        quirks = Quirks.of(ids)
        if quirks == self.quirks:
            return
        if quirks.books_sharing != self.quirks.books_sharing:
            self.frames.open_books(quirks.books_sharing)
        self.frames.quirks = quirks
        if not quirks.new_wait:
            fault.let_go(self, self.new_pages)
        self.rmap.watches = True
        self.rmap.touch(np.arange(len(self.rmap.root)))
        reach.refresh(self)
        self.rmap.watches = not quirks.exact_walk

    @exclusive
    def set_within(self: Any, within: str) -> None:
        """Let pages merge within the process that they were born in, or within processes of one salt, alone."""
        require_within(within, WITHIN)
        self.frames.set_within(within)

    @property
    def births(self: Any) -> str:
        """`all` or `anonymous`."""
        return self._births or ("anonymous" if self.quirks.births_missed else "all")

    @property
    def quirks(self: Any) -> Quirks:
        """The quirks.Quirks that it has."""
        return self.frames.quirks

    @property
    def classes(self: Any) -> U8Array:
        """uint8 by frame: native.FREE and the others."""
        if self.rmap.watches:
            reach.refresh(self)
        if self.quirks.mlock_hangs:
            self.frames.mark_mlocked()
        return self.frames.classes

    @property
    def pages_sharing(self: Any) -> int:
        """Ptes that point to a kept page, beyond the first of each."""
        return self.frames.pages_sharing

    @property
    def pages_zero_sharing(self: Any) -> int:
        """Ptes that point to the merged zero page."""
        return self.zero_ptes

    @property
    def frames_used(self: Any) -> int:
        """Frames that are not free."""
        return self.frames.n - self.frames.n_free

    @property
    def frames_saved(self: Any) -> int:
        """How many frames more there would be without merging."""
        return self.origins.saved()

    @exclusive
    def merge(self: Any, pages: IdsLike, kpages: IdsLike) -> BoolArray | None:
        """Let every pte of pages[i] point to kpages[i]. Returns a bool array of the refused, or None."""
        pages, kpages = border.frames_to_merge(self, pages, kpages)
        if len(pages) != len(kpages):
            raise PageError(f"{len(pages)} frames to merge into {len(kpages)}")
        refused = merge.merge(self, pages, kpages)
        self.frames_merged(pages, kpages, refused)
        self.count_merges(pages, refused)
        if self.watch:
            self.watch.merged(pages, kpages, refused)
        return refused

    @exclusive
    def merge_zero(self: Any, pages: Pages) -> BoolArray | None:
        """Let every pte of pages point to the zero page. Returns a bool array of the refused, or None."""
        pages, _ = border.frames_to_merge(self, pages)
        refused = merge.merge_zero(self, pages)
        self.frames_merged(pages, pages, refused)
        self.count_merges(pages, refused)
        if self.watch:
            self.watch.merged(pages, None, refused)
        return refused

    @exclusive
    def split(self: Any, pages: Pages) -> None:
        """Give all who share these merged frames private copies."""
        merge.split(self, border.live_frames(self, pages))

    @exclusive
    def unmerge_all(self: Any) -> None:
        """Give every merged pte, those of the zero page too, a frame of its own."""
        merge.unmerge(self, self.mms.values(), 0, LIMIT)

    @exclusive
    def keep(self: Any, pages: Pages) -> BoolArray | None:
        """Make kept pages of pages without merging anything. Returns a bool array of the refused, or None."""
        kept = merge.can_keep(self, border.live_frames(self, pages))
        return None if kept.all() else ~kept

    @exclusive
    def hold(self: Any, pages: Pages) -> None:
        """Take a reference on each frame that nobody will ever drop."""
        self._pin(border.live_frames(self, pages))

    @exclusive
    def forget(self: Any, pages: Pages) -> None:
        """The policy tracks these pages no more: what it has counted for them stays counted."""
        pages = border.known_frames(self, pages)
        self.frames.replaced[pages] = 0
        if self.watch:
            self.watch.dropped(pages)

    def anon_vma(self: Any, pages: Pages) -> U32Array:
        """Return an anon_vma, alive, of each frame."""
        return merge.anon_vmas(self, border.live_frames(self, pages))

    def is_sharer(self: Any, kpages: Pages, anon_vmas: U32Array) -> BoolArray:
        """Return whether anon_vmas[i] is that of kept page kpages[i], or a pte of it is found through it."""
        return merge.is_sharer(self, border.known_frames(self, kpages), anon_vmas)

    @exclusive
    def get_anon_vma(self: Any, anon_vmas: U32Array) -> None:
        """Take a reference on each anon_vma; one may repeat."""
        self.rmap.get(border.live_anon_vmas(self, anon_vmas))

    @exclusive
    def put_anon_vma(self: Any, anon_vmas: U32Array) -> None:
        """Drop a reference on each anon_vma; one may repeat."""
        self.rmap.put(border.referenced_anon_vmas(self, anon_vmas))

    # ---- what the machine's own files report ----

    def frames_merged(self: Any, pages: Pages, kpages: Pages, refused: BoolArray | None = None) -> None:
        """Remember how long the pages that were not refused have waited for their merge: since both were there."""
        if refused is not None:
            pages, kpages = pages[~refused], kpages[~refused]
        born = self.frames.born_ms
        self.merge_waits.add(self.now - np.maximum(born[pages], born[kpages]))

    def count_merges(self: Any, pages: IdsLike, refused: BoolArray | None) -> None:
        """Count pages that were merged, but for those refused."""
        self.merges += len(pages) - (0 if refused is None else int(np.count_nonzero(refused)))

    def born(self: Any, new: Pages, first_write: BoolArray | None = None) -> None:
        """Tell the policy of new pages; first_write: a bool for each that is nothing but an anonymous page's first."""
        if self.quirks.new_wait:
            fault.let_wait(self, self.new_pages, new[~self.frames.has(new, flag.MLOCKED | flag.COMPOUND)])
        if self.births != "all":
            new = new[:0] if first_write is None else new[first_write]
        if len(new):
            self.policy.on_new(new)

    def lose_zero(self: Any, n: int) -> None:
        """n ptes don't point to the merged zero page any more."""
        self.zero_ptes -= n
