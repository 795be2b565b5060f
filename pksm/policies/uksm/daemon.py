"""uksm: visits the pages of all private anonymous vmas, in random order, on a ladder of four speeds.

A batch works off the quotas of the rungs, the slowest first. A slot whose pass is over is judged by what merged, and
moves up, down or, once it was scanned fully, to the bottom. When all rungs have finished their round, slots that others
have merged with are judged, and now and then the strength of the hash is chosen anew.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from pksm.arrays import Pages, U32Array
from pksm.engine import native
from pksm.engine.cost import Cost
from pksm.engine.exclusive import exclusive
from pksm.engine.state import State, sound_state
from pksm.policies.daemon import Daemon
from pksm.policies.uksm import areas, cpu, governors, onward, proof, saved
from pksm.policies.uksm.course import Course
from pksm.policies.uksm.judging import Judge
from pksm.policies.uksm.ladder import Rung, Stretch
from pksm.policies.uksm.slots import Slot
from pksm.policies.uksm.spec import (
    ITEM_BYTES,
    NODE_BYTES,
    PRESETS,
    SLOT_BYTES,
    SPEC,
    TREE_NODE_BYTES,
    UksmSettings,
)
from pksm.policies.uksm.tables import Tables
from pksm.policies.uksm.visiting import MERGED, ZERO_PTE, Visitor
from pksm.policies.variants import set_within
from pksm.protocols import VmaHost, Vmas

CYCLES_TO_REST = 3
RECOVERY_BATCHES = 8  # after which the sleep is the user's again


class Uksm(Daemon):
    """Merges the private anonymous memory of a VmaHost, opted in or not.

    Args:
        host: a VmaHost.
        tunables: its settings; those of the default preset if there are none.
        seed: of the words that its hash looks at, and of the order of visits.
        words: the order in which the hash takes words, in place of one that is drawn.
        course: where draws and the CPU time come from, in place of the seed.

    Attributes:
        quarters: times that a quarter of all pages was visited, from 1 on: the counter full_scans.
    """

    spec = SPEC
    out_for_good = True
    quarters = 1

    def __init__(
        self,
        host: VmaHost,
        tunables: UksmSettings | None = None,
        *,
        seed: int = 0,
        words: U32Array | None = None,
        course: Course | None = None,
    ) -> None:
        self.share_use(host)
        self._host = host
        self._tunables = tunables or PRESETS[SPEC.default]
        self._course = course or Course(seed)
        if words is None:
            words = self._course.words(host.store.page_size // 4)
        self._tables = Tables(host.store, words)
        self.items, self.slots = self._tables.items, self._tables.slots
        self.cost = Cost()
        self.rungs = [Rung(number, self._course) for number in range(governors.RUNGS)]
        self._judge = Judge(self.slots, self.rungs, self._tunables, self._course)
        self._visitor = Visitor(host, self._tables, self._judge, self._course)
        self.page_ns, self.eval_round, self.sleep_times, self._scanned = governors.FIRST_PAGE_NS, 1, 0, 0
        self._sleep_ms = self._tunables.sleep_millisecs
        self._pause_ms = self._sleep_ms
        self._virtual = 0  # pages visited, each with its stride, that count for the next full scan
        self._hashed_before = 0
        self._pte_changes = -1
        self._pending = True
        self._retuned(self._tunables)
        set_within(host, self._tunables)
        host.attach(self)

    def _retuned(self, before: UksmSettings) -> None:
        tunables = self._tunables
        self._quirks = tunables.quirks
        self._host.set_quirks(self._quirks)
        self._judge.tunables = tunables
        self._visitor.inherited = "inherited-no-partner" not in self._quirks
        self._tables.set_switches({
            "counts_first": int("first-not-counted" not in self._quirks),
            "zero_only": tunables.zero_only,
        })  # fmt: skip
        ratios = governors.ratios_of(tunables.cpu_ratios, tunables.max_cpu_percentage)
        shares = tunables.cpu_ratios.split()
        for rung, ratio, cover in zip(self.rungs, ratios, governors.intervals_of(tunables.eval_intervals), strict=True):
            is_raw = "reset-stride" in self._quirks and shares[rung.number].startswith("MAX/")
            rung.raw_ratio = 0 if is_raw else ratio
            rung.ratio, rung.cover_ms, rung.at_second = ratio, cover, "offset-one" in self._quirks
        self._sleep_ms = tunables.sleep_millisecs
        self._set_quotas()

    def _set_quotas(self) -> None:
        """Give the rungs what they may visit in the next batch, and their strides."""
        slowest = self.rungs[0]
        if self.sleep_times % RECOVERY_BATCHES == 0:
            self._sleep_ms = self._tunables.sleep_millisecs
        if not governors.quota(self._sleep_ms, slowest.ratio, self.page_ns):
            needed = self.page_ns * (governors.MOST_RATIO - slowest.ratio) // slowest.ratio
            self._sleep_ms = -(-needed // 1_000_000) + 1
        for rung in self.rungs:
            rung.quota = governors.quota(self._sleep_ms, rung.ratio, self.page_ns)
            rung.step = governors.stride(rung.pages, rung.cover_ms, rung.ratio, self.page_ns)

    # ---- counters ----

    def counters(self) -> dict[str, int]:
        """Return the counters as {name: int}; meanings in uksm.spec.COUNTERS."""
        work = self._tables.work
        return {
            "pages_shared": int(work["shared"][0]),
            "pages_sharing": int(work["sharing"][0]),
            "pages_unshared": int(work["unshared"][0]),
            "uksm_zero_pages": self._host.pages_zero_sharing,
            "full_scans": self.quarters,
            "pages_scanned": self._scanned,
            "hash_strength": self._tables.strength.words,
            "sleep_times": self.sleep_times,
            "ema_per_page_time": self.page_ns,
            "eval_round": self.eval_round,
            "vma_slots": len(self.slots.by_key),
        }

    @property
    def full_scans(self) -> int:
        """How many times every slot was visited whole since anything merged.

        The kernel's counter of this name counts quarters, and may stall for ever.
        """
        return min((slot.cycles for slot in self.slots.by_key.values()), default=0)

    @property
    def at_rest(self) -> bool:
        """True when nothing has merged while every slot was visited whole a few times."""
        slots = self.slots.by_key.values()
        return not self._pending and all(slot.cycles >= CYCLES_TO_REST for slot in slots)

    @property
    def metadata_bytes(self) -> int:
        """Bytes that a kernel's rmap_items, nodes, slots and permutations take."""
        nodes = len(self._tables.trees[0]) + len(self._tables.trees[2])
        slots = len(self.slots.by_key) * SLOT_BYTES + 8 * sum(slot.n for slot in self.slots.by_key.values())
        stable = NODE_BYTES * int(self._tables.work["shared"][0])
        return ITEM_BYTES * int(np.count_nonzero(self.slots.item_at)) + TREE_NODE_BYTES * nodes + stable + slots

    @property
    def engine_bytes(self) -> int:
        """Bytes of everything kept here about pages."""
        heads = sum(tree.heads.nbytes for tree in self._tables.trees)
        return self.items.nbytes + self.slots.permutation.nbytes * 2 + self._tables.kept_of_page.nbytes + heads

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
        native.uksm_bury(self.items.table, self._tables.view(), pages, self._tables.work)
        self._tables.give_back()
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
        self._tables.grow_pages()
        kept = self._tables.kept_of_page[old]
        self._tables.kept_of_page[old] = 0
        self._tables.kept_of_page[new] = kept
        there = kept != 0
        self.items.page[kept[there]] = new[there]
        hanging = np.flatnonzero(np.isin(self.items.link, kept[there]))
        self.items.page[hanging] = self.items.page[self.items.link[hanging]]

    def _disturb(self) -> None:
        self._pending = True
        for slot in self.slots.by_key.values():
            slot.cycles = 0

    # ---- one wake-up ----

    @exclusive
    def wake(self) -> int:
        """Work once, as uksmd does between two sleeps, and return the number of visits."""
        if self._tunables.run != 1:
            return 0
        return self._awakened(self._work)

    def wake_on(self, most: int) -> tuple[int, int]:
        """Wake up to `most` times, as often as one call can do it, while nothing else happens to the memory.

        Returns:
            How often it has been awake, once at least, and its visits. What it has done is what as many calls of wake do.
        """
        rung = onward.rung_of(self)
        if rung is None:
            return 1, self.wake()
        return self._wake_on(rung, most)

    @exclusive
    def _wake_on(self, rung: Rung, most: int) -> tuple[int, int]:
        made: list[int] = []

        def work() -> int:
            wakes, visits = onward.wakes(self, rung, most)
            made.append(wakes or 1)
            return visits if wakes else self._work()

        visits = self._awakened(work)
        return made[0], visits

    def _work(self) -> int:
        self.sleep_times += 1
        before = self._tables.work.copy()
        vmas = self._host.private_vmas()
        gone = areas.leave(self.slots, self.rungs, vmas, self.page_ns)
        if self._host.pte_changes != self._pte_changes:
            self._visitor.refresh_unstable()
        self._done = cpu.Done(0, 0, 0, 0, 0, 0)
        fastest = 0
        for rung in self.rungs:
            if rung.n and rung.quota > 0:
                fastest = max(fastest, rung.ratio)
            while stretch := rung.stretch():
                self._visit(stretch, rung.number)
        batch_ns = self._course.batch_ns(self._worked(before))
        self._bury_slots(gone)
        self._enter_slots(vmas)
        self._end_round()
        self._average(batch_ns, self._done.visits)
        self._set_quotas()
        self._pause_ms = governors.pause(self._sleep_ms, batch_ns, fastest) if fastest else self._sleep_ms
        self._pte_changes = self._host.pte_changes
        return self._done.visits

    def _worked(self, before: Any) -> cpu.Done:
        """Return what the batch has done, and count it. before: what C had counted when it began."""
        hashed, full_sums, compares = (
            int(self._tables.work[name][0]) - int(before[name][0]) for name in ("hashed", "full_sums", "compares")
        )
        strength = self._tables.strength
        words = hashed * strength.words + full_sums * (strength.most - strength.words)
        self._scanned += self._done.visits - self._done.no_page
        self.cost.add(pages_visited=self._done.visits, bytes_hashed=4 * hashed * strength.words)
        return self._done._replace(words=words, compares=compares)

    def _average(self, batch_ns: int, visited: int) -> None:
        self.page_ns = governors.mean(self.page_ns, batch_ns, visited)
        if self.page_ns > governors.MOST_PAGE_NS or self.eval_round % governors.ROUNDS_OF_MEAN == 0:
            self.page_ns = governors.FIRST_PAGE_NS

    def _bury_slots(self, gone: list[Slot]) -> None:
        """Forget slots that have left their rungs, and their items."""
        for slot in gone:
            self._tables.drop(self.slots.remove(slot), for_good=True)
            self._virtual -= slot.n if slot.scanned_in == self.quarters else slot.cursor
            if "wrap" not in self._quirks:
                self._virtual = max(0, self._virtual)

    def _enter_slots(self, vmas: Vmas) -> None:
        self._pending = False
        areas.enter(self.slots, self.rungs[0], vmas, self.page_ns)

    def _visit(self, stretch: Stretch, number: int) -> None:
        """Visit pages of one slot, and judge it if its pass ends."""
        slot = stretch.slot
        outs, pages, merged, error = self._visitor.visit(slot, stretch.visits, self.rungs[number].step)
        n = len(outs)
        if merged:
            self._disturb()
        self._advance(slot, n, merged)
        if error:
            raise error
        self._course.visited(slot, pages, outs)
        if stretch.ends:
            self._judge.end_pass(slot, number, self.page_ns)
        done = self._done
        self._done = done._replace(
            visits=done.visits + n,
            no_page=done.no_page + int(np.count_nonzero(outs <= ZERO_PTE)),
            merged=done.merged + int(np.count_nonzero(outs == MERGED)),
            passes=done.passes + stretch.ends,
        )

    def _advance(self, slot: Slot, n: int, merged: int) -> None:
        """n more pages of a slot were visited, of which so many merged."""
        before = slot.cursor
        slot.cursor += n
        slot.sampled += n
        slot.merged += merged
        if "stall" not in self._quirks or slot.scanned_in != self.quarters:
            self._virtual += n
        if slot.cursor >= slot.n:
            slot.scanned_in = self.quarters
        if "pool-loss" in self._quirks:
            self.slots.forget_pools(slot, before)

    def _end_round(self) -> None:
        """End an evaluation round if all rungs that have slots have finished theirs."""
        busy = [rung for rung in self.rungs if rung.n]
        if not busy or not all(rung.finished for rung in busy):
            return
        self._judge.end_round(self.page_ns, self._tables)
        self.eval_round += 1
        self._host.drain()
        total = sum(rung.pages for rung in self.rungs)
        if self._virtual < 0 or self._virtual > total // 4:
            self._full_scan()

    def _full_scan(self) -> None:
        """A quarter of all pages was visited: choose the strength anew."""
        self.quarters += 1
        self._virtual = 0
        work = self._tables.work
        scanned = int(work["hashed"][0]) - self._hashed_before
        before = self._tables.strength.words
        now = self._tables.strength.adjust(int(work["positive"][0]), int(work["negative"][0]), scanned, self.quarters)
        if now != before:
            self._tables.hash_anew()
        work["positive"] = work["negative"] = 0
        self._hashed_before = int(work["hashed"][0])

    @exclusive
    def state(self) -> State:
        """Return all that it knows, but for its host's memory: dicts of arrays, numbers and words."""
        self._require_asleep()
        return saved.state_of(self)

    @classmethod
    def resume(cls, host: VmaHost, state: State) -> Self:
        """Return one that goes on, call for call, as the one that returned this state would have.

        Args:
            host: in the state that it was in then, and attached to nobody else.
            state: as state() returned it, in this or another process.

        Raises:
            UsageError: the state is not sound, or that of another policy or host.
        """
        with sound_state("Uksm"):
            resumed: Self = saved.resumed(cls, host, state)
        return resumed

    @exclusive
    def check(self) -> None:
        """Raise AssertionError unless items, trees, stable nodes, slots and counts agree."""
        proof.check(self._tables, self.rungs)
