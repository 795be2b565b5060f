"""The machine under pksmd, whatever happens to it: against a dict of bytes, against its slow twin, and at rest against
what must be shared."""

import numpy as np
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from model.machine import Frame, Slot, Zero
from model.machine import Machine as Twin
from pksm import native, tunables
from pksm.errors import PksmError
from pksm.machine import Machine
from pksm.machine.fault import is_pksm_zero
from pksm.machine.tables import LEAF, LIMIT, SWAPPED, maps_frame, value_of
from pksm.pksmd import Pksmd
from twins import ORDERS

PAGE_SIZE = 64
FRAMES = 160
BASES = (LEAF - 6, 4 * LEAF, 9 * LEAF + 3)  # where regions begin: one straddles two leaves
REGION = 12  # pages
WAKES_TO_REST = 80

contents = st.sampled_from(
    [bytes(PAGE_SIZE), b"\1" * PAGE_SIZE, bytes(PAGE_SIZE - 1) + b"\1", b"\1" + bytes(PAGE_SIZE - 1), b"ab" * 32, b"abcd" * 16]
)


class Watched(Machine):
    """Tells the twin what the policy merges."""

    twin, label = None, None

    def merge(self, pages, kpages):
        refused = super().merge(pages, kpages)
        assert refused is None, "classes had said that these could be merged"
        for page, kpage in zip(pages.tolist(), kpages.tolist(), strict=True):
            self.twin.merge(self.label[page], self.label[kpage])
        return refused

    def merge_zero(self, pages):
        refused = super().merge_zero(pages)
        assert refused is None
        for page in pages.tolist():
            self.twin.merge_zero(self.label[page])
        return refused


