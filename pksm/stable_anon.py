"""stable_node_anon records: for each stable page, the anon_vmas of all that share it, each with a reference held.

Mirrors stable_tree_append: a record a sharer, in a list whose head is the item's link field, newest first. 8 bytes a
record. The references themselves are the host's; get and put are the caller's.
"""

import numpy as np

from pksm import native


class StableAnon:
    """Records 1 .. capacity-1: anon_vma and next, uint32 each."""

    def __init__(self):
        self._anon_vma = np.zeros(64, np.uint32)
        self._next = np.zeros(64, np.uint32)
        self._free = 0  # head of the list of free records, through next
        self._top = 1
        self._len = 0

    def __len__(self):
        return self._len

    @property
    def nbytes(self):
        """Bytes of the records."""
        return self._anon_vma.nbytes + self._next.nbytes

    def append(self, items, ids, anon_vmas):
        """Add a record for each (id, anon_vma), in this order; ids may repeat."""
        n = len(ids)
        if not n:
            return
        records = self._allocate(n)
        self._anon_vma[records] = anon_vmas
        # within the records of one item each points to the one before it, the first to the old head
        by_item = np.argsort(ids, kind="stable")
        ids, records = ids[by_item], records[by_item]
        first = np.ones(n, bool)
        first[1:] = ids[1:] != ids[:-1]
        before = np.empty(n, np.uint32)
        before[1:] = records[:-1]
        before[first] = items.link[ids[first]]
        self._next[records] = before
        last = np.ones(n, bool)
        last[:-1] = first[1:]
        items.link[ids[last]] = records[last]
        self._len += n

    def release(self, items, ids):
        """Drop all records of the items and return their anon_vmas, uint32."""
        heads = items.link[ids]
        heads = heads[heads != 0]
        if not len(heads):
            return np.empty(0, np.uint32)
        records = native.collect(self._next, heads)
        items.link[ids] = 0
        self._next[records[:-1]] = records[1:]
        self._next[records[-1]] = self._free
        self._free = int(records[0])
        self._len -= len(records)
        return self._anon_vma[records]

    def of(self, items, item_id):
        """Return the anon_vmas of one item's sharers, newest first."""
        return self._anon_vma[native.collect(self._next, items.link[[item_id]])]

    def _allocate(self, n):
        """Take n records, from the free list as long as it lasts."""
        records = np.empty(0, np.uint32)
        if self._free:
            free = native.collect(self._next, np.array([self._free], np.uint32))
            records = free[:n]
            self._free = int(free[n]) if len(free) > n else 0
        fresh = n - len(records)
        if self._top + fresh > len(self._next):
            size = max(self._top + fresh, len(self._next) * 3 // 2)
            self._anon_vma = np.concatenate((self._anon_vma, np.zeros(size - len(self._anon_vma), np.uint32)))
            self._next = np.concatenate((self._next, np.zeros(size - len(self._next), np.uint32)))
        new = np.arange(self._top, self._top + fresh, dtype=np.uint32)
        self._top += fresh
        return np.concatenate((records, new))

    def check(self, items):
        """Raise AssertionError unless every record is in exactly one list, an item's or the free one."""
        heads = items.link[items.link != 0]
        used = native.collect(self._next, heads)
        free = native.collect(self._next, np.array([self._free] if self._free else [], np.uint32))
        assert len(used) == self._len
        assert len(np.unique(np.concatenate((used, free)))) == self._top - 1 == len(used) + len(free)
