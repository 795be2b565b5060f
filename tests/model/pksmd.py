"""The whole of pksmd over a flat host, one page at a time.

FlatHost owns the pages and merges what it is told to, or refuses. Pksmd keeps four lists and the two trees of Core. A
visit settles one item and carries its verdict out at once; so a host that refuses needs nothing but a step back.

One thing only is done once a wake-up: items that shall be visited again join the rescan list when the batch is done,
those that a search found outdated ahead of those that the batch sends back.
"""

from collections import Counter

from .settle import Choice, Class, Core, Item, Rules, Stage, Verdict
from .tree import Order

ZERO_FRAME = "the zero page"
STAGES = (Stage.ZERO, Stage.STABLE, Stage.UNSTABLE)
ORDERS = {"content": Order.CONTENT, "checksum": Order.CHECKSUM, "checksum-content": Order.CHECKSUM_CONTENT}


class FlatHost:
    """Pages that are mapped once each.

    pages: page -> bytes; refuses: (kind, page) -> bool, kind "merge" or "zero", asked at every attempt.
    """

    def __init__(self, pages, refuses=lambda kind, page: False):
        self.pages = pages
        self.refuses = refuses
        self.frame_of = {}  # live page -> the page it had its frame from, or ZERO_FRAME
        self.anon_vma = {}  # every page that was ever live -> int
        self.references = Counter()  # anon_vma -> int
        self.classes = {}  # page -> Class, free where missing
        self.policy = None

    def mapcount(self, frame):
        return sum(mapped == frame for mapped in self.frame_of.values())

    def frames(self):
        return set(self.frame_of.values()) - {ZERO_FRAME}

    @property
    def pages_zero_sharing(self):
        return self.mapcount(ZERO_FRAME)

    @property
    def pages_sharing(self):
        return len(self.frame_of) - self.pages_zero_sharing - len(self.frames())

    @property
    def frames_saved(self):
        return len(self.frame_of) - len(self.frames())

    def may_be_born(self, page):
        """Not alive, and nobody uses the frame it once had."""
        return page not in self.frame_of and not self.mapcount(page)

    def add(self, pages, anon_vma=0):
        for page in pages:
            assert self.may_be_born(page)
            self.frame_of[page] = page
            self.anon_vma[page] = anon_vma
        self.policy.on_new(pages)

    def free(self, pages):
        self._lose([self.frame_of.pop(page) for page in pages])

    def split(self, pages):
        """Merged pages get a frame of their own and are born anew."""
        self.free(pages)
        for page in pages:
            assert self.may_be_born(page)
            self.frame_of[page] = page
        self.policy.on_new(pages)

    def unmerge_all(self):
        self.split([page for page, frame in sorted(self.frame_of.items(), key=lambda pair: pair[0]) if frame != page])

    def merge(self, page, kpage):
        """Return False when it is refused."""
        assert self.frame_of[page] == page and self.mapcount(page) == 1 and self.mapcount(kpage)
        assert self.pages[page] == self.pages[kpage]
        if self.refuses("merge", page):
            return False
        self.frame_of[page] = kpage
        self._lose([page])
        return True

    def merge_zero(self, page):
        assert self.frame_of[page] == page and not any(self.pages[page])
        if self.refuses("zero", page):
            return False
        self.frame_of[page] = ZERO_FRAME
        self._lose([page])
        return True

    def _lose(self, frames):
        """One mapping of each frame is gone."""
        dead = {frame for frame in frames if frame != ZERO_FRAME and not self.mapcount(frame)}
        if dead:
            self.policy.on_free(sorted(dead))


