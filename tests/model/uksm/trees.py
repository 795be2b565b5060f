"""UKSM's two trees as dicts, and its stable nodes: what a visit to one page comes to."""

import numpy as np

ABSENT, ZERO_PTE, ZEROED, MERGED, KEPT, SAME_KEPT, NEW, BESIDE = 1, 3, 4, 5, 6, 7, 8, 9
STALE, SAME, PAIR, CHANGED, COLLISION, BUSY = 11, 13, 14, 16, 17, 19
COMPARE_COST = 61  # of one memcmp, in words of a hash


class Item:
    """A virtual page that was seen with a page. waits: it is in the unstable tree, or was when the hash changed."""

    def __init__(self, slot, index):
        self.slot, self.index = slot, index
        self.page = self.kept = self.node = None
        self.full, self.waits = 0, False


class Kept:
    """A stable node: a page, and the items that hang on it. Without a page until somebody comes upon it (let_go)."""

    def __init__(self, page):
        self.page, self.items, self.node, self.full = page, set(), None, 0
        self.is_buried = False


class Node:
    """Items of one hash: at most one without a full hash, the first, and others by it."""

    def __init__(self, tree, total):
        self.tree, self.sum, self.first, self.by_full = tree, total, None, {}

    def put(self, item, full):
        item.node, item.full = self, full
        if full:
            self.by_full[full] = item
        else:
            self.first = item

    def take(self, item):
        item.node = None
        if self.first is item:
            self.first = None
        else:
            del self.by_full[item.full]
        if self.first is None and not self.by_full:
            del self.tree[self.sum]


