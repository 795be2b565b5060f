"""Pksmd over a FlatHost and the slow model of both, side by side: whatever happens happens to both, and both must
come out the same."""

import numpy as np

from pksm import protocols as protocol
from pksm.engine import native
from pksm.engine.settle import Verdict
from pksm.engine.store import Store
from pksm.hosts.flat import FlatHost
from pksm.policies.pksmd.daemon import Pksmd

from model import oracle
from model.checksums import FULL_PAGE
from model.pksmd import ZERO_FRAME
from model.pksmd import FlatHost as ModelHost
from model.pksmd import Pksmd as ModelPksmd
from support.twins import PAGE_SIZE, weak

REGIONS = (70, 20, 9)  # pages; the page numbers between them are in no region

WAKES_TO_REST = 60


def checksum_of(which):
    """Return a strategy as (C's, the model's). which: the name of a full-page one, or the words of a sample."""
    return (native.Checksum(which), FULL_PAGE[which]) if isinstance(which, str) else weak(which)


def make_memory(regions=REGIONS, page_size=PAGE_SIZE):
    """Return a store of writable regions and {page: its bytes as an array}."""
    store, memory = Store(page_size), {}
    for n_pages in regions:
        array = np.zeros((n_pages, page_size), np.uint8)
        first = store.add(array, writable=True)
        memory.update({first + i: array[i] for i in range(n_pages)})
    return store, memory


