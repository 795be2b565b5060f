"""Merging: what verdicts ask for is asked of the host, and sharers are recorded.

For pksmd. What is done here and not in settle is all that the host may refuse, and all that the published kernels book
though nothing was merged.
"""

from collections.abc import Sequence

import numpy as np

from pksm.arrays import BoolArray, Ids, IntArray, U32Array
from pksm.engine import native
from pksm.engine.cost import Cost
from pksm.engine.native.trees import PackedRules
from pksm.engine.queues import IdQueue
from pksm.engine.settle import Part, Settled, Verdict, class_of, undo_pairs
from pksm.policies.pksmd import published
from pksm.policies.pksmd.items import Items
from pksm.policies.pksmd.quirks import Faults
from pksm.policies.pksmd.stable_anon import StableAnon
from pksm.protocols import PageHost

_NONE = np.empty(0, np.uint32)


class Merging:
    """Carries out the verdicts of batches.

    host: PageHost; items: Items; update: IdQueue of unshared items; stable_anon: StableAnon; cost: Cost.
    faults: those of the tunables, to be set; hung: why nothing is merged any more, "" while it is.
    """

    def __init__(self, host: PageHost, items: Items, update: IdQueue, stable_anon: StableAnon, cost: Cost) -> None:
        self._host, self._items, self._update, self._stable_anon, self._cost = host, items, update, stable_anon, cost
        self.faults = Faults()
        self.hung = ""

    def carry_out(self, settled: Settled, rules: PackedRules) -> tuple[IntArray, IntArray, IntArray]:
        """Carry verdicts out. Return positions: to visit again later; refused as zero pages; to settle again now.

        rules: native.PackedRules, that they were made by.
        """
        if self.faults.partial_merge_leak and self._host.classes is not None:
            published.try_zero(self._host, self._items, rules, settled)
        if settled.all_wait:
            return _NONE, _NONE, _NONE
        not_zero, not_paired, not_joined, void = refused = self._merge(settled, rules)
        if settled.only_merges and not any(map(len, refused)):  # as nearly always
            return _NONE, _NONE, _NONE
        if settled.count(Verdict.LIMBO):
            self._book(_without(settled.of(Verdict.LIMBO), void))
        retried: list[IntArray] = [not_paired, not_joined]
        for verdict in (Verdict.BUSY, Verdict.DIFFERENT, Verdict.DROP):
            if settled.count(verdict):
                part = _without(settled.of(verdict), void)
                retried.append(part.positions if verdict != Verdict.DROP else self._drop(part))
        if settled.count(Verdict.ABORTED) and self.faults.ref_leak:
            self._host.hold(settled.of(Verdict.ABORTED).other_pages)
        if settled.count(Verdict.HANGS):
            self._hang(settled.of(Verdict.HANGS))
        if not len(void) and not len(not_zero):
            return in_order(retried), _NONE, _NONE
        self._items.set_flags(settled.ids[not_zero], native.ZERO_REFUSED)
        return in_order(retried), not_zero, np.union1d(void, not_zero)

    def _merge(self, settled: Settled, rules: PackedRules) -> tuple[U32Array, U32Array, U32Array, U32Array]:
        """Ask the host for the merges. Return the positions it refused (of ZERO, of PAIRED, of JOINED) and the void."""
        host, not_zero, not_paired, not_joined, void = self._host, _NONE, _NONE, _NONE, _NONE
        pairs = settled.of(Verdict.PAIRED)
        try:
            if settled.count(Verdict.ZERO):
                zero = settled.of(Verdict.ZERO)
                not_zero = _refused(zero, host.merge_zero(zero.pages))
            if len(pairs):
                sharers, anon_vmas = pairs.twice(), host.anon_vma(pairs.both_pages())
                refused = host.merge(pairs.other_pages, pairs.pages)
        except BaseException:  # settle has moved them to the stable tree
            undo_pairs(host.store, self._items, rules, pairs, cost=self._cost)
            raise
        if len(pairs):
            not_paired = _refused(pairs, refused)
            if refused is not None and len(not_paired):
                undo_pairs(host.store, self._items, rules, pairs.only(refused), cost=self._cost)
                void = settled.named_by(not_paired)
                pairs, taken = pairs.only(~refused), np.tile(~refused, 2)
                sharers, anon_vmas = sharers[taken], anon_vmas[taken]
            self._share(sharers, anon_vmas)
            if self.faults.walk_stops:  # what is left of a twin is on no list
                self._update.discard(pairs.others)
        if settled.count(Verdict.JOINED):
            joins = _without(settled.of(Verdict.JOINED), void)
            anon_vmas = host.anon_vma(joins.pages)
            refused = host.merge(joins.pages, joins.other_pages)
            not_joined = _refused(joins, refused)
            if refused is not None and len(not_joined):
                joins, anon_vmas = joins.only(~refused), anon_vmas[~refused]
            self._share(joins.others, anon_vmas)
        return not_zero, not_paired, not_joined, void

    def _book(self, limbo: Part) -> None:
        """Book pages in limbo like merged ones, though nothing was merged: as published."""
        limbo = limbo.only(limbo.others != 0)  # those taken for zero pages are booked nowhere
        promoted = (self._items.flags[limbo.ids] & native.STABLE) != 0
        pairs, joins = limbo.only(promoted), limbo.only(~promoted)
        self._share(pairs.twice(), self._host.anon_vma(pairs.both_pages()))
        self._share(joins.others, self._host.anon_vma(joins.pages))
        self._host.keep(pairs.pages)
        self._update.discard(pairs.others)

    def _share(self, ids: Ids, anon_vmas: U32Array) -> None:
        """Record sharers of stable pages. Mirrors stable_tree_append."""
        self._host.get_anon_vma(anon_vmas)
        self._stable_anon.append(self._items, ids, anon_vmas)

    def _drop(self, drops: Part) -> IntArray:
        """Carry DROP out. Return the positions of those to visit again."""
        vanished = class_of(self._host.classes, drops.pages) == native.NOT_ANON
        again = drops.only(vanished) if not self.faults.skipped_vanish else drops.only(vanished & False)
        drops = drops.only(~vanished)
        if self.faults.half_made_kpage or self.faults.partial_merge_leak:
            published.fail_merges(self._host, self._items, drops)
        if self.faults.drop_is_final:
            self._forget(self._items.where(drops.ids, native.DELLIST, 0))
            return again.positions
        return in_order([again.positions, drops.positions])

    def _hang(self, part: Part) -> None:
        """Merge an mlocked page into one that is not, and wait for the lock of that for ever."""
        stable = bool(self._items.flags[part.others[0]] & native.STABLE)
        page, kpage = (part.pages, part.other_pages) if stable else (part.other_pages, part.pages)
        self._update.discard(part.others)
        self._host.merge(page, kpage)
        self.hung = f"pksmd hangs: merging mlocked page {page[0]} has left page {kpage[0]} locked"

    def _forget(self, ids: Ids) -> None:
        """Stop tracking live pages for good."""
        self._host.forget(self._items.page[ids])
        self._items.detach(self._items.page[ids])
        self._update.discard(ids)
        self._items.free(ids)


def _refused(part: Part, mask: BoolArray | None) -> U32Array:
    """The positions a host refused: mask is its answer, None when it took all."""
    return _NONE if mask is None else part.positions[mask]


def in_order(parts: Sequence[IntArray]) -> IntArray:
    """The positions of several parts as one ascending array."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return _NONE
    return parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts))


def _without(part: Part, void: U32Array) -> Part:
    """What is not void of a part."""
    return part.only(~np.isin(part.positions, void)) if len(void) else part
