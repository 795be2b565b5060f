"""What uksm knows of pages: the items, the two hash trees, the stable nodes by page, and the hash that sorts them."""

from __future__ import annotations

import numpy as np

from pksm.arrays import Ids, U32Array, distinct
from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.items import ItemTable
from pksm.engine.memory import grown
from pksm.engine.store import Store
from pksm.policies.uksm import cpu
from pksm.policies.uksm.slots import Slots
from pksm.policies.uksm.strength import Strength

FIRST_WORDS, REPEATED_WORDS = 64, 10  # of the hash; its highest strength looks at the first ones twice
IDS_PER_VISIT = 4  # that a visit can take
CALL = 1 << 16  # visits of one call of C
SPARE_VISITS, MOST_SPARE = 4, 1 << 16  # for so many times the visits of a call ids are taken together, at most so many
_COLUMNS = dict.fromkeys(("slot", "index", "full", "node", "first", "count", "following", "before"), np.uint32)


class Tables:
    """All that C works on.

    Args:
        store: of the pages.
        words: the order in which the hash takes words of a page.

    Attributes:
        kept_of_page: uint32 by page, the stable node that it holds, or 0.
        trees: first and second levels of the unstable tree and of the stable one.
        work: native.UKSM_WORK, one record.
        checksum, full: the hash of now, and that of the highest strength.
        fields: what visits need to know of the hash.
    """

    def __init__(self, store: Store, words: U32Array) -> None:
        self._store, self._words = store, words
        everything = np.concatenate((words, words[:REPEATED_WORDS]))
        self.full = checksums.sampled_at(everything)
        self.strength = Strength(min(FIRST_WORDS, len(words)), len(everything))
        self.items = ItemTable(_COLUMNS)
        self.slots = Slots()
        self.kept_of_page = np.zeros(0, np.uint32)
        self.trees = [self._buckets(1 << 10) for _ in range(4)]
        self.work = np.zeros(1, native.UKSM_WORK)
        self._spare, self._freed = np.zeros(1, np.uint32), np.zeros(1, np.uint32)
        self._viewed: tuple[object, ...] | None = None
        self._switches: dict[str, int] = {}
        self.hash_anew()

    def _buckets(self, n: int) -> native.BucketsView:
        heads = np.zeros(n, np.uint32)
        return native.BucketsView(heads, self.column("following"), self.column("before"))

    def column(self, name: str) -> U32Array:
        """Return a column of the items."""
        values: U32Array = self.items._columns[name]
        return values

    def view(self, visits: int = 0) -> native.UksmView:
        """All that C works on, as it is now, with spare ids for so many visits."""
        self.grow_pages()
        left = int(self.work["n_spare"][0])
        needed = IDS_PER_VISIT * visits
        if left < needed:
            n = min(self.slots.n_entries, self._store.n_pages)
            most = 2 * n + max(needed, MOST_SPARE, IDS_PER_VISIT * min(n, CALL))  # an item and a node each, and spare
            self.items.reserve(most - self.items.n_used)
            more = self.items.take(max(needed, min(needed * SPARE_VISITS, MOST_SPARE)) - left)
            if left + len(more) > len(self._spare):
                self._spare = grown(self._spare, left + len(more))
            self._spare[left : left + len(more)] = more
            self.work["n_spare"] = left + len(more)
        arrays = self.items._nodes, self._spare, self.slots.item_at, self.kept_of_page, *(t.heads for t in self.trees)
        if self._viewed is None or any(old is not new for old, new in zip(self._viewed, arrays, strict=True)):
            self._viewed, self._seen = arrays, self._new_view()
        return self._seen

    def _new_view(self) -> native.UksmView:
        for tree in self.trees:
            tree.move(self.column("following"), self.column("before"))
        self._freed = grown(self._freed, len(self.items._nodes))
        names = "slot", "index", "full", "node", "first", "count"
        arrays = {name: self.column(name) for name in names} | {"spare": self._spare, "freed": self._freed}
        arrays |= {"permutation": self.slots.permutation, "item_at": self.slots.item_at}
        return native.UksmView(self.trees, arrays | {"kept_of_page": self.kept_of_page})

    def give_back(self) -> None:
        """Let ids be free that a call has made blank."""
        freed = int(self.work["n_freed"][0])
        if freed:
            self.work["n_freed"] = 0
            self.items.free_blank(self._freed[:freed].copy())

    def grow_pages(self) -> None:
        """Have a place for the kept item of each page that the store has."""
        n_pages = self._store.n_pages
        if n_pages > len(self.kept_of_page):
            self.kept_of_page = grown(self.kept_of_page, n_pages)

    def drop(self, ids: Ids, for_good: bool) -> None:
        """Take items out of the trees, and forget them if it is for good."""
        native.uksm_drop(self.items.table, self.view(), ids, for_good, self.work)
        self.give_back()

    def widen(self, visits: int) -> None:
        """Give the trees more buckets before so many visits crowd them: most pages come to wait, each in a node."""
        for place, coming in enumerate((visits, visits // 4, visits // 4, visits // 4)):
            most = len(self.trees[place]) + coming
            if most > len(self.trees[place].heads):
                held = self._held(place) if len(self.trees[place]) else np.zeros(0, np.uint32)
                self.trees[place] = self._buckets(1 << (2 * most).bit_length())
                self.trees[place].refill(held, self.items.checksum[held])

    def _held(self, place: int) -> U32Array:
        """Return what a tree holds: the nodes of one, or those of their items that are not the first."""
        flag = native.UNSTABLE if place < 2 else native.STABLE
        ids = np.flatnonzero(self.items.flags & flag).astype(np.uint32)
        nodes = self.column("node")[ids]
        return ids[self.column("first")[nodes] != ids] if place % 2 else distinct(nodes)

    def _begin_anew(self) -> None:
        """Empty the unstable tree, and sort the stable one by the hashes of now."""
        native.uksm_empty(self.items.table, self.view(), self.work)
        self.give_back()
        kept = self.kept_of_page[self.kept_of_page != 0]
        if not len(kept):
            return
        kept.sort()
        pages, fulls = self.items.page[kept], self.column("full")[kept].astype(np.uint64)
        unknown = fulls == 0  # the bytes of a kept page never change, nor does its full hash
        fulls[unknown] = native.checksum_pages(self._store.view, self.full, pages[unknown])
        sums = native.checksum_pages(self._store.view, self.checksum, pages)
        sums = self._store.salted(pages, sums, self.fields["zero_checksum"])
        seen = self.view(len(kept))
        native.uksm_sort_in(self.items.table, seen, kept, sums, fulls, self.work)
        self.give_back()

    def hash_anew(self) -> None:
        """Hash with the strength of now from now on."""
        self.set_hash()
        self._begin_anew()

    def set_hash(self) -> None:
        """Let the hash be that of the strength of now; trees stay as they are."""
        words = np.concatenate((self._words, self._words[:REPEATED_WORDS]))[: self.strength.words]
        self.checksum = checksums.sampled_at(words)
        zero = bytes(self._store.page_size)
        self.fields = {
            "zero_checksum": self.checksum.of(zero),
            "words": self.strength.words,
            "most_words": self.strength.most,
            "positive": max(0, len(self._words) - self.strength.words),
            "compare_cost": cpu.MEMCMP_COST,
        } | self._switches

    def set_switches(self, switches: dict[str, int]) -> None:
        """Have visits go by these from now on: {field: 0 or 1}."""
        self._switches = switches
        self.fields = self.fields | switches