class Daemons:
    """tunables: Tunables; checksum: (native.Checksum, the same as a function of bytes).

    window: searches in flight. With 1, trees have the model's shapes too, and so searches meet the same items.
    """

    as_worked = True  # compare verdicts, shapes of trees and work done too, not only what came of it

    def __init__(self, tunables, checksum, window=1, regions=REGIONS, forest=0):
        self.store, self.memory = make_memory(regions)
        self.host, self.model_host = self.new_hosts(dict.fromkeys(self.memory, bytes(PAGE_SIZE)))
        self.window, self.forest, self.verdicts = window, forest, []
        self.daemon = self.new_daemon(tunables, checksum[0])
        self.model = ModelPksmd(self.model_host, tunables, checksum[1], forest)

    def new_hosts(self, pages):
        return FlatHost(self.store), ModelHost(pages)

    def new_daemon(self, tunables, checksum):
        return Pksmd(
            self.host, tunables, checksum=checksum, window=self.window, forest=self.forest, observe=self.observe
        )

    def observe(self, settled):
        """Remember verdicts: (page, verdict, page of the other item or None)."""
        page = self.daemon.items.page
        for id, verdict, other in zip(settled.ids, settled.verdicts, settled.others, strict=True):
            self.verdicts.append((int(page[id]), Verdict(verdict).name, int(page[other]) if other else None))

    # ---- what happens ----

    def set_tunables(self, **changes):
        self.daemon.tunables = self.model.settings = self.daemon.tunables.with_(**changes)

    def set_classes(self, classes):
        """classes: {page: Class}; all others are free."""
        self.model_host.classes = classes
        self.host.classes = np.zeros(self.store.n_pages, np.uint8)
        self.host.classes[list(classes)] = list(classes.values())

    def write(self, page, content):
        self.model_host.pages[page] = content
        self.memory[page][:] = np.frombuffer(content, np.uint8)

    def written(self, pages):
        self.model.written(pages)
        self.daemon.written(np.array(pages, np.uint32))

    def add(self, pages, anon_vma=0):
        self.model_host.add(pages, anon_vma)
        self.host.add(np.array(pages, np.uint32), anon_vma=anon_vma)

    def free(self, pages):
        self.model_host.free(pages)
        self.host.free(np.array(pages, np.uint32))

    def split(self, pages):
        self.model_host.split(pages)
        self.host.split(np.array(pages, np.uint32))

    def wake(self):
        visited = self.model.wake()
        self.verdicts = []
        assert self.daemon.wake() == visited
        assert not self.as_worked or self.verdicts == self.model.verdicts
        return visited

    # ---- which pages it can happen to ----

    def live(self):
        return sorted(self.model_host.frame_of)

    def unborn(self):
        return [page for page in self.memory if self.model_host.may_be_born(page)]

    def may_be_written(self, page):
        """Not merged: neither given up its frame, nor serving others, nor ever made the page that is kept."""
        host = self.model_host
        own = host.frame_of.get(page) == page and host.mapcount(page) == 1
        return host.may_be_born(page) or (own and self.model.item_of.get(page) not in self.model.stable)

    def may_be_split(self):
        host = self.model_host
        return [page for page, frame in host.frame_of.items() if frame != page and not host.mapcount(page)]

    # ---- are they the same? ----

    def check(self):
        self.model.check()
        self.daemon.check()
        self.host.check()
        model, daemon, host = self.model, self.daemon, self.host
        items, model_items = daemon.items, model.items
        assert daemon.counters() == model.counters()
        assert host.frames_saved == self.model_host.frames_saved
        for ids, model_ids in (
            (daemon._new.ids(), model.new),
            (daemon._rescan.ids(), model.rescan),
            (daemon._update.ids(), model.update),
            (daemon._deleted.ids(), model.deleted),
            (native.tree_items(items.table, native.UNSTABLE), model.unstable),
            (native.tree_items(items.table, native.STABLE), model.stable),
        ):
            assert items.page[ids].tolist() == [model_items[id].page for id in model_ids]
        frames = {page: self.frame_of(page) for page in range(len(host.frame_of))}
        assert {page: frame for page, frame in frames.items() if frame is not None} == self.model_host.frame_of
        assert self.tracked() == model.item_of.keys()
        for page, model_id in model.item_of.items():
            (id,) = items.item_of(np.array([page], np.uint32))
            item = model_items[model_id]
            flags = int(items.flags[id])
            assert bool(flags & native.INITCHECKSUM) == item.init_checksum
            assert item.init_checksum or items.checksum[id] == item.checksum
            assert not flags & native.ZERO_REFUSED
            sharers, expected = daemon._stable_anon.of(items, id).tolist(), model.sharers.get(model_id, [])
            if model.has("collision-is-success"):  # limbo is booked behind what is merged, so their order is open
                sharers, expected = sorted(sharers), sorted(expected)
            assert sharers == expected
        references = self.model_host.references
        assert host._references.tolist() == [references[anon_vma] for anon_vma in range(len(host._references))]
        if self.as_worked:
            assert daemon.cost.pages_visited == model.cost["pages_visited"]
        if self.as_worked and self.window == 1:
            self.check_shapes()
            assert daemon.cost.unlinked == model.cost["unlinked"]

    def check_rest(self):
        """Raise AssertionError unless every duplicate is shared, as brute force says."""
        contents = {page: self.model_host.pages[page] for page in self.live()}
        groups = {}
        for page, frame in self.model_host.frame_of.items():
            groups.setdefault(frame, []).append(page)
        answer = oracle.answer(contents)
        zero = groups.pop(ZERO_FRAME, [])
        assert len(zero) == answer.zero_pages and not any(any(contents[page]) for page in zero)
        shared = [group for group in groups.values() if len(group) > 1]
        assert sorted(map(sorted, shared)) == sorted(map(sorted, answer.groups))
        assert self.host.frames_saved == len(contents) - answer.distinct + (answer.zero_pages > 0)

    def check_shapes(self):
        """Trees of one order can have many shapes, and which deleted or outdated items a search meets depends on it."""
        items, model = self.daemon.items, self.model
        for which, tree in ((native.UNSTABLE, model.unstable), (native.STABLE, model.stable)):
            ids = [0, *native.tree_items(items.table, which).tolist()]
            place = dict(zip([0, *tree], range(len(ids)), strict=True))
            links = [[ids.index(items._nodes[side][id]) for side in ("left", "right")] for id in ids[1:]]
            assert links == [[place[child] for child in tree.child[id]] for id in tree]
            assert [items._nodes["parent_colour"][id] & 1 for id in ids[1:]] == [tree.red[id] for id in tree]

    def frame_of(self, page):
        frame = int(self.host.frame_of[page])
        return {protocol.ZERO_FRAME: ZERO_FRAME, protocol.NO_FRAME: None}.get(frame, frame)

    def tracked(self):
        pages = np.arange(self.store.n_pages, dtype=np.uint32)
        return set(self.daemon.items.page[self.daemon.items.item_of(pages)].tolist())
