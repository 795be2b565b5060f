"""The faults of the published kernels that need page tables, as switches of the machine."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Quirks:
    """Which faults the machine has; a field each, named after what it does. Ids are of pksmd.quirks and uksm.spec."""

    walk_stops: bool = False  # the reverse walk ends at the first vma that it does not like
    walks_lists: bool = False  # it visits every vma of the anon_vma, not only those that hold the index
    one_mapping: bool = False  # a second vma that holds the index spoils the page that is to be kept
    half_made: bool = False  # which stays flagged KSM all the same
    leaks: bool = False  # ptes that were moved before a walk failed stay moved and counted
    mlock_hangs: bool = False
    forks_uncounted: bool = False  # pages_sharing counts replaced ptes, not ptes
    breaks_uncounted: bool = False  # and looks at a copy-on-write too early
    walks_nowhere: bool = False  # the reverse walk finds no pte of a merged page
    births_missed: bool = False  # only the first write to an anonymous page is reported
    stays_merged: bool = False  # MADV_UNMERGEABLE does nothing
    new_wait: bool = False  # new pages wait on their way to the LRU lists, and are busy until they are let go of

    IDS: ClassVar[dict[str, str]] = {
        "walk-stops": "walk_stops",
        "split-vma": "walks_lists",
        "multi-mapped-kpage": "one_mapping",
        "half-made-kpage": "half_made",
        "partial-merge-leak": "leaks",
        "mlock-hang": "mlock_hangs",
        "counters-drift": "forks_uncounted",
        "first-break-uncounted": "breaks_uncounted",
        "useless-rmap": "walks_nowhere",
        "births-missed": "births_missed",
        "no-unmerge": "stays_merged",
        "pagevec": "new_wait",
    }

    @classmethod
    def of(cls, ids: Collection[str]) -> Quirks:
        """Return the switches for quirk ids; those that need no page tables are passed over."""
        return cls(**{cls.IDS[quirk]: True for quirk in ids if quirk in cls.IDS})

    @property
    def exact_walk(self) -> bool:
        """The reverse walk finds every pte, and merging is all or nothing."""
        return not (self.walk_stops or self.one_mapping)

    @property
    def books_sharing(self) -> bool:
        """pages_sharing is kept by adding and subtracting, not derived from what is mapped."""
        return self.forks_uncounted or self.breaks_uncounted
