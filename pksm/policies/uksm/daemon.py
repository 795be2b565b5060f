"""uksm: visits the pages of all private anonymous vmas, in random order, on a ladder of four speeds.

A batch works off the quotas of the rungs, the slowest first. A slot whose pass is over is judged by what merged, and
moves up, down or, once it was scanned fully, to the bottom. When all rungs have finished their round, slots that others
have merged with are judged, and now and then the strength of the hash is chosen anew.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pksm.arrays import BoolArray, I64Array, Ids, Pages, U8Array, U32Array
from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.cost import Cost
from pksm.engine.exclusive import exclusive
from pksm.engine.items import ItemTable
from pksm.engine.memory import grown
from pksm.policies.daemon import Daemon
from pksm.policies.uksm import cpu, governors
from pksm.policies.uksm.ladder import Rung, Stretch
from pksm.policies.uksm.slots import Slot, Slots
from pksm.policies.uksm.spec import (
    ITEM_BYTES,
    NODE_BYTES,
    PRESETS,
    SLOT_BYTES,
    SPEC,
    TREE_NODE_BYTES,
    UksmSettings,
)
from pksm.policies.uksm.strength import Strength
from pksm.protocols import NO_FRAME, VmaHost

FIRST_WORDS, REPEATED_WORDS = 64, 10  # of the hash; its highest strength looks at the first ones twice
ABSENT, ZERO_PTE, ZEROED, MERGED, KEPT, SAME_KEPT, NEW_NODE, BESIDE = 1, 3, 4, 5, 6, 7, 8, 9
STALE, SAME, PAIR, CHANGED, COLLISION, BUSY = 11, 13, 14, 16, 17, 19
IDS_PER_VISIT = 4  # that a visit can take
CYCLES_TO_REST = 3
RECOVERY_BATCHES = 8  # after which the sleep is the user's again
_COLUMNS = dict.fromkeys(("slot", "index", "full", "node", "first", "count", "following", "before"), np.uint32)


class Uksm(Daemon):
    """Merges the private anonymous memory of a VmaHost, opted in or not.

    Args:
        host: a VmaHost.
        tunables: its settings; those of the default preset if there are none.
        seed: of the words that its hash looks at, and of the order of visits.
        words: the order in which the hash takes words, in place of one that is drawn.

    Attributes:
        full_scans: times that a quarter of all pages was visited, from 1 on.
    """

    spec = SPEC
    out_for_good = True
    full_scans = 1

    def __init__(
        self, host: VmaHost, tunables: UksmSettings | None = None, *, seed: int = 0, words: U32Array | None = None
    ) -> None:
        self.share_use(host)
        self._host = host
        self._tunables = tunables or PRESETS[SPEC.default]
        self._random = np.random.Generator(np.random.PCG64(seed))
        n_words = host.store.page_size // 4
        self._words = self._random.permutation(n_words).astype(np.uint32) if words is None else words
        everything = np.concatenate((self._words, self._words[:REPEATED_WORDS]))
        self._full = checksums.sampled_at(everything)
        self._strength = Strength(min(FIRST_WORDS, n_words), len(everything))
        self.cost = Cost()
        self.items = ItemTable(_COLUMNS)
        self.slots = Slots()
        self.rungs = [Rung() for _ in range(governors.RUNGS)]
        self._kept_of_page = np.zeros(0, np.uint32)
        self._trees = [self._buckets(1 << 10) for _ in range(4)]
        self._work_done = np.zeros(1, native.UKSM_WORK)
        self._spare = np.zeros(1, np.uint32)
        self._viewed: tuple[object, ...] | None = None
        self.page_ns, self.eval_round, self.sleep_times, self._scanned = governors.FIRST_PAGE_NS, 1, 0, 0
        self._sleep_ms = self._tunables.sleep_millisecs
        self._pause_ms = self._sleep_ms
        self._virtual = 0  # pages visited, each with its stride, that count for the next full scan
        self._hashed_before = 0
        self._pte_changes = -1
        self._pending = True
        self._hash_anew()
        self._retuned(self._tunables)
        host.attach(self)

    def _retuned(self, before: UksmSettings) -> None:
        tunables = self._tunables
        self._quirks = tunables.quirks
        ratios = governors.ratios_of(tunables.cpu_ratios, tunables.max_cpu_percentage)
        for rung, ratio, cover in zip(self.rungs, ratios, governors.intervals_of(tunables.eval_intervals), strict=True):
            rung.ratio, rung.cover_ms = ratio, cover
        self._sleep_ms = tunables.sleep_millisecs
        self._set_quotas()

    def _set_quotas(self) -> None:
        """Give the rungs what they may visit in the next batch, and their strides."""
        slowest = self.rungs[0]
        if self.sleep_times % RECOVERY_BATCHES == 0:
            self._sleep_ms = self._tunables.sleep_millisecs
        if not governors.quota(self._sleep_ms, slowest.ratio, self.page_ns):
            needed = self.page_ns * (governors.MOST_RATIO - slowest.ratio) // slowest.ratio
            self._sleep_ms = needed // 1_000_000 + 1
        for rung in self.rungs:
            rung.quota = governors.quota(self._sleep_ms, rung.ratio, self.page_ns)
            rung.step = governors.stride(rung.pages, rung.cover_ms, rung.ratio, self.page_ns)

    # ---- counters ----

    def counters(self) -> dict[str, int]:
        """Return the counters as {name: int}; meanings in uksm.spec.COUNTERS."""
        work = self._work_done
        return {
            "pages_shared": int(work["shared"][0]),
            "pages_sharing": int(work["sharing"][0]),
            "pages_unshared": int(work["unshared"][0]),
            "uksm_zero_pages": self._host.pages_zero_sharing,
            "full_scans": self.full_scans,
            "pages_scanned": self._scanned,
            "hash_strength": self._strength.words,
            "sleep_times": self.sleep_times,
            "ema_per_page_time": self.page_ns,
            "eval_round": self.eval_round,
            "vma_slots": len(self.slots.by_key),
        }

    @property
    def at_rest(self) -> bool:
        """True when nothing has merged while every slot was visited whole a few times."""
        slots = self.slots.by_key.values()
        return not self._pending and all(slot.cycles >= CYCLES_TO_REST for slot in slots)

    @property
    def metadata_bytes(self) -> int:
        """Bytes that a kernel's rmap_items, nodes, slots and permutations take."""
        nodes = len(self._trees[0]) + len(self._trees[2])
        slots = len(self.slots.by_key) * SLOT_BYTES + 8 * sum(slot.n for slot in self.slots.by_key.values())
        stable = NODE_BYTES * int(self._work_done["shared"][0])
        return ITEM_BYTES * int(np.count_nonzero(self.slots.item_at)) + TREE_NODE_BYTES * nodes + stable + slots

    @property
    def engine_bytes(self) -> int:
        """Bytes of everything kept here about pages."""
        heads = sum(tree.heads.nbytes for tree in self._trees)
        return self.items.nbytes + self.slots.permutation.nbytes * 2 + self._kept_of_page.nbytes + heads

    def next_wake(self) -> int | None:
        """Return the milliseconds from one wake-up to the next, None while it is stopped."""
        return self._pause_ms if self._tunables.run == 1 else None

    # ---- what the host reports ----

    @exclusive
    def on_new(self, pages: Pages) -> None:
        """New pages are found when they are visited."""
        self._disturb()

    @exclusive
    def on_free(self, pages: Pages) -> None:
        """These frames are free: what was kept in them is found no more."""
        pages = native.ids_array(pages)
        native.uksm_bury(self.items.table, self._view(), pages, self._work_done)
        self._give_back()
        if not self._awake:
            self._disturb()

    @exclusive
    def written(self, pages: Pages) -> None:
        """Nothing is done until the pages are visited; it is not at rest."""
        self._disturb()

    @exclusive
    def moved(self, old: Pages, new: Pages) -> None:
        """Stable nodes go with their pages."""
        old, new = native.ids_array(old), native.ids_array(new)
        self._grow_pages()
        kept = self._kept_of_page[old]
        self._kept_of_page[old] = 0
        self._kept_of_page[new] = kept
        there = kept != 0
        self.items.page[kept[there]] = new[there]
        hanging = np.flatnonzero(np.isin(self.items.link, kept[there]))
        self.items.page[hanging] = self.items.page[self.items.link[hanging]]

    def _disturb(self) -> None:
        self._pending = True
        for slot in self.slots.by_key.values():
            slot.cycles = 0

    # ---- tables ----

    def _buckets(self, n: int) -> native.BucketsView:
        heads = np.zeros(n, np.uint32)
        return native.BucketsView(heads, self._column("following"), self._column("before"))

    def _column(self, name: str) -> U32Array:
        column: U32Array = self.items._columns[name]
        return column

    def _view(self, visits: int = 0) -> native.UksmView:
        """All that C works on, as it is now, with spare ids for so many visits."""
        self._grow_pages()
        left = int(self._work_done["n_spare"][0])
        if left < IDS_PER_VISIT * visits:
            more = self.items.take(IDS_PER_VISIT * visits * 2 - left)
            self._spare = np.concatenate((self._spare[:left], more))
            self._work_done["n_spare"] = len(self._spare)
        arrays = self.items._nodes, self._spare, self.slots.item_at, self._kept_of_page, self._trees[0].heads
        if self._viewed is None or any(old is not new for old, new in zip(self._viewed, arrays, strict=True)):
            self._viewed, self._seen = arrays, self._new_view()
        return self._seen

    def _new_view(self) -> native.UksmView:
        for tree in self._trees:
            tree.move(self._column("following"), self._column("before"))
        self._freed = np.zeros(len(self.items._nodes), np.uint32)
        names = "slot", "index", "full", "node", "first", "count"
        arrays = {name: self._column(name) for name in names} | {"spare": self._spare, "freed": self._freed}
        arrays |= {"permutation": self.slots.permutation, "item_at": self.slots.item_at}
        return native.UksmView(self._trees, arrays | {"kept_of_page": self._kept_of_page})

    def _give_back(self) -> None:
        """Let ids be free that a call has made blank."""
        freed = int(self._work_done["n_freed"][0])
        if freed:
            self._work_done["n_freed"] = 0
            self.items.free_blank(self._freed[:freed].copy())

    def _grow_pages(self) -> None:
        n_pages = self._host.store.n_pages
        if n_pages > len(self._kept_of_page):
            self._kept_of_page = grown(self._kept_of_page, n_pages)

    def _drop(self, ids: Ids, for_good: bool) -> None:
        native.uksm_drop(self.items.table, self._view(), ids, for_good, self._work_done)
        self._give_back()

    def _widen(self) -> None:
        """Give the trees more buckets before they are crowded: the unstable one begins anew, the stable one is sorted in."""
        if max(map(len, self._trees)) > 2 * len(self._trees[0].heads):
            self._trees_anew(max(map(len, self._trees)) * 8)

    def _trees_anew(self, entries: int) -> None:
        """Empty the unstable tree, and sort the stable one by the hashes of now."""
        flags = self.items.flags
        nodes = np.unique(self._column("node")[self._column("node") != 0])
        unstable = np.flatnonzero(flags & native.UNSTABLE).astype(np.uint32)
        kept = np.flatnonzero(flags & native.STABLE).astype(np.uint32)
        self.items.clear_flags(unstable, native.UNSTABLE)
        self.items.set_flags(unstable, native.PASSED)
        for name in ("node", "following", "before"):
            self._column(name)[:] = 0
        self.items.checksum[nodes] = 0
        self._column("count")[nodes] = 0
        self._column("first")[nodes] = 0
        self.items.free_blank(nodes.astype(np.uint32))
        self._trees = [self._buckets(1 << max(10, int(entries).bit_length())) for _ in range(4)]
        if len(kept):
            view, pages = self._host.store.view, self.items.page[kept]
            sums = native.checksum_pages(view, self._checksum, pages)
            fulls = native.checksum_pages(view, self._full, pages)
            seen = self._view(len(kept))
            native.uksm_sort_in(self.items.table, seen, kept, sums, fulls, self._work_done)
            self._give_back()

    def _hash_anew(self) -> None:
        """Hash with the strength of now from now on."""
        words = np.concatenate((self._words, self._words[:REPEATED_WORDS]))[: self._strength.words]
        self._checksum = checksums.sampled_at(words)
        zero = bytes(self._host.store.page_size)
        self._fields = {
            "zero_checksum": self._checksum.of(zero),
            "words": self._strength.words,
            "most_words": self._strength.most,
            "positive": max(0, len(self._words) - self._strength.words),
            "compare_cost": cpu.MEMCMP_COST,
            "counts_first": int("first-not-counted" not in self._tunables.quirks),
        }
        self._trees_anew(len(self._trees[0].heads) // 2)

    # ---- one wake-up ----

    @exclusive
    def wake(self) -> int:
        """Work once, as uksmd does between two sleeps, and return the number of visits."""
        if self._tunables.run != 1:
            return 0
        return self._awakened(self._work)

    def _work(self) -> int:
        self.sleep_times += 1
        self._fields["counts_first"] = int("first-not-counted" not in self._quirks)
        before = self._work_done.copy()
        self._bury_slots()
        self._refresh_unstable()
        self._widen()
        visited = no_page = fastest = 0
        for number, rung in enumerate(self.rungs):
            fastest = max(fastest, rung.ratio if rung.n else 0)
            while lap := rung.lap("offset-one" in self._quirks, self._random):
                for stretch in lap:
                    visits, empty = self._visit(stretch, number)
                    visited += visits
                    no_page += empty
        self._scanned += visited - no_page
        done = {
            name: int(self._work_done[name][0]) - int(before[name][0]) for name in ("hashed", "full_sums", "compares")
        }
        batch_ns = cpu.batch_ns(visited, no_page, done["hashed"], self._strength.words, done["full_sums"],
                                self._strength.most, done["compares"])  # fmt: skip
        self.cost.add(pages_visited=visited, bytes_hashed=4 * done["hashed"] * self._strength.words)
        self._enter_slots()
        self._end_round()
        self._pause_ms = self._tunables.sleep_millisecs
        if fastest:
            self._pause_ms = governors.pause(self._sleep_ms, batch_ns, fastest)
        self._average(batch_ns, visited)
        self._set_quotas()
        self._pte_changes = self._host.pte_changes
        return visited

    def _average(self, batch_ns: int, visited: int) -> None:
        self.page_ns = governors.mean(self.page_ns, batch_ns, visited)
        if self.page_ns > governors.MOST_PAGE_NS or self.eval_round % governors.ROUNDS_OF_MEAN == 0:
            self.page_ns = governors.FIRST_PAGE_NS

    def _bury_slots(self) -> None:
        """Forget slots whose vmas are gone, or have other bounds."""
        vmas = self._host.private_vmas()
        keys = set(zip(vmas.key.tolist(), vmas.first.tolist(), vmas.n.tolist(), strict=True))
        for slot in [slot for key, slot in self.slots.by_key.items() if key not in keys]:
            self._drop(self.slots.remove(slot), for_good=True)
            if slot.rung >= 0:
                self.rungs[slot.rung].leave(slot)
            self._virtual -= slot.n if slot.scanned_in == self.full_scans else slot.cursor
            if "wrap" not in self._quirks:
                self._virtual = max(0, self._virtual)

    def _enter_slots(self) -> None:
        """Put vmas that were written to on the slowest rung; and ask for copies on write."""
        vmas = self._host.private_vmas()
        self._pending = False
        rows = zip(*(column.tolist() for column in vmas), strict=True)
        for born, mm, first, n, is_touched, copied in rows:
            slot = self.slots.by_key.get((born, first, n))
            if slot is None and is_touched:
                slot = self.slots.add((born, first, n), mm, first, n)
                slot.copied_before = copied
                self.rungs[0].enter(slot, 0)
            elif slot is not None:
                slot.copied += copied - slot.copied_before
                slot.copied_before = copied

    def _refresh_unstable(self) -> None:
        """Let waiting items know the pages they map now, where ptes have changed since."""
        if self._host.pte_changes == self._pte_changes:
            return
        ids = np.flatnonzero(self.items.flags & native.UNSTABLE).astype(np.uint32)
        if not len(ids):
            return
        slots = self._column("slot")[ids]
        places = self.slots.first[slots] + self._column("index")[ids]
        pages, own = self._host.pages_at(self.slots.mm[slots], places)
        fit = (pages < NO_FRAME) & (own | ("inherited-no-partner" not in self._quirks))
        fit[fit] = self._kept_of_page[pages[fit]] == 0
        self.items.page[ids[fit]] = pages[fit]
        self.items.clear_flags(ids[fit], native.DELLIST)
        self.items.set_flags(ids[~fit], native.DELLIST)

    def _visit(self, stretch: Stretch, number: int) -> tuple[int, int]:
        """Visit pages of one slot, and judge it if its pass ends. Return (visits, those that found no page)."""
        slot, n, rung = stretch.slot, stretch.visits, self.rungs[number]
        first = slot.base + slot.cursor
        ahead = np.arange(slot.n - slot.cursor, slot.n - slot.cursor - n, -1)
        partners = first + np.arange(n) + (self._random.random(n) * ahead).astype(np.int64)
        native.uksm_shuffle(self._view(), slot.base, first, partners.astype(np.uint64), slot.base + slot.n)
        places = slot.first + self.slots.permutation[first : first + n].astype(np.int64)
        pages, own = self._host.pages_at(np.full(n, slot.mm), places)
        own = own | ("inherited-no-partner" not in self._quirks)
        self._work_done["slot"] = slot.number
        view, store = self._view(n), self._host.store
        outs, others, error = native.uksm_visit(
            store.view, self.items.table, view, (self._checksum, self._full), self._fields, self._host.classes, first,
            pages, own, self._work_done)  # fmt: skip
        self._give_back()
        n = len(outs)
        merged = self._carry_out(slot, number, first, places[:n], pages[:n], outs, others)
        if merged:
            self._disturb()
        before = slot.cursor
        slot.cursor += n
        slot.sampled += n
        slot.merged += merged
        if "stall" not in self._quirks or slot.scanned_in != self.full_scans:
            self._virtual += n * rung.step
        if "pool-loss" in self._quirks:
            self.slots.forget_pools(slot, before)
        if error:
            raise error
        if stretch.ends:
            self._judge(slot, number)
        return n, int(np.count_nonzero((outs == ABSENT) | (outs == ZERO_PTE)))

    def _carry_out(
        self, slot: Slot, number: int, first: int, places: I64Array, pages: Pages, outs: U8Array, others: Ids
    ) -> int:
        """Ask the host for the merges of visits. Return how many pages of the slot merged."""
        host, items = self._host, self.items
        zero = np.flatnonzero(outs == ZEROED)
        zero = zero[_first_of_each(places[zero])]  # a page may stand at two entries
        merged = len(zero)
        if len(zero):
            refused = host.merge_zero_ptes(np.full(len(zero), slot.mm), places[zero], pages[zero])
            merged -= 0 if refused is None else int(refused.sum())
        at = np.flatnonzero((outs == KEPT) | (outs == PAIR))
        if not len(at):
            return merged
        mine = self.slots.item_at[first + at]
        moving = np.where(outs[at] == PAIR, others[at], mine)
        targets = items.page[items.link[moving]]
        slots = self._column("slot")[moving]
        virtual = self.slots.first[slots] + self._column("index")[moving]
        from_pages = items.page[moving].copy()
        away = (from_pages != targets) & _first_of_each(slots.astype(np.int64) << 40 | virtual)
        items.page[moving] = targets
        refused = host.merge_ptes(self.slots.mm[slots[away]], virtual[away], from_pages[away], targets[away])
        if refused is not None and refused.any():
            left = np.zeros(len(moving), bool)
            left[away] = refused
            lone = mine[left & (outs[at] == PAIR)]
            items.page[moving[left]] = from_pages[left]
            self._drop(np.concatenate((moving[left], lone)), for_good=False)
            merged -= int(left.sum())
        for other in slots[outs[at] == PAIR][: len(at)].tolist():
            if other != slot.number:
                self.slots.by_number[other].be_merged += self.rungs[number].step
        return merged + len(at)

    # ---- judging ----

    def _judge(self, slot: Slot, number: int) -> None:
        """Move a slot whose pass is over to the rung that it deserves."""
        is_full = slot.cursor >= slot.n
        gain = self._gain(slot, slot.merged, slot.sampled)
        if is_full:
            slot.cursor = 0
            slot.scanned_in = self.full_scans
            slot.cycles += 1
        slot.sampled = slot.merged = slot.copied = 0
        if is_full and self._tunables.thrash_threshold:
            target = 0
        elif gain and gain >= self._tunables.abundant_threshold:
            target = min(number + 1, governors.RUNGS - 1)
        else:
            target = max(number - 1, 0)
        self._move(slot, target)

    def _gain(self, slot: Slot, merged: int, of: int) -> int:
        """Pages that merged and were not written to since, or per cent of them; 0 if too many were."""
        copied = slot.copied
        if merged and self._tunables.thrash_threshold and 100 * copied // merged > self._tunables.thrash_threshold:
            return 0
        gain = max(0, merged - copied)
        return gain if "judge-by-count" in self._quirks else 100 * gain // max(1, of)

    def _move(self, slot: Slot, target: int) -> None:
        if target == slot.rung:
            return
        if slot.rung >= 0:
            self.rungs[slot.rung].leave(slot)
        rung = self.rungs[target]
        rung.enter(slot, target)
        if rung.n == 1:
            rung.begun = rung.finished = False
        rung.step = governors.stride(rung.pages, rung.cover_ms, rung.ratio, self.page_ns)

    def _end_round(self) -> None:
        """End an evaluation round if all rungs that have slots have finished theirs."""
        busy = [rung for rung in self.rungs if rung.n]
        if not busy or not all(rung.finished for rung in busy):
            return
        for slot in list(self.slots.by_key.values()):
            if slot.be_merged:
                gain = self._gain(slot, slot.be_merged, slot.n)
                slot.be_merged = 0
                if gain and gain >= self._tunables.abundant_threshold and slot.rung < governors.RUNGS - 1:
                    self._move(slot, slot.rung + 1)
        for rung in self.rungs:
            rung.finished = False
        self.eval_round += 1
        self._host.drain()
        total = sum(rung.pages for rung in self.rungs)
        if self._virtual < 0 or self._virtual > total // 4:
            self._full_scan()

    def _full_scan(self) -> None:
        """A quarter of all pages was visited: choose the strength anew."""
        self.full_scans += 1
        self._virtual = 0
        work = self._work_done
        scanned = int(work["hashed"][0]) - self._hashed_before
        before = self._strength.words
        now = self._strength.adjust(int(work["positive"][0]), int(work["negative"][0]), scanned, self.full_scans)
        if now != before:
            self._hash_anew()
        work["positive"] = work["negative"] = 0
        self._hashed_before = int(work["hashed"][0])

    # ---- proof ----

    @exclusive
    def check(self) -> None:
        """Raise AssertionError unless items, trees, stable nodes, slots and counts agree."""
        self.items.check_ids()
        items, item_at = self.items, self.slots.item_at
        ids = item_at[item_at != 0]
        assert len(np.unique(ids)) == len(ids), "an item is at two entries"
        linked = items.link[ids]
        nodes, counts = np.unique(linked[linked != 0], return_counts=True)
        assert (self._column("count")[nodes] == counts).all(), "a stable node counts other items than hang on it"
        work = self._work_done
        assert int(work["shared"][0]) == len(nodes) and int(work["sharing"][0]) == int(counts.sum()) - len(nodes)
        waiting = items.flags[ids] & (native.UNSTABLE | native.PASSED)
        assert int(work["unshared"][0]) == int(np.count_nonzero(waiting)), "pages_unshared is not what waits"
        kept = np.flatnonzero(items.flags & native.STABLE)
        assert np.array_equal(self._kept_of_page[items.page[kept]], kept), "a kept page has another node"
        records = np.count_nonzero(self._column("node"))
        in_tree = np.flatnonzero(self._column("node"))
        assert records == len(kept) + int(np.count_nonzero(items.flags[ids] & native.UNSTABLE)), "a tree has others"
        trees = np.unique(self._column("node")[in_tree])
        assert len(trees) == len(self._trees[0]) + len(self._trees[2]), "a node of a tree is empty, or lost"
        for rung in self.rungs:
            there = [slot for slot in rung.slots if slot]
            assert rung.n == len(there) and rung.pages == sum(slot.n for slot in there), "a rung counts others"
        permuted = all(0 <= slot.cursor <= slot.n for slot in self.slots.by_key.values())
        assert permuted, "a cursor is outside its slot"
        assert replace(self._tunables) == self._tunables


def _first_of_each(values: I64Array) -> BoolArray:
    """Return which of the values have not come before."""
    first = np.zeros(len(values), bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first
