"""The whole of ksmd, one page at a time, over memory that is a dict of ptes.

Everything is done when an address is visited: until then an item hangs on what it hung on, though the page may be gone.
"""

from .page import compare
from .tree import Tree

AGES = ((3, 1), (5, 2), (8, 4), (255, 8))  # up to this age: so many full scans left out


class Frame:
    """A page of memory."""

    def __init__(self, content):
        self.content, self.node = content, None  # node: its stable node, if it is a KSM page


class Memory:
    """ptes: (mm, page) -> Frame, or None for the zero page that ksmd put there; open: (mm, page), mapped or not, that
    are opted in; mms: those that ksmd has been told of, in order."""

    def __init__(self, page_size=64):
        self.page_size = page_size
        self.ptes, self.open, self.mms, self.alive = {}, set(), [], set()

    def mapped(self, mm):
        """The opted-in pages of an mm with a frame, in order."""
        return sorted(page for owner, page in self.open if owner == mm and self.ptes.get((owner, page)))

    def opted_in(self, mm):
        return any(owner == mm for owner, _ in self.open)

    def opt_in(self, mm, pages):
        self.open |= {(mm, page) for page in pages}
        if mm not in self.mms:
            self.mms.append(mm)

    def opt_out(self, mm, pages):
        """Merged pages that are opted in get frames of their own; all are left alone from now on."""
        self.unmerge(mm, pages)
        self.open -= {(mm, page) for page in pages}

    def unmerge(self, mm, pages):
        for key in sorted(self.open & {(mm, page) for page in pages}):
            frame = self.ptes.get(key, False)
            if frame is None:
                self.ptes[key] = Frame(bytes(self.page_size))
            elif frame and frame.node:
                self.ptes[key] = Frame(frame.content)

    def exit(self, mm):
        for keys in (self.ptes, self.open):
            for key in [key for key in keys if key[0] == mm]:
                keys.pop(key) if keys is self.ptes else keys.remove(key)
        self.alive.remove(mm)
        self.mms = [other for other in self.mms if other != mm]

    def mapcount(self, frame):
        return sum(other is frame for other in self.ptes.values())

    def write(self, mm, page, content):
        frame = self.ptes.get((mm, page))
        if frame and not frame.node and self.mapcount(frame) == 1:
            frame.content = content
        else:
            self.ptes[mm, page] = Frame(content)

    def fork(self, mm, child):
        self.alive.add(child)
        self.open |= {(child, page) for owner, page in self.open if owner == mm}
        if mm in self.mms:
            self.mms.append(child)
        self.ptes.update({(child, page): frame for (owner, page), frame in list(self.ptes.items()) if owner == mm})

    def unmap(self, mm, pages):
        for page in pages:
            self.ptes.pop((mm, page), None)

    def is_gone(self, frame):
        return not self.mapcount(frame)


class Node:
    """A stable node: a page and the items that hang on it. Its chain, if it is in one."""

    def __init__(self, frame):
        self.frame, self.items, self.chain = frame, set(), None


class Chain:
    """Stable nodes of one content, the newest first."""

    def __init__(self, now):
        self.dups, self.pruned_ms = [], now


class Item:
    """A mapping that is tracked."""

    def __init__(self):
        self.checksum = self.age = self.skips = 0
        self.node = None
        self.where = None  # "tree", "passed" (in the tree of an earlier full scan), or None
        self.frame = None  # as of its last visit, or of the last wake-up while it waits


