"""Fleets with known answers: trees of images by content ids, without bytes."""

from dataclasses import dataclass

import numpy as np

from pksm.arrays import I64Array, StructArray, U64Array
from pksm.errors import UsageError
from pksm.fleet.rows import make_rows, merged


@dataclass(frozen=True)
class Tree:
    """Images derived from one another: each VM holds its image, that image's parents up to the root, and its own pages.

    Args:
        vms: how many VMs there are.
        fanout: images at each level below each image of the level above, so the leaves are their product.
        pages: pages of an image at each level, the root's first: one more than levels of fanout.
        own: pages that no other VM holds.
        zero: zero pages of each VM.
        seed: another one gives other sums, and other leaves to the VMs.
    """

    vms: int
    fanout: tuple[int, ...] = (3, 4)
    pages: tuple[int, ...] = (400, 200, 100)
    own: int = 100
    zero: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.pages) != len(self.fanout) + 1:
            raise UsageError("give pages for the root and for each level of fanout", "pages")
        if min((self.vms, self.own, self.zero, *self.pages)) < 0 or min(self.fanout, default=1) < 1:
            raise UsageError("numbers of VMs, pages and images can't be negative, and a fanout is at least 1", "fanout")

    def images(self) -> I64Array:
        """Return the image of each VM at each level, [VM, level]."""
        widths = np.cumprod([1, *self.fanout])
        leaves = np.random.default_rng(self.seed).integers(0, widths[-1], self.vms)
        return np.stack([leaves // (widths[-1] // width) for width in widths], axis=1)

    def contents(self) -> int:
        """Return how many distinct contents the fleet has: its known answer."""
        images = self.images()
        shared = sum(size * len(set(images[:, level].tolist())) for level, size in enumerate(self.pages))
        return shared + self.vms * self.own + (self.zero > 0 and self.vms > 0)

    def common(self, one: int, other: int) -> int:
        """Return how many contents two VMs share: the images that both descend from, and the zero page."""
        images = self.images()[[one, other]]
        same = images[0] == images[1]
        return sum(size for size, is_same in zip(self.pages, same, strict=True) if is_same) + (self.zero > 0)

    def vm(self, number: int) -> StructArray:
        """Return the merged rows of one VM."""
        ids = [_ids(level, image, self.pages[level]) for level, image in enumerate(self.images()[number].tolist())]
        ids.append(_ids(len(self.pages), number, self.own))
        sums = np.concatenate(ids)
        # Salts of the whole width: seeds that moved ids by a few bits would only deal the same sums anew.
        salts = _mixed(np.array([2 * self.seed, 2 * self.seed + 1], np.uint64))
        high, low = _mixed(sums ^ salts[0]), _mixed(sums ^ salts[1])
        rows = make_rows(high, low, number)
        if self.zero:
            nothing = np.zeros(1, np.uint64)
            rows = np.concatenate([make_rows(nothing, nothing, number, self.zero), rows])
        return merged(rows)


def _ids(level: int, image: int, pages: int) -> U64Array:
    """Return content ids of an image: 4 bits of level, 28 of image, 32 of page."""
    return np.uint64(level << 60 | image << 32) + np.arange(pages, dtype=np.uint64)


def _mixed(values: U64Array) -> U64Array:
    """Return values spread over 64 bits, each to one of its own (the finalizer of splitmix64)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
