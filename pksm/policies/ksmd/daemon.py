"""ksmd: KSM, the baseline. It visits the virtual pages of opted-in memory in turn, mm by mm, address by address.

A visit: a page that has changed since the last one is left alone; an equal page in the stable tree is joined; one in
the unstable tree makes a new stable page with it; else the page waits in the unstable tree, which each full scan
begins anew. The counters follow the visits, as the kernel's do: what has been written or unmapped since is still
counted until ksmd comes by.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np

from pksm.arrays import BoolArray, Ids, IntArray, Pages
from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.cost import Cost
from pksm.engine.exclusive import exclusive
from pksm.engine.settle import Rules, Settled, Verdict, joined
from pksm.errors import UsageError
from pksm.policies.ksmd.advisor import Advisor
from pksm.policies.ksmd.items import Mappings
from pksm.policies.ksmd.questions import Questions
from pksm.policies.ksmd.spec import SPEC
from pksm.policies.ksmd.tunables import STAGE_ORDERS, KsmTunables, preset
from pksm.policies.strict_mappings import StrictMappings
from pksm.policies.variants import set_within
from pksm.protocols import NO_FRAME, MappingHost

ZERO_ONLY = ("unchanged", "zero")


class Ksmd(Questions):
    """Merges the opted-in memory of a MappingHost.

    Args:
        host: a MappingHost.
        tunables: its settings; those of the default preset if there are none.
        checksum: in place of the one that the tunables name: a name of pksm.checksums.names(), a function as
            checksums.Plugin takes it, or a checksum that is ready; the strength of an adaptive one stays as it is.
        strict: look at each answer and report of the host, and raise a UsageError that names rule and pages where one
            breaks a rule of protocols.MappingHost.

    Attributes:
        full_scans: how many times all opted-in memory was visited.
        fake_merges: merges that freed no frame, since others still map it.
    """

    spec = SPEC
    opted_in_only = True
    full_scans = 0
    fake_merges = 0

    def __init__(
        self,
        host: MappingHost,
        tunables: KsmTunables | None = None,
        *,
        checksum: native.AnyChecksum | str | Callable[..., Any] | None = None,
        strict: bool = False,
    ) -> None:
        self.share_use(host)
        self._host = host = cast(MappingHost, StrictMappings(host)) if strict else host
        self._tunables = tunables or preset(SPEC.default)
        self._checksum, self._made_of = checksums.ready(checksum, self._tunables.checksum, host.store.page_size)
        self._known = None  # sums computed before a visit, by a checksum that C can't call
        if not isinstance(self._checksum, native.Function):
            self._checksum = self._known = native.Known(self._checksum)
        self.items = Mappings()
        self.cost = Cost()
        self._freed = 0
        self._advisor = Advisor()
        self._scanned = self._skipped = 0  # these two count on when everything is unmerged
        self._now_millisecs = 0
        self._slots: list[int] = []  # mms in order of visit
        self._begin_anew()
        self._set_rules()
        set_within(host, self._tunables)
        host.attach(self)

    def _begin_anew(self) -> None:
        self._at = -1  # the one being visited; -1 between two full scans
        self._first = 0  # the virtual page to go on from
        self.full_scans = 0
        self._pte_changes = -1  # of the host, when the unstable tree was last right
        self._writes: int | None = None  # of the host, when ksmd last worked
        self._in_order = False  # no page has changed while it waited in the unstable tree
        self._before: dict[str, int] | None = None  # counters at the end of the last full scan but one
        self._stale = self._stale_so_far = 0  # pages met changed, or new, in the last full scan; in this one
        self._last: dict[str, int] | None = None  # and of the last

    # ---- settings and counters ----

    def _allow(self, tunables: KsmTunables) -> None:
        """Stable nodes are removed before max_page_sharing changes: none may be in use. Mirrors max_page_sharing_store."""
        if tunables.max_page_sharing == self._tunables.max_page_sharing:
            return
        items = self.items
        if items.shared or not native.ksm_remove_dead(items.table, items.view, self.cost.counts):
            raise UsageError("can't change while pages are shared: unmerge them first, with run=2", "max_page_sharing")

    def _retuned(self, before: KsmTunables) -> None:
        self._set_rules()
        if self._tunables.advisor_mode != before.advisor_mode:
            self._advisor.restart()

    def _set_rules(self) -> None:
        stages: tuple[str, ...] = STAGE_ORDERS[self._tunables.stages]
        if self._tunables.zero_only:
            stages = ZERO_ONLY
        elif not self._tunables.use_zero_pages:
            stages = tuple(stage for stage in stages if stage != "zero")
        self._rules = Rules(self._checksum, stages=stages, order="content").pack(self._host.store.page_size)
        self._limits = native.ksm_limits({
            "max_page_sharing": self._tunables.max_page_sharing,
            "prune_millisecs": self._tunables.stable_node_chains_prune_millisecs,
            "smart_scan": self._tunables.smart_scan,
        })  # fmt: skip

    def _unmerge(self, tunables: KsmTunables) -> None:
        """Every merged pte of opted-in memory gets a page of its own, and nothing is known any more.

        Stable nodes of pages that other memory maps too are left. Mirrors unmerge_and_remove_all_rmap_items.
        """
        items = self.items
        self._enter_mms()
        for mm in self._host.unmerge_opted_in(self._slots):
            ids = items.of(mm)
            native.ksm_drop(items.table, items.view, ids, self.cost.counts)
            items.forget(ids)
        native.ksm_remove_dead(items.table, items.view, self.cost.counts)
        self._slots = [mm for mm in self._slots if self._host.is_alive(mm)]
        self._begin_anew()

    # ---- what the host reports ----

    def on_new(self, pages: Pages) -> None:
        """New pages are found when their addresses are visited."""

    @exclusive
    def on_free(self, pages: IntArray) -> None:
        """These frames are free: stable nodes whose pages they were go when they are next met."""
        pages = native.ids_array(pages)
        self._freed += len(pages)
        native.ksm_bury(self.items.table, self.items.view, pages)

    @exclusive
    def moved(self, old: Pages, new: Pages) -> None:
        """Stable nodes go with their pages. Mirrors folio_migrate_ksm."""
        old, new = native.ids_array(old), native.ids_array(new)
        self._host.store.check_pages(np.concatenate((old, new)))
        self.items.rename(old, new)

    # ---- one wake-up ----

    @exclusive
    def wake(self) -> int:
        """Work once, as ksmd does between two sleeps, and return the number of pages visited. Mirrors ksm_do_scan."""
        if self._tunables.run != 1:
            return 0
        return self._awakened(self._work)

    @exclusive
    def doze(self, wakes: int) -> bool:
        """Let wake-ups pass while no mm has opted in."""
        if self._slots or self._host.mergeable_mms():
            return False
        self._now_millisecs += wakes * self._tunables.sleep_millisecs
        return True

    def _work(self) -> int:
        self._now_millisecs += self._tunables.sleep_millisecs
        self._enter_mms()
        self._refresh_unstable()
        left = stride = self._tunables.pages_to_scan
        visited, ended = 0, False
        while left and self._slots:
            if self._at < 0:
                self._at = 0
                native.ksm_pass(self.items.table, self.items.view)
                self._in_order = self._host.writes is not None
                self._advisor.begin(self._now_millisecs)
            done, skipped = self._visit(self._slots[self._at], stride, left)
            left -= done
            visited += done
            stride = stride * 2 if skipped else left
            if self._at == len(self._slots):
                self._end_full_scan()
                ended = True
                break
        self._scanned += visited
        self._advise(visited, ended)
        self._pte_changes, self._writes = self._host.pte_changes, self._host.writes
        return visited

    def _enter_mms(self) -> None:
        """mms that have opted in are visited last: their slots go before the one being visited. Those that have exited
        come next, or are gone at once if they have no items. Mirrors ksm_enter and ksm_exit."""
        known = set(self._slots)
        current = self._slots[self._at] if self._at >= 0 else None
        gone = [mm for mm in self._slots if mm != current and not self._host.is_alive(mm)] if known else []
        new = [mm for mm in self._host.mergeable_mms() if mm not in known]
        if not gone and not new:  # as nearly always
            return
        slots = [mm for mm in self._slots if mm not in set(gone)] if gone else self._slots
        at = 0 if current is None else slots.index(current)
        with_items = [mm for mm in gone if mm in self.items.mms()]
        before, after = ([], new) if current is None else (new, [])
        ahead = slots[at:] if current is None else slots[at + 1 :]
        now = [] if current is None else [current]
        self._slots = [*slots[:at], *before, *now, *with_items, *ahead, *after]
        self._at = -1 if current is None else at + len(before)

    def _end_full_scan(self) -> None:
        self._at, self._first = -1, 0
        self.full_scans += 1
        results = {name: count for name, count in self.counters().items() if name not in SPEC.work}
        self._before, self._last = self._last, results
        self._stale, self._stale_so_far = self._stale_so_far, 0

    def _advise(self, visited: int, ended: bool) -> None:
        """Let the advisor know what was visited, and have it set pages_to_scan at the end of a full scan."""
        self._advisor.visit(visited, self._tunables.visit_ns)
        if ended and self._tunables.advisor_mode == "scan-time":
            pages = self._advisor.end(self._now_millisecs, self._tunables)
            self._tunables = replace(self._tunables, pages_to_scan=pages)

    def _refresh_unstable(self) -> None:
        """Let waiting items know the pages they map now, where ptes have changed since."""
        items, pages_change = self.items, self._host.writes != self._writes
        if self._host.pte_changes != self._pte_changes or pages_change:
            self._in_order = False
        if self._host.pte_changes == self._pte_changes or not items.n_unstable:
            return
        ids = np.flatnonzero(items.flags & native.UNSTABLE)
        frames = self._host.frames_at(items.mm[ids], items.virtual_page[ids])
        mapped = frames != NO_FRAME
        items.page[ids[mapped]] = frames[mapped]
        items.clear_flags(ids[mapped], native.DELLIST)
        items.set_flags(ids[~mapped], native.DELLIST)

    def _visit(self, mm: int, n: int, limit: int) -> tuple[int, int]:
        """Visit up to `limit` of the next n mapped pages of an mm, and merge. Returns (visited, skipped)."""
        if not self._host.is_alive(mm):
            self._first = 0  # all its items go, those visited already too
        items, is_whole = self.items, self._first == 0
        pages, frames, at_end = self._host.next_mapped(mm, self._first, n)
        self._host.store.check_pages(frames)
        ids, mapped, fresh = items.meet(mm, self._first, pages, frames, at_end, self._host.store.n_pages)
        settled = self._visit_items(ids, mapped, limit)
        done = len(settled.ids)
        if done < len(ids):
            self._first = int(items.virtual_page[ids[done - 1]]) + 1  # what lies up to the next may be mapped by then
            items.forget(ids[done:][fresh[done:]])
        self._apply(settled)
        self._stale_so_far += settled.count(Verdict.STALE)
        skipped = settled.count(Verdict.SKIPPED)
        visited = done - settled.count(Verdict.DROP) - skipped
        self._skipped += skipped
        if done == len(ids):
            self._first = int(pages[-1]) + 1 if len(pages) else self._first
            if at_end and visited < limit:
                self._leave(mm, is_whole)
        return visited, skipped

    def _visit_items(self, ids: Ids, mapped: BoolArray, limit: int) -> Settled:
        """Visit items until `limit` were visited. DROP is the verdict of those that are mapped no more."""
        host, items, limits = self._host, self.items, self._limits
        limits.now_millisecs, limits.in_order = self._now_millisecs & 0xFFFFFFFF, self._in_order
        parts: list[native.Answers] = []
        done, left = 0, limit
        if self._tunables.unmerged_items == "new":
            items.renew_unmerged(ids[mapped != 0])
        if self._known:
            self._known.know(host.store.view, items.page[ids[mapped]])
        while not parts or (done < len(ids) and left):
            if items.n_spare < 2:
                items.add_spare()
            rest = (ids[done:], mapped[done:]) if done else (ids, mapped)
            answers = native.ksm_visit(
                host.store.view,
                items.table,
                items.view,
                self._rules,
                limits,
                host.classes,
                *rest,
                left,
                self.cost.counts,
            )
            parts.append(answers)
            left -= answers.done - answers.count_of(Verdict.DROP) - answers.count_of(Verdict.SKIPPED)
            done += answers.done
        return joined(items, ids[:done] if done < len(ids) else ids, parts)

    def _leave(self, mm: int, was_whole: bool) -> None:
        """Go on to the next mm; one that was found, from its start, to have nothing mergeable loses its slot."""
        self._first = 0
        if was_whole and not self._host.has_opted_in(mm):
            del self._slots[self._at]
            self._host.leave(mm)
        else:
            self._at += 1

    def _apply(self, settled: Settled) -> None:
        """Carry verdicts out."""
        host, items = self._host, self.items
        if settled.count(Verdict.ZERO):
            zero = settled.of(Verdict.ZERO)
            host.merge_zero_ptes(items.mm[zero.ids], items.virtual_page[zero.ids], zero.pages)
        joins, pairs = settled.of(Verdict.JOINED), settled.of(Verdict.PAIRED)
        if len(joins) or len(pairs):
            ids, pages, kpages = joins.ids, joins.pages, joins.other_pages
            if len(pairs):
                ids, pages = np.concatenate((ids, pairs.others)), np.concatenate((pages, pairs.other_pages))
                kpages = np.concatenate((kpages, pairs.pages))
            freed = self._freed
            refused = host.merge_ptes(items.mm[ids], items.virtual_page[ids], pages, kpages)
            merged = len(ids)
            if refused is not None:
                lone = refused[len(joins) :] & ~np.isin(pairs.pages, kpages[~refused])  # not kept, for nobody joined
                dropped = np.concatenate((ids[refused], pairs.ids[lone]))
                native.ksm_drop(items.table, items.view, dropped, self.cost.counts)
                native.ksm_bury(items.table, items.view, pairs.pages[lone])
                merged -= int(np.count_nonzero(refused))
            self.fake_merges += merged - (self._freed - freed)
        if settled.count(Verdict.DROP):
            items.forget(settled.of(Verdict.DROP).ids)
