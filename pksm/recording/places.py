"""Where some page numbers are among others; all sorted."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pksm.arrays import AnyArray, BoolArray, I64Array, U64Array
from pksm.extents import address_runs, expand


def stretch(pages: U64Array, wanted: U64Array) -> slice | None:
    """Return where wanted pages are if they are one stretch of the others, as in most samples; None if they are not."""
    first = int(np.searchsorted(pages, wanted[0])) if len(wanted) else 0
    end = first + len(wanted)
    return slice(first, end) if np.array_equal(pages[first:end], wanted) else None


def places(pages: U64Array, wanted: U64Array) -> tuple[I64Array, BoolArray]:
    """Return where wanted pages are among the others, or would be, and which of them are there."""
    if len(pages) and int(pages[-1]) - int(pages[0]) == len(pages) - 1:  # they are one stretch themselves
        at = wanted.astype(np.int64) - int(pages[0])
        found = (at >= 0) & (at < len(pages))
        return (at if found.all() else np.clip(at, 0, len(pages))), found
    found_whole = stretch(pages, wanted)
    if found_whole is not None:
        return np.arange(found_whole.start, found_whole.stop), np.ones(len(wanted), bool)
    at = np.searchsorted(pages, wanted)
    found = at < len(pages)
    found[found] = pages[at[found]] == wanted[found]
    return at, found


def among(pages: U64Array, wanted: U64Array) -> BoolArray:
    """Return which of the pages are wanted: quick where few are."""
    at, found = places(pages, wanted)
    made = np.zeros(len(pages), bool)
    made[at[found]] = True
    return made


@dataclass
class Ranges:
    """Page numbers, sorted, as ranges: searched by far faster than the numbers, for most address spaces have few.

    Attributes:
        ranges: starts and ends (n, 2), in order and apart.
    """

    ranges: I64Array

    @classmethod
    def of(cls, pages: U64Array) -> "Ranges":
        """Return those of some pages."""
        runs = address_runs(pages)
        first = runs["first"].astype(np.int64)
        return cls(np.stack([first, first + runs["pages"]], axis=1))

    @cached_property
    def lengths(self) -> I64Array:
        """How many pages each range has."""
        return self.ranges[:, 1] - self.ranges[:, 0]

    @cached_property
    def heads(self) -> I64Array:
        """The place of the first page of each range."""
        return np.cumsum(self.lengths) - self.lengths

    def __len__(self) -> int:
        return int(self.lengths.sum())

    def places(self, wanted: AnyArray) -> tuple[I64Array, BoolArray]:
        """Do as places() of the pages."""
        wanted = wanted.astype(np.int64)
        if not len(self.ranges):
            return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
        which = np.searchsorted(self.ranges[:, 0], wanted, "right") - 1
        at = np.clip(wanted - self.ranges[which, 0], 0, self.lengths[which])
        found = (which >= 0) & (at < self.lengths[which])
        return np.where(which >= 0, self.heads[which] + at, 0), found

    def left_by(self, kept: I64Array) -> I64Array:
        """Return the places of the pages that are not in some parts of the ranges (n, 2), which are in order and apart."""
        low = self.places(kept[:, 0])[0]
        edges = np.stack([low, low + kept[:, 1] - kept[:, 0]], axis=1).reshape(-1)
        gaps = np.concatenate([[0], edges, [len(self)]]).reshape(-1, 2)
        return expand(gaps[:, 0], gaps[:, 1] - gaps[:, 0]).astype(np.int64)
