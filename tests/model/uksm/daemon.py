"""The whole of uksmd, a visit at a time: what it did in a batch decides what it may do in the next."""

import numpy as np

from pksm.policies.uksm import cpu

from .ladder import GOVERNORS, Rung, Slot
from .strength import Strength
from .trees import ABSENT, KEPT, MERGED, PAIR, ZERO_PTE, ZEROED, Trees

MISSING = 0xFFFFFFFE  # what a host says of a virtual page without a page


class SlowUksm:
    """Merges the private anonymous memory of a VmaHost that never refuses. random: where draws come from.

    settings: cpu_governor, sleep_millisecs, abundant_threshold, thrash_threshold and quirks are looked at.
    met_twice: a mapped page was visited twice in a run of visits to its slot (quirk pool-loss): the second visit sees
    what the first one did, where the daemon looks all pages of a run up before it merges any.
    """

    merges, opted_in_only, out_for_good = True, False, True

    def __init__(self, host, settings, random, pool_entries=512):
        self.host, self.random, self.pool_entries = host, random, pool_entries
        words = random.permutation(host.store.page_size // 4).tolist()
        self.trees = Trees(host, words, False, False)
        self.strength = Strength(self.trees.strength, len(self.trees.words))
        self.slots = {}  # by key of the vma, in order of birth
        self.numbers = list(range(63, 0, -1))
        self.rungs = [Rung(number, self._draw_offset) for number in range(4)]
        self.page_ns, self.eval_round, self.full_scans = 500, 1, 1
        self.sleep_times = self.scanned = self.virtual = self.hashed_before = 0
        self.joins = []
        self.pause = None
        self.met_twice, self.run = False, set()
        self.set(settings)
        host.attach(self)

    def set(self, settings):
        self.settings, self.quirks = settings, settings.quirks
        self.host.set_quirks(self.quirks)
        shares, covers, max_cpu = GOVERNORS[settings.cpu_governor]
        for rung, share, cover in zip(self.rungs, shares, covers, strict=True):
            rung.set(share, cover, max_cpu, self.quirks)
        self.trees.inherited = "inherited-no-partner" not in self.quirks
        self.sleep_ms = settings.sleep_millisecs
        self._allot()

    def _draw_offset(self, step):
        return int(self.random.integers(step)) if step > 1 else 0

    def _allot(self):
        slowest = self.rungs[0]
        if self.sleep_times % 8 == 0:
            self.sleep_ms = self.settings.sleep_millisecs
        slowest.allot(self.sleep_ms, self.page_ns)
        if not slowest.quota:
            self.sleep_ms = -(-(self.page_ns * (10000 - slowest.ratio) // slowest.ratio) // 1000000) + 1
        for rung in self.rungs:
            rung.allot(self.sleep_ms, self.page_ns)

    # ---- what the host reports ----

    def on_new(self, pages):
        pass

    def written(self, pages):
        pass

    def on_free(self, pages):
        for page in pages.tolist():
            self.trees.free(page)

    def moved(self, old, new):
        for before, after in zip(old.tolist(), new.tolist(), strict=True):
            kept = self.trees.kept_of_page.pop(before, None)
            if kept:
                self.trees.kept_of_page[after] = kept
                for item in {kept, *kept.items}:
                    item.page = after

    # ---- one wake-up ----

    def wake(self):
        self.sleep_times += 1
        trees = self.trees
        trees.counts_first = "first-not-counted" not in self.quirks
        vmas = [tuple(column.tolist()) for column in self.host.private_vmas()]
        vmas = list(zip(*vmas, strict=True))
        keys = {(born, first, n) for born, _, first, n, _, _ in vmas}
        gone = [slot for key, slot in self.slots.items() if key not in keys]
        for slot in gone:
            slot.rung.leave(slot, self.page_ns)
        self.visits = self.no_page = self.merged = self.passes = 0
        before = trees.hashed, trees.full_sums, trees.compares
        fastest = 0
        for rung in self.rungs:
            if rung.slots and rung.quota > 0:
                fastest = max(fastest, rung.ratio)
            self.run = set()
            while rung.slots and rung.quota > 0:
                self._visit(rung)
        self.scanned += self.visits - self.no_page
        batch_ns = self._batch_ns(*before)
        for slot in gone:
            self._bury(slot)
        self._enter(vmas)
        self._end_round()
        self._average(batch_ns)
        self._allot()
        wanted = (batch_ns >> 20) * (10000 - fastest) // fastest if fastest else 0
        self.pause = min(1000, max(self.sleep_ms, wanted)) if fastest else self.sleep_ms

    def _batch_ns(self, hashed, full_sums, compares):
        trees = self.trees
        hashed, full_sums = trees.hashed - hashed, trees.full_sums - full_sums
        words = hashed * trees.strength + full_sums * (len(trees.words) - trees.strength)
        compares = trees.compares - compares
        return cpu.batch_ns(cpu.Done(self.visits, self.no_page, self.merged, words, compares, self.passes))

    def _visit(self, rung):
        slot = rung.places[rung.at]
        rung.quota -= 1
        entry = slot.cursor
        other = entry + int(self.random.random() * (slot.n - entry))
        for values in (slot.order, slot.item_at):
            values[entry], values[other] = values[other], values[entry]
        place = slot.first + slot.order[entry]
        pages, own = self.host.pages_at(np.array([slot.mm]), np.array([place]))
        page = None if int(pages[0]) == MISSING else int(pages[0])
        out, partner = self.trees.visit(slot, entry, page, bool(own[0]))
        self._carry_out(slot, rung, entry, place, page, out, partner)
        self.met_twice |= out > ZERO_PTE and place in self.run
        self.run.add(place)
        self.visits += 1
        self.no_page += out in (ABSENT, ZERO_PTE)
        self.merged += out == MERGED
        slot.cursor += 1
        slot.sampled += 1
        if "stall" not in self.quirks or slot.scanned_in != self.full_scans:
            self.virtual += 1
        if "pool-loss" in self.quirks:
            slot.forget_pools(entry, self.pool_entries)
        is_full = slot.cursor == slot.n
        if is_full:
            slot.scanned_in = self.full_scans
        if is_full or rung.offset + rung.step > slot.n - 1:
            self.passes += 1
            self.run = set()
            self._judge(slot, rung, is_full)
        else:
            rung.offset += rung.step

    def _carry_out(self, slot, rung, entry, place, page, out, partner):
        host = self.host
        if out in (ZEROED, KEPT, PAIR):
            slot.merged += 1
        if out == ZEROED:
            host.merge_zero_ptes(np.array([slot.mm]), np.array([place]), np.array([page], np.uint32))
        elif out == KEPT:
            item = slot.item_at[entry]
            self.joins.append((item.kept, slot, rung.step))
            self._point(item)
        elif out == PAIR:
            self._point(partner)

    def _point(self, item):
        page, item.page = item.page, item.kept.page
        if page != item.page:
            where = np.array([item.slot.mm]), np.array([item.slot.first + item.index])
            self.host.merge_ptes(*where, np.array([page], np.uint32), np.array([item.page], np.uint32))

    # ---- judging ----

    def _gain(self, slot, merged, of):
        threshold = self.settings.thrash_threshold
        if merged and threshold and 100 * slot.copied // merged > threshold:
            return 0
        gain = max(0, merged - slot.copied)
        return gain if "judge-by-count" in self.quirks else 100 * gain // max(1, of)

    def _is_rich(self, gain):
        return gain and gain >= self.settings.abundant_threshold

    def _judge(self, slot, rung, is_full):
        gain = self._gain(slot, slot.merged, slot.sampled)
        if is_full:
            slot.cursor = 0
        slot.sampled = slot.merged = slot.copied = 0
        number = min(3, rung.number + 1) if self._is_rich(gain) else max(0, rung.number - 1)
        if is_full and self.settings.thrash_threshold:
            number = 0
        if number == rung.number:
            rung.advance(self.page_ns)
        else:
            self._move(slot, number)

    def _move(self, slot, number):
        slot.rung.leave(slot, self.page_ns)
        self.rungs[number].enter([slot], self.page_ns)

    def _end_round(self):
        busy = [rung for rung in self.rungs if rung.slots]
        if not busy or not all(rung.finished for rung in busy):
            return
        be_merged = self._be_merged()
        for slot in list(self.slots.values()):
            merged = be_merged.get(slot, 0)
            if not merged:
                continue
            gain = self._gain(slot, merged, slot.n)
            slot.copied = 0
            if slot.cursor and self._is_rich(gain) and slot.rung.number < 3:
                self._move(slot, slot.rung.number + 1)
        for rung in self.rungs:
            rung.finished = False
        self.eval_round += 1
        self.host.drain()
        if self.virtual < 0 or self.virtual > sum(rung.pages for rung in self.rungs) // 4:
            self._full_scan()

    def _be_merged(self):
        """A join counts for each slot on the node but the joining one, and the one behind it (a slip of the kernel)."""
        counts = {}
        for kept, joining, step in self.joins:
            on_node = sorted({item.slot for item in kept.items}, key=lambda slot: slot.number)
            before = None
            for slot in on_node:
                if slot is not joining and before is not joining:
                    counts[slot] = counts.get(slot, 0) + step
                before = slot
        self.joins = []
        return counts

    def _full_scan(self):
        trees = self.trees
        self.full_scans += 1
        self.virtual = 0
        scanned = trees.hashed - self.hashed_before
        strength = self.strength.step(trees.positive, trees.negative, scanned, self.full_scans)
        if strength != trees.strength:
            trees.change_strength(strength)
        trees.positive = trees.negative = 0
        self.hashed_before = trees.hashed

    # ---- slots, and what a visit costs ----

    def _bury(self, slot):
        for item in slot.item_at:
            if item:
                self.trees.forget(item)
        del self.slots[slot.key]
        self.numbers.append(slot.number)
        self.virtual -= slot.n if slot.scanned_in == self.full_scans else slot.cursor
        if "wrap" not in self.quirks:
            self.virtual = max(0, self.virtual)

    def _enter(self, vmas):
        new = []
        for born, mm, first, n, is_touched, copied in vmas:
            key = born, first, n
            slot = self.slots.get(key)
            if slot:
                slot.copied += copied - slot.copied_before
            elif is_touched:
                slot = self.slots[key] = Slot(self.numbers.pop(), key, mm)
                new.append(slot)
            if slot:
                slot.copied_before = copied
        self.rungs[0].enter(new, self.page_ns)

    def _average(self, batch_ns):
        if self.visits:
            mean = batch_ns // self.visits
            far = mean > 10 * self.page_ns
            self.page_ns = 2 * self.page_ns if far else max(1, (20 * mean + 80 * self.page_ns) // 100)
        if self.page_ns > 100000 or self.eval_round % 256 == 0:
            self.page_ns = 500

    def counters(self):
        """Return the counters, and all that they hang on, by name."""
        sharing = [kept for kept in self._kept() if kept.items]
        return {
            "pages_shared": len(sharing),
            "pages_sharing": sum(len(kept.items) - 1 for kept in sharing),
            "pages_unshared": sum(item.waits for item in self.trees.items),
            "full_scans": self.full_scans,
            "pages_scanned": self.scanned,
            "hash_strength": self.trees.strength,
            "sleep_times": self.sleep_times,
            "ema_per_page_time": self.page_ns,
            "eval_round": self.eval_round,
            "vma_slots": len(self.slots),
        }

    def _kept(self):
        return {*self.trees.kept_of_page.values(), *(item.kept for item in self.trees.items if item.kept)}
