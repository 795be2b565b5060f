"""A textbook red-black tree whose nodes are item ids, and the orders in which pages stand in it.

A plain sorted list would tell the same story, but for one thing: in the unstable tree pages change and items die
where they stand, and which of them a search meets depends on the shape of the tree. So the shape is part of the
specification: inserting below a leaf with the usual recolouring and rotations; on erase an item with two children
is replaced by the one behind it.
"""

from collections import defaultdict
from enum import IntEnum

from .page import compare


class Order(IntEnum):
    CONTENT = 0
    CHECKSUM = 1
    CHECKSUM_CONTENT = 2


class Tree:
    """Links and colours; 0 is nil. Side 0 is smaller, side 1 larger."""

    def __init__(self):
        self.root = 0
        self.child = {}  # id -> [smaller, larger]
        self.parent = {}
        self.red = {0: False}

    def __len__(self):
        return len(self.child)

    def __contains__(self, item):
        return item in self.child

    def __iter__(self):
        """Go through the ids in order."""

        def below(item):
            if item:
                yield from below(self.child[item][0])
                yield item
                yield from below(self.child[item][1])

        return below(self.root)

    def _side(self, item):
        return self.child[self.parent[item]].index(item)

    def _hang(self, item, parent, side):
        if parent:
            self.child[parent][side] = item
        else:
            self.root = item
        if item:
            self.parent[item] = parent

    def _replace(self, out, item):
        """Hang item where out hangs."""
        parent = self.parent[out]
        self._hang(item, parent, self._side(out) if parent else 0)

    def _rotate(self, down, side):
        """Turn down and its child on the other side: the child goes up, down goes to the given side."""
        up = self.child[down][1 - side]
        middle = self.child[up][side]
        self._replace(down, up)
        self._hang(middle, down, 1 - side)
        self._hang(down, up, side)

    def insert(self, item, parent, side):
        """Hang item below parent (0: as the root) where nothing hangs, and rebalance."""
        self.child[item] = [0, 0]
        self.parent[item] = 0
        self.red[item] = True
        self._hang(item, parent, side)
        while self.red[self.parent[item]]:
            parent = self.parent[item]
            grandparent = self.parent[parent]
            side = self._side(parent)
            uncle = self.child[grandparent][1 - side]
            if self.red[uncle]:
                self.red[parent] = self.red[uncle] = False
                self.red[grandparent] = True
                item = grandparent
                continue
            if self._side(item) != side:
                self._rotate(parent, side)
                item, parent = parent, item
            self.red[parent] = False
            self.red[grandparent] = True
            self._rotate(grandparent, 1 - side)
        self.red[self.root] = False

    def erase(self, item):
        """Take item out and rebalance."""
        smaller, larger = self.child[item]
        if smaller and larger:
            heir = larger
            while self.child[heir][0]:
                heir = self.child[heir][0]
            lost_red = self.red[heir]
            moved = self.child[heir][1]
            hole, side = (heir, 1) if heir == larger else (self.parent[heir], 0)
            if heir != larger:
                self._hang(moved, hole, 0)
                self._hang(larger, heir, 1)
            self._hang(smaller, heir, 0)
            self._replace(item, heir)
            self.red[heir] = self.red[item]
        else:
            lost_red = self.red[item]
            moved = smaller or larger
            hole = self.parent[item]
            side = self._side(item) if hole else 0
            self._replace(item, moved)
        del self.child[item], self.parent[item], self.red[item]
        if not lost_red:
            self._add_black(moved, hole, side)

    def _add_black(self, item, parent, side):
        """Give the paths through this side of parent, where item (perhaps nil) hangs, one more black."""
        while parent and not self.red[item]:
            sibling = self.child[parent][1 - side]
            if self.red[sibling]:
                self.red[sibling], self.red[parent] = False, True
                self._rotate(parent, side)
                sibling = self.child[parent][1 - side]
            near, far = self.child[sibling][side], self.child[sibling][1 - side]
            if not self.red[near] and not self.red[far]:
                self.red[sibling] = True
                item, parent = parent, self.parent[parent]
                side = self._side(item) if parent else 0
                continue
            if not self.red[far]:
                self.red[near], self.red[sibling] = False, True
                self._rotate(sibling, 1 - side)
                sibling, far = near, sibling
            self.red[sibling], self.red[parent], self.red[far] = self.red[parent], False, False
            self._rotate(parent, side)
            return
        if item:
            self.red[item] = False

    def root_for(self, item):
        """Return where a search for what equals item begins."""
        return self.root

    def check(self):
        """Raise AssertionError unless it is a red-black tree."""
        self.check_root()
        assert len(list(self)) == len(self)

    def check_root(self):
        """Raise AssertionError unless what hangs below the root is a red-black tree."""

        def black_height(item, parent):
            if not item:
                return 0
            assert self.parent[item] == parent
            assert not (self.red[item] and self.red[parent])
            smaller, larger = (black_height(child, item) for child in self.child[item])
            assert smaller == larger
            return smaller + (not self.red[item])

        assert not self.red[self.root]
        black_height(self.root, 0)


class Forest(Tree):
    """Trees of items with one number each, in the order of their numbers. number_of(item): of the tree it belongs to."""

    def __init__(self, number_of):
        self.number_of, self.number, self.roots, self.numbers = number_of, 0, defaultdict(int), {}
        super().__init__()

    @property
    def root(self):
        """The root of the tree that is dealt with at the time."""
        return self.roots[self.number]

    @root.setter
    def root(self, item):
        self.roots[self.number] = item

    def root_for(self, item):
        """Return where a search for what equals item begins."""
        return self.roots[self.number_of(item)]

    def insert(self, item, parent, side):
        """Hang item below parent (0: as the root of its tree), and rebalance."""
        self.number = self.numbers[item] = self.number_of(item)
        super().insert(item, parent, side)

    def erase(self, item):
        """Take item out of its tree and rebalance."""
        self.number = self.numbers.pop(item)
        super().erase(item)

    def __iter__(self):
        """Go through the ids in order."""
        for number in sorted(self.roots):
            self.number = number
            yield from super().__iter__()

    def check(self):
        """Raise AssertionError unless they are red-black trees, each of its own items."""
        for number in list(self.roots):
            self.number = number
            self.check_root()
            assert all(self.numbers[item] == self.number_of(item) == number for item in super().__iter__())
        assert len(list(self)) == len(self)


def order_of(order, checksum, page, other_checksum, other_page):
    """Return the order (-1, 0, 1) of two pages, and whether their bytes had to be compared for it."""
    if order != Order.CONTENT and checksum != other_checksum:
        return (-1 if checksum < other_checksum else 1), False
    if order == Order.CHECKSUM:
        return 0, False
    return compare(page, other_page)[0], True
