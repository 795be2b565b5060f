"""What the published kernels do in a wake-up and ours does not: merges that fail half way, visits that are counted.

Mechanism for pksmd: who asks for what stands in its tunables.
"""

import numpy as np

from pksm.arrays import BoolArray, Ids, Pages, U8Array, U32Array
from pksm.engine import native
from pksm.engine.cost import Cost
from pksm.engine.native.trees import PackedRules
from pksm.engine.queues import IdQueue
from pksm.engine.settle import Part, Settled, class_of
from pksm.policies.pksmd.items import Items
from pksm.policies.pksmd.tunables import Tunables
from pksm.protocols import PageHost

_NONE = np.empty(0, np.uint32)


def try_zero(host: PageHost, items: Items, rules: PackedRules, settled: Settled) -> None:
    """Let the reverse walk move what it can of zero pages that it will fail to move whole. Mirrors the zero merge.

    settled: before anything of it is carried out. The host gives up some of their ptes, or all.
    """
    pages = items.page[settled.ids]
    partly = _breaks(host, pages)
    partly &= items.checksum[settled.ids] == np.uint64(rules.zero_checksum)
    pages = pages[partly]
    if len(pages):
        host.merge_zero(pages[native.pages_are_zero(host.store.view, pages) != 0])


def fail_merges(host: PageHost, items: Items, drops: Part) -> None:
    """Do what a merge of two pages has done before it fails: a page made KSM, ptes that have moved.

    drops: settle.Part of those dropped. Mirrors try_to_merge_two_pages and its caller's empty else branch.
    """
    if host.classes is None:
        return
    drops = drops.only((drops.others != 0) & ((items.flags[drops.ids] & native.DELLIST) == 0))
    stable = (items.flags[drops.others] & native.STABLE) != 0
    joins, pairs = drops.only(stable), drops.only(~stable)
    joins = _equal(host, joins.only(_breaks(host, joins.pages)))
    if len(joins):
        host.merge(joins.pages, joins.other_pages)
    classes, breaks = class_of(host.classes, pairs.pages), _breaks(host, pairs.other_pages)
    host.keep(pairs.pages[classes != native.WALK_FAILS])
    pairs = _equal(host, pairs.only((classes == native.FREE) & breaks))
    _, first = np.unique(pairs.others, return_index=True)
    first.sort()
    if len(first):
        host.merge(pairs.other_pages[first], pairs.pages[first])


def _breaks(host: PageHost, pages: Pages) -> BoolArray:
    """Return a bool for each page: a walk over it moves ptes and fails."""
    return np.isin(class_of(host.classes, pages), (native.WALK_BREAKS, native.WALK_LOSES))


def _equal(host: PageHost, part: Part) -> Part:
    """Those of a Part whose pages have the bytes of the other pages."""
    return part.only(native.pages_compare(host.store.view, part.pages, part.other_pages) == 0)


class AssertingQueue(IdQueue):
    """An IdQueue of which every item's move walks the whole list to see that it is sound, as a cost.

    cost: Cost, whose entries_asserted is added to.
    """

    def __init__(self, items: Items, flag: int, stamp: str, cost: Cost) -> None:
        self._cost = cost
        super().__init__(items, flag, stamp)

    def _assert_moves(self, shorter: int, longer: int) -> None:
        """Count the entries that are walked while the list goes from one length to another, item by item."""
        self._cost.entries_asserted += (longer - shorter) * (longer + shorter - 1) // 2

    def push(self, ids: Ids) -> None:
        self._assert_moves(len(self), len(self) + len(ids))
        super().push(ids)

    def push_where(self, ids: Ids, mask: int, flags: int) -> None:
        before = len(self)
        super().push_where(ids, mask, flags)
        self._assert_moves(before, len(self))

    def push_born(self, pages: Pages, ids: Ids, flags: int) -> None:
        before = len(self)
        super().push_born(pages, ids, flags)
        self._assert_moves(before, len(self))

    def push_parted(self, pages: Pages) -> None:
        before = len(self)
        super().push_parted(pages)
        self._assert_moves(before, len(self))

    def _make_room(self, n: int) -> None:
        walked = self._cost.entries_asserted
        super()._make_room(n)
        self._cost.entries_asserted = walked  # no list of the kernel's is copied

    def take(self, n: int) -> U32Array:
        before, taken = len(self), super().take(n)
        self._assert_moves(len(self), before)
        return taken

    def discard(self, ids: Ids) -> None:
        before = len(self)
        super().discard(ids)
        self._assert_moves(len(self), before)


def list_quota(settings: Tunables, n_new: int) -> int:
    """Return the pages to visit in a wake-up as the later variant has it, by the length of the new list."""
    return settings.n * settings.sleep_millisecs * n_new // settings.delay_time


def take_counted(queue: IdQueue, visits: U8Array, n: int) -> U32Array:
    """Take the items of a list that have their n-th visit now, in the order they get it: uint32.

    queue: IdQueue; visits: uint8 by item, counted up here and cleared for those taken. The walk over the list meets
    again what it has put to the tail, and ends with an item that is the last one there: so of two or more all pass at
    once, and one that is left alone gets one visit per wake-up. Mirrors the new list of the later variant.
    """
    ids = queue.take(len(queue))
    if not len(ids):
        return ids
    missing = np.maximum(n - visits[ids].astype(np.int64), 1)
    order = np.lexsort((np.arange(len(ids)), missing))
    last = order[-1]
    seen = 1  # visits of the last one
    if len(ids) > 1:
        other = order[-2]
        seen = int(missing[other] + (last < other))
    taken = ids[order]
    if seen < missing[last]:
        visits[ids[last]] += seen
        queue.push(ids[[last]])
        taken = taken[:-1]
    visits[taken] = 0
    return taken


def visit_once(queue: IdQueue, visits: U8Array, n: int, quota: int) -> U32Array:
    """As take_counted, with one visit for each of the first `quota` items, as it was meant."""
    ids = queue.take(quota)
    visits[ids] += 1
    ready = visits[ids] >= n
    queue.push(ids[~ready])
    visits[ids[ready]] = 0
    return ids[ready]


def rotate(queue: IdQueue, looked_at: U32Array, unchanged: U32Array, visits: int) -> None:
    """Put the unchanged ones of the first items of a list to its tail; visits: items that the walk over it meets.

    looked_at: the ids; unchanged: those still there. The walk goes on with what it has put to the tail, unless the last
    item is the only one left.
    """
    queue.discard(unchanged)
    queue.push(unchanged)
    more = visits - len(looked_at)
    if more > 0 and len(unchanged) > 1:
        again = queue.take(more % len(unchanged))  # it may go round several times
        queue.push(again)
