"""stable_node_anon records: for each stable page, the anon_vmas of all that share it, each with a reference held.

Mirrors stable_tree_append: a record a sharer, in a list whose head is the item's link field, newest first. 8 bytes a
record. The references themselves are the host's; get and put are the caller's.
"""

import numpy as np

from pksm import native
from pksm.memory import grown


class StableAnon:
    """Records 1 .. capacity-1: anon_vma and next, uint32 each."""

    def __init__(self):
        self._anon_vma = np.zeros(64, np.uint32)
        self._next = np.zeros(64, np.uint32)
        self._free = np.empty(0, np.uint32)  # a stack of records given back
        self._n_free = 0
        self._top = 1
        self._len = 0

    def __len__(self):
        return self._len

    @property
    def nbytes(self):
        """Bytes of the records."""
        return self._anon_vma.nbytes + self._next.nbytes + self._free.nbytes

    def append(self, items, ids, anon_vmas):
        """Add a record for each (id, anon_vma), in this order; ids may repeat."""
        n = len(ids)
        if not n:
            return
        records = self._allocate(n)
        self._anon_vma[records] = anon_vmas
        native.prepend(items.table, self._next, ids, records)
        self._len += n

    def release(self, items, ids):
        """Drop all records of the items and return their anon_vmas, uint32."""
        heads = items.link[ids]
        heads = heads[heads != 0]
        if not len(heads):
            return np.empty(0, np.uint32)
        records = native.collect(self._next, heads)
        items.link[ids] = 0
        if self._n_free + len(records) > len(self._free):
            self._free = grown(self._free, max(self._n_free + len(records), len(self._free) * 3 // 2))
        self._free[self._n_free : self._n_free + len(records)] = records
        self._n_free += len(records)
        self._len -= len(records)
        return self._anon_vma[records]

    def of(self, items, item_id):
        """Return the anon_vmas of one item's sharers, newest first."""
        return self._anon_vma[native.collect(self._next, items.link[[item_id]])]

    def _allocate(self, n):
        """Take n records: given back ones if there are enough, else new ones."""
        if self._n_free >= n:
            self._n_free -= n
            return self._free[self._n_free : self._n_free + n]
        if self._top + n > len(self._next):
            size = max(self._top + n, len(self._next) * 3 // 2)
            self._anon_vma, self._next = grown(self._anon_vma, size), grown(self._next, size)
        self._top += n
        return np.arange(self._top - n, self._top, dtype=np.uint32)

    def check(self, items):
        """Raise AssertionError unless every record is in one item's list or free."""
        heads = items.link[items.link != 0]
        used = native.collect(self._next, heads)
        free = self._free[: self._n_free]
        assert len(used) == self._len
        assert len(np.unique(np.concatenate((used, free)))) == self._top - 1 == len(used) + len(free)
