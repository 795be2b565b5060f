"""stable_node_anon records: for each stable page, the anon_vmas of all that share it, each with a reference held.

Mirrors stable_tree_append: a record a sharer, in a list whose head is the item's link field, newest first. 8 bytes a
record. The references themselves are the host's; get and put are the caller's. As published, the records stay as long
as the kept page does (quirk sharers-for-life); trim drops those of sharers that share no more.
"""

from collections.abc import Callable

import numpy as np

from pksm.arrays import BoolArray, Ids, Pages, U32Array
from pksm.engine import native
from pksm.engine.memory import grown
from pksm.engine.queues import IdQueues
from pksm.engine.state import State, column
from pksm.policies.pksmd.items import Items


class StableAnon:
    """Records 1 .. capacity-1: anon_vma and next, uint32 each; those given back are a list too."""

    def __init__(self) -> None:
        self._anon_vma = np.zeros(64, np.uint32)
        self._next = np.zeros(64, np.uint32)
        self._records = native.RecordsView(self._anon_vma, self._next)

    def __len__(self) -> int:
        return self._records.c.length

    @property
    def nbytes(self) -> int:
        """Bytes of the records."""
        return self._anon_vma.nbytes + self._next.nbytes

    def append(self, items: Items, ids: Ids, anon_vmas: U32Array) -> None:
        """Add a record for each (id, anon_vma), in this order; ids may repeat."""
        needed = len(self) + len(ids) + 1
        if needed > len(self._next):
            size = max(needed, len(self._next) * 3 // 2)
            self._anon_vma, self._next = grown(self._anon_vma, size), grown(self._next, size)
            self._records.move(self._anon_vma, self._next)
        native.records_append(items.table, self._records, ids, anon_vmas)

    def release(self, items: Items, ids: Ids, queues: IdQueues | None = None) -> U32Array:
        """Drop all records of the items and return their anon_vmas, uint32.

        queues: a queues.IdQueues that they are to leave too, together with their tree; they are blank then.
        """
        if queues is None:
            return native.records_release(items.table, self._records, ids)
        return native.release_items(items.table, queues.rings(), self._records, ids)

    def trim(self, items: Items, is_sharer: Callable[[Pages, U32Array], BoolArray]) -> U32Array:
        """Drop records that come twice, or that is_sharer(kpages, anon_vmas) is False of; return their anon_vmas.

        The order of the others is as it was.
        """
        ids = items.where(np.flatnonzero(items.link).astype(np.uint32), native.DELLIST, 0)
        heads = items.link[ids]
        records = native.collect(self._next, heads)
        is_head = np.zeros(len(self._next), bool)
        is_head[heads] = True
        owner, anon_vmas = np.cumsum(is_head[records]) - 1, self._anon_vma[records]
        _, newest = np.unique(owner.astype(np.uint64) << np.uint64(32) | anon_vmas, return_index=True)
        kept = np.zeros(len(records), bool)
        kept[newest] = is_sharer(items.page[ids[owner[newest]]], anon_vmas[newest])
        self.release(items, ids)
        oldest_first = np.flatnonzero(kept)[::-1]
        self.append(items, ids[owner[oldest_first]], anon_vmas[oldest_first])
        return anon_vmas[~kept]

    def state(self, items: Items) -> State:
        """Return all records, as a State: each item's, oldest first."""
        ids = np.flatnonzero(items.link).astype(np.uint32)
        heads = items.link[ids]
        records = native.collect(self._next, heads)
        is_head = np.zeros(len(self._next), bool)
        is_head[heads] = True
        owners = ids[np.cumsum(is_head[records]) - 1] if len(records) else ids
        return {"items": owners[::-1].copy(), "anon_vmas": self._anon_vma[records][::-1].copy()}

    def restore(self, items: Items, state: State) -> None:
        """Have the records that state() returned, in place of all others."""
        self.__init__()  # type: ignore[misc]
        items.link[:] = 0
        self.append(items, column(state["items"], np.uint32), column(state["anon_vmas"], np.uint32))

    def of(self, items: Items, item_id: int) -> U32Array:
        """Return the anon_vmas of one item's sharers, newest first."""
        return self._anon_vma[native.collect(self._next, items.link[[item_id]])]

    def check(self, items: Items) -> None:
        """Raise AssertionError unless every record is in one item's list or free."""
        used = native.collect(self._next, items.link[items.link != 0])
        free = native.collect(self._next, np.array([self._records.c.free], np.uint32))
        assert len(used) == len(self)
        assert len(np.unique(np.concatenate((used, free)))) == self._records.c.top - 1 == len(used) + len(free)