class Trees:
    """What visits work on. words: of the hash, in order; the first ten come once more at its highest strength."""

    def __init__(self, host, words, counts_first, inherited):
        self.host, self.words = host, [*words, *words[:10]]
        self.counts_first, self.inherited = counts_first, inherited
        self.strength = min(64, len(words))
        self.plain = len(words)
        self.stable, self.unstable = {}, {}
        self.kept_of_page = {}
        self.items = set()
        self.positive = self.negative = self.hashed = self.full_sums = self.compares = 0

    # ---- hashes ----

    def bytes_of(self, page):
        return self.host.store.bytes_of(np.array([page], np.uint32)).tobytes()

    def hash(self, data, strength):
        total = 0xDEADBEEF
        for word in self.words[:strength]:
            total = (total + int.from_bytes(data[4 * word : 4 * word + 4], "little")) & 0xFFFFFFFF
            total = (total + (total << 8)) & 0xFFFFFFFF
            total ^= total >> 12
        return total

    def full(self, page):
        self.full_sums += 1
        self.negative += len(self.words) - self.strength
        return self._full(page)

    def _full(self, page):
        return self.hash(self.bytes_of(page), len(self.words)) or 1

    def same(self, page, other):
        self.compares += 1
        return self.bytes_of(page) == self.bytes_of(other)

    def is_busy(self, page):
        classes = self.host.classes
        return classes is not None and classes[page] & 15 == 1

    # ---- leaving ----

    def leave(self, item):
        """Take an item out of its tree, and off its stable node."""
        if item.node:
            item.node.take(item)
        item.waits = False
        if item.kept and item.kept.is_buried:
            self.let_go(item.kept)
        if item.kept:
            item.kept.items.remove(item)
            item.kept = None

    def forget(self, item):
        self.leave(item)
        self.items.remove(item)

    def free(self, page):
        kept = self.kept_of_page.pop(page, None)
        if kept and kept.items:
            kept.is_buried = True
        elif kept:
            kept.node.take(kept)

    def let_go(self, kept):
        """Nothing hangs on a stable node any more that somebody came upon without a page."""
        if kept.node:
            kept.node.take(kept)
        for item in kept.items:
            item.kept = None
        kept.items.clear()

    def change_strength(self, strength):
        """The unstable tree is emptied, and the stable one sorted by the new hash."""
        self.strength, self.unstable, kept_before = strength, {}, list(self.kept_of_page.values())
        for item in self.items:
            item.node = None
            if item.kept and item.kept.is_buried:
                self.let_go(item.kept)
        self.stable = {}
        for kept in kept_before:
            self._keep_by(kept, self.hash(self.bytes_of(kept.page), strength), self._full(kept.page))

    def _keep_by(self, kept, total, full):
        node = self.stable.get(total)
        if node:
            self.tell_apart(node, lambda page: self._full(page))
        else:
            node = self.stable[total] = Node(self.stable, total)
            full = 0
        node.put(kept, full)

    def tell_apart(self, node, full):
        """Give the first of a node its full hash."""
        if node.first:
            first, node.first = node.first, None
            node.put(first, full(first.page))

    # ---- one visit ----

    def visit(self, slot, entry, page, own):
        """Return what came out, and the item that was merged besides. page: None, or 0xFFFFFFFF for the zero page."""
        item = slot.item_at[entry]
        if page is None or page == 0xFFFFFFFF:
            if item:
                self.forget(item)
            slot.item_at[entry] = None
            return (ABSENT if page is None else ZERO_PTE), None
        data = self.bytes_of(page)
        total = self.hash(data, self.strength)
        zero = self.hash(bytes(len(data)), self.strength)
        self.hashed += 1
        self.positive += max(0, self.plain - self.strength)
        if item and item.page == page and item.kept and not item.kept.is_buried:
            self.negative += COMPARE_COST // 2 if item.kept.node.sum == zero else 0
            return MERGED, None
        if total == zero and page not in self.kept_of_page:
            if not any(data) and not self.is_busy(page):
                if item:
                    self.forget(item)
                slot.item_at[entry] = None
                return ZEROED, None
            self.negative += COMPARE_COST // 2
        if not item:
            item = slot.item_at[entry] = Item(slot, slot.order[entry])
            self.items.add(item)
        self.leave(item)
        item.index, item.page, item.own = slot.order[entry], page, own
        if page in self.kept_of_page:
            self._hang(item, self.kept_of_page[page])
            return SAME_KEPT, None
        out, full = self._in_stable(item, total)
        return (out, None) if out else self._in_unstable(item, total, full)

    def _hang(self, item, kept):
        item.kept = kept
        kept.items.add(item)

    def living(self, total):
        """Return the stable tree's node of a hash, its first let go of if that is buried."""
        node = self.stable.get(total)
        if node and node.first and node.first.is_buried:
            self.let_go(node.first)
        return self.stable.get(total)

    def living_by(self, node, full):
        kept = node.by_full.get(full)
        if kept and kept.is_buried:
            self.let_go(kept)
        return node.by_full.get(full)

    def _in_stable(self, item, total):
        node, full = self.living(total), 0
        if not node:
            return None, 0
        kept = node.first
        if not kept:
            full = self.full(item.page)
            kept = self.living_by(node, full)
        if not kept:
            return None, full
        if not self.same(item.page, kept.page):
            self.negative += COMPARE_COST
            return (COLLISION if full else None), full
        if self.is_busy(item.page):
            return None, full
        self._hang(item, kept)
        return KEPT, full

    def _wait(self, node, item, full):
        node.put(item, full)
        item.waits = True

    def _in_unstable(self, item, total, full):
        node = self.unstable.get(total)
        if not node:
            node = self.unstable[total] = Node(self.unstable, total)
            self._wait(node, item, 0)
            return NEW, None
        if self.counts_first and node.first:
            met = node.first
            if self.can_be_had(met) and met.page != item.page and self.same(item.page, met.page):
                return self._pair(item, met, total, full)
            self.negative += COMPARE_COST
            self.tell_apart(node, self.full)
        full = full or self.full(item.page)
        met = node.by_full.get(full)
        if not met:
            self._wait(node, item, full)
            return BESIDE, None
        if not self.can_be_had(met):
            self.leave(met)
            return STALE, None
        if met.page == item.page:
            return SAME, None
        if not self.same(item.page, met.page):
            self.leave(met)
            return CHANGED, None
        return self._pair(item, met, total, full)

    def can_be_had(self, item):
        """Whether an item that waits maps its page still, and that was born in its vma."""
        pages, own = self.host.pages_at(np.array([item.slot.mm]), np.array([item.slot.first + item.index]))
        return int(pages[0]) == item.page and (bool(own[0]) or self.inherited) and item.page not in self.kept_of_page

    def _pair(self, item, met, total, full):
        """The page of the visitor is kept, and the other's is merged into it."""
        self.leave(met)
        if self.is_busy(item.page) or self.is_busy(met.page):
            return BUSY, None
        node = self.living(total)
        if node:
            self.tell_apart(node, self.full)
            full = full or self.full(item.page)
            self.living_by(node, full)
            node = self.living(total)
        if not node:
            node, full = Node(self.stable, total), 0
            self.stable[total] = node
        kept = self.kept_of_page[item.page] = Kept(item.page)
        node.put(kept, full)
        self._hang(item, kept)
        self._hang(met, kept)
        return PAIR, met
