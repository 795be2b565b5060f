"""rescan-all: a policy that looks at all memory at every wake-up and merges what is equal. As naive as can be.

It keeps no trees and no checksums: it sorts all pages by their bytes. What it merges is right, and costs far too much.
"""

from dataclasses import dataclass

import numpy as np

from pksm.policies import Cost, Daemon, Settings, Spec, setting

NONE = np.empty(0, np.uint32)
FREE = 0  # the class of a page that can be merged


@dataclass(frozen=True)
class RescanSettings(Settings):
    """What can be set, under the names that the kernel has for such things."""

    sleep_millisecs: int = setting(1000, "ms between two wake-ups", 1, 1 << 31)
    run: int = setting(1, "0 stop, 1 merge, 2 stop and unmerge", 0, 2)


class RescanAll(Daemon):
    """pages: all that are alive; kept: those of them that others have been merged into, which never change."""

    at_rest = False

    def __init__(self, host, settings, seed=0):
        self.cost, self._host, self._tunables = Cost(), host, settings
        self._pages, self._kept = NONE, NONE
        host.attach(self)

    def on_new(self, pages):
        self._pages, self.at_rest = np.union1d(self._pages, pages), False

    def on_free(self, pages):
        self._pages, self._kept = np.setdiff1d(self._pages, pages), np.setdiff1d(self._kept, pages)

    def moved(self, old, new):
        self._kept = np.union1d(np.setdiff1d(self._kept, old), new)

    def written(self, pages):
        self.at_rest = False

    def wake(self):
        if self._tunables.run != 1:
            return 0
        pages = np.concatenate((self._kept, np.setdiff1d(self._pages, self._kept)))  # the first of equals is kept
        if self._host.classes is not None:
            pages = pages[self._host.classes[pages] == FREE]
        rows = self._host.store.bytes_of(pages)
        keys = rows.view(np.dtype((np.void, rows.shape[1]))).ravel()
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        self.cost.add(pages_visited=len(pages), bytes_compared=rows.size)
        twins, zero = first[group] != np.arange(len(pages)), ~rows.any(axis=1)
        free = ~np.isin(pages, self._kept)
        empty, equal = free & zero, free & twins & ~zero
        kpages = pages[first[group]][equal]
        self._kept = np.union1d(self._kept, kpages)
        self._host.merge_zero(pages[empty])
        self._host.merge(pages[equal], kpages)
        self.at_rest = not (empty | equal).any()
        return len(pages)

    def _unmerge(self, tunables):
        self._kept = NONE
        self._host.unmerge_all()

    def counters(self):
        return {"pages_shared": len(self._kept), "pages_sharing": self._host.pages_sharing, "pages": len(self._pages)}

    def check(self):
        assert np.isin(self._kept, self._pages).all(), "a kept page is not alive"

    @property
    def metadata_bytes(self):
        return self._pages.nbytes + self._kept.nbytes


COUNTERS = {
    "pages_shared": "pages that others are merged into",
    "pages_sharing": "mappings that are merged into them",
    "pages": "pages that are alive",
}
SPEC = Spec(
    name="rescan-all",
    about="compares all pages at every wake-up",
    settings=RescanSettings,
    presets={"slow": RescanSettings(), "fast": RescanSettings(sleep_millisecs=20)},
    default="slow",
    counters=COUNTERS,
    make=RescanAll,
    shown=tuple(COUNTERS),
)
RescanAll.spec = SPEC
