"""Writers of a FlatHost: copy on write, and the frames that a page gets when its own one still serves others.

A page that is written leaves a merged frame. It goes back to the frame of its own number, unless others are merged into
that: then it strays to a spare one, of memory that the host has allocated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import BoolArray, IntArray, Pages
from pksm.engine.memory import grown
from pksm.engine.native import ids_array
from pksm.errors import PageError
from pksm.protocols import NO_FRAME, ZERO_FRAME

if TYPE_CHECKING:
    from pksm.hosts.flat import FlatHost

_SPARE_SHARE = 8  # a search for spare frames is worth it if it finds one in so many of the host's own


class Writers:
    """Columns that a FlatHost has once something was written through it.

    Columns: owner uint32, by frame: the page that got it when it was born; kept bool, by frame: something was merged
    into it, or may have been; strayed bool, by page: its own frame does not hold its bytes; ours bool, by frame: of
    memory that the host has allocated.
    """

    def __init__(self, host: FlatHost) -> None:
        self._host = host
        self.owner = np.arange(len(host.frame_of), dtype=np.uint32)
        self.kept: BoolArray = host._mapcount > 0
        self.strayed = np.zeros(len(host.frame_of), bool)
        self.ours = np.zeros(len(host.frame_of), bool)
        self._spare = np.empty(0, np.uint32)

    @property
    def nbytes(self) -> int:
        """Bytes of the columns."""
        return self.owner.nbytes + self.kept.nbytes + self.strayed.nbytes + self.ours.nbytes + self._spare.nbytes

    def grow(self, n_pages: int) -> None:
        """Make room for page numbers."""
        before = len(self.owner)
        self.owner = np.concatenate((self.owner, np.arange(before, n_pages, dtype=np.uint32)))
        self.kept, self.strayed, self.ours = (grown(one, n_pages) for one in (self.kept, self.strayed, self.ours))

    def born(self, at: Pages | slice, pages: Pages) -> None:
        """Pages have been added, each on the frame of its own number."""
        self.owner[at] = pages
        self.kept[at] = self.strayed[at] = False

    def take_spare(self, n: int) -> Pages:
        """Return n frames that nobody uses, of the host's own memory, which grows if it must."""
        if np.count_nonzero(self._is_free(self._spare[:n])) < n:  # too few, or somebody has added one as a page
            self._find_spare(n)
        taken, self._spare = self._spare[:n], self._spare[n:]
        return taken

    def _find_spare(self, n: int) -> None:
        ours = np.flatnonzero(self.ours).astype(np.uint32)
        spare = ours[self._is_free(ours)]
        if len(spare) < max(n, len(ours) // _SPARE_SHARE):
            first, rows = self._host.store.allocate(max(n, len(ours) // 2))
            new = np.arange(first, first + len(rows), dtype=np.uint32)
            self._host._grow()
            self.ours[new] = True
            spare = np.concatenate((spare, new))
        self._spare = spare

    def put_back(self, frames: Pages) -> None:
        """Return spare frames that were not needed."""
        self._spare = np.concatenate((frames, self._spare))

    def _is_free(self, frames: Pages) -> BoolArray:
        return (self._host.frame_of[frames] == NO_FRAME) & (self._host._mapcount[frames] == 0)

    def is_merged(self, pages: Pages) -> BoolArray:
        """Return which live pages map the zero page, or a frame that was another's."""
        frames = self._host.frame_of[pages]
        zero = frames == ZERO_FRAME
        return zero | (self.owner[np.where(zero, 0, frames)] != pages)

    def remap(self, frames: Pages, kpages: IntArray | None) -> bool:
        """Point the pages that own these frames to kpages (None: to the zero page), if some of them have strayed.

        Returns:
            False, and nothing is done, if none has.

        Raises:
            PageError: they don't fit.
        """
        host = self._host
        frames = ids_array(frames)
        if len(frames) and int(frames.max()) >= len(self.owner):
            raise PageError("only pages without sharers can be merged, and only into live frames")
        owners = self.owner[frames]
        if (owners == frames).all():
            return False
        targets = None if kpages is None else host._known(kpages)
        fits = len(np.unique(frames)) == len(frames)
        fits = fits and bool(((host.frame_of[owners] == frames) & (host._mapcount[frames] == 1)).all())
        if targets is not None:
            fits = fits and len(targets) == len(frames) and bool((host._mapcount[targets] > 0).all())
            fits = fits and not np.isin(targets, frames).any()
        if not fits:
            raise PageError("only pages without sharers can be merged, and only into live frames")
        host._mapcount[frames] = 0
        host.frame_of[owners] = ZERO_FRAME if targets is None else targets
        if targets is not None:
            np.add.at(host._mapcount, targets, np.uint32(1))
        return True

    def frames_to_write(self, pages: Pages) -> tuple[BoolArray, Pages]:
        """Return which pages (live, each once) can be written in place, and as many spare frames as the others may take."""
        host = self._host
        frames = host.frame_of[pages]
        there = np.where(frames == ZERO_FRAME, 0, frames)
        sole = (frames != ZERO_FRAME) & (host._mapcount[there] == 1)
        in_place = sole & ~self.kept[there]
        needed = ~in_place & (host._mapcount[pages] > 0) & ~(sole & (frames == pages))
        return in_place, self.take_spare(int(np.count_nonzero(needed)))

    def settle_in(self, pages: Pages, spare: Pages) -> Pages:
        """Give pages that map nothing now a frame each, their own if it is free; return the frames."""
        host = self._host
        away = host._mapcount[pages] > 0
        frames, n_away = pages.copy(), int(np.count_nonzero(away))
        frames[away] = spare[:n_away]
        self.put_back(spare[n_away:])
        host.frame_of[pages] = frames
        host._mapcount[frames] = 1
        if host._has_anon_vmas:
            host._anon_vma[frames] = host._anon_vma[pages]
        if host._has_salts:
            host._salt[frames] = host._salt[pages]
        if host._within != "all":
            host.store.salt(frames, host._salt[pages])
        self.owner[frames] = pages
        self.kept[frames] = False
        self.strayed[pages] = away
        return frames

    def check(self) -> None:
        """Raise AssertionError unless frames that one page alone maps belong to it, or are merged."""
        host = self._host
        pages = np.flatnonzero(host.frame_of < NO_FRAME).astype(np.uint32)
        frames = host.frame_of[pages]
        lone = (host._mapcount[frames] == 1) & ~self.kept[frames]
        assert (self.owner[frames[lone]] == pages[lone]).all(), (
            "an unmerged frame is mapped by a page that does not own it"
        )
        home = lone & ~self.strayed[pages]
        assert (frames[home] == pages[home]).all(), "a page has strayed, and nobody knows"