class MachineUnderPksmd(RuleBasedStateMachine):
    """Every operation is done to the machine, to its twin, and to `memory`: (mm, page) -> bytes."""

    @initialize(order=st.sampled_from(ORDERS), pages_to_scan=st.sampled_from([3, 40]), births=st.sampled_from(["all", "anonymous"]))
    def start(self, order, pages_to_scan, births):
        self.machine = Watched(FRAMES, PAGE_SIZE, births=births)
        fixed = tunables.preset("fixed").with_(order=order, pages_to_scan=pages_to_scan)
        self.daemon = Pksmd(self.machine, fixed)
        self.twin = self.machine.twin = Twin(PAGE_SIZE)
        self.memory, self.mms, self.pinned, self.locked = {}, {}, [], []
        self.moved = 0
        self.spawn()
        self.mmap_some(1, 0, 0, REGION, False)
        event(f"{order}, births {births}")

    # ---- what to do it to ----

    def draw_range(self, data, mapped=True):
        """Draw (mm, first, n): within one region; all mapped, or nothing (None)."""
        mm = data.draw(st.sampled_from(sorted(self.mms)))
        area = self.twin.mms[mm]
        if not area:
            return None
        first = data.draw(st.sampled_from(sorted(area)))
        n = data.draw(st.integers(1, REGION))
        pages = range(first, first + n)
        if mapped:
            while pages and pages[-1] not in area or not all(page in area for page in pages):
                pages = pages[:-1]
        return mm, first, len(pages)

    def address(self, page):
        return page * PAGE_SIZE

    def attempt(self, operation):
        """Do it; False if the machine is out of frames, and then nothing may have changed."""
        try:
            operation()
        except PksmError as error:
            assert "out of frames" in str(error)
            event("out of frames")
            return False
        return True

    def wheres(self, mm, pages):
        return [(mm, page) for page in pages]

    def writable(self, mm, pages):
        return all(self.twin.mms[mm][page].writable for page in pages)

    # ---- address spaces ----

    @precondition(lambda self: len(self.mms) < 4)
    @rule()
    def spawn(self):
        mm = self.machine.spawn()
        self.mms[mm.id] = mm
        self.twin.mms[mm.id] = {}

    @precondition(lambda self: len(self.mms) < 5)
    @rule(data=st.data())
    def fork(self, data):
        parent = data.draw(st.sampled_from(sorted(self.mms)))
        child = self.machine.fork(self.mms[parent])
        self.mms[child.id] = child
        self.twin.fork(parent, child.id)
        self.memory.update({(child.id, page): content for (mm, page), content in self.memory.items() if mm == parent})

    @precondition(lambda self: len(self.mms) > 1)
    @rule(data=st.data())
    def exit(self, data):
        mm = data.draw(st.sampled_from(sorted(self.mms)))
        self.machine.exit(self.mms.pop(mm))
        self.twin.exit(mm)
        self.memory = {where: content for where, content in self.memory.items() if where[0] != mm}

    def mmap_some(self, mm, base, offset, n, stack, writable=True):
        pages = range(BASES[base] + offset, BASES[base] + min(offset + n, REGION))
        if not pages or any(page in self.twin.mms[mm] for page in pages):
            return
        address = self.address(pages[0])
        assert self.machine.mmap(self.mms[mm], len(pages), address, stack=stack, writable=writable) == address
        self.twin.mmap(mm, pages, stack=stack, writable=writable)

    @rule(
        data=st.data(),
        base=st.integers(0, len(BASES) - 1),
        offset=st.integers(0, REGION - 1),
        n=st.integers(1, REGION),
        stack=st.sampled_from([False, False, False, True]),
    )
    def mmap(self, data, base, offset, n, stack):
        self.mmap_some(data.draw(st.sampled_from(sorted(self.mms))), base, offset, n, stack)

    @rule(data=st.data())
    def munmap(self, data):
        mm, first, n = self.draw_range(data, mapped=False) or (None, 0, 0)
        if mm is not None:
            self.machine.munmap(self.mms[mm], self.address(first), n)
            self.twin.munmap(mm, range(first, first + n))
            self.forget(mm, first, n)

    def forget(self, mm, first, n):
        for page in range(first, first + n):
            self.memory.pop((mm, page), None)

    @rule(data=st.data())
    def mremap(self, data):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is None:
            return
        self.moved += 1
        to = (20 + self.moved) * LEAF
        try:
            self.machine.mremap(self.mms[mm], self.address(first), n, self.address(to))
        except PksmError as error:
            assert "several mappings" in str(error)
            return
        self.twin.move(mm, range(first, first + n), to - first)
        for page in range(first, first + n):
            if (mm, page) in self.memory:
                self.memory[mm, page + to - first] = self.memory.pop((mm, page))

    @rule(data=st.data(), writable=st.booleans())
    def mprotect(self, data, writable):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is not None:
            self.machine.mprotect(self.mms[mm], self.address(first), n, writable)
            for page in range(first, first + n):
                self.twin.mms[mm][page].writable = writable

    @rule(data=st.data())
    def mlock(self, data):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is None:
            return
        pages = range(first, first + n)
        if self.attempt(lambda: self.machine.mlock(self.mms[mm], self.address(first), n)):
            for page in pages:
                self.twin.mms[mm][page].locked = True
                if self.twin.mms[mm][page].writable:
                    self.write_twin(mm, page, self.content(mm, page))
            self.see_what_came_back()

    @rule(data=st.data())
    def munlock(self, data):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is not None:
            self.machine.munlock(self.mms[mm], self.address(first), n)
            for page in range(first, first + n):
                self.twin.mms[mm][page].locked = False

    @rule(data=st.data())
    def dontneed(self, data):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is not None:
            self.machine.madvise(self.mms[mm], self.address(first), n, "DONTNEED")
            self.twin.dontneed(mm, range(first, first + n))
            self.forget(mm, first, n)

    # ---- memory ----

    def content(self, mm, page):
        return self.memory.get((mm, page), bytes(PAGE_SIZE))

    def write_twin(self, mm, page, content):
        """The machine has written already: what it did to a swapped page that others have too, it says itself."""
        target = self.twin.ptes.get((mm, page))
        (self.twin.write_swapped if isinstance(target, Slot) else self.twin.write)(mm, page, content)
        self.memory[mm, page] = content

    @rule(data=st.data())
    def write(self, data):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is None or not self.writable(mm, range(first, first + n)):
            return
        new = data.draw(st.lists(contents, min_size=n, max_size=n))
        if self.attempt(lambda: self.machine.write(self.mms[mm], self.address(first), b"".join(new))):
            for page, content in enumerate(new, first):
                self.write_twin(mm, page, content)
            self.see_what_came_back()

    @rule(data=st.data(), word=st.integers(0, PAGE_SIZE // 4 - 1), value=st.sampled_from([0, 1, 0x01010101]))
    def patch(self, data, word, value):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        pages = data.draw(st.lists(st.sampled_from(range(max(n, 1))), min_size=1, max_size=5))
        if mm is None or not self.writable(mm, [first + page for page in pages]):
            return
        patches = [(page, word, value) for page in pages]
        if self.attempt(lambda: self.machine.patch(self.mms[mm], self.address(first), patches)):
            for page in set(pages):
                content = bytearray(self.content(mm, first + page))
                content[4 * word : 4 * word + 4] = value.to_bytes(4, "little")
                self.write_twin(mm, first + page, bytes(content))
            self.see_what_came_back()

    @rule(data=st.data())
    def read(self, data):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is None:
            return
        got = []
        if self.attempt(lambda: got.extend(self.machine.read(self.mms[mm], self.address(first), n))):
            assert [bytes(page) for page in got] == [self.content(mm, page) for page in range(first, first + n)]
            self.see_what_came_back()

    # ---- frames ----

    def twin_frames(self, mm, first, n):
        """The frames of a range, each once, if every page has one; else those it has."""
        targets = [self.twin.ptes.get((mm, page)) for page in range(first, first + n)]
        return dict.fromkeys(target for target in targets if isinstance(target, Frame)), all(isinstance(t, Frame) for t in targets)

    @rule(data=st.data(), lock=st.booleans())
    def hold(self, data, lock):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is None:
            return
        frames, complete = self.twin_frames(mm, first, n)
        once = len(frames) == n and not any(frame.locked for frame in frames)
        if not complete or not once:
            return
        if lock:
            self.locked.append((self.machine.lock_page(self.mms[mm], self.address(first), n), list(frames)))
        else:
            self.pinned.append((self.machine.pin(self.mms[mm], self.address(first), n), list(frames)))
        for frame in frames:
            frame.locked, frame.pins = frame.locked or lock, frame.pins + (not lock)
            self.twin.held.add(frame)

    def let_go(self, held, lock):
        numbers, frames = held
        (self.machine.unlock_page if lock else self.machine.unpin)(numbers)
        for frame in frames:
            if lock:
                frame.locked = False
            else:
                frame.pins -= 1
            if not frame.busy:
                self.twin.held.discard(frame)
                if not any(frame.content):
                    self.unlocked_zero.add(frame)

    unlocked_zero = set()

    @precondition(lambda self: self.locked)
    @rule()
    def unlock(self):
        self.let_go(self.locked.pop(), True)

    @precondition(lambda self: self.pinned)
    @rule()
    def unpin(self):
        self.let_go(self.pinned.pop(), False)

    @rule(data=st.data())
    def swap_out(self, data):
        mm, first, n = self.draw_range(data, mapped=False) or (None, 0, 0)
        if mm is not None:
            self.machine.swap_out(self.mms[mm], self.address(first), n)
            self.twin.swap_out(self.twin_frames(mm, first, n)[0])

    @rule(data=st.data())
    def migrate(self, data):
        mm, first, n = self.draw_range(data, mapped=False) or (None, 0, 0)
        if mm is None:
            return
        frames = [frame for frame in self.twin_frames(mm, first, n)[0] if not frame.busy]
        moved = []
        if self.attempt(lambda: moved.append(self.machine.migrate(self.mms[mm], self.address(first), n))):
            assert moved == [len(frames)]
            for frame in frames:
                if frame.slot:
                    frame.slot.frame = frame.slot = None

    @rule(data=st.data())
    def unmerge(self, data):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is not None and self.attempt(
            lambda: self.machine.madvise(self.mms[mm], self.address(first), n, "UNMERGEABLE")
        ):
            self.twin.unmerge(self.wheres(mm, range(first, first + n)))

    @rule(data=st.data())
    def split(self, data):
        ksm = [number for number, frame in sorted(self.machine.label.items()) if frame.ksm]
        if ksm:
            chosen = data.draw(st.lists(st.sampled_from(ksm), min_size=1, max_size=3, unique=True))
            frames = [self.machine.label[number] for number in chosen]
            if self.attempt(lambda: self.machine.split(np.array(chosen, np.uint32))):
                self.twin.unmerge([where for frame in frames for where in list(frame.mappers)])

    # ---- the policy ----

    @rule(times=st.integers(1, 4))
    def wake(self, times):
        for _ in range(times):
            self.daemon.wake()
            self.compare()

    @rule()
    def rest(self):
        """Nobody holds a page, every page has been summed since it changed: all that can be shared is."""
        while self.locked:
            self.unlock()
        while self.pinned:
            self.unpin()
        self.compare()
        before = self.daemon.tunables
        self.daemon.tunables = before.with_(sleep_millisecs=1000, period_seconds=1)
        self.daemon.wake()
        for _ in range(WAKES_TO_REST):
            self.compare()
            if self.daemon.at_rest:
                break
            self.daemon.wake()
        self.daemon.tunables = before
        assert self.daemon.at_rest
        self.compare()
        if before.order != "content" and self.machine.births == "all":  # order of content: see test_pksmd
            self.all_is_shared()

    def all_is_shared(self):
        frames = self.twin.frames()
        spoiled = {frame.content for frame in frames if frame.unfit}
        eligible = [frame for frame in frames if frame.content not in spoiled]
        zero = [frame for frame in eligible if not any(frame.content)]
        assert set(zero) <= self.unlocked_zero
        left = [frame.content for frame in eligible if any(frame.content)]
        assert len(set(left)) == len(left), "a duplicate is not shared"
        event("all shared" if any(frame.ksm for frame in eligible) else "nothing to share")

    # ---- are they the same? ----

    def see(self):
        """Return {(mm, page): (kind, number)} from the machine's page tables."""
        seen = {}
        for mm in self.mms.values():
            pages, slots = self.machine.tables.existing(mm.root, 0, LIMIT)
            ptes = self.machine.tables.ptes[slots]
            kinds = {"frame": maps_frame(ptes), "slot": (ptes & SWAPPED) != 0, "zero": is_pksm_zero(ptes)}
            for kind, mask in kinds.items():
                numbers = value_of(ptes[mask]).tolist()
                seen.update({(mm.id, page): (kind, number) for page, number in zip(pages[mask].tolist(), numbers, strict=True)})
        return seen

    def see_what_came_back(self):
        """Pages that the machine has swapped in: which of them share a frame is for it to say."""
        came_back = {}
        label = {}
        seen = self.see()
        for where, target in self.twin.ptes.items():
            if isinstance(target, Frame) and where in seen:
                label[seen[where][1]] = target
        for where, (kind, number) in seen.items():
            if kind == "frame" and isinstance(self.twin.ptes.get(where), Slot):
                came_back.setdefault(number, []).append(where)
        for number, wheres in came_back.items():
            if number in label:  # found in the swap cache
                frame = label[number]
                assert frame.slot is self.twin.ptes[wheres[0]]
                for where in wheres:
                    self.twin._map(where, frame)
            else:
                slot, frame = self.twin.came_back(wheres)
                if self.machine.frames.has(np.array([number]), 8).any():
                    assert slot.users and not slot.frame
                    frame.slot, slot.frame = slot, frame

    def compare(self):
        machine, twin = self.machine, self.twin
        seen = self.see()
        assert seen.keys() == twin.ptes.keys()
        label, slot_of = {}, {}
        for where, (kind, number) in seen.items():
            target = twin.ptes[where]
            assert (target is Zero) == (kind == "zero") and isinstance(target, Slot) == (kind == "slot")
            if kind == "frame":
                assert label.setdefault(number, target) is target
            elif kind == "slot":
                assert slot_of.setdefault(number, target) is target
        assert len(set(label.values())) == len(label) and len(set(slot_of.values())) == len(slot_of)
        for numbers, frames in self.locked + self.pinned:
            label.update(zip(numbers.tolist(), frames, strict=True))
        machine.label = label
        assert set(label.values()) == twin.frames()
        table = machine.frames
        for number, frame in label.items():
            assert table.mapcount[number] == len(frame.mappers) and table.count[number] == frame.count
            flags = [bool(table.flags[number] & bit) for bit in (2, 8, 16, 32, 128)]
            assert flags == [frame.locked, frame.slot is not None, twin.mlocked(frame), frame.ksm, frame.unfit]
            fit = native.WALK_FAILS if frame.unfit else native.FREE
            assert machine.classes[number] == (native.BUSY_PAGE if frame.busy else fit)
            assert bytes(table.memory[number]) == frame.content
        users = twin.users_of_slots()
        assert {number: int(machine.swap.users[number]) for number in slot_of} == {n: users[slot] for n, slot in slot_of.items()}
        assert len(machine.swap) == len(slot_of) and table.n_free == FRAMES - len(label)
        assert machine.pages_zero_sharing == twin.zero_ptes
        assert machine.pages_sharing == twin.pages_sharing
        assert machine.frames_saved == twin.frames_saved

    @invariant()
    def everything_is_in_order(self):
        self.compare()
        self.machine.check()
        self.daemon.check()
        for (mm, page), content in self.memory.items():
            assert self.twin.content(mm, page) == content
        for (mm, page) in self.twin.ptes:
            assert self.twin.content(mm, page) == self.content(mm, page)
        if self.machine.births == "all":
            tracked = np.flatnonzero(self.daemon.items._item_of_page).tolist()
            assert tracked == sorted(self.machine.label)


TestMachine = MachineUnderPksmd.TestCase
