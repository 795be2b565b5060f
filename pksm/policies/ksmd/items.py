"""KSM's item table: one rmap_item per virtual page of opted-in memory, and the lists that find them by address.

A list has leaves of 512 entries, as page tables have, so that a batch touches one or two of them whatever the size of
the memory. Stable nodes and chains are items too, from a stack of spare ids: no mapping is theirs.
"""

import itertools
from typing import Any

import numpy as np

from pksm.arrays import BoolArray, I64Array, Ids, Pages, U32Array
from pksm.engine import native
from pksm.engine.items import ItemTable
from pksm.engine.memory import grown
from pksm.engine.native.ksm import KsmView
from pksm.engine.state import State, below, column, number

LEAF: int = native.LEAF
SHIFT = LEAF.bit_length() - 1
LIMIT = 1 << 52  # virtual page numbers end here
_COLUMNS: dict[str, type[np.generic]] = {
    "mm": np.uint32,
    "virtual_page": np.int64,
    "sharers": np.uint32,
    "next": np.uint32,
}
_COUNTS = native.KSM_COUNTS.names or ()
_NO_LEAVES, _NO_IDS = np.empty(0, np.int64), np.empty(0, np.uint32)


class Mappings(ItemTable):
    """KSM's items, stable nodes and chains.

    Columns (by item id): the fields of native.NODE; mm, virtual_page of an item; sharers, next as in struct pksm_ksm.
    counts: the fields of native.KSM_COUNTS.
    """

    def __init__(self) -> None:
        super().__init__(_COLUMNS)
        self._node_of_page = np.zeros(0, np.uint32)
        self._spare = np.empty(0, np.uint32)
        self._n_stable_ids = 0  # ids that are stable nodes or chains, or spare
        self._counts = np.zeros(1, native.KSM_COUNTS)
        self._numbers: dict[int, I64Array] = {}  # by mm: its leaves' numbers, ascending
        self._places: dict[int, I64Array] = {}  # and their rows
        self._leaves = np.zeros((16, LEAF), np.uint32)
        self._free_leaves = list(range(15, -1, -1))
        self._ksm: KsmView | None = None
        self._by_address: native.PlacesView | None = None

    def counts(self) -> dict[str, int]:
        """Return the fields of native.KSM_COUNTS, all at once."""
        return dict(zip(_COUNTS, self._counts[0].item(), strict=True))

    def __getattr__(self, name: str) -> int:
        if name in _COUNTS:
            return int(self._counts[name][0])
        raise AttributeError(name)

    @property
    def mm(self) -> U32Array:
        return self._columns["mm"]

    @property
    def virtual_page(self) -> I64Array:
        return self._columns["virtual_page"]

    @property
    def sharers(self) -> U32Array:
        return self._columns["sharers"]

    @property
    def n_items(self) -> int:
        """rmap_items: mappings that are tracked."""
        return len(self) - self._n_stable_ids

    @property
    def n_unshared(self) -> int:
        """Items in the unstable tree, or in that of an earlier full scan and not visited since."""
        return self.n_unstable + self.passed

    @property
    def nbytes(self) -> int:
        """Bytes of all columns, leaves and lists."""
        lists = sum(array.nbytes for lists in (self._numbers, self._places) for array in lists.values())
        return super().nbytes + self._node_of_page.nbytes + self._spare.nbytes + self._leaves.nbytes + lists

    def add_spare(self) -> None:
        """Make ids for more stable nodes and chains."""
        ids = self.take(max(64, self.n_items // 8, self._n_stable_ids // 2))
        self._n_stable_ids += len(ids)
        self._spare = grown(self._spare, self._n_stable_ids)
        self._spare[self.n_spare : self.n_spare + len(ids)] = ids
        self._counts["n_spare"] += np.uint32(len(ids))
        self._ksm = None

    @property
    def view(self) -> KsmView:
        """All of it as the C core takes it, besides the table."""
        if self._ksm is None:
            self._ksm = native.KsmView(
                self._node_of_page, self._columns["sharers"], self._columns["next"], self._spare, self._counts
            )
        return self._ksm

    def _cover(self, pages: Pages) -> None:
        """Make room for page numbers."""
        needed = int(pages.max(initial=0)) + 1
        if needed > len(self._node_of_page):
            self._node_of_page = grown(self._node_of_page, max(needed, len(self._node_of_page) * 3 // 2))
            self._ksm = None

    def _grow(self, needed: int, exact: bool = False) -> None:
        super()._grow(needed, exact)
        self._ksm = self._by_address = None

    def rename(self, old: Pages, new: Pages) -> None:
        """Let the stable nodes of old pages be those of new ones, and chains that stand for them show these."""
        self._cover(np.concatenate((old, new)))
        nodes = self._node_of_page[old]
        old, new, nodes = (column[nodes != 0] for column in (old, new, nodes))
        self._node_of_page[old] = 0
        self._node_of_page[new] = nodes
        self.page[nodes] = new
        in_chain = (self.flags[nodes] & native.DUP) != 0
        chains = self.link[nodes[in_chain]]
        shown = self.page[chains] == old[in_chain]
        self.page[chains[shown]] = new[in_chain][shown]

    def renew_unmerged(self, ids: Ids) -> None:
        """Let items that hang on a stable node, and map another page than its, be as new: age 0, checksum 0."""
        links = self.link[ids]
        left = ids[(links != 0) & (self._node_of_page[self.page[ids]] != links)]
        self.visits[left] = self._nodes["skips"][left] = 0
        self.checksum[left] = 0

    # ---- items by address ----

    def meet(
        self, mm: int, first: int, pages: I64Array, frames: Pages, at_end: bool, n_frames: int
    ) -> tuple[Ids, BoolArray, BoolArray]:
        """Return the items that a visit of an mm meets from virtual page `first` on, by address: (ids, mapped, fresh).

        pages, frames: what is mapped there, ascending; a page without an item gets one. mapped: bool, False for items
        whose page is not mapped any more, up to the last of the pages, or (at_end) all. fresh: bool, items just made.
        n_frames: page numbers that there are.
        """
        span, fresh = (first, LIMIT if at_end else int(pages[-1]) + 1), _NO_IDS
        if n_frames > len(self._node_of_page):
            self._cover(frames)
        while True:
            leaves = self._numbers.get(mm, _NO_LEAVES), self._places.get(mm, _NO_LEAVES)
            met = native.ksm_meet(self.table, self.by_address, mm, span, leaves, (pages, frames), n_frames, fresh)
            if len(met) == 3:
                return met
            needed, without_leaf = met
            if without_leaf:
                self._make_leaves(mm, pages)
            elif len(fresh) != needed:
                fresh = self.take(needed)

    @property
    def by_address(self) -> native.PlacesView:
        """Leaves, and where items are, as the C core takes them."""
        if self._by_address is None:
            columns = self._columns["mm"], self._columns["virtual_page"]
            self._by_address = native.PlacesView(self._leaves.reshape(-1), *columns)
        return self._by_address

    def forget(self, ids: Ids) -> None:
        """Free items that are in no tree and hang on nothing."""
        for mm in np.unique(self.mm[ids]).tolist():
            mine = ids[self.mm[ids] == mm]
            pages = self.virtual_page[mine]
            rows = self._places[mm][np.searchsorted(self._numbers[mm], pages >> SHIFT)]
            self._leaves[rows, pages & (LEAF - 1)] = 0
            self._drop_empty_leaves(mm, np.unique(rows))
        self.free(ids)

    def mms(self) -> Any:
        """Return the mms that have items."""
        return self._numbers.keys()

    def of(self, mm: int) -> U32Array:
        """Return all items of an mm, by address."""
        ids = self._leaves[self._places.get(mm, _NO_LEAVES)].reshape(-1)
        return ids[ids != 0]

    def _make_leaves(self, mm: int, pages: I64Array) -> None:
        needed = pages >> SHIFT
        needed = needed[np.flatnonzero(np.diff(needed, prepend=-1))]
        numbers = self._numbers.get(mm, _NO_LEAVES)
        missing = needed[_lacking(numbers, needed)]
        if not len(missing):
            return
        short = len(missing) - len(self._free_leaves)
        if short > 0:
            size = len(self._leaves)
            bigger = max(size * 3 // 2, size + short)
            self._leaves = grown(self._leaves.reshape(-1), bigger * LEAF).reshape(-1, LEAF)
            self._by_address = None
            self._free_leaves = [*range(bigger - 1, size - 1, -1), *self._free_leaves]
        rows = np.array(self._free_leaves[len(self._free_leaves) - len(missing) :][::-1], np.int64)
        del self._free_leaves[len(self._free_leaves) - len(missing) :]
        places = self._places.get(mm, _NO_LEAVES)
        if not len(numbers) or missing[0] > numbers[-1]:  # as where memory is visited for the first time
            self._numbers[mm], self._places[mm] = np.concatenate((numbers, missing)), np.concatenate((places, rows))
            return
        at = np.searchsorted(numbers, missing)
        self._numbers[mm], self._places[mm] = np.insert(numbers, at, missing), np.insert(places, at, rows)

    def _drop_empty_leaves(self, mm: int, rows: I64Array) -> None:
        empty = rows[~self._leaves[rows].any(axis=1)]
        if not len(empty):
            return
        kept = ~np.isin(self._places[mm], empty)
        self._free_leaves.extend(empty.tolist())
        self._numbers[mm], self._places[mm] = self._numbers[mm][kept], self._places[mm][kept]
        if not len(self._numbers[mm]):
            del self._numbers[mm], self._places[mm]

    def state(self) -> State:
        """Return all there is, as a State."""
        numbers, places = list(self._numbers.values()), list(self._places.values())
        return super().state() | {
            "node_of_page": self._node_of_page.copy(),
            "spare": self._spare.copy(),
            "counts": self._counts.copy(),
            "n_stable_ids": self._n_stable_ids,
            "mms": list(self._numbers),
            "leaves_of_mms": [len(part) for part in numbers],
            "numbers": np.concatenate([_NO_LEAVES, *numbers]),
            "places": np.concatenate([_NO_LEAVES, *places]),
            "leaves": self._leaves.reshape(-1).copy(),
            "free_leaves": np.array(self._free_leaves, np.int64),
        }

    def restore(self, state: State, n_pages: int = 1 << 32) -> None:
        """Be what state() returned. AssertionError for what C could not be given."""
        super().restore(state)
        top = self._top
        self._node_of_page = below(column(state["node_of_page"], np.uint32), top).copy()
        self._spare = below(column(state["spare"], np.uint32), top).copy()
        self._counts = column(state["counts"], native.KSM_COUNTS).copy()
        self._n_stable_ids = number(state["n_stable_ids"])
        assert len(self._counts) == 1 and self.n_spare <= len(self._spare) == self._n_stable_ids <= top
        self._leaves = below(column(state["leaves"], np.uint32), top).reshape(-1, LEAF).copy()
        free = column(state["free_leaves"], np.int64)
        numbers, places = column(state["numbers"], np.int64), column(state["places"], np.int64)
        ends = np.cumsum([0, *(number(n, 1) for n in state["leaves_of_mms"])])
        rows = np.concatenate((free, places))
        assert np.array_equal(np.sort(rows), np.arange(len(self._leaves))), "a leaf is lost, or used twice"
        assert ends[-1] == len(numbers) == len(places) and len(ends) == len(state["mms"]) + 1
        self._free_leaves = free.tolist()
        spans = [slice(start, end) for start, end in itertools.pairwise(ends.tolist())]
        mms = [number(mm) for mm in state["mms"]]
        self._numbers = {mm: numbers[span].copy() for mm, span in zip(mms, spans, strict=True)}
        self._places = {mm: places[span].copy() for mm, span in zip(mms, spans, strict=True)}
        self._ksm = self._by_address = None
        below(self.page[:top], max(n_pages, 1))
        self._check_links(top)

    def _check_links(self, top: int) -> None:
        """Raise AssertionError unless links lead to items, and the duplicates of each chain are a list with an end."""
        following, flags = self._columns["next"][:top], self.flags[:top]
        below(following, top)
        below(self.link[:top], top)
        used = following[following != 0]
        chains = np.flatnonzero(flags & native.CHAIN).astype(np.uint32)
        assert len(np.unique(used)) == len(used) and not np.isin(chains, used).any(), "a chain has no end"
        chains = chains[following[chains] != 0]  # all duplicates of one may be gone
        met = native.collect(np.ascontiguousarray(following), following[chains])
        assert np.array_equal(np.sort(met), np.flatnonzero(flags & native.DUP)), "a duplicate is on no chain"
        assert len(met) == len(used), "items follow each other that are on no chain"
        is_first = np.zeros(top, bool)
        is_first[following[chains]] = True
        assert not len(met) or (self.link[met] == chains[np.cumsum(is_first[met]) - 1]).all(), "a chain is another's"

    def check(self) -> None:
        """Raise TreeError or AssertionError unless trees, lists, stable nodes and counts agree."""
        native.trees_check(self.table, "content")
        self.check_ids()
        ids = np.concatenate([self.of(mm) for mm in self._numbers] or [np.empty(0, np.uint32)])
        assert len(np.unique(ids)) == len(ids) == self.n_items, "an item is lost, or on two lists"
        for mm in self._numbers:
            mine = self.of(mm)
            assert (self.mm[mine] == mm).all() and (np.diff(self.virtual_page[mine]) > 0).all()
        flags = self.flags
        retired = (flags & native.RETIRED) != 0
        sharers = np.bincount(self.link[ids], minlength=len(flags))[: len(flags)]
        sharers[0] = 0
        chains = np.flatnonzero(flags & native.CHAIN)
        nodes = np.ones(len(flags), bool)
        nodes[chains] = False
        assert np.array_equal(sharers[nodes], self.sharers[nodes]), "a stable node counts other sharers than it has"
        alive = sharers[~retired]
        assert self.shared == np.count_nonzero(alive) and self.sharing == alive.sum() - self.shared
        assert self.passed == np.count_nonzero(flags & native.PASSED)
        assert self.chains == len(chains) and self.dups == np.count_nonzero(flags & native.DUP)
        pages = np.flatnonzero(self._node_of_page)
        at = self._node_of_page[pages]
        assert (self.page[at] == pages).all(), "page -> stable node -> page goes elsewhere"
        assert ((flags[at] & (native.STABLE | native.DUP)) != 0).all() and not (flags[at] & native.DELLIST).any()


def _lacking(numbers: I64Array, needed: I64Array) -> BoolArray:
    """Return which of the needed numbers are not among the others; both ascending."""
    if not len(numbers):
        return np.ones(len(needed), bool)
    return numbers[np.minimum(np.searchsorted(numbers, needed), len(numbers) - 1)] != needed
