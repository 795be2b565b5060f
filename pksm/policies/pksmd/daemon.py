"""pksmd: the policy that merges physical pages, named after its kernel thread.

A page's life: on_new puts it on the new list; a wake-up takes a batch, settles it, applies the verdicts, drains the
items of freed pages, and sums part of the unshared pages anew. DESIGN.md, "Life of a page", draws it.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, cast

import numpy as np

from pksm.arrays import Ids, IntArray, Pages, U32Array
from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.cost import Cost
from pksm.engine.exclusive import exclusive
from pksm.engine.queues import PLACES, IdQueue, IdQueues
from pksm.engine.settle import Rules, Settled, Verdict, settle
from pksm.engine.summing import Summing
from pksm.errors import UsageError
from pksm.policies.pksmd import on_search, published
from pksm.policies.pksmd.items import Items
from pksm.policies.pksmd.merging import Merging, in_order
from pksm.policies.pksmd.period import Period
from pksm.policies.pksmd.questions import IN_ITS_TREE, Questions
from pksm.policies.pksmd.spec import SPEC
from pksm.policies.pksmd.stable_anon import StableAnon
from pksm.policies.pksmd.tunables import Tunables, preset
from pksm.policies.strict import StrictHost
from pksm.policies.variants import set_within
from pksm.protocols import PageHost

WINDOW = native.MAX_WINDOW  # searches in flight; half as many are a few per cent slower
SHARERS_SLACK = 1024  # records of sharers below which it is not asked whether they share still
_NONE = np.empty(0, np.uint32)
_ALONE = nullcontext()


class Pksmd(Questions):
    """Merges the pages of a PageHost.

    Args:
        host: a PageHost; it reports its pages from now on.
        tunables: its settings; those of the default preset if there are none.
        checksum: in place of the one that the tunables name: a name of pksm.checksums.names(), a function as
            checksums.Plugin takes it, or a checksum that is ready.
        seed: of the sampled checksum's positions.
        threads: one settles, the others sum pages ahead of it; no result depends on how many.
        window: searches in flight at a time.
        forest: top bits of the checksum, 0 to 24, that choose one of so many lower trees in place of each of the two
            (forest_for suits a number of pages); no verdict and no counter depends on it, but searches take fewer steps
            than PKSM's (cost.tree_steps), which simulations price. Trees that are ordered by content take no notice of it.
        strict: look at each answer and report of the host, and raise a UsageError that names rule and pages where one
            breaks protocols.PageHost; costs a few microseconds a call, and time per page that is reported.
        observe: observe(settled) is called with each settle.Settled before its verdicts are carried out.

    Raises:
        UsageError: fewer than one thread, or a checksum that there is not.
    """

    spec = SPEC

    def __init__(
        self,
        host: PageHost,
        tunables: Tunables | None = None,
        *,
        checksum: native.AnyChecksum | str | Callable[..., Any] | None = None,
        seed: int = 0,
        threads: int = 1,
        window: int = WINDOW,
        forest: int = 0,
        strict: bool = False,
        observe: Callable[[Settled], object] | None = None,
    ) -> None:
        if threads < 1:
            raise UsageError(f"threads {threads}: must be one at least")
        if not 0 <= forest <= native.MAX_FOREST_BITS:
            raise UsageError(f"forest {forest}: must be from 0 to {native.MAX_FOREST_BITS} bits")
        self.share_use(host)
        if strict:
            host = cast(PageHost, StrictHost(host))
        self._host = host
        self._tunables = tunables or preset(SPEC.default)
        self._faults = self._tunables.faults
        self._may_have_lost = False  # items, to a fault it has or had
        self.cost = Cost()
        ready, self._made_of = checksums.ready(checksum, self._tunables.checksum, host.store.page_size, seed)
        self._summing = Summing(ready, host.store, self.cost, threads)
        self.items = Items(forest=0 if self._tunables.order == "content" else forest)
        self._new = self._queue(native.NEWLIST, "list_stamp")
        self._rescan = self._queue(native.RESCAN, "list_stamp")
        self._update = self._queue(native.CHECKSUM_LIST, "list_stamp")
        self._deleted = self._queue(native.DELLIST, "del_stamp")
        self._lists = IdQueues((self._new, self._rescan, self._update))
        self._stable_anon = StableAnon()
        self._merging = Merging(host, self.items, self._update, self._stable_anon, self.cost)
        self._window, self._observe = window, observe
        # a host that does not derive from PageHost may lack it
        self._is_sharer = getattr(host, "is_sharer", None) or partial(PageHost.is_sharer, host)
        self._sharers_due = SHARERS_SLACK  # number of records at which those that share no more are looked for
        self._period = Period(host, self.items, self._summing)
        self._pages_to_scan = self._tunables.pages_to_scan
        self._fruitless = 0  # visits since the last wake-up in which an item did not have to wait again
        self._set_rules()
        set_within(host, self._tunables)
        if self._tunables.zero_only:
            host.store.keep_apart()
        host.attach(self)

    def _queue(self, flag: int, stamp: str) -> IdQueue:
        if self._faults.quadratic_assert:
            return published.AssertingQueue(self.items, flag, stamp, self.cost)
        return IdQueue(self.items, flag, stamp)

    # ---- settings and counters ----

    def _retuned(self, before: Tunables) -> None:
        if "on-search" in (self._tunables.update, before.update):
            self._update.discard(self._update.ids())
            self._wait(native.tree_items(self.items.table, native.UNSTABLE), _NONE)
        self._set_rules()

    def _set_rules(self) -> None:
        self._faults = faults = self._tunables.faults
        self._may_have_lost |= faults.loses_items
        rules = Rules(
            checksum=self._summing.checksum,
            order=self._tunables.order,
            zero_lost=faults.sparse_zero_lost,
            differ_is_success=faults.collision_is_success,
            stop_at_unusable=faults.stale_node_aborts,
            unfit_aside=not faults.drop_is_final,
            mlock_hangs=faults.mlock_hang,
            distrust=self._distrust,
            window=1 if self._tunables.order == "content" and not self._host.static else self._window,
        )
        self._rules = rules.pack(self._host.store.page_size)
        self._again = self._new if self._tunables.retry == "new" else self._rescan
        self._merging.faults = faults
        self._host.set_quirks(self._tunables.quirks)

    @property
    def _distrust(self) -> bool:
        return not self._faults.collision_is_success and self._tunables.order != "content"

    # ---- what the host reports ----

    @exclusive
    def on_new(self, pages: Pages) -> None:
        """Track newly born pages (uint32): tail of the new list."""
        pages = native.ids_array(pages)
        self._host.store.check_pages(pages)
        self.items.allocate(pages, native.INITCHECKSUM, self._new)

    @exclusive
    def on_free(self, pages: Pages) -> None:
        """Let freed pages (uint32) go; those not tracked are passed over. Mirrors pksm_del_anon_page."""
        pages = native.ids_array(pages)
        if self._awake:  # their verdicts may be under way: the drain step is soon enough
            self._deleted.push_parted(pages)
            return
        ids = self.items.detach(pages)
        if self._tunables.reclaim == "del-list":
            visited = self.items.where(ids, native.NEWLIST | native.RESCAN, 0)
            self._update.discard(visited)
            self._deleted.push(visited)
            ids = self.items.where(ids, native.DELLIST, 0)
        self._reclaim(ids)

    def _reclaim(self, ids: Ids) -> None:
        """Off all lists, out of the tree, anon_vmas put, ids free."""
        anon_vmas = self._stable_anon.release(self.items, ids, self._lists)
        self.items.free_blank(ids)
        if len(anon_vmas):
            self._host.put_anon_vma(anon_vmas)  # last: a host's error leaves nothing half done

    def _alive(self, ids: Ids) -> U32Array:
        """Those whose pages have not died during this wake-up."""
        return self.items.where(ids, native.DELLIST, 0)

    @exclusive
    def written(self, pages: Pages) -> None:
        """Visit unmerged pages (uint32) again whose bytes have changed, without waiting for the update period."""
        ids = self.items.where(self.items.item_of(native.ids_array(pages)), native.UNSTABLE, native.UNSTABLE)
        self._visit_again(ids, native.INITCHECKSUM)

    def _visit_again(self, ids: Ids, flags: int) -> None:
        """Unstable items leave tree and update list for the rescan list."""
        if not len(ids):
            return
        native.unlink(self.items.table, ids)
        self._update.discard(ids)
        self.items.set_flags(ids, flags)
        self._again.push(ids)
        self._fruitless = 0  # these have not had their visit

    def _unmerge(self, tunables: Tunables) -> None:
        """Give merged pages frames of their own and begin anew with every page, as run = 2 asks."""
        if tunables.faults.no_unmerge:
            return
        self._host.unmerge_all()
        self._drain_deleted()
        ids = self.items.tracked()
        ids = ids[(self.items.flags[ids] & native.NEWLIST) == 0]
        for queue in (self._rescan, self._update):
            queue.discard(ids)
        native.unlink(self.items.table, ids)
        self._host.put_anon_vma(self._stable_anon.release(self.items, ids))
        self.items.set_flags(ids, native.INITCHECKSUM)
        self._new.push(ids)
        self._fruitless = 0

    # ---- one wake-up ----

    @exclusive
    def wake(self) -> int:
        """Work once, as pksmd does between two sleeps, and return the number of items visited.

        Whatever ends it (BusError: bytes are gone): what was decided stands, the rest of the batch waits again.
        """
        if self._tunables.run != 1 or self.hung:
            return 0
        return self._awakened(self._work)

    @exclusive
    def doze(self, wakes: int) -> bool:
        """Let wake-ups pass in which no page waits to be visited, or to be summed anew."""
        waiting = any(map(len, (self._new, self._rescan, self._update, self._deleted)))
        if waiting or self.items.n_unstable or self._summing.adapts:
            return False
        self._period.now_ms += wakes * self._tunables.sleep_millisecs
        return True

    def _work(self) -> int:
        self._pages_to_scan = self._scan_quota()
        lap = self.cost.laps()
        try:
            batch = self._take_batch()
            lap("take_batch")
            self._settle(batch)
            lap("settle")
        finally:
            if not self.hung:
                self._drain_deleted()
        if self.hung:
            return len(batch)
        self._trim_sharers()
        lap("drain_deleted")
        self._refresh_checksums()
        self._adapt()
        lap("refresh_checksums")
        return len(batch)

    def _scan_quota(self) -> int:
        """pages_to_scan, or what the later variant makes of it: so many visits a millisecond."""
        by_list = self._faults.ageing_defeated
        return published.list_quota(self._tunables, len(self._new)) if by_list else self._tunables.pages_to_scan

    def _take_batch(self) -> U32Array:
        n = self._pages_to_scan + 2 * self._faults.batch_plus_two
        if self._tunables.n == 1:
            new = self._new.take(n)
        elif self._faults.ageing_defeated:
            new = published.take_counted(self._new, self.items.visits, self._tunables.n)
        else:
            new = published.visit_once(self._new, self.items.visits, self._tunables.n, n)
        again = self._rescan.take(n)
        if self._faults.lifo_batch:
            new = np.ascontiguousarray(new[::-1])
        return np.concatenate((new, again)) if len(again) else new

    def _settle(self, batch: U32Array) -> None:
        try:
            error = self._settle_all(batch)
        except BaseException:
            self._wait_unsettled(batch)
            raise
        if error:  # what it left waits already
            self._fruitless = 0
            raise error

    def _settle_all(self, batch: Ids) -> Exception | None:
        """Settle and apply until no verdict is void: one that a host refuses takes later ones with it."""
        waiting: list[IntArray] = []
        retried: list[IntArray] = []
        not_zero: list[Ids] = []
        outdated = self._sum_beforehand(batch)
        ids = batch
        places: IntArray | None = None  # what is left, and where in the batch it came; None: all of it, in order
        while len(ids):
            with (
                self._summing.ahead(self.items, ids, self._rules.window)
                if self._summing.threads > 1
                else _ALONE as ahead
            ):
                settled = settle(
                    self._host.store, self.items, self._rules, ids, self._host.classes, cost=self.cost, ahead=ahead
                )
            if len(settled.revisit):
                self._visit_again(settled.revisit, native.INITCHECKSUM)
                outdated = True
            if self._observe:
                self._observe(settled)
            retry, refused_zero, again = self._merging.carry_out(settled, self._rules)
            waits = settled.of(Verdict.WAITING)
            if places is None and not len(again) and not settled.error:  # as nearly always
                self._end_visits(batch, waits.ids, batch[retry] if len(retry) else _NONE, outdated)
                return None
            places = np.arange(len(ids)) if places is None else places
            waiting.append(places[waits.positions])
            retried.append(places[retry])
            not_zero.append(ids[refused_zero])
            if settled.error:
                retried += places[again], places[len(settled.ids) :]
                break
            ids, places = ids[again], places[again]
            alive = (self.items.flags[ids] & native.DELLIST) == 0
            ids, places = ids[alive], places[alive]
        if not_zero:
            self.items.clear_flags(np.concatenate(not_zero), native.ZERO_REFUSED)
        self._end_visits(batch, batch[in_order(waiting)], batch[in_order(retried)], outdated)
        return settled.error if len(batch) else None

    def _wait_unsettled(self, batch: U32Array) -> None:
        """Let what an exception has left of a batch, and of items it was to be merged with, wait again."""
        twins = self.items.where(self._update.ids(), IN_ITS_TREE, 0)
        self._update.discard(twins)
        ids = np.concatenate((batch, twins))
        ids = ids[np.isin(ids, self.items.item_of(self.items.page[ids]))]  # some may have died
        self.items.clear_flags(ids, native.ZERO_REFUSED)
        self._wait(self.items.where(ids, native.CHECKSUM_LIST, 0), self.items.where(ids, PLACES, 0))
        self._fruitless = 0

    def _sum_beforehand(self, batch: U32Array) -> bool:
        """Sum what settle is not to sum; return True if items in the way of the batch are to be visited again."""
        if self._tunables.update != "on-search" and self._summing.left_to_settle(
            batch, self._rules.window
        ):  # as nearly always
            return False
        self._summing.beforehand(self.items, batch, self._rules.window)
        outdated = self._summing.outdated(self.items, batch) if self._distrust else _NONE
        if self._tunables.update == "on-search":
            outdated = on_search.changed(self._host, self.items, self._summing, batch, outdated)
        self._visit_again(outdated, native.INITCHECKSUM)
        return len(outdated) > 0

    def _end_visits(self, batch: U32Array, waiting: U32Array, retried: U32Array, outdated: bool) -> None:
        self._wait(waiting, retried)
        self._fruitless = 0 if outdated or len(retried) < len(batch) else self._fruitless + len(batch)

    def _wait(self, waiting: U32Array, retry: U32Array) -> None:
        """Unstable items go to the update list, those to try again to the rescan list."""
        if len(waiting) and self._tunables.update != "on-search":
            # some have been paired since, some may have died
            self._update.push_where(waiting, IN_ITS_TREE, native.UNSTABLE)
        if len(retry):
            retry = self._alive(retry)
            self.items.set_flags(retry, native.INITCHECKSUM)
            self._again.push(retry)

    def _drain_deleted(self) -> None:
        """Reclaim the items of freed pages."""
        if len(self._deleted):
            self._reclaim(self._deleted.take(len(self._deleted)))

    def _trim_sharers(self) -> None:
        """Drop records of sharers that share no more, before they outnumber what is mapped."""
        records = len(self._stable_anon)
        if records <= self._sharers_due or self._faults.sharers_for_life:
            return
        mapped = self._host.pages_sharing + self.items.n_stable
        self._sharers_due = 2 * (mapped + self.items.n_stable) + len(self.items) // 8 + SHARERS_SLACK
        if records > self._sharers_due:
            self._host.put_anon_vma(self._stable_anon.trim(self.items, self._is_sharer))
            self._sharers_due = max(self._sharers_due, 2 * len(self._stable_anon))

    def _refresh_checksums(self) -> None:
        """Sum part of the unshared pages anew; those that changed are visited again."""
        quota = self._period.quota(self._tunables, self._pages_to_scan)
        if not quota or not len(self._update):
            return
        ids = self._update.peek(quota)
        self._visit_again(self._period.changed(ids), 0 if self._faults.stale_hash_reentry else native.INITCHECKSUM)
        if self._tunables.update == "rotate":
            unchanged = ids[(self.items.flags[ids] & native.CHECKSUM_LIST) != 0]
            published.rotate(self._update, ids, unchanged, quota if self._faults.batch_plus_two else 0)

    def _adapt(self) -> None:
        """Once a period, let an adaptive checksum choose its strength: all unshared pages are visited with a new one."""
        if self._period.strength_changes(self._tunables):
            self.items.set_flags(self._again.peek(len(self._again)), native.INITCHECKSUM)
            self._visit_again(native.tree_items(self.items.table, native.UNSTABLE), native.INITCHECKSUM)
            self._summing.resum_stable(self.items, self._tunables.order)
            self._set_rules()
