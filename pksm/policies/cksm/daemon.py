"""cksm: a list of physical pages, the newest at its head, walked in steps of 1 to 41 entries.

Born pages go to the head; a pass goes from head to tail. After each merge the next page comes next, and goes on to for
about as many failures as the merges' number has bits; otherwise the older a page is, in passes, the smaller the step.
No recording of a kernel with CKSM exists: this follows its published sources.
"""

from typing import Any, Self

import numpy as np

from pksm.arrays import BoolArray, Ids, IdsLike, Pages, U8Array, U32Array, distinct
from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.cost import Cost
from pksm.engine.exclusive import exclusive
from pksm.engine.items import ItemTable
from pksm.engine.memory import grown
from pksm.engine.settle import Verdict
from pksm.engine.state import State, sound_state
from pksm.errors import ItemError, UsageError
from pksm.policies.cksm import saved
from pksm.policies.cksm.spec import PAGE_SLOT_BYTES, PRESETS, SPEC, CksmSettings
from pksm.policies.daemon import Daemon
from pksm.policies.variants import set_within
from pksm.protocols import PageHost

BUCKETS = 1 << 18  # of each table
FIRST_STEP = 17
SLEEP_MILLISECS = 20, 1000  # that a pause is at least, and at most
ROOM = 1 << 16  # visits that are carried out together
_COLUMNS = {"births": np.uint32, "place": np.uint32, "following": np.uint32, "before": np.uint32}
_IN_TABLE = native.UNSTABLE | native.STABLE


