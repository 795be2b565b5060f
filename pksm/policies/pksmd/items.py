"""pksmd's item table: one rmap_item per tracked page, and page -> item."""

import numpy as np

from pksm.arrays import Ids, Pages, U32Array
from pksm.engine import native
from pksm.engine.items import ItemTable
from pksm.engine.memory import grown
from pksm.engine.queues import IdQueue
from pksm.engine.state import State, below, column
from pksm.errors import ItemError, PageError

_COLUMNS = {"list_stamp": np.uint32, "del_stamp": np.uint32}


def forest_for(pages: int) -> int:
    """Return how many bits of forest suit so many pages: two roots for eight pages, two bytes per page."""
    return min(max(pages.bit_length() - 3, 8), native.MAX_FOREST_BITS)


class Items(ItemTable):
    """pksmd's items: one per page.

    Columns (by item id): the fields of native.NODE; list_stamp and del_stamp uint32 (see queues.py).
    item_of(pages): page -> item. Ids are parted from their pages before they are freed.
    """

    def __init__(self, capacity: int = 1024, forest: int = 0) -> None:
        super().__init__(_COLUMNS, capacity, forest)
        self._item_of_page = np.zeros(0, np.uint32)
        self._items_of_pages: native.ItemsOfPages | None = None

    @property
    def list_stamp(self) -> U32Array:
        return self._columns["list_stamp"]

    @property
    def del_stamp(self) -> U32Array:
        return self._columns["del_stamp"]

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return super().nbytes + self._item_of_page.nbytes

    def item_of(self, pages: Pages) -> Ids:
        """Return the items of those of the pages that have one, in order."""
        try:
            ids = self._item_of_page[pages]
        except IndexError:  # pages beyond all that ever had an item
            ids = self._item_of_page[pages[pages < len(self._item_of_page)]]
        return ids[ids != 0]

    def allocate(self, pages: Pages, flags: int = 0, queue: IdQueue | None = None) -> Ids:
        """Make an item for each page and return the ids, uint32; all other fields are zero, but for these flags.

        queue: an IdQueue that they are appended to. ItemError, and nothing done, when a page has an item already.
        """
        n = len(pages)
        if n and int(pages.max()) >= len(self._item_of_page):
            needed = int(pages.max()) + 1
            self._item_of_page = grown(self._item_of_page, max(needed, len(self._item_of_page) * 3 // 2))
            self._items_of_pages = None
        ids = self.take(n)
        try:
            if queue is not None:
                queue.push_born(pages, ids, flags)
            else:
                native.bear(self.table, None, self.items_of_pages, pages, ids, flags)
        except PageError:
            self.free_blank(ids[::-1])
            raise ItemError("a page was born that is alive already, or twice at once") from None
        return ids

    def detach(self, pages: Pages) -> Ids:
        """Part pages from their items, which are returned: the frames are free, and may live again under others."""
        return native.detach(self.items_of_pages, native.ids_array(pages))

    @property
    def items_of_pages(self) -> native.ItemsOfPages:
        """The column page -> item as the C core takes it."""
        if self._items_of_pages is None:
            self._items_of_pages = native.ItemsOfPages(self._item_of_page)
        return self._items_of_pages

    def tracked(self) -> Pages:
        """Return the items of all pages that have one, in order of page number: uint32."""
        return self._item_of_page[self._item_of_page != 0]

    def state(self) -> State:
        """Return all there is, but for the stamps of lists."""
        used = np.flatnonzero(self._item_of_page)
        item_of_page = self._item_of_page[: int(used[-1]) + 1 if len(used) else 0].copy()
        stamps = {name: np.zeros(self._top, np.uint32) for name in _COLUMNS}
        return super().state() | {"columns": stamps, "item_of_page": item_of_page}

    def restore(self, state: State) -> None:
        """Be what state() returned, without a place on any list."""
        super().restore(state)
        self._item_of_page = below(column(state["item_of_page"], np.uint32), self._top).copy()
        self._items_of_pages = None

    def reserve(self, n: int) -> None:
        """Make room for n items in all, so that growing by steps doesn't copy."""
        if n + 1 > len(self._nodes):
            self._grow(n + 1, exact=True)
            self._item_of_page = grown(self._item_of_page, max(n, len(self._item_of_page)))
            self._items_of_pages = None

    def check(self, order: str, store: native.StoreView | None = None) -> None:
        """Raise TreeError or AssertionError unless trees, ids and pages agree."""
        native.trees_check(self.table, order, store)
        self.check_ids()
        free = self._free[: self._n_free]
        pages = np.flatnonzero(self._item_of_page)
        ids = self._item_of_page[pages]
        assert (self.page[ids] == pages).all(), "page -> item -> page goes elsewhere"
        assert not np.isin(ids, free).any(), "a page has a free item"
        deleted = np.flatnonzero(self.flags & native.DELLIST)
        assert len(ids) + len(np.setdiff1d(deleted, ids)) == len(self), "an item has no page and is not deleted"
