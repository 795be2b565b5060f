"""The C core and the slow model side by side: whatever is done is done to both, and both must come out the same."""

import numpy as np
from hypothesis import strategies as st

from pksm.engine import native

from model.checksums import sampled
from model.settle import Class, Core, Item, Rules, Verdict

ORDERS = ("content", "checksum", "checksum-content")
LIST_FLAGS = native.NEWLIST | native.RESCAN | native.CHECKSUM_LIST


class Twins:
    """pages: list of bytes of one length; item_pages: the page of item 1, 2 …; order: a name in ORDERS.

    checksum: native.Checksum; model_checksum: the same as a function of bytes; forest: bits that choose a tree.
    """

    def __init__(self, pages, item_pages, order, checksum, model_checksum, offset=0, forest=0):
        self.page_size = len(pages[0])
        self.order, self.checksum, self.model_checksum = order, checksum, model_checksum
        memory = np.zeros(len(pages) * self.page_size + offset, np.uint8)
        self.bytes = memory[offset:].reshape(len(pages), self.page_size)
        self.bytes[:] = np.frombuffer(b"".join(pages), np.uint8).reshape(self.bytes.shape)
        base = self.bytes.ctypes.data
        sections = [base + page * self.page_size for page in range(0, len(pages), 64)]
        self.store = native.StoreView(np.array(sections, np.uint64), len(pages), self.page_size)
        self.nodes = np.zeros(len(item_pages) + 1, native.NODE)
        self.table = native.TableView(
            self.nodes, np.zeros(1, native.TREES), np.zeros(2 << forest, np.uint32) if forest else None
        )
        self.cost = np.zeros(1, native.COST)
        self.model = Core(list(pages), native.ORDERS[order], forest)
        for id, page in enumerate(item_pages, 1):
            self.nodes[id]["page"] = page
            self.nodes[id]["flags"] = native.INITCHECKSUM
            # settle must leave alone what belongs to Python
            self.nodes[id]["visits"], self.nodes[id]["skips"], self.nodes[id]["link"] = id % 7, id % 5, id * 3
            self.model.items[id] = Item(page)
        self.nodes["flags"][1::3] |= LIST_FLAGS
        self.written = False  # bytes have changed behind the trees' back

    @property
    def ids(self):
        return range(1, len(self.nodes))

    def known(self, ids):
        """Return those of the ids that are in the table."""
        return [id for id in ids if id in self.ids]

    def loose(self, ids):
        """Return those of the ids that are in no tree and alive, each once."""
        items = self.model.items
        return [id for id in dict.fromkeys(ids) if self.model.tree_of(id) is None and not items[id].deleted]

    # ---- what happens to pages and items between calls ----

    def write(self, page, content):
        self.written = self.written or self.model.pages[page] != content
        self.model.pages[page] = content
        self.bytes[page] = np.frombuffer(content, np.uint8)

    def sum_all(self):
        """Fill the checksum column."""
        for id in self.ids:
            item = self.model.items[id]
            item.checksum, item.init_checksum = self.model_checksum(self.model.pages[item.page]), False
            self.nodes[id]["checksum"] = item.checksum
            self.nodes[id]["flags"] &= ~native.INITCHECKSUM & 0xFFFF

    def delete(self, id):
        self.model.items[id].deleted = True
        self.nodes[id]["flags"] |= native.DELLIST

    def forget_checksum(self, id):
        """Have the item summed at its next visit; in a tree it stays where it is."""
        self.model.items[id].init_checksum = True
        self.nodes[id]["flags"] |= native.INITCHECKSUM

    def refuse_zero(self, id):
        self.model.items[id].zero_refused = True
        self.nodes[id]["flags"] |= native.ZERO_REFUSED

    def bury(self, id):
        """Take a deleted item out of its tree; its id lives again, with the same page."""
        self.unlink([id])
        self.model.items[id] = Item(self.model.items[id].page)
        self.nodes[id]["flags"] &= ~(native.DELLIST | native.ZERO_REFUSED) & 0xFFFF
        self.nodes[id]["flags"] |= native.INITCHECKSUM

    # ---- what the core does ----

    def unlink(self, ids):
        self.model.unlink(ids)
        native.unlink(self.table, ids)

    def relink(self, ids):
        self.model.relink(ids)
        native.relink(self.store, self.table, self.order, ids, self.cost)

    def rules(self, stages, checksum_of_zero=None, window=1, **choices):
        """Return one set of rules as a pair: the model's and the core's. stages: of model.settle.Stage."""
        zero = self.model_checksum(bytes(self.page_size)) if checksum_of_zero is None else checksum_of_zero
        model = Rules(stages, self.model.order, self.model_checksum, zero, **choices)
        packed = native.PackedRules(
            [stage.name.lower() for stage in stages],
            self.order,
            self.checksum,
            zero,
            model.zero_on_differ,
            model.on_differ,
            model.on_stale,
            model.on_unusable,
            [name for name in ("busy_waits", "unfit_aside", "mlock_hangs", "distrust") if getattr(model, name)],
            window,
        )
        return model, packed

    def settle(self, rules, ids, classes=None, cut=None, mlocked=()):
        """Settle ids on both sides, on C's in batches of at most `cut`; return [(verdict, other)], [id to revisit]."""
        model_rules, packed = rules
        before, cost_before = self.model.cost.copy(), self.cost.copy()
        expected, revisit = self.model.settle(model_rules, ids, classes, mlocked)
        by_page = None
        if classes is not None:
            by_page = np.array([classes.get(page, Class.FREE) for page in range(len(self.bytes))], np.uint8)
            by_page[list(mlocked)] |= native.MLOCKED
        got, got_revisit, waited = [], [], False
        while len(got) < len(ids):
            batch = ids[len(got) :][:cut]
            answers = native.settle(self.store, self.table, packed, by_page, batch, self.cost)
            assert answers.done == len(batch) or len(answers.revisit) == len(batch) or answers.hangs
            waited = waited or answers.done < len(batch)
            told = list(zip(answers.verdicts.tolist(), answers.others.tolist(), strict=True))
            self.check_sorted(answers, batch, told)
            got += told
            got_revisit += answers.revisit.tolist()
            if answers.hangs:
                self._sum_those_that_flew(ids[len(got) :])
                break
        assert got == expected
        assert got_revisit == revisit
        for counter in ("pages_visited", "unlinked", "collisions"):
            worked = int((self.cost[counter] - cost_before[counter])[0])
            if counter != "collisions" or not waited:  # an item that found revisit full was begun twice
                assert worked == self.model.cost[counter] - before[counter], counter
        return expected, revisit

    def _sum_those_that_flew(self, ids):
        """Items behind a hang may have been summed, or not."""
        for id in ids:
            item = self.model.items[id]
            if item.init_checksum and not self.nodes[id]["flags"] & native.INITCHECKSUM:
                item.checksum, item.init_checksum = self.model_checksum(self.model.pages[item.page]), False

    def check_sorted(self, answers, batch, told):
        """The rows hold every item once, by verdict and then by place, with what it names and both pages."""
        rows, by_verdict = answers.rows.T.tolist(), sorted(range(len(told)), key=lambda place: told[place][0])
        pages = [0, *(self.model.items[id].page for id in self.ids)]
        expected = [[at, batch[at], told[at][1], pages[batch[at]], pages[told[at][1]]] for at in by_verdict]
        assert rows == expected
        for verdict in Verdict:
            place = sum(1 for one, _ in told if one < verdict)
            assert answers.starts[verdict] == place

    # ---- are they the same? ----

    def check(self):
        native.trees_check(self.table, self.order, None if self.written else self.store)
        for which, tree in ((native.UNSTABLE, self.model.unstable), (native.STABLE, self.model.stable)):
            tree.check()
            assert native.tree_items(self.table, which).tolist() == list(tree)
        for id in self.ids:
            node, item = self.nodes[id], self.model.items[id]
            tree = self.model.tree_of(id)
            flags = int(node["flags"])
            assert bool(flags & native.UNSTABLE) == (tree is self.model.unstable)
            assert bool(flags & native.STABLE) == (tree is self.model.stable)
            assert bool(flags & native.INITCHECKSUM) == item.init_checksum
            assert bool(flags & native.DELLIST) == item.deleted
            assert bool(flags & native.ZERO_REFUSED) == item.zero_refused
            assert flags & LIST_FLAGS == (LIST_FLAGS if id % 3 == 1 else 0)
            assert item.init_checksum or node["checksum"] == item.checksum
            assert node["page"] == item.page
            assert (node["visits"], node["skips"], node["link"]) == (id % 7, id % 5, id * 3)
            if tree is not None:  # the same shape
                assert [node["left"], node["right"]] == tree.child[id]
                assert node["parent_colour"] == tree.parent[id] << 1 | tree.red[id]
        assert self.nodes[0] == np.zeros(1, native.NODE)[0]


