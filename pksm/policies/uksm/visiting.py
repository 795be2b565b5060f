"""Visits: C looks at pages of a slot in the order of its permutation, and the host merges what they come to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pksm.arrays import BoolArray, I64Array, Ids, Pages, U8Array
from pksm.engine import native
from pksm.policies.uksm.course import Course
from pksm.policies.uksm.judging import Judge
from pksm.policies.uksm.slots import Slot
from pksm.policies.uksm.tables import CALL, Tables
from pksm.protocols import VmaHost

ZERO_PTE, ZEROED, MERGED, KEPT, PAIR = 3, 4, 5, 6, 14  # outcomes of a visit; up to ZERO_PTE there was no page


class Visited(NamedTuple):
    """What came of visits: outcomes, int64 pages by number in the slot, how many merged, and what went wrong."""

    outs: U8Array
    pages: I64Array
    merged: int
    error: Exception | None


class Visitor:
    """Visits pages of slots.

    Attributes:
        inherited: whether a page inherited by fork can be a partner in the unstable tree.
    """

    def __init__(self, host: VmaHost, tables: Tables, judge: Judge, course: Course) -> None:
        self._host, self._tables, self._judge, self._course = host, tables, judge, course
        self._items, self._slots = tables.items, tables.slots
        self.inherited = False

    def refresh_unstable(self) -> None:
        """Mark waiting items that don't map the page any more that they mapped when they were visited."""
        items = self._items
        ids = np.flatnonzero(items.flags & native.UNSTABLE).astype(np.uint32)
        if not len(ids):
            return
        slots = self._tables.column("slot")[ids]
        places = self._slots.first[slots] + self._tables.column("index")[ids]
        pages, own = self._host.pages_at(self._slots.mm[slots], places)
        fit = (pages == items.page[ids]) & (own | self.inherited)
        fit[fit] = self._tables.kept_of_page[pages[fit]] == 0
        items.clear_flags(ids[fit], native.DELLIST)
        items.set_flags(ids[~fit], native.DELLIST)

    def visit(self, slot: Slot, n: int, step: int) -> Visited:
        """Visit the next n pages of a slot, with this stride, and merge. Fewer, if there is an error."""
        tables, host = self._tables, self._host
        first = slot.base + slot.cursor
        partners = self._course.partners(slot, self._slots, n)
        native.uksm_shuffle(tables.view(), slot.base, first, partners.astype(np.uint64), slot.base + slot.n)
        places = slot.first + self._slots.permutation[first : first + n].astype(np.int64)
        pages, own = host.pages_at(np.full(n, slot.mm), places)
        tables.work["slot"] = slot.number
        outs, others, error = self._look_at(first, pages, own | self.inherited)
        n = len(outs)
        merged = self._merge_zero(slot, places[:n], pages[:n], outs) + self._merge(slot, first, step, outs, others)
        return Visited(outs, places - slot.first, merged, error)

    def wake(self, slot: Slot, n: int, pace: Any) -> Visited:
        """Make wake-ups that visit up to the next n pages of a slot, and merge what the last one has found.

        What was not visited is as it was: the entries, and what is drawn next.
        """
        tables, host, course = self._tables, self._host, self._course
        first, end = slot.base + slot.cursor, slot.base + slot.n
        drawn = course.state
        partners = course.partners(slot, self._slots, n).astype(np.uint64)
        native.uksm_shuffle(tables.view(), slot.base, first, partners, end)
        places = slot.first + self._slots.permutation[first : first + n].astype(np.int64)
        pages, own = host.pages_at(np.full(n, slot.mm), places)
        tables.work["slot"] = slot.number
        tables.widen(n)
        seen = tables.view(n)
        outs, others, error = native.uksm_visit(
            host.store.view, self._items.table, seen, (tables.checksum, tables.full), tables.fields,
            host.classes, first, pages, own | self.inherited, tables.work, pace)  # fmt: skip
        tables.give_back()
        done = len(outs)
        if done < n:
            native.uksm_unshuffle(tables.view(), slot.base, first + done, partners[done:], end)
            course.state = drawn
            course.partners(slot, self._slots, done)
        merged = self._merge_zero(slot, places[:done], pages[:done], outs)
        merged += self._merge(slot, first, int(pace.last_step), outs, others)
        return Visited(outs, places[:done] - slot.first, merged, error)

    def _look_at(self, first: int, pages: Pages, own: BoolArray) -> tuple[U8Array, Ids, Exception | None]:
        """Have C visit entries from `first` on: outcomes, the items that they met, and what went wrong."""
        tables, host = self._tables, self._host
        outs, others, error = [], [], None
        for start in range(0, len(pages), CALL):
            part = slice(start, start + CALL)
            tables.widen(len(pages[part]))
            seen = tables.view(len(pages[part]))
            some_outs, some_others, error = native.uksm_visit(
                host.store.view, self._items.table, seen, (tables.checksum, tables.full), tables.fields,
                host.classes, first + start, pages[part], own[part], tables.work)  # fmt: skip
            outs.append(some_outs)
            others.append(some_others)
            if error:
                break
        tables.give_back()
        return (outs[0], others[0], error) if len(outs) == 1 else (np.concatenate(outs), np.concatenate(others), error)

    def _merge_zero(self, slot: Slot, places: I64Array, pages: Pages, outs: U8Array) -> int:
        """Have the host merge what holds zeros. Return how many pages did."""
        zero = np.flatnonzero(outs == ZEROED)
        if not len(zero):
            return 0
        zero = zero[_first_of_each(places[zero])]  # a page may stand at two entries
        refused = self._host.merge_zero_ptes(np.full(len(zero), slot.mm), places[zero], pages[zero])
        return len(zero) - (0 if refused is None else int(refused.sum()))

    def _merge(self, slot: Slot, first: int, step: int, outs: U8Array, others: Ids) -> int:
        """Have the host merge what has joined a kept page, or become one with its partner. Return how many did."""
        items, tables = self._items, self._tables
        at = np.flatnonzero((outs == KEPT) | (outs == PAIR))
        if not len(at):
            return 0
        mine = self._slots.item_at[first + at]
        moving = np.where(outs[at] == PAIR, others[at], mine)
        targets = items.page[items.link[moving]]
        slots = tables.column("slot")[moving]
        virtual = self._slots.first[slots] + tables.column("index")[moving]
        from_pages = items.page[moving].copy()
        away = (from_pages != targets) & _first_of_each(slots.astype(np.int64) << 40 | virtual)
        items.page[moving] = targets
        refused = self._host.merge_ptes(self._slots.mm[slots[away]], virtual[away], from_pages[away], targets[away])
        n_refused = 0
        if refused is not None and refused.any():
            left = np.zeros(len(moving), bool)
            left[away] = refused
            lone = mine[left & (outs[at] == PAIR)]
            items.page[moving[left]] = from_pages[left]
            tables.drop(np.concatenate((moving[left], lone)), for_good=False)
            n_refused = int(left.sum())
        joined = items.link[mine[outs[at] == KEPT]]
        if len(joined):
            self._judge.join(joined, slot, step)
        return len(at) - n_refused


def _first_of_each(values: I64Array) -> BoolArray:
    """Return which of the values have not come before."""
    first = np.zeros(len(values), bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first