class Pksmd(Core):
    """settings: has the fields of pksm's tunables, by name; checksum: page bytes -> int."""

    def __init__(self, host, settings, checksum, forest=0):
        super().__init__(host.pages, ORDERS[settings.order], 0 if settings.order == "content" else forest)
        self.host, self._settings, self.checksum = host, settings, checksum
        self.new, self.rescan, self.update, self.deleted = [], [], [], []  # ids, oldest first
        self.item_of = {}  # live tracked page -> id
        self.sharers = {}  # id -> anon_vmas, newest first
        self.awake = False
        self.carry = 0
        self.visits = {}  # id -> times it was met on the new list
        self.verdicts = []  # (page, verdict, page of the other item or None) of the last wake-up
        self._last_id = 0
        host.policy = self

    @property
    def settings(self):
        return self._settings

    @settings.setter
    def settings(self, settings):
        before, self._settings = self._settings, settings
        if settings.run == 2 != before.run and not self.has("no-unmerge"):
            self.unmerge()
        if "on-search" in (before.update, settings.update):
            self.update = [] if self.checks_on_search else [id for id in self.unstable if not self.items[id].deleted]

    @property
    def checks_on_search(self):
        return self.settings.update == "on-search"

    def unmerge(self):
        """Everything has a frame of its own again, and is new again."""
        self.host.unmerge_all()
        self.drain_deleted()
        ids = [id for _, id in sorted(self.item_of.items()) if id not in self.new]
        self.unlink(ids)
        self.update, self.rescan = [], []
        for id in ids:
            for anon_vma in self.sharers.pop(id, ()):
                self.host.references[anon_vma] -= 1
            self.items[id].init_checksum = True
        self.new += ids

    def has(self, quirk):
        return quirk in self.settings.quirks

    def counters(self):
        host = self.host
        return {
            "pages_shared": len(self.stable),
            "pages_sharing": host.pages_sharing + host.pages_zero_sharing,
            "pages_zero_sharing": host.pages_zero_sharing,
            "pages_unshared": len(self.unstable),
            "full_scans": 0,
            "stable_nodes": sum(map(len, self.sharers.values())),
            "rmap_items": len(self.items),
            "new_len": len(self.new),
            "rescan_len": len(self.rescan),
            "del_len": len(self.deleted),
        }

    # ---- what the host tells ----

    def on_new(self, pages):
        for page in pages:
            self._last_id += 1
            self.items[self._last_id] = Item(page)
            self.item_of[page] = self._last_id
            self.new.append(self._last_id)

    def on_free(self, pages):
        """While it is awake, and for a del-list, the items stay in their trees until the list is drained."""
        gone = []
        for page in pages:
            id = self.item_of.pop(page, None)
            waiting = next((ids for ids in (self.new, self.rescan) if id in ids), None)
            if waiting is not None:
                waiting.remove(id)
                self.visits.pop(id, None)
                del self.items[id]
            elif id is not None:
                if id in self.update:
                    self.update.remove(id)
                self.items[id].deleted = True
                gone.append(id)
        if self.settings.reclaim == "immediate" and not self.awake:
            self.reclaim(gone)
        else:
            self.deleted += gone

    def written(self, pages):
        for page in dict.fromkeys(pages):
            id = self.item_of.get(page)
            if id in self.unstable:
                self._leave_the_tree(id)
                self.items[id].init_checksum = True
                self.again.append(id)

    def _leave_the_tree(self, id):
        self.unlink([id])
        self._leave_update(id)

    def _leave_update(self, id):
        if not self.checks_on_search:
            self.update.remove(id)

    @property
    def again(self):
        """The list of those to be visited again."""
        return self.new if self.settings.retry == "new" else self.rescan

    # ---- one wake-up ----

    def wake(self):
        """Return the number of items visited."""
        self.verdicts, self._outdated, self._sent_back = [], [], []
        if self.settings.run != 1:
            return 0
        self.awake = True
        self.pages_to_scan = self.scan_quota()
        batch = self.take_batch()
        if self.checks_on_search:
            self.check_on_search(batch)
        for id in batch:
            self.visit(id)
        self.again.extend(self._outdated)
        self.again.extend(id for id in self._sent_back if not self.items[id].deleted)
        self.awake = False
        self.drain_deleted()
        self.refresh_checksums()
        return len(batch)

    def check_on_search(self, batch):
        """Sum what the batch would meet in the unstable tree as it stands; the changed are visited again."""
        met = set()
        for id in batch:
            item = self.items[id]
            if item.init_checksum:
                item.checksum, item.init_checksum = self.checksum(self.bytes_of(id)), False
            at = self.unstable.root_for(id)
            while at:
                met.add(at)
                node = self.items[at]
                at = 0 if node.checksum == item.checksum else self.unstable.child[at][item.checksum > node.checksum]
        for id in sorted(met, key=lambda id: self.items[id].page):
            item = self.items[id]
            if item.deleted or self.host.classes.get(item.page) == Class.BUSY_PAGE:
                continue
            if self.checksum(self.bytes_of(id)) != item.checksum:
                self.unlink([id])
                item.init_checksum = True
                self.again.append(id)

    def _quota(self, n):
        return n + 2 if self.has("batch-plus-two") else n

    def scan_quota(self):
        settings = self.settings
        if self.has("ageing-defeated"):
            return settings.n * settings.sleep_millisecs * len(self.new) // settings.delay_time
        return settings.pages_to_scan

    def take_batch(self):
        n = self._quota(self.pages_to_scan)
        if self.settings.n == 1:
            new = self.new[:n]
            del self.new[:n]
        elif self.has("ageing-defeated"):
            new = self.walk_the_new_list()
        else:
            met, new = self.new[:n], []
            del self.new[:n]
            for id in met:
                (new if self.has_its_turn(id) else self.new).append(id)
        again = self.rescan[:n]
        del self.rescan[:n]
        return (new[::-1] if self.has("lifo-batch") else new) + again

    def has_its_turn(self, id):
        """Count a visit; its last one ends the count."""
        visits = self.visits.pop(id, 0) + 1
        if visits < self.settings.n:
            self.visits[id] = visits
        return visits >= self.settings.n

    def walk_the_new_list(self):
        """As the kernel's safe list walk: what comes next is looked up before the item is moved to the tail."""
        new, at = [], 0
        while at < len(self.new):
            was_last = at == len(self.new) - 1
            id = self.new.pop(at)
            (new if self.has_its_turn(id) else self.new).append(id)
            if was_last:
                break
        return new

    def rules(self):
        lenient = Choice.SUCCESS if self.has("collision-is-success") else Choice.RETRY
        return Rules(
            stages=STAGES,
            order=self.order,
            checksum=self.checksum,
            zero_checksum=self.checksum(bytes(len(next(iter(self.pages.values()))))),
            zero_on_differ=Choice.SUCCESS if self.has("sparse-zero-lost") else Choice.RETRY,
            on_differ=lenient,
            on_stale=Choice.SKIP,
            on_unusable=Choice.STOP if self.has("stale-node-aborts") else Choice.SKIP,
            busy_waits=True,
            unfit_aside=not self.has("drop-is-final"),
            # content order has no checksum to go by
            distrust=lenient == Choice.RETRY and self.order != Order.CONTENT,
        )

    def visit(self, id):
        """Settle one item and carry out what comes of it."""
        item = self.items[id]
        ((verdict, other),), outdated = self.settle(self.rules(), [id], self.host.classes)
        self.verdicts.append((item.page, verdict.name, self.items[other].page if other else None))
        for met in outdated:
            self._leave_update(met)
            self._outdated.append(met)
        if self.has("partial-merge-leak") and self.breaks(id):
            if not any(self.host.pages[item.page]) and item.checksum == self.rules().zero_checksum:
                self.host.merge_zero(item.page)  # the trees knew of it
        if verdict == Verdict.WAITING:
            if not self.checks_on_search and not item.deleted:
                self.update.append(id)
        elif verdict == Verdict.ZERO:
            if not self.host.merge_zero(item.page):
                item.zero_refused = True
                self.visit(id)
                item.zero_refused = False
        elif verdict == Verdict.JOINED:
            self.join(id, other)
        elif verdict == Verdict.PAIRED:
            self.pair(id, other)
        elif verdict == Verdict.LIMBO and other:
            if id in self.stable:  # the twin is nowhere now, and never looked at again
                self._leave_update(other)
                self.share(id, [self.host.anon_vma[item.page], self.host.anon_vma[self.items[other].page]])
            else:
                self.share(other, [self.host.anon_vma[item.page]])
        elif verdict == Verdict.DROP:
            self.drop(id, other)
        elif verdict in (Verdict.BUSY, Verdict.DIFFERENT):
            self.send_back(id)

    def class_of(self, id):
        return self.host.classes.get(self.items[id].page, Class.FREE)

    def breaks(self, id):
        """The reverse walk moves ptes of the page, and fails."""
        return self.class_of(id) in (Class.WALK_BREAKS, Class.WALK_LOSES)

    def drop(self, id, other):
        item = self.items[id]
        if item.deleted:
            return
        if self.class_of(id) == Class.NOT_ANON:
            if not self.has("skipped-vanish"):
                self.send_back(id)
            return
        if other and (self.has("half-made-kpage") or self.has("partial-merge-leak")):
            self.fail_to_merge(id, other)
        if item.deleted:
            return
        if self.has("drop-is-final"):
            del self.item_of[item.page], self.items[id]
        else:
            self.send_back(id)

    def fail_to_merge(self, id, other):
        """A flat host knows of no ptes that could be left: what moves has moved."""
        page, others = self.items[id].page, self.items[other].page
        if self.host.pages[page] != self.host.pages[others]:
            return
        if other in self.stable:
            if self.breaks(id):
                self.host.merge(page, others)
        elif self.class_of(id) == Class.FREE and self.breaks(other):
            self.host.merge(others, page)

    def join(self, id, kept):
        page = self.items[id].page
        if self.host.merge(page, self.items[kept].page):
            self.share(kept, [self.host.anon_vma[page]])
        else:
            self.send_back(id)

    def pair(self, id, twin):
        """The item that came is kept; settle has moved it to the stable tree, and the twin out of the other."""
        page, twins = self.items[id].page, self.items[twin].page
        if self.host.merge(twins, page):
            self.share(id, [self.host.anon_vma[page], self.host.anon_vma[twins]])
        else:
            self.unlink([id])
            self.put_back(twin)
            self.send_back(id)

    def put_back(self, id):
        """Into the unstable tree, by the checksum it has; what is deleted on the way there goes."""
        rules = Rules((), self.order, checksum=None, zero_checksum=0, on_stale=Choice.SKIP)
        kind, place = self._find(self.unstable, id, rules)
        assert kind == "nothing"
        self.unstable.insert(id, *place)

    def share(self, id, anon_vmas):
        for anon_vma in anon_vmas:
            self.sharers.setdefault(id, []).insert(0, anon_vma)
            self.host.references[anon_vma] += 1

    def send_back(self, id):
        self.items[id].init_checksum = True
        self._sent_back.append(id)

    def drain_deleted(self):
        self.reclaim(self.deleted)
        self.deleted = []

    def reclaim(self, ids):
        self.unlink(ids)
        for id in ids:
            for anon_vma in self.sharers.pop(id, ()):
                self.host.references[anon_vma] -= 1
            del self.items[id]

    def refresh_checksums(self):
        self.refresh_visits = self.refresh_quota()
        looked_at, changed = self.update[: self.refresh_visits], []
        for id in looked_at:
            item = self.items[id]
            if self.host.classes.get(item.page) != Class.BUSY_PAGE:
                checksum = self.checksum(self.bytes_of(id))
                if checksum != item.checksum:
                    item.checksum = checksum
                    changed.append(id)
        for id in changed:
            self._leave_the_tree(id)
            self.items[id].init_checksum = not self.has("stale-hash-reentry")
            self.again.append(id)
        if self.settings.update == "rotate":
            self.rotate(looked_at, changed)

    def rotate(self, looked_at, changed):
        """As the kernel's safe list walk, which goes on with what it has put to the tail, if that is two or more."""
        unchanged = [id for id in looked_at if id not in changed]
        for id in unchanged:
            self.update.remove(id)
            self.update.append(id)
        if len(unchanged) > 1 and self.has("batch-plus-two"):
            for _ in range(self.refresh_visits - len(looked_at)):
                self.update.append(self.update.pop(0))

    def refresh_quota(self):
        unshared, settings = len(self.unstable), self.settings
        work, period_ms = unshared * settings.sleep_millisecs, settings.period_seconds * 1000
        if self.has("period-not-kept"):
            need = unshared if unshared < self.pages_to_scan else work // period_ms
            return self._quota(min(need, self.pages_to_scan)) if need else 0
        need, self.carry = divmod(work + self.carry, period_ms)
        return need

    def check(self):
        """Raise AssertionError unless every item is where an item can be."""
        self.unstable.check()
        self.stable.check()
        places = (self.new, self.rescan, self.update, self.deleted)
        assert all(len(set(place)) == len(place) for place in places)
        listed = {id for id in self.unstable if not self.items[id].deleted and not self.checks_on_search}
        assert set(self.update) == listed
        assert set(self.deleted) == {id for id, item in self.items.items() if item.deleted}
        waiting = set(self.new) | set(self.rescan)
        assert not any(id in self.unstable or id in self.stable for id in waiting)
        assert len(waiting) == len(self.new) + len(self.rescan)
        assert set(self.sharers) == set(self.stable)
        assert self.host.references == sum((Counter(records) for records in self.sharers.values()), Counter())
        assert set(self.item_of.values()) == set(self.items) - set(self.deleted)
        assert set(self.item_of) <= self.host.frames()
