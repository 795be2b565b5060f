"""IdQueue: a first-in-first-out list of item ids that are taken in batches and dropped from anywhere.

Mirrors the kernel's linked lists (new_anon_page_list, the rescan list, unstabletree_checksum_list, del_list) without
links: a ring holds ids, and an item's stamp column holds the position where its valid entry stands. An entry whose
item has another stamp, or not the queue's flag, is void and passed over.
"""

import numpy as np

_WRAP = 1 << 31  # positions are renumbered before they get here: stamps are 32 bit


class IdQueue:
    """Queue over an item table.

    flag: the native flag that says an item is on this queue; stamp: the name of the stamp column. Queues that an item
    is never on at once may share a column.
    """

    def __init__(self, items, flag, stamp):
        self._items, self._flag, self._stamp = items, flag, stamp
        self._ring = np.empty(0, np.uint32)
        self._head, self._tail = 1, 1  # positions; stamp 0: on no queue
        self._len = 0

    def __len__(self):
        return self._len

    @property
    def nbytes(self):
        """Bytes of the ring."""
        return self._ring.nbytes

    @property
    def _stamps(self):
        return getattr(self._items, self._stamp)

    def push(self, ids):
        """Append ids, in order. They must be on no queue that shares the stamp column. Amortised O(len(ids))."""
        n = len(ids)
        if not n:
            return
        if self._tail - self._head + n > len(self._ring) or self._tail + n >= _WRAP:
            self._compact(self._len + n)
        at = self._tail % len(self._ring)
        before_end = min(n, len(self._ring) - at)
        self._ring[at : at + before_end] = ids[:before_end]
        self._ring[: n - before_end] = ids[before_end:]
        self._stamps[ids] = np.arange(self._tail, self._tail + n, dtype=np.uint32)
        self._items.set_flags(ids, self._flag)
        self._tail += n
        self._len += n

    def take(self, n):
        """Remove and return the first n ids (fewer if there are no more), oldest first."""
        if not self._len:
            return np.empty(0, np.uint32)
        ids, passed = self._first(n)
        self._drop(ids)
        self._head = self._tail if not self._len else self._head + passed
        if not self._len:
            self._ring = np.empty(0, np.uint32)
        return ids

    def peek(self, n):
        """Return the first n ids, oldest first, and leave them on the queue."""
        return self._first(n)[0]

    def discard(self, ids):
        """Remove those of the ids that are on this queue, wherever they stand. O(len(ids))."""
        if self._len:
            self._drop(ids[(self._items.flags[ids] & self._flag) != 0])

    def ids(self):
        """Return all ids, oldest first."""
        return self._first(self._len)[0]

    def _drop(self, ids):
        self._stamps[ids] = 0
        self._items.clear_flags(ids, self._flag)
        self._len -= len(ids)

    def _entries(self, start, stop):
        """The valid ones of the entries at positions start .. stop-1, and their positions."""
        positions = np.arange(start, stop, dtype=np.uint32)
        at, size = start % len(self._ring), len(self._ring)
        if at + stop - start <= size:
            ids = self._ring[at : at + stop - start].copy()
        else:
            ids = self._ring[positions % np.uint32(size)]
        valid = (self._stamps[ids] == positions) & ((self._items.flags[ids] & self._flag) != 0)
        return ids[valid], positions[valid]

    def _first(self, n):
        """The first n valid ids, and how many entries from the head on they span; void ones at the head go."""
        n = min(n, self._len)
        parts, position = [np.empty(0, np.uint32)], self._head
        while n:
            # void entries make the span longer than n: look at twice as many each time
            stop = min(self._tail, position + max(n, position - self._head))
            ids, positions = self._entries(position, stop)
            if position == self._head:
                self._head = int(positions[0]) if len(ids) else stop
            parts.append(ids[:n])
            position = int(positions[n - 1]) + 1 if len(ids) >= n else stop
            n -= len(parts[-1])
        return parts[-1] if len(parts) == 2 else np.concatenate(parts), position - self._head

    def _compact(self, needed):
        """Move the valid entries to a ring with room for `needed` and half as many again, numbered from 1."""
        ids = self.ids()
        self._ring = np.empty(max(64, needed * 3 // 2), np.uint32)
        self._head, self._tail = 1, 1 + len(ids)
        self._ring[1 : self._tail] = ids
        self._stamps[ids] = np.arange(1, self._tail, dtype=np.uint32)

    def check(self):
        """Raise AssertionError unless the flag, the stamps and the length agree with the ring."""
        ids = self.ids()
        assert len(ids) == self._len == len(np.unique(ids))
        flagged = np.flatnonzero(self._items.flags & self._flag)
        assert np.array_equal(np.sort(ids), flagged), "flagged items and entries differ"