class Cksm(Daemon):
    """Merges the pages of a PageHost.

    Args:
        host: a PageHost; it reports its pages from now on.
        tunables: its settings; those of the default preset if there are none.
        seed: of a sampled checksum's positions.

    Attributes:
        loops: wake-ups that a kernel would never have ended (quirk busy-loop).
        full_scans: passes over the list.
    """

    spec = SPEC
    loops = 0

    def __init__(self, host: PageHost, tunables: CksmSettings | None = None, *, seed: int = 0) -> None:
        self.share_use(host)
        self._host, self._seed = host, seed
        self._tunables = tunables or PRESETS[SPEC.default]
        checksum = checksums.make(self._tunables.checksum, host.store.page_size, seed)
        if not isinstance(checksum, native.Function):
            raise UsageError(f"checksum {self._tunables.checksum}: cksm takes those that are C functions")
        self._checksum = checksum
        self.cost = Cost()
        self._merged = self._zero_merged = self._scanned = 0
        self._cursor = np.zeros(1, native.CKSM_CURSOR)
        self._cursor["step"] = FIRST_STEP
        self._item_of_page = np.zeros(0, np.uint32)
        self._begin_anew()
        self._set_rules()
        set_within(host, self._tunables)
        host.attach(self)

    def _begin_anew(self) -> None:
        self.items = ItemTable(_COLUMNS)
        self._table = self.items.table
        self._item_of_page[:] = 0
        self._order = np.zeros(64, np.uint32)  # the list, its head last; 0: void
        self._n_order = self._n_listed = 0
        self._cursor["at"] = 0
        links = self.items._columns["following"], self.items._columns["before"]
        self._buckets = (
            native.BucketsView(np.zeros(BUCKETS, np.uint32), *links),
            native.BucketsView(np.zeros(BUCKETS, np.uint32), *links),
        )
        self._disturb()

    def _set_rules(self) -> None:
        quirks = self._tunables.quirks
        fields = {
            "pages_to_scan": self._tunables.pages_to_scan,
            "unmerged_to_end": self._tunables.unmerge_pages_to_scan,
            "zero_checksum": self._checksum.of(bytes(self._host.store.page_size)),
            "kept_leave": int("merged-stay" not in quirks),
            "kept_uncounted": int("busy-loop" in quirks),
            "waits_for_rest": int("double-hash" not in quirks),
            "bytes_stay": int(self._host.static),
            "zero_only": self._tunables.zero_only,
        }
        self._rules = native.CksmRules(self._checksum, fields)

    def _retuned(self, before: CksmSettings) -> None:
        self._set_rules()
        self._disturb()

    def _disturb(self) -> None:
        """Something has changed: it takes another whole pass to come to rest."""
        self._cursor["restless"] = 1
        self._cursor["resting"] = 0

    # ---- what the host reports ----

    @exclusive
    def on_new(self, pages: Pages) -> None:
        """Put newly born pages (uint32) at the head of the list, one after the other."""
        pages = native.ids_array(pages)
        self._host.store.check_pages(pages)
        n = len(pages)
        if not n:
            return
        if int(pages.max()) >= len(self._item_of_page):
            self._item_of_page = grown(self._item_of_page, max(int(pages.max()) + 1, len(self._item_of_page) * 3 // 2))
        if self._item_of_page[pages].any() or len(distinct(pages)) < n:
            raise ItemError("a page was born that is alive already")
        ids = self.items.take(n)
        self._item_of_page[pages] = ids
        self.items.page[ids] = pages
        self.items.set_flags(ids, native.INITCHECKSUM)
        self._column("births")[ids] = self._cursor["pass"][0]
        self._cursor["new_pages"] += n
        self._push(ids)
        self._disturb()

    def _push(self, ids: Ids) -> None:
        if self._n_order + len(ids) > len(self._order):
            self._compact(len(ids))
        at_head = int(self._cursor["at"][0]) == self._n_order
        end = self._n_order + len(ids)
        self._order[self._n_order : end] = ids
        self._column("place")[ids] = np.arange(self._n_order, end, dtype=np.uint32)
        self._n_order = end
        self._n_listed += len(ids)
        if at_head:
            self._cursor["at"] = end

    def _leave_list(self, ids: Ids) -> None:
        places = self._column("place")[ids]
        places = places[places != saved.NO_PLACE]
        self._order[places] = 0
        self._n_listed -= len(places)
        self._column("place")[ids] = saved.NO_PLACE

    def _compact(self, room: int) -> None:
        """Leave out void entries, and make room for so many.

        One stays at the head if nothing else is between it and the walk, which does not stand at the head for that.
        """
        order, at = self._order[: self._n_order], int(self._cursor["at"][0])
        self._cursor["at"] = np.count_nonzero(order[:at])
        kept = order[order != 0]
        if at < len(order) and not order[at:].any():
            kept = np.append(kept, order[-1:])
        self._n_order = len(kept)
        self._order = np.zeros(max(64, (len(kept) + room) * 3 // 2), np.uint32)
        self._order[: len(kept)] = kept
        self._column("place")[kept[kept != 0]] = np.flatnonzero(kept)

    @exclusive
    def on_free(self, pages: Pages) -> None:
        """Take freed pages (uint32) off the list and out of their tables; those not tracked are passed over."""
        pages = native.ids_array(pages)
        pages = pages[pages < len(self._item_of_page)]
        ids = self._item_of_page[pages]
        pages, ids = pages[ids != 0], ids[ids != 0]
        if not len(ids):
            return
        self._item_of_page[pages] = 0
        self._leave_tables(ids)
        self._leave_list(ids)
        self.items.clear_flags(ids, 0xFFFF)
        self.items.page[ids] = 0
        self.items.checksum[ids] = 0
        self.items.free_blank(ids)
        self._disturb()

    @exclusive
    def written(self, pages: Pages) -> None:
        """Nothing is done until the pages are visited; it is not at rest."""
        self._disturb()

    # ---- counters ----

    def counters(self) -> dict[str, int]:
        """Return the counters as {name: int}; meanings in cksm.spec.COUNTERS."""
        unstable, stable = self._buckets
        return {
            "pages_shared": len(stable),
            "pages_sharing": self._host.pages_sharing,
            "pages_zero_sharing": self._host.pages_zero_sharing,
            "pages_unshared": len(unstable),
            "pages_merged": self._merged,
            "zero_merged": self._zero_merged,
            "pages_inlist": self._n_listed,
            "full_scans": self.full_scans,
            "scan_step": int(self._cursor["step"][0]),
            "pages_scanned": self._scanned,
        }

    @property
    def full_scans(self) -> int:
        """Passes over the list."""
        return int(self._cursor["pass"][0])

    @property
    def at_rest(self) -> bool:
        """True when the last pass visited every page, and none of them merged or had changed."""
        return bool(self._cursor["resting"][0]) or len(self._buckets[1]) == len(self.items)

    @property
    def metadata_bytes(self) -> int:
        """Bytes that a kernel's page_slots take."""
        return PAGE_SLOT_BYTES * len(self.items)

    @property
    def engine_bytes(self) -> int:
        """Bytes of everything kept here about pages."""
        heads = sum(one.heads.nbytes for one in self._buckets)
        return self.items.nbytes + self._item_of_page.nbytes + self._order.nbytes + heads

    def next_wake(self) -> int | None:
        """Return the milliseconds from one wake-up to the next, None while it is stopped."""
        least, most = SLEEP_MILLISECS
        return max(least, min(most, self._tunables.sleep_millisecs)) if self._tunables.run == 1 else None

    # ---- one wake-up ----

    @exclusive
    def wake(self) -> int:
        """Work once, as between two sleeps, and return the number of pages visited.

        Whatever ends it (BusError: bytes are gone): what was decided stands.
        """
        if self._tunables.run != 1:
            return 0
        return self._awakened(self._work)

    def _work(self) -> int:
        cursor, visited = self._cursor, 0
        cursor["visited"] = cursor["unmerged"] = cursor["ended"] = 0
        while not cursor["ended"][0]:
            if cursor["visited"][0] >= self._tunables.pages_to_scan:
                break
            if cursor["unmerged"][0] >= self._tunables.unmerge_pages_to_scan:
                break
            visited += self._visit()
        if cursor["ended"][0] and "busy-loop" in self._tunables.quirks:
            self.loops += 1
        self._scanned += visited
        return visited

    def _visit(self) -> int:
        """Go on with the wake-up, and carry out what comes of it. Return how many pages were visited."""
        order = self._order[: self._n_order]
        ids, verdicts, others, error = native.cksm_visit(
            self._host.store.view,
            self._now(),
            self._buckets,
            order,
            self._column("births"),
            self._cursor,
            self._rules,
            self._host.classes,
            min(ROOM, max(1, self._n_listed)),
            self.cost.counts,
        )
        if verdicts.any():  # else all wait
            try:
                self._carry_out(ids, verdicts, others)
            finally:
                self._take_back(ids, others)
        if error:
            raise error
        return len(ids)

    def _carry_out(self, ids: Ids, verdicts: U8Array, others: Ids) -> None:
        """Ask the host for the merges: pairs first, for later pages join them."""
        host, items = self._host, self.items
        zero, paired, joined = (verdicts == one for one in (Verdict.ZERO, Verdict.PAIRED, Verdict.JOINED))
        if zero.any():
            refused = host.merge_zero(items.page[ids[zero]])
            merged = int(zero.sum()) - (0 if refused is None else int(refused.sum()))
            self._zero_merged += int(zero.sum()) if "zero-counts-attempts" in self._tunables.quirks else merged
        kept, away = ids[paired], others[paired]
        try:
            refused = host.merge(items.page[away], items.page[kept]) if len(kept) else None
        except BaseException:  # they are in the stable table, and nobody has joined them
            self._leave_tables(kept)
            raise
        lone = kept[:0] if refused is None else kept[refused]
        self._leave_tables(lone)
        self._merged += len(kept) - len(lone)
        away, into = ids[joined], others[joined]
        if len(lone):
            there = ~np.isin(into, lone)
            away, into = away[there], into[there]
        if len(away):
            refused = host.merge(items.page[away], items.page[into])
            self._merged += len(away) - (0 if refused is None else int(refused.sum()))
        if "merged-stay" not in self._tunables.quirks:
            self._leave_list(items.where(kept, native.STABLE, native.STABLE))

    def _take_back(self, ids: Ids, others: Ids) -> None:
        """What was to be merged away and is still there is a page like others again."""
        both = np.concatenate((ids, others))
        left = self.items.where(both[both != 0], native.DELLIST, native.DELLIST)
        if len(left):
            self.items.clear_flags(left, native.DELLIST)

    # ---- items and tables ----

    def _column(self, name: str) -> U32Array:
        column: U32Array = self.items._columns[name]
        return column

    def _now(self) -> native.TableView:
        """The item table, with the tables' links as they are now: it may have grown."""
        if self.items.table is not self._table:
            self._table = self.items.table
            for one in self._buckets:
                one.move(self._column("following"), self._column("before"))
        return self._table

    def _leave_tables(self, ids: IdsLike) -> None:
        native.buckets_remove(self._now(), *self._buckets, ids)

    def _unmerge(self, tunables: CksmSettings) -> None:
        """Give merged pages frames of their own and begin anew with every page, as run = 2 asks."""
        self._host.unmerge_all()
        pages = np.flatnonzero(self._item_of_page).astype(np.uint32)
        pages = pages[np.argsort(self._item_of_page[pages], kind="stable")]
        self._begin_anew()
        self.on_new(pages)

    @exclusive
    def state(self) -> State:
        """Return all that it knows, but for its host's memory: dicts of arrays, numbers and words."""
        self._require_asleep()
        return saved.state_of(self)

    @classmethod
    def resume(cls, host: PageHost, state: State) -> Self:
        """Return one that goes on, call for call, as the one that returned this state would have.

        Args:
            host: in the state that it was in then, and attached to nobody else.
            state: as state() returned it, in this or another process.

        Raises:
            UsageError: the state is not sound, or that of another policy or host.
        """
        with sound_state("Cksm"):
            resumed: Self = saved.resumed(cls, host, state)
        return resumed

    @exclusive
    def check(self) -> None:
        """Raise AssertionError unless tables, list and pages agree."""
        self.items.check_ids()
        pages = np.flatnonzero(self._item_of_page)
        ids = self._item_of_page[pages]
        assert (self.items.page[ids] == pages).all() and len(ids) == len(self.items), "page and item disagree"
        flags = self.items.flags
        assert not (flags[ids] & native.DELLIST).any(), "a live page is marked as merged away"
        self._now()
        for one, flag in zip(self._buckets, (native.UNSTABLE, native.STABLE), strict=True):
            inside = native.collect(self._column("following"), one.heads[one.heads != 0])
            assert len(np.unique(inside)) == len(inside) == len(one), "an item is in a table twice, or lost"
            assert np.array_equal(np.sort(inside), np.flatnonzero(flags & flag)), "flags and tables disagree"
            buckets = (self.items.checksum[inside] & np.uint64(BUCKETS - 1)).astype(np.int64)
            assert self._reaches(one, inside, buckets), "an item is in another bucket than its own"
        order = self._order[: self._n_order]
        listed = order[order != 0]
        assert np.array_equal(self._column("place")[listed], np.flatnonzero(order)), "a place is out of date"
        assert len(listed) == self._n_listed, "the list counts others than it has"
        assert not (flags[np.setdiff1d(ids, listed)] & native.STABLE == 0).any(), "a page is not on the list"

    def _reaches(self, one: native.BucketsView, inside: Ids, buckets: Any) -> bool:
        first: BoolArray = self._column("before")[inside] == 0
        return bool((one.heads[buckets[first]] == inside[first]).all())