class Ksmd:
    """settings: the kernel's names; stages: in order of work; checksum: bytes -> int."""

    def __init__(self, memory, checksum, stages, **settings):
        self.memory, self.checksum, self.stages = memory, checksum, stages
        self.settings = settings
        self.items = {}  # (mm, page) -> Item
        self.stable, self.unstable = Tree(), Tree()  # of Nodes and Chains; of keys (mm, page)
        self.nodes, self.chains = set(), set()
        self.slots, self.current, self.first = [], None, 0
        self.full_scans = self.scanned = self.skipped = self.now = 0
        self.began = self.smooth = 0  # ms at the start of the full scan; the advisor's average change
        self.advice = []  # (seconds, visits in all) of the full scans that the advisor has seen

    def counters(self):
        hung_on = [len(node.items) for node in self.nodes if node.items]
        unshared = sum(item.where is not None for item in self.items.values())
        shared, sharing = len(hung_on), sum(hung_on) - len(hung_on)
        return {
            "pages_shared": shared,
            "pages_sharing": sharing,
            "pages_unshared": unshared,
            "pages_volatile": max(0, len(self.items) - shared - sharing - unshared),
            "pages_scanned": self.scanned,
            "pages_skipped": self.skipped,
            "full_scans": self.full_scans,
            "ksm_zero_pages": sum(frame is None for frame in self.memory.ptes.values()),
            "stable_node_chains": len(self.chains),
            "stable_node_dups": sum(node.chain is not None for node in self.nodes),
            "rmap_items": len(self.items),
        }

    # ---- one wake-up ----

    def wake(self):
        self.now += self.settings["sleep_millisecs"]
        self._order_slots()
        for key in self.unstable:
            self.items[key].frame = self.memory.ptes.get(key) if key in self.memory.open else None
        left = self.settings["pages_to_scan"]
        while left and self.slots:
            if self.current is None:
                self._begin_full_scan()
            mm = self.slots[self.current]
            if mm not in self.memory.alive:
                self.first = 0
            pages = [page for page in self.memory.mapped(mm) if page >= self.first]
            was_whole = self.first == 0
            if pages:
                self._drop_items(mm, self.first, pages[0])
                self.first = pages[0] + 1
                left -= self._visit((mm, pages[0]))
                continue
            self._drop_items(mm, self.first, 1 << 52)
            self.first = 0
            if was_whole and not self.memory.opted_in(mm):
                del self.slots[self.current]
                self.memory.mms = [other for other in self.memory.mms if other != mm]
            else:
                self.current += 1
            if self.current == len(self.slots):
                self.current = None
                self.full_scans += 1
                if self.settings.get("advisor_mode") == "scan-time":
                    self._advise()
                break

    def unmerge(self):
        """What run=2 does; the next wake-up begins anew."""
        self._order_slots()
        for mm in self.slots:
            self.memory.unmerge(mm, {page for owner, page in self.memory.open if owner == mm})
            self._drop_items(mm, 0, 1 << 52)
        self._remove_all()
        self.slots = [mm for mm in self.slots if mm in self.memory.alive]
        self.current, self.first, self.full_scans = None, 0, 0

    def limit_sharing(self, n):
        """Set max_page_sharing; return whether it could be."""
        if n != self.settings["max_page_sharing"] and (self.counters()["pages_shared"] or not self._remove_all()):
            return False
        self.settings["max_page_sharing"] = n
        return True

    def _remove_all(self):
        """Remove stable nodes from the root on, up to one whose page is mapped still; return whether all went."""
        while self.stable.root:
            at = self.stable.root
            for node in list(at.dups) if isinstance(at, Chain) else [at]:
                if not self.memory.is_gone(node.frame):
                    return False
                self._remove(node)
            if isinstance(at, Chain):
                self._remove(at)
        return True

    def _order_slots(self):
        """New mms go before the one being visited; those that have exited behind it, if there is something to drop."""
        current = None if self.current is None else self.slots[self.current]
        exited = [mm for mm in self.slots if mm != current and mm not in self.memory.alive]
        slots = [mm for mm in self.slots if mm not in exited]
        new = [mm for mm in self.memory.mms if mm not in self.slots]
        exited = [mm for mm in exited if any(owner == mm for owner, _ in self.items)]
        at = len(slots) if current is None else slots.index(current)
        slots[at:at] = new
        at = 0 if current is None else slots.index(current) + 1
        slots[at:at] = exited
        self.slots, self.current = slots, None if current is None else at - 1

    def _clock(self):
        """Milliseconds slept and worked."""
        return self.now + self.scanned * self.settings.get("visit_ns", 0) // 10**6

    def _advise(self):
        """Set pages_to_scan by the length of the full scan that has ended, and by the CPU time it took."""
        of = self.settings
        seconds = max(1, (self._clock() - self.began) // 1000)
        before, worked = self.advice[-1] if self.advice else (seconds, 0)
        work_ms = self.scanned * of["visit_ns"] // 10**6 - worked * of["visit_ns"] // 10**6
        percent = max(1, work_ms * 100 // (1000 * seconds))
        self.smooth = (70 * self.smooth + 30 * max(1, 100 * seconds // before)) // 100
        wanted = 100 * of["pages_to_scan"] // max(1, 100 * of["advisor_target_scan_time"] // seconds)
        wanted = wanted * self.smooth // 100
        of_one_percent = max(1, of["pages_to_scan"] // percent)
        if wanted > of_one_percent * of["advisor_max_cpu"]:
            wanted = of_one_percent * of["advisor_max_cpu"]
        if wanted < of_one_percent * 10:
            wanted = of_one_percent * 10
        of["pages_to_scan"] = min(wanted, of["advisor_max_pages_to_scan"])
        self.advice.append((seconds, self.scanned))

    def _begin_full_scan(self):
        self.current, self.began = 0, self._clock()
        for item in self.items.values():
            item.where = item.where and "passed"
        self.unstable = Tree()

    def _drop_items(self, mm, first, end):
        for key in sorted(key for key in self.items if key[0] == mm and first <= key[1] < end):
            self._drop(key)
            del self.items[key]

    def _visit(self, key):
        """Visit a mapped page; returns 1, or 0 if it is left out."""
        item, frame = self.items.setdefault(key, Item()), self.memory.ptes[key]
        item.frame = frame
        if frame.node and item.node is frame.node:
            self.scanned += 1
            return 1
        if item.node and self._forgets():
            self._drop(key)
        if not frame.node and self.settings["smart_scan"] and self._is_left_out(item):
            self.skipped += 1
            self._drop(key)
            return 0
        self.scanned += 1
        self._drop(key)
        if frame.node:
            self._attach(key, frame.node)
            return 1
        for stage in self.stages:
            if getattr(self, f"_stage_{stage}")(key, item, frame):
                break
        return 1

    def _is_left_out(self, item):
        age, item.age = item.age, min(255, item.age + 1)
        if age < 3:
            return False
        if item.skips:
            item.skips -= 1
            return True
        item.skips = next(skips for limit, skips in AGES if age <= limit)
        return False

    # ---- stages: true when that is all ----

    def _stage_unchanged(self, key, item, frame):
        before, item.checksum = item.checksum, self.checksum(frame.content)
        return item.checksum != before

    def _stage_zero(self, key, item, frame):
        if any(frame.content):
            return False
        self.memory.ptes[key] = None
        return True

    def _stage_stable(self, key, item, frame):
        found, _, room = self._find_stable(frame.content, may_prune=True)
        if not found or not room:
            return False
        self.memory.ptes[key] = room.frame
        self._attach(key, room)
        return True

    def _stage_unstable(self, key, item, frame):
        parent, side, at = 0, 0, self.unstable.root
        while at:
            other = self.items[at].frame
            if not other:
                return True  # its page is gone: the search ends
            order = 0 if other is frame else compare(frame.content, other.content)[0]
            if not order:
                break
            parent, side = at, int(order > 0)
            at = self.unstable.child[at][side]
        if not at:
            self.unstable.insert(key, parent, side)
            item.where = "tree"
        elif other is not frame:
            node = self._make_stable(frame)
            self._drop(at)
            self._attach(at, node)
            self._attach(key, node)
            self.memory.ptes[at] = frame
        return True

    # ---- stable nodes ----

    def _has_room(self, node, besides=0):
        limit = self.settings["max_page_sharing"]
        return not limit or 0 < len(node.items) < limit - besides

    def _find_stable(self, content, may_prune):
        """Return (the node or chain with this content, the place for one, the node to hang on)."""
        while True:
            parent, side, at = 0, 0, self.stable.root
            while at:
                room = at if isinstance(at, Node) and self._has_room(at) else None
                if isinstance(at, Chain):
                    at, room = self._look_after(at, may_prune)
                dead = not at.dups if isinstance(at, Chain) else self.memory.is_gone(at.frame)
                if dead:
                    self._remove(at)
                    break
                frame = at.dups[0].frame if isinstance(at, Chain) else at.frame
                if isinstance(at, Chain):
                    frame = next(dup.frame for dup in at.dups if not self.memory.is_gone(dup.frame))
                order = compare(content, frame.content)[0]
                if not order:
                    return at, None, room
                parent, side = at, int(order > 0)
                at = self.stable.child[at][side]
            else:
                return None, (parent, side), None

    def _look_after(self, chain, may_prune):
        """Drop the dead of a chain up to the node to hang on; the last one left takes the chain's place."""
        prune = may_prune and self.now - chain.pruned_ms >= self.settings["stable_node_chains_prune_millisecs"]
        if prune:
            chain.pruned_ms = self.now
        room = None
        for dup in list(chain.dups):
            if self.memory.is_gone(dup.frame):
                self._remove(dup)
            elif self._has_room(dup) and (not room or len(dup.items) > len(room.items)):
                room = dup
                if not prune:
                    break
        if len(chain.dups) == 1:
            last = chain.dups.pop()
            last.chain = None
            self._take_place(chain, last)
            self.chains.remove(chain)
            return last, room
        if room and chain.dups[0] is not room and self._has_room(room, besides=1):
            chain.dups.remove(room)
            chain.dups.insert(0, room)
        return chain, room

    def _take_place(self, out, item):
        tree = self.stable
        tree.child[item], tree.red[item], tree.parent[item] = tree.child[out], tree.red[out], 0
        tree._replace(out, item)
        for child in filter(None, tree.child[item]):
            tree.parent[child] = item
        del tree.child[out], tree.red[out], tree.parent[out]

    def _make_stable(self, frame):
        node = frame.node = Node(frame)
        self.nodes.add(node)
        found, place, _ = self._find_stable(frame.content, may_prune=False)
        if not found:
            self.stable.insert(node, *place)
            return node
        if isinstance(found, Node):
            chain = Chain(self.now)
            self._take_place(found, chain)
            chain.dups.append(found)
            found.chain = chain
            self.chains.add(chain)
            found = chain
        found.dups.insert(0, node)
        node.chain = found
        return node

    def _remove(self, at):
        """A stable node whose page is gone, or an empty chain: what hangs on it hangs on nothing."""
        if isinstance(at, Chain):
            self.stable.erase(at)
            self.chains.remove(at)
            return
        if at.chain:
            at.chain.dups.remove(at)
            at.chain = None
        else:
            self.stable.erase(at)
        self.nodes.remove(at)
        for key in at.items:
            self._unhang(self.items[key])

    def _attach(self, key, node):
        self.items[key].node = node
        node.items.add(key)

    def _drop(self, key):
        """An item leaves the unstable tree, or its stable node."""
        item = self.items[key]
        if item.where == "tree":
            self.unstable.erase(key)
        item.where = None
        node = item.node
        if node:
            if self.memory.is_gone(node.frame):
                self._remove(node)
            else:
                node.items.remove(key)
                self._unhang(item)

    def _unhang(self, item):
        item.node = None
        if self._forgets():
            item.age = item.skips = item.checksum = 0

    def _forgets(self):
        return self.settings.get("unmerged_items") == "new"
