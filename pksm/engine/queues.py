"""IdQueue: a first-in-first-out list of item ids that are taken in batches and dropped from anywhere.

Mirrors the kernel's linked lists (new_anon_page_list, the rescan list, unstabletree_checksum_list, del_list) without
links: a ring holds ids, and an item's stamp column holds the position where its valid entry stands. An entry whose
item has another stamp, or not the queue's flag, is void and passed over.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from pksm.arrays import Ids, Pages, U16Array
from pksm.engine import memory, native
from pksm.engine.native.door import CData
from pksm.engine.native.lists import ItemsOfPages
from pksm.engine.native.trees import TableView

_WRAP = 1 << 31  # positions are renumbered before they get here: stamps are 32 bit
_KEPT = 1 << 8  # entries of a ring that is kept when it is empty
# flags that say where an item is: on a list, in a tree
PLACES = native.NEWLIST | native.RESCAN | native.CHECKSUM_LIST | native.DELLIST | native.UNSTABLE | native.STABLE
_NONE = np.empty(0, np.uint32)


class Queued(Protocol):
    """What queues need of an item table, beside their stamp columns."""

    @property
    def table(self) -> TableView: ...

    @property
    def flags(self) -> U16Array: ...

    @property
    def items_of_pages(self) -> ItemsOfPages: ...


class IdQueue:
    """Queue over an item table.

    flag: the native flag that says an item is on this queue; stamp: the name of the stamp column. Queues that an item
    is never on at once may share a column.
    """

    def __init__(self, items: Queued, flag: int, stamp: str) -> None:
        self._items, self._stamp = items, stamp
        self._table = items.table
        self._ids = np.zeros(64, np.uint32)
        self._ring = native.RingView(self._ids, getattr(items, stamp), flag)
        self._c = self._ring.c

    def _renew(self, room: int) -> None:
        """Start over with an empty ring."""
        self._ids = memory.zeros(max(64, room), np.uint32)
        self._ring.renew(self._ids)

    def _now(self) -> TableView:
        """The item table, with the ring on its stamps: it may have grown."""
        table = self._items.table
        if table is not self._table:
            self._table = table
            self._ring.move_stamps(getattr(self._items, self._stamp))
        return table

    def __len__(self) -> int:
        length: int = self._c.length
        return length

    @property
    def nbytes(self) -> int:
        """Bytes of the ring."""
        return self._ids.nbytes

    def push(self, ids: Ids) -> None:
        """Append ids, in order. They must be on no queue that shares the stamp column. Amortised O(len(ids))."""
        self._make_room(len(ids))
        self._ring.push(self._now(), ids)

    def push_where(self, ids: Ids, mask: int, flags: int) -> None:
        """Append those of the ids whose flags under the mask are `flags`: items.where and push in one."""
        self._make_room(len(ids))
        self._ring.push_where(self._now(), ids, mask, flags)

    def push_born(self, pages: Pages, ids: Ids, flags: int) -> None:
        """Give pages these items, with these flags, and append the items: native.bear and push in one."""
        self._make_room(len(ids))
        native.bear(self._now(), self._ring, self._items.items_of_pages, pages, ids, flags)

    def push_parted(self, pages: Pages) -> None:
        """Part pages from their items, and append those that there are: items.part and push in one."""
        self._make_room(len(pages))
        self._ring.push_parted(self._now(), self._items.items_of_pages, pages)

    def _make_room(self, n: int) -> None:
        ring = self._c
        span = ring.tail - ring.head + n
        fits = ring.tail + n < _WRAP
        if fits and span <= ring.size:
            return
        if fits and ring.length and span <= 2 * (ring.length + n):  # most entries are valid: they stay in their places
            self._ids = memory.zeros(span * 3 // 2, np.uint32)
            self._ring.lengthen(self._ids)
            return
        queued = self.take(len(self))
        self._renew((len(queued) + n) * 3 // 2 if len(queued) else n)  # all at once: there may come no more
        self._ring.push(self._now(), queued)

    def take(self, n: int) -> Ids:
        """Remove and return the first n ids (fewer if there are no more), oldest first."""
        if not self._c.length:
            return _NONE
        ids = self._ring.take(self._now(), n)
        if not self._c.length and len(self._ids) > _KEPT:
            self._renew(0)
        return ids

    def peek(self, n: int) -> Ids:
        """Return the first n ids, oldest first, and leave them on the queue."""
        return self._ring.take(self._now(), n, peek=True)

    def discard(self, ids: Ids) -> None:
        """Remove those of the ids that are on this queue, wherever they stand. O(len(ids))."""
        if self._c.length:
            self._ring.drop(self._now(), ids)

    def restore(self, ids: Ids) -> None:
        """Have these ids, oldest first, in place of all others; none of them is on a queue."""
        self._renew(len(ids))
        self._ring.push(self._now(), ids)

    def ids(self) -> Ids:
        """Return all ids, oldest first."""
        return self.peek(len(self))

    def check(self) -> None:
        """Raise AssertionError unless the flag, the stamps and the length agree with the ring."""
        ids = self.ids()
        assert len(ids) == len(self) == len(np.unique(ids))
        flagged = np.flatnonzero(self._items.flags & self._c.flag)
        assert np.array_equal(np.sort(ids), flagged), "flagged items and entries differ"


class IdQueues:
    """Several queues that items leave at once."""

    def __init__(self, queues: Sequence[IdQueue]) -> None:
        self._queues = queues
        self._rings = native.rings_array([queue._ring for queue in queues])

    def check(self, items: Queued, placed: Ids) -> None:
        """Raise AssertionError unless each is sound, no item on two, and each id of `placed` on a list or in a tree."""
        for queue in self._queues:
            queue.check()
        on = np.bitwise_or.reduce([queue._c.flag for queue in self._queues]) & items.flags
        assert ((on & (on - 1)) == 0).all(), "an item is on two lists"
        assert (items.flags[placed] & PLACES).all(), "an item is in no tree and on no list"

    def rings(self) -> CData:
        """The rings as C takes them, each on the item table as it is now."""
        for queue in self._queues:
            queue._now()
        return self._rings
