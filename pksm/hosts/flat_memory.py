"""A FlatHost for those who own its pages: memory that comes, is read, and is written, merged or not."""

from typing import Any

import numpy as np

from pksm.arrays import Contents, IdsLike, Pages, U8Array, distinct
from pksm.engine.exclusive import exclusive
from pksm.engine.native import ids_array
from pksm.engine.store import pages_given
from pksm.errors import PageError, UsageError
from pksm.hosts.writers import Writers
from pksm.protocols import NO_FRAME, ZERO_FRAME


class FlatMemory:
    """The part of a FlatHost that gives out pages, and reads and writes them."""

    _writers: Writers | None

    @exclusive
    def new(self: Any, n: int) -> Pages:
        """Make n zeroed pages live, in memory that the host allocates and uses again.

        Returns:
            Their numbers: uint32 (n,).

        Raises:
            UsageError: n is not a whole number from 0, or the host is static.
            ShortageError: there is not so much memory.
        """
        if not isinstance(n, (int, np.integer)) or n < 0:
            raise UsageError(f"{n} new pages: give a whole number from 0")
        pages = self._writing().take_spare(int(n))
        self.store.write(pages, None)
        self.add(pages)
        return pages

    def read(self: Any, pages: IdsLike) -> U8Array:
        """Return what live pages hold, merged or not: a copy, uint8 (n, page_size). PageError if one is not alive."""
        pages = self._known(pages)
        frames = self.frame_of[pages]
        if (frames == NO_FRAME).any():
            raise PageError("a page that is not alive")
        zero = frames == ZERO_FRAME
        contents = self.store.bytes_of(np.where(zero, pages, frames))
        contents[zero] = 0
        return contents

    @exclusive
    def write(self: Any, pages: IdsLike, contents: Contents) -> None:
        """Write whole pages. A merged one leaves the others alone: it gets a frame of its own, and is born anew.

        A page whose own frame serves others gets one in memory that the host allocates: read what pages hold by read.

        Args:
            pages: uint32 (n,), alive, none twice.
            contents: bytes, or a uint8 array (n, page_size); content ids, a page each, where pages are 8 bytes.

        Raises:
            PageError: a page is not alive, or comes twice.
            UsageError: the host is static, the memory is read-only, or the contents are not so many pages.
        """
        pages = ids_array(pages)
        data = pages_given(contents, self.store.page_size)
        if len(data) != len(pages):
            raise UsageError(f"{len(data)} contents for {len(pages)} pages: give one for each")
        old = self._live_frames(pages)
        self._writing()
        born = self._copy_on_write(pages, data)
        if self.watch:
            new = self.frame_of[pages]
            left = np.isin(new, born)
            self.watch.copied(old[left], new[left])

    def _writing(self: Any) -> Writers:
        """Return the writers' columns, and have them from now on."""
        if self.static:
            raise UsageError("a static host's pages never change: make it with static=False")
        if not self._writers:
            self._grow()
            self._writers = Writers(self)
        return self._writers

    def _copy_on_write(self: Any, pages: Pages, contents: U8Array) -> Pages:
        """Write live pages, each once; return the frames born. Births and deaths are reported when all is done."""
        writers = self._writing()
        self.store.check_writable(pages)
        in_place, spare = writers.frames_to_write(pages)
        frames = self.frame_of[pages]
        self.store.write(frames[in_place], contents[in_place])
        leaving, left = pages[~in_place], frames[~in_place]
        zero = left == ZERO_FRAME
        np.subtract.at(self._mapcount, left[~zero], np.uint32(1))
        dead = distinct(left[~zero][self._mapcount[left[~zero]] == 0])
        born = writers.settle_in(leaving, spare)
        self._zero -= int(zero.sum())
        self._mapped += int(zero.sum())
        self._frames += len(born) - len(dead)
        self.store.write(born, contents[~in_place])
        if len(left):
            self.pte_changes += 1
        if len(dead):
            self._policy.on_free(dead)
        if len(born):
            self._policy.on_new(born)
        if in_place.any():
            self._policy.written(frames[in_place])
        return born
