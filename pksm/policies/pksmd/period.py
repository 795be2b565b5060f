"""The update period: part of the unshared pages is summed anew in each wake-up, so that each page is once per period."""

from pksm.arrays import Ids
from pksm.engine import native
from pksm.engine.settle import class_of
from pksm.engine.summing import Summing
from pksm.policies.pksmd.items import Items
from pksm.policies.pksmd.tunables import Tunables
from pksm.protocols import PageHost


class Period:
    """How far the period has come.

    Attributes:
        carry: page-milliseconds not yet worked off.
        now_ms: of the wake-ups so far.
    """

    def __init__(self, host: PageHost, items: Items, summing: Summing) -> None:
        self._host, self._items, self._summing = host, items, summing
        self.carry = self.now_ms = 0

    def quota(self, tunables: Tunables, pages_to_scan: int) -> int:
        """Return how many pages this wake-up is to sum anew, such that all are seen once in period_seconds."""
        unshared, period_ms, faults = self._items.n_unstable, tunables.period_seconds * 1000, tunables.faults
        if faults.period_not_kept:
            few = unshared < pages_to_scan
            need = unshared if few else unshared * tunables.sleep_millisecs // period_ms
            return min(need, pages_to_scan) + 2 * faults.batch_plus_two if need else 0
        need, self.carry = divmod(unshared * tunables.sleep_millisecs + self.carry, period_ms)
        return need

    def changed(self, ids: Ids) -> Ids:
        """Sum the pages of unstable items anew; return those whose pages have changed, in no tree now. Busy ones stay.

        Mirrors pksm_update_unstable_page_checksum.
        """
        items = self._items
        free = ids[class_of(self._host.classes, items.page[ids]) != native.BUSY_PAGE]
        sums = self._summing.pages(items.page[free])
        changed = sums != items.checksum[free]
        ids = free[changed]
        native.unlink(items.table, ids)  # where they stand depends on their sums
        items.checksum[ids] = sums[changed]
        return ids

    def strength_changes(self, tunables: Tunables) -> bool:
        """Let a wake-up pass; once a period, let an adaptive checksum choose. Return True if its strength is another."""
        self.now_ms += tunables.sleep_millisecs
        return self._summing.strength_changes(self._items, self.now_ms, 1000 * tunables.period_seconds)