# ---- what to try it on: few contents, many equal, many that differ where the checksum does not look ----

PAGE_SIZE = 128
contents = st.lists(
    st.tuples(st.sampled_from([0, 3, 4, 60, 64, 127]), st.sampled_from([1, 0x7F, 0x80, 0xFF])), max_size=3
).map(lambda bytes_at: bytes(dict(bytes_at).get(i, 0) for i in range(PAGE_SIZE)))


def weak(words):
    """Return `sampled` over the given words as a pair: C's and the model's."""
    return native.Checksum("sampled", words), lambda page: sampled(page, words)


@st.composite
def sparse_twins(draw, order, contents, min_pages=1, max_pages=60, more_items=0):
    """Items 1, 2 … have the pages in order; those behind them any page."""
    pages = draw(st.lists(contents, min_size=min_pages, max_size=max_pages))
    words = draw(st.lists(st.sampled_from([0, 1, 7, 15, 16, 31]), min_size=1, max_size=2))
    more = draw(st.lists(st.integers(0, len(pages) - 1), max_size=more_items))
    return Twins(
        pages,
        [*range(len(pages)), *more],
        order,
        *weak(words),
        offset=draw(st.integers(0, 3)),
        forest=0 if order == "content" else draw(st.sampled_from([0, 1, 4, 16])),
    )
