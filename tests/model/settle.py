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
from .tree import Forest, Order, Tree, order_of


class Class(IntEnum):
    """What the host says of a page."""

    FREE = 0
    BUSY_PAGE = 1
    WALK_FAILS = 2
    NOT_KPAGE = 3
    NOT_ANON = 4
    WALK_BREAKS = 5
    WALK_LOSES = 6

    @property
    def walk_fails(self):
        return self in (Class.WALK_FAILS, Class.WALK_BREAKS, Class.WALK_LOSES)


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
    HANGS = 11


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
    on_unusable: Choice = Choice.SKIP
    busy_waits: bool = False
    unfit_aside: bool = False
    mlock_hangs: bool = False


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
    """pages: list of bytes that may change at any time; items: id -> Item, ids from 1.

    forest: so many top bits of the checksum (of 64) choose one of several trees.
    """

    def __init__(self, pages, order, forest=0):
        self.pages = pages
        self.order = order
        self.items = {}
        self.unstable, self.stable = (self._trees(forest) for _ in range(2))
        self.cost = Counter()
        self.classes, self.mlocked = {}, set()

    def _trees(self, forest):
        return Forest(lambda id: self.items[id].checksum >> 64 - forest) if forest else Tree()

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
        at, place = tree.root_for(id), (0, 0)
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

    def _put_aside(self, at):
        """Take an unstable item out of the way, to be looked at again, and search once more."""
        self.items[at].init_checksum = True
        self.revisit.append(at)
        self._unlink_met(self.unstable, at)

    def _unlink_met(self, tree, at):
        tree.erase(at)
        self.cost["unlinked"] += 1
        raise Restart

    def _collide(self, tree, at, rules):
        """Two pages had one checksum and other bytes. Has the one in the unstable tree changed since it was summed?"""
        self.cost["collisions"] += 1
        self.cost["futile_compares"] += 1
        if rules.distrust and tree is self.unstable and self._sum(at, rules) != self.items[at].checksum:
            self._put_aside(at)

    # ---- settle ----

    def settle(self, rules, ids, classes=None, mlocked=()):
        """Return a list of (verdict, other), one for each id, and the list of ids to be looked at again.

        classes: page -> Class, free where missing; mlocked: pages. A verdict HANGS is the last.
        """
        assert rules.stages[-1] == Stage.UNSTABLE
        self.classes, self.mlocked = classes or {}, mlocked
        self.revisit = []
        verdicts = []
        for id in ids:
            verdicts.append(self._settle(id, rules))
            if verdicts[-1][0] == Verdict.HANGS:
                break
        return verdicts, self.revisit

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
        if rules.busy_waits and self._class_of(id) == Class.BUSY_PAGE:
            return Verdict.BUSY, 0
        self.visited_class, self.gone = self._class_of(id), False  # the stage ZERO may change them
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
        raise AssertionError("the last stage has an answer to every item")

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
            if not self.visited_class.walk_fails:
                # the zero page is never the one kept, so a page with several ptes will do
                return Verdict.ZERO, 0
            # some of its ptes, or all, have moved before the walk failed
            self.gone = self.visited_class == Class.WALK_LOSES
            self.visited_class = Class.WALK_FAILS
            return None
        self.cost["collisions"] += 1
        lost = rules.zero_on_differ == Choice.SUCCESS and not self.visited_class.walk_fails
        return (Verdict.LIMBO, 0) if lost else None

    def _differs(self, id, other):
        """Order by checksum alone: only now the bytes are looked at."""
        return self.order == Order.CHECKSUM and self.bytes_of(id) != self.bytes_of(other)

    def _bytes_differ(self, id, other):
        return self.bytes_of(id) != self.bytes_of(other)

    def _stable(self, id, rules):
        kind, found = self._find(self.stable, id, rules)
        if kind != "match":
            return None  # also when a deleted node ended the search
        if self.items[found].page == self.items[id].page:
            return Verdict.SAME, found
        if rules.on_unusable == Choice.STOP and self._class_of(found) == Class.NOT_ANON:
            return None
        if Class.BUSY_PAGE in (self._class_of(id), self._class_of(found)):
            return Verdict.BUSY, found
        if self.visited_class.walk_fails:
            return Verdict.DROP, found
        if self._differs(id, found):
            self._collide(self.stable, found, rules)
            return (Verdict.LIMBO if rules.on_differ == Choice.SUCCESS else Verdict.DIFFERENT), found
        return (Verdict.HANGS if self._hangs(rules, id, found) else Verdict.JOINED), found

    def _hangs(self, rules, id, kept):
        """The page of id is merged into that of kept."""
        pages = [self.items[id].page in self.mlocked, self.items[kept].page in self.mlocked]
        return rules.mlock_hangs and pages == [True, False]

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
        if kind == "nothing" and self.gone:
            return Verdict.DROP, 0
        if kind == "nothing":
            self.unstable.insert(id, *found)
            return Verdict.WAITING, 0
        if self.items[found].page == self.items[id].page:
            return Verdict.SAME, found
        mine, its = self.visited_class, self._class_of(found)
        if its == Class.NOT_ANON:
            if rules.on_unusable == Choice.STOP:
                return Verdict.ABORTED, found
            self._put_aside(found)
        may_be_kept = mine in (Class.FREE, Class.BUSY_PAGE)
        if rules.unfit_aside and its.walk_fails and may_be_kept:
            self._put_aside(found)
        if Class.BUSY_PAGE in (mine, its):
            return Verdict.BUSY, found
        if not may_be_kept:
            return Verdict.DROP, found
        if its.walk_fails:
            if its == Class.WALK_LOSES and not self._bytes_differ(id, found):
                self.unstable.erase(found)  # all its ptes go, and so does the page
            return Verdict.DROP, found
        verdict = Verdict.PAIRED
        if self._differs(id, found):
            self._collide(self.unstable, found, rules)
            if rules.on_differ == Choice.RETRY:
                return Verdict.DIFFERENT, found
            verdict = Verdict.LIMBO
        elif self._hangs(rules, found, id):
            self.unstable.erase(found)
            return Verdict.HANGS, found
        # the newcomer is the page that is kept
        kind, place = self._find(self.stable, id, rules)
        if kind != "nothing":
            return Verdict.BUSY, place
        self.unstable.erase(found)
        self.stable.insert(id, *place)
        return verdict, found
