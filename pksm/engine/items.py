"""The item table: one rmap_item per tracked page, as columns, and the ids that name them.

The C node (32 bytes, native.NODE) holds what searches touch; policy columns lie beside it. Ids start at 1; an id is
not a page number: a freed page's item may wait on the del list while the frame lives again. Columns are properties,
never stored by users: growth reallocates them.
"""

from collections.abc import Mapping

import numpy as np

from pksm.arrays import AnyArray, Ids, IdsLike, Pages, U8Array, U16Array, U32Array, U64Array
from pksm.engine import native
from pksm.engine.memory import grown, zeros
from pksm.engine.native.trees import TableView
from pksm.engine.state import State, below, column


class ItemTable:
    """Items 1 .. capacity-1 with both trees' roots, and the ids that are free.

    columns: {name: dtype} of policy columns, by item id, beside the fields of native.NODE; forest: each of the two trees
    is 2 ** forest ones, chosen by as many top bits of the checksum; 0: one tree.
    """

    def __init__(self, columns: Mapping[str, type[np.generic]], capacity: int = 1024, forest: int = 0) -> None:
        self._nodes = zeros(capacity, native.NODE)
        self._columns: dict[str, AnyArray] = {name: zeros(capacity, kind) for name, kind in columns.items()}
        self._trees = np.zeros(1, native.TREES)
        self._forest = np.zeros(2 << forest, np.uint32) if forest else None
        self._free = np.empty(0, np.uint32)  # a stack of ids given back
        self._n_free = 0
        self._top = 1  # ids from here on were never used
        self._table: TableView | None = None

    def __len__(self) -> int:
        return self._top - 1 - self._n_free

    @property
    def n_used(self) -> int:
        """Ids that were taken at least once."""
        return self._top - 1

    @property
    def table(self) -> TableView:
        """The table as the C core takes it."""
        if self._table is None:
            self._table = native.TableView(self._nodes, self._trees, self._forest)
        return self._table

    @property
    def page(self) -> Pages:
        return self._nodes["page"]

    @property
    def flags(self) -> U16Array:
        return self._nodes["flags"]

    @property
    def checksum(self) -> U64Array:
        return self._nodes["checksum"]

    @property
    def visits(self) -> U8Array:
        return self._nodes["visits"]

    @property
    def link(self) -> U32Array:
        return self._nodes["link"]

    @property
    def left(self) -> U32Array:
        return self._nodes["left"]

    @property
    def right(self) -> U32Array:
        return self._nodes["right"]

    def roots(self, which: int, sums: U64Array) -> U32Array:
        """Return where searches for these checksums begin in the tree of which (STABLE or UNSTABLE); 0: it is empty."""
        if self._forest is None:
            return np.full(
                len(sums), self._trees["stable_root" if which == native.STABLE else "unstable_root"][0], np.uint32
            )
        roots = self._forest.reshape(-1, 2)[:, int(which == native.STABLE)]
        return roots[sums >> np.uint64(64 - self.forest)]

    @property
    def forest(self) -> int:
        """Top bits of the checksum that choose a tree; 0: there is one tree of each kind."""
        return 0 if self._forest is None else len(self._forest).bit_length() - 2

    @property
    def n_unstable(self) -> int:
        """Items in the unstable tree."""
        return int(self._trees["n_unstable"][0])

    @property
    def n_stable(self) -> int:
        """Items in the stable tree."""
        return int(self._trees["n_stable"][0])

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return self._nodes.nbytes + sum(column.nbytes for column in self._columns.values()) + self._free.nbytes

    def take(self, n: int) -> Ids:
        """Return n ids that were free, uint32; all their fields are zero."""
        reused = min(n, self._n_free)
        fresh = n - reused
        if self._top + fresh > len(self._nodes):
            self._grow(self._top + fresh)
        self._n_free -= reused
        ids = np.arange(self._top, self._top + fresh, dtype=np.uint32)
        if reused:
            ids = np.concatenate((self._free[self._n_free : self._n_free + reused][::-1], ids))
        self._top += fresh
        return ids

    def free(self, ids: Ids) -> None:
        """Give ids back. ItemError if one is in a tree or on a list."""
        native.clear(self.table, ids)
        self.free_blank(ids)

    def free_blank(self, ids: Ids) -> None:
        """Give ids back whose items are blank already."""
        n = len(ids)
        if self._n_free + n > len(self._free):
            self._free = grown(self._free, max(self._n_free + n, len(self._free) * 3 // 2))
        self._free[self._n_free : self._n_free + n] = ids
        self._n_free += n

    def where(self, ids: IdsLike, mask: int, flags: int) -> Ids:
        """Return those of the ids (uint32) whose flags under the mask are `flags`."""
        return native.select(self.table, ids, mask, flags)

    def set_flags(self, ids: IdsLike, flags: int) -> None:
        """Set flags on the items."""
        native.mark(self.table, native.ids_array(ids), flags, 0)

    def clear_flags(self, ids: IdsLike, flags: int) -> None:
        """Clear flags on the items."""
        native.mark(self.table, native.ids_array(ids), 0, flags)

    def reserve(self, n: int) -> None:
        """Make room for n more ids at once: what the table grows by is copied only then."""
        if self._top + n > len(self._nodes):
            self._grow(self._top + n)

    def _grow(self, needed: int, exact: bool = False) -> None:
        size = needed if exact else max(needed, len(self._nodes) * 3 // 2)
        used = slice(self._top)
        self._nodes = grown(self._nodes[used], size)
        self._columns = {name: grown(column[used], size) for name, column in self._columns.items()}
        self._table = None

    def state(self) -> State:
        """Return all there is, as a State."""
        return {
            "nodes": self._nodes[: self._top].copy(),
            "columns": {name: values[: self._top].copy() for name, values in self._columns.items()},
            "trees": self._trees.copy(),
            "forest": np.empty(0, np.uint32) if self._forest is None else self._forest.copy(),
            "free": self._free[: self._n_free].copy(),
        }

    def restore(self, state: State) -> None:
        """Be what state() returned. AssertionError for what can be seen to be unsound before trees are checked."""
        nodes, self._free = column(state["nodes"], native.NODE), column(state["free"], np.uint32).copy()
        self._top, self._n_free = len(nodes), len(self._free)
        assert self._top, "there is no nil item"
        size = max(self._top, len(self._nodes))
        self._nodes = grown(nodes, size)
        self._trees = column(state["trees"], native.TREES).copy()
        forest = column(state["forest"], np.uint32)
        assert len(forest) == (0 if self._forest is None else len(self._forest)), "it has another number of trees"
        below(forest, self._top)
        self._forest = forest.copy() if len(forest) else None
        below(self._free, self._top)
        for name, kept in self._columns.items():
            values = column(state["columns"][name], kept.dtype)
            assert len(values) == self._top, f"{name} has another length"
            self._columns[name] = grown(values, size)
        self._table = None

    def check_ids(self) -> None:
        """Raise AssertionError unless free ids are blank and free once."""
        assert not self._nodes[0].tobytes().strip(b"\0"), "nil was written to"
        free = self._free[: self._n_free]
        assert len(np.unique(free)) == len(free), "an id is free twice"
        assert not free.size or 0 < free.min() <= free.max() < self._top
        assert not self.flags[free].any(), "a free item has flags"
