"""A page cache that owns its memory and merges equal pages of it; pages that are pinned for I/O refuse.

Each entry maps a frame; a write to a merged one goes into a copy. Pages of the store are frames of the cache.
"""

import numpy as np

from pksm import Pksmd, Store
from pksm.errors import PksmError
from pksm.protocols import BUSY_PAGE, FREE, NO_FRAME, ZERO_FRAME, BaseHost


class PageCache(BaseHost):
    def __init__(self, frames, page_size=4096):
        self.store = Store(page_size)
        self.first, self.memory = self.store.allocate(
            frames
        )  # page number of the first frame; bytes (frames, page_size)
        assert self.first == 0, "the only region of its store"
        self.free_frames = np.arange(frames, dtype=np.uint32)
        self.map = np.zeros(0, np.uint32)  # by entry: its frame
        self.users = np.zeros(frames, np.int64)  # by frame: entries that map it
        self.kept = np.zeros(frames, bool)  # by frame: merged, nobody may write it
        self.pinned = np.zeros(frames, bool)
        self.classes = np.full(self.store.n_pages, FREE, np.uint8)

    # ---- what a cache does ----

    def add(self, contents):
        """Cache pages (uint8 array (n, page_size)) and return their entries."""
        entries = np.arange(len(self.map), len(self.map) + len(contents))
        self.map = np.append(self.map, np.full(len(contents), NO_FRAME, np.uint32))
        self._give_frames(entries, contents)
        return entries

    def read(self, entries):
        frames = self.map[entries]
        pages = self.memory[np.where(frames < NO_FRAME, frames, 0)]
        pages[frames >= NO_FRAME] = 0
        return pages

    def write(self, entries, contents):
        """Write whole pages: in place where nobody shares them, into new frames elsewhere."""
        frames = self.map[entries]
        shared = (frames == ZERO_FRAME) | self.kept[np.where(frames < NO_FRAME, frames, 0)]
        self.memory[frames[~shared]] = contents[~shared]
        self.policy.written(frames[~shared])
        self._drop(frames[shared])
        self._give_frames(entries[shared], contents[shared])

    def evict(self, entries):
        frames, self.map[entries] = self.map[entries], NO_FRAME
        self._drop(frames)

    def pin(self, entries, pinned=True):
        """Let nobody merge the frames of these entries, or let them again."""
        frames = self.map[entries]
        self.pinned[frames[frames < NO_FRAME]] = pinned
        self.classes[frames[frames < NO_FRAME]] = BUSY_PAGE if pinned else FREE

    def _give_frames(self, entries, contents):
        if len(entries) > len(self.free_frames):
            raise PksmError("the cache is full: evict something")
        frames, self.free_frames = np.split(self.free_frames, [len(entries)])
        self.memory[frames], self.map[entries], self.users[frames] = contents, frames, 1
        self.policy.on_new(frames)

    def _drop(self, frames):
        """Take one user from each frame, and free those without any."""
        frames = frames[frames < NO_FRAME]
        np.subtract.at(self.users, frames, 1)
        self._free(np.unique(frames[self.users[frames] == 0]))

    def _free(self, frames):
        self.kept[frames] = self.pinned[frames] = False
        self.classes[frames] = FREE
        self.free_frames = np.append(self.free_frames, frames)
        self.policy.on_free(frames)

    # ---- what pksmd asks of a host ----

    @property
    def pages_sharing(self):
        return int((self.users[self.kept] - 1).sum())

    @property
    def pages_zero_sharing(self):
        return int((self.map == ZERO_FRAME).sum())

    @property
    def frames_saved(self):
        return self.pages_sharing + self.pages_zero_sharing

    def merge(self, pages, kpages):
        refused = self.pinned[pages]  # and no kpage is pinned: its class is BUSY_PAGE
        self._move(pages[~refused], kpages[~refused])
        self.kept[kpages[~refused]] = True
        return refused

    def merge_zero(self, pages):
        refused = self.pinned[pages]
        self._move(pages[~refused], np.full((~refused).sum(), ZERO_FRAME, np.uint32))
        return refused

    def _move(self, pages, targets):
        """Let the entries of each page map its target, and free the page."""
        target_of = np.arange(len(self.users), dtype=np.uint32)
        target_of[pages] = targets
        mapped = self.map < NO_FRAME
        self.map[mapped] = target_of[self.map[mapped]]
        np.add.at(self.users, targets[targets < NO_FRAME], self.users[pages[targets < NO_FRAME]])
        self.users[pages] = 0
        self._free(pages)

    def unmerge_all(self):
        frames = self.map[entries := np.flatnonzero(self.map != NO_FRAME)]
        shared = (frames == ZERO_FRAME) | self.kept[np.where(frames < NO_FRAME, frames, 0)]
        contents = self.read(entries[shared])
        if shared.sum() > len(self.free_frames):
            raise PksmError("too few free frames to unmerge: evict something")
        self._give_frames(entries[shared], contents)
        self._drop(frames[shared])


def main():
    cache = PageCache(3000)
    daemon = Pksmd(cache, strict=True)
    contents = np.zeros((1000, 4096), np.uint8)
    contents[:, 0] = np.arange(1000) % 100  # ten pages of each content, one content zero
    entries = cache.add(contents)
    cache.pin(entries[:200])

    def rest(what):
        for _ in range(1000):  # pages that are busy are visited again and again
            daemon.wake()
        assert np.array_equal(cache.read(entries), contents), "every entry reads what was written to it"
        print(f"{what}: {1000 - cache.frames_saved} frames for 1000 entries")
        return 1000 - cache.frames_saved

    used = [rest("200 of them pinned")]
    cache.pin(entries, False)
    used.append(rest("none pinned"))
    contents[::10, 1] = 7
    cache.write(entries[::10], contents[::10])
    used.append(rest("a tenth written"))
    return used


if __name__ == "__main__":
    main()
