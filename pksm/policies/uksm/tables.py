"""What uksm knows of pages: the items, the two hash trees, the stable nodes by page, and the hash that sorts them."""

from __future__ import annotations

import numpy as np

from pksm.arrays import Ids, U32Array
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
SPARE_VISITS = 4  # for as many times the visits of a call, ids are taken together
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
        self._spare = np.zeros(1, np.uint32)
        self._viewed: tuple[object, ...] | None = None
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
        if left < IDS_PER_VISIT * visits:
            more = self.items.take(IDS_PER_VISIT * visits * SPARE_VISITS - left)
            if left + len(more) > len(self._spare):
                self._spare = grown(self._spare, left + len(more))
            self._spare[left : left + len(more)] = more
            self.work["n_spare"] = left + len(more)
        arrays = self.items._nodes, self._spare, self.slots.item_at, self.kept_of_page, self.trees[0].heads
        if self._viewed is None or any(old is not new for old, new in zip(self._viewed, arrays, strict=True)):
            self._viewed, self._seen = arrays, self._new_view()
        return self._seen

    def _new_view(self) -> native.UksmView:
        for tree in self.trees:
            tree.move(self.column("following"), self.column("before"))
        self._freed = np.zeros(len(self.items._nodes), np.uint32)
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

    def widen(self) -> None:
        """Give the trees more buckets before they are crowded."""
        if max(map(len, self.trees)) <= 2 * len(self.trees[0].heads):
            return
        n = 1 << (max(map(len, self.trees)) * 8).bit_length()
        held = [ids for flag in (native.UNSTABLE, native.STABLE) for ids in self._held(flag)]
        self.trees = [self._buckets(n) for _ in range(4)]
        for tree, ids in zip(self.trees, held, strict=True):
            tree.refill(ids, self.items.checksum[ids])

    def _held(self, flag: int) -> tuple[U32Array, U32Array]:
        """Return what the two levels of a tree hold: its nodes, and its items that are not the first of theirs."""
        ids = np.flatnonzero(self.items.flags & flag).astype(np.uint32)
        nodes = self.column("node")[ids]
        return np.unique(nodes), ids[self.column("first")[nodes] != ids]

    def _begin_anew(self, entries: int) -> None:
        """Empty the unstable tree, and sort the stable one by the hashes of now."""
        native.uksm_empty(self.items.table, self.view(), self.work)
        self.give_back()
        n = 1 << max(10, int(entries).bit_length())
        if n != len(self.trees[0].heads):
            self.trees = [self._buckets(n) for _ in range(4)]
        kept = self.kept_of_page[self.kept_of_page != 0]
        if not len(kept):
            return
        kept.sort()
        pages, fulls = self.items.page[kept], self.column("full")[kept].astype(np.uint64)
        unknown = fulls == 0  # the bytes of a kept page never change, nor does its full hash
        fulls[unknown] = native.checksum_pages(self._store.view, self.full, pages[unknown])
        sums = native.checksum_pages(self._store.view, self.checksum, pages)
        seen = self.view(len(kept))
        native.uksm_sort_in(self.items.table, seen, kept, sums, fulls, self.work)
        self.give_back()

    def hash_anew(self) -> None:
        """Hash with the strength of now from now on."""
        self.set_hash()
        self._begin_anew(len(self.trees[0].heads) // 2)

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
        }
