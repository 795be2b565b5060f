"""Faults of the published kernels: their ids, and those that pksmd has, as switches.

The ledger with tests is docs/explanation/fidelity/ledger.md; those that need page tables are the machine's
(hosts/machine/quirks.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from typing import Self

# id -> (acts on any host?, published behaviour in one line)
QUIRKS = {
    "collision-is-success": (True, "equal checksums with other bytes count as merged"),
    "sparse-zero-lost": (True, "a page that is zero where the checksum looks counts as merged"),
    "one-content-per-hash": (True, "trees are ordered by the checksum alone"),
    "blind-sample": (True, "the checksum looks at 64 words of the page"),
    "half-made-kpage": (False, "a failed merge of two leaves a KSM page without a stable node"),
    "multi-mapped-kpage": (False, "a page with two ptes can't become the kept page and is dropped"),
    "walk-stops": (False, "the first unfit vma ends the reverse walk"),
    "drop-is-final": (True, "a page that can't be merged once is forgotten for life"),
    "ageing-defeated": (True, "n visits are over in one wake-up, and the quota derives from the list"),
    "quadratic-assert": (True, "every list move walks the whole list"),
    "head-of-list": (True, "the recheck always starts at the same pages"),
    "period-not-kept": (True, "the recheck quota is capped and loses its remainder"),
    "stale-hash-reentry": (True, "a page found changed is not summed again at its visit"),
    "lifo-batch": (True, "new pages are worked in reverse order of arrival"),
    "batch-plus-two": (True, "every quota takes two more"),
    "births-missed": (False, "only the first write to an anonymous page enters it"),
    "stale-node-aborts": (True, "a node that can't be taken ends a search"),
    "ref-leak": (False, "a failed check keeps a reference on the page"),
    "skipped-vanish": (True, "items that are not valid at their visit are put on no list"),
    "counters-drift": (False, "the first unmap of a kept page and its forks are not counted"),
    "no-unmerge": (False, "run = 2 and MADV_UNMERGEABLE do nothing"),
    "split-vma": (False, "the reverse walk ends at the first vma that does not hold the page"),
    "partial-merge-leak": (False, "a merge that fails half way leaves its sharing count behind"),
    "mlock-hang": (False, "an mlocked page and a kept page that is not: pksmd hangs"),
    "first-break-uncounted": (False, "the first copy-on-write of a group is not subtracted"),
    "sharers-for-life": (True, "records of sharers, and the references they hold, stay as long as the kept page"),
    "useless-rmap": (False, "merged pages can't be swapped or migrated"),
}

# A quirk that is nothing but a value of a tunable: they are set and cleared together.
IMPLIED = {
    "one-content-per-hash": ("order", "checksum"),
    "blind-sample": ("checksum", "sampled"),
    "head-of-list": ("update", "head"),
    "births-missed": ("births", "anonymous"),
}


@dataclass(frozen=True)
class Faults:
    """Which faults pksmd has; a field each, named by the id of the quirk."""

    collision_is_success: bool = False
    sparse_zero_lost: bool = False
    one_content_per_hash: bool = False
    half_made_kpage: bool = False
    walk_stops: bool = False
    drop_is_final: bool = False
    ageing_defeated: bool = False
    quadratic_assert: bool = False
    period_not_kept: bool = False
    stale_hash_reentry: bool = False
    lifo_batch: bool = False
    batch_plus_two: bool = False
    stale_node_aborts: bool = False
    ref_leak: bool = False
    skipped_vanish: bool = False
    no_unmerge: bool = False
    sharers_for_life: bool = False
    partial_merge_leak: bool = False
    mlock_hang: bool = False

    @classmethod
    @cache
    def ids(cls) -> dict[str, str]:
        """Return {id of a quirk: field} of the quirks that are pksmd's."""
        return {entry.name.replace("_", "-"): entry.name for entry in fields(cls)}

    @classmethod
    def of(cls, quirks: Iterable[str]) -> Self:
        """Return the switches for quirk ids; those that are a setting, or the machine's, are passed over."""
        return cls(**{cls.ids()[quirk]: True for quirk in quirks if quirk in cls.ids()})

    @property
    def lossy(self) -> bool:
        """Pages of one checksum count as merged, or stand in each other's way, whatever their bytes are."""
        return self.collision_is_success or self.sparse_zero_lost or self.one_content_per_hash

    @property
    def loses_items(self) -> bool:
        """Items come to be in no tree and on no list: taken for merged, given up or left behind."""
        return (
            self.collision_is_success
            or self.sparse_zero_lost
            or self.stale_node_aborts
            or self.skipped_vanish
            or self.walk_stops
            or self.mlock_hang
        )
