"""An item table, its two trees, and settle: what is to be done with each item of a batch.

Choices that the rules leave open, as they are made here:
* Where a checksum is computed: on arrival, unless there is an UNCHANGED stage and the trees need no checksum (order
  of content): then there. A page whose checksum is not known yet is not taken for a zero page. At an item's first
  visit its checksum counts as changed, so UNCHANGED answers STALE.
* A deleted item that is asked about is dropped like a page that is not anonymous.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from .page import is_zero
from .tree import Order, Tree, order_of


class Class(IntEnum):
    """What the host says of a page."""

    FREE = 0
    BUSY_PAGE = 1
    WALK_FAILS = 2
    NOT_KPAGE = 3
    NOT_ANON = 4


class Stage(IntEnum):
    UNCHANGED = 1
    ZERO = 2
    STABLE = 3
    UNSTABLE = 4


class Choice(IntEnum):
    RETRY = 0
    SUCCESS = 1
    SKIP = 2
    STOP = 3


class Verdict(IntEnum):
    WAITING = 0
    ZERO = 1
    JOINED = 2
    PAIRED = 3
    SAME = 4
    BUSY = 5
    DIFFERENT = 6
    LIMBO = 7
    DROP = 8
    STALE = 9
    ABORTED = 10


@dataclass
class Rules:
    stages: tuple  # of Stage; the last is UNSTABLE
    order: Order
    checksum: Callable  # page bytes -> int
    zero_checksum: int
    zero_on_differ: Choice = Choice.RETRY
    on_differ: Choice = Choice.RETRY
    on_stale: Choice = Choice.SKIP
    distrust: bool = False


@dataclass
class Item:
    page: int
    checksum: int = 0
    init_checksum: bool = True  # the checksum is not valid
    deleted: bool = False  # its page is gone: nobody reads it
    zero_refused: bool = False  # the host would not merge it with the zero page


class Restart(Exception):
    """A search took a node out of the tree it was walking down."""


class Core:
    """pages: list of bytes that may change at any time; items: id -> Item, ids from 1."""

    def __init__(self, pages, order):
        self.pages = pages
        self.order = order
        self.items = {}
        self.unstable = Tree()
        self.stable = Tree()
        self.cost = Counter()

    def bytes_of(self, id):
        assert not self.items[id].deleted
        return self.pages[self.items[id].page]

    def tree_of(self, id):
        return next((tree for tree in (self.unstable, self.stable) if id in tree), None)

    def unlink(self, ids):
        """Take items out of the tree they are in."""
        for id in ids:
            tree = self.tree_of(id)
            if tree is not None:
                tree.erase(id)

    def relink(self, ids):
        """Put items back into the unstable tree, one by one. Deleted items met on the way go; one whose equal is
        there is left out."""
        rules = Rules((), self.order, checksum=None, zero_checksum=0, on_stale=Choice.SKIP)
        for id in ids:
            kind, at = self._find(self.unstable, id, rules)
            if kind == "nothing":
                self.unstable.insert(id, *at)

    # ---- search ----

    def _sum(self, id, rules):
        self.cost["bytes_hashed"] += len(self.pages[self.items[id].page])
        return rules.checksum(self.bytes_of(id))

    def _find(self, tree, id, rules):
        """Search for the equal of id: ("match", its id), ("nothing", where id would hang) or ("deleted", an id)."""
        while True:
            try:
                return self._descend(tree, id, rules)
            except Restart:
                pass

    def _descend(self, tree, id, rules):
        me = self.items[id]
        at, place = tree.root, (0, 0)
        while at:
            node = self.items[at]
            if node.deleted:
                if rules.on_stale == Choice.STOP:
                    return "deleted", at
                self._unlink_met(tree, at)
            order, read = order_of(self.order, me.checksum, self.bytes_of(id), node.checksum, self.bytes_of(at))
            if order == 0:
                return "match", at
            if read and self.order == Order.CHECKSUM_CONTENT:
                self._collide(tree, at, rules)
            side = int(order > 0)
            at, place = tree.child[at][side], (at, side)
        return "nothing", place

    def _unlink_met(self, tree, at):
        tree.erase(at)
        self.cost["unlinked"] += 1
        raise Restart

    def _collide(self, tree, at, rules):
        """Two pages had one checksum and other bytes. Has the one in the unstable tree changed since it was summed?"""
        self.cost["collisions"] += 1
        self.cost["futile_compares"] += 1
        if rules.distrust and tree is self.unstable and self._sum(at, rules) != self.items[at].checksum:
            self.items[at].init_checksum = True
            self.revisit.append(at)
            self._unlink_met(tree, at)

    # ---- settle ----

    def settle(self, rules, ids, classes=None):
        """Return a list of (verdict, other), one for each id, and the list of ids to be looked at again.

        classes: page -> Class, free where missing.
        """
        assert rules.stages[-1] == Stage.UNSTABLE
        self.classes = classes or {}
        self.revisit = []
        return [self._settle(id, rules) for id in ids], self.revisit

    def _class_of(self, id):
        return self.classes.get(self.items[id].page, Class.FREE)

    def _settle(self, id, rules):
        item = self.items[id]
        self.cost["pages_visited"] += 1
        if id in self.stable:
            return Verdict.SAME, 0
        self.unlink([id])
        if item.deleted or self._class_of(id) == Class.NOT_ANON:
            return Verdict.DROP, 0
        self.first_visit = item.init_checksum
        if self.order != Order.CONTENT or Stage.UNCHANGED not in rules.stages:
            self._know_checksum(id, rules)
        work = {
            Stage.UNCHANGED: self._unchanged,
            Stage.ZERO: self._zero,
            Stage.STABLE: self._stable,
            Stage.UNSTABLE: self._unstable,
        }
        for stage in rules.stages:
            answer = work[stage](id, rules)
            if answer is not None:
                return answer

    def _know_checksum(self, id, rules):
        item = self.items[id]
        if item.init_checksum:
            item.checksum = self._sum(id, rules)
            item.init_checksum = False

    def _unchanged(self, id, rules):
        self._know_checksum(id, rules)
        before, self.items[id].checksum = self.items[id].checksum, self._sum(id, rules)
        changed = self.first_visit or self.items[id].checksum != before
        return (Verdict.STALE, 0) if changed else None

    def _zero(self, id, rules):
        item = self.items[id]
        if item.zero_refused or item.init_checksum or item.checksum != rules.zero_checksum:
            return None
        if is_zero(self.bytes_of(id)):
            if self._class_of(id) == Class.BUSY_PAGE:
                return Verdict.BUSY, 0
            # the zero page is never the one kept, so a page with several ptes will do
            return (Verdict.ZERO, 0) if self._class_of(id) in (Class.FREE, Class.NOT_KPAGE) else None
        self.cost["collisions"] += 1
        return (Verdict.LIMBO, 0) if rules.zero_on_differ == Choice.SUCCESS else None

    def _differs(self, id, other):
        """Order by checksum alone: only now the bytes are looked at."""
        return self.order == Order.CHECKSUM and self.bytes_of(id) != self.bytes_of(other)

    def _stable(self, id, rules):
        kind, found = self._find(self.stable, id, rules)
        if kind != "match":
            return None  # also when a deleted node ended the search
        if self.items[found].page == self.items[id].page:
            return Verdict.SAME, found
        if Class.BUSY_PAGE in (self._class_of(id), self._class_of(found)):
            return Verdict.BUSY, found
        if self._class_of(id) == Class.WALK_FAILS:
            return Verdict.DROP, found
        if self._differs(id, found):
            self._collide(self.stable, found, rules)
            return (Verdict.LIMBO if rules.on_differ == Choice.SUCCESS else Verdict.DIFFERENT), found
        return Verdict.JOINED, found

    def _unstable(self, id, rules):
        while True:
            try:
                return self._pair(id, rules)
            except Restart:
                pass

    def _pair(self, id, rules):
        kind, found = self._find(self.unstable, id, rules)
        if kind == "deleted":
            return Verdict.ABORTED, found
        if kind == "nothing":
            self.unstable.insert(id, *found)
            return Verdict.WAITING, 0
        if self.items[found].page == self.items[id].page:
            return Verdict.SAME, found
        if Class.BUSY_PAGE in (self._class_of(id), self._class_of(found)):
            return Verdict.BUSY, found
        if self._class_of(id) in (Class.WALK_FAILS, Class.NOT_KPAGE) or self._class_of(found) == Class.WALK_FAILS:
            return Verdict.DROP, found
        verdict = Verdict.PAIRED
        if self._differs(id, found):
            self._collide(self.unstable, found, rules)
            if rules.on_differ == Choice.RETRY:
                return Verdict.DIFFERENT, found
            verdict = Verdict.LIMBO
        # the newcomer is the page that is kept
        kind, place = self._find(self.stable, id, rules)
        if kind != "nothing":
            return Verdict.BUSY, place
        self.unstable.erase(found)
        self.stable.insert(id, *place)
        return verdict, found
