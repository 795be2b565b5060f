"""The machine under pksmd, whatever happens to it: against a dict of bytes, against its slow twin, and at rest against
what must be shared."""

import sys

import numpy as np
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pksm.errors import PksmError
from pksm.hosts.machine.page_tables import LEAF
from pksm.policies.pksmd import tunables

from model.machine import Frame, Slot
from support.machine_pair import Pair
from support.twins import ORDERS

PAGE_SIZE = 64
FRAMES = 160
BASES = (LEAF - 6, 4 * LEAF, 9 * LEAF + 3)  # where regions begin: one straddles two leaves
REGION = 12  # pages
WAKES_TO_REST = 80

ZEROS = bytes(PAGE_SIZE - 1)
contents = st.sampled_from([ZEROS + b"\0", ZEROS + b"\1", b"\1" + ZEROS, b"\1" * PAGE_SIZE, b"ab" * 32, b"abcd" * 16])


class MachineUnderPksmd(RuleBasedStateMachine):
    """Every operation is done to the machine, to its twin, and to the bytes that must be read."""

    @initialize(
        order=st.sampled_from(ORDERS),
        pages_to_scan=st.sampled_from([3, 40]),
        births=st.sampled_from(["all", "all", "anonymous"]),
        reclaim=st.sampled_from(["del-list", "immediate"]),
        update=st.sampled_from(["head", "rotate"]),  # not on-search, which need not find what has changed
        written=st.lists(contents, min_size=1, max_size=2 * REGION),
        forks=st.integers(0, 2),
    )
    def start(self, order, pages_to_scan, births, reclaim, update, written, forks):
        chosen = {"order": order, "pages_to_scan": pages_to_scan, "reclaim": reclaim, "update": update}
        fixed = tunables.preset("fixed").with_(**chosen)
        self.pair = Pair(FRAMES, PAGE_SIZE, fixed, births)
        self.moved = 0
        self.spawn()
        self.mmap_some(1, 0, 0, REGION, False)
        self.mmap_some(1, 1, 0, REGION, False)
        self.write_range(1, BASES[0], written[:REGION])
        self.write_range(1, BASES[1], written[REGION:])
        for _ in range(forks):
            self.fork_one(1)
        event(f"{order}, births {births}")

    # ---- what to do it to ----

    def draw_range(self, data, mapped=True):
        """Draw (mm, first, n): within one region; all mapped, or nothing (None)."""
        mm = data.draw(st.sampled_from(sorted(self.pair.mms)))
        area = self.pair.twin.mms[mm]
        if not area:
            return None
        first = data.draw(st.sampled_from(sorted(area)))
        n = data.draw(st.integers(1, REGION))
        pages = range(first, first + n)
        if mapped:
            while (pages and pages[-1] not in area) or not all(page in area for page in pages):
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
        return all(self.pair.twin.mms[mm][page].writable for page in pages)

    # ---- address spaces ----

    @precondition(lambda self: len(self.pair.mms) < 4)
    @rule()
    def spawn(self):
        mm = self.pair.machine.spawn()
        self.pair.mms[mm.id] = mm
        self.pair.twin.mms[mm.id] = {}

    @precondition(lambda self: len(self.pair.mms) < 5)
    @rule(data=st.data())
    def fork(self, data):
        self.fork_one(data.draw(st.sampled_from(sorted(self.pair.mms))))

    def fork_one(self, parent):
        child = self.pair.machine.fork(self.pair.mms[parent])
        self.pair.mms[child.id] = child
        self.pair.twin.fork(parent, child.id)
        parents = {page: content for (mm, page), content in self.pair.memory.items() if mm == parent}
        self.pair.memory.update({(child.id, page): content for page, content in parents.items()})

    @precondition(lambda self: len(self.pair.mms) > 1)
    @rule(data=st.data())
    def exit(self, data):
        mm = data.draw(st.sampled_from(sorted(self.pair.mms)))
        self.pair.machine.exit(self.pair.mms.pop(mm))
        self.pair.twin.exit(mm)
        self.pair.memory = {where: content for where, content in self.pair.memory.items() if where[0] != mm}

    def mmap_some(self, mm, base, offset, n, stack, writable=True):
        pages = range(BASES[base] + offset, BASES[base] + min(offset + n, REGION))
        if not pages or any(page in self.pair.twin.mms[mm] for page in pages):
            return
        address = self.address(pages[0])
        assert self.pair.machine.mmap(self.pair.mms[mm], len(pages), address, stack=stack, writable=writable) == address
        self.pair.twin.mmap(mm, pages, stack=stack, writable=writable)

    @rule(
        data=st.data(),
        base=st.integers(0, len(BASES) - 1),
        offset=st.integers(0, REGION - 1),
        n=st.integers(1, REGION),
        stack=st.sampled_from([False, False, False, True]),
    )
    def mmap(self, data, base, offset, n, stack):
        self.mmap_some(data.draw(st.sampled_from(sorted(self.pair.mms))), base, offset, n, stack)

    @rule(data=st.data())
    def munmap(self, data):
        mm, first, n = self.draw_range(data, mapped=False) or (None, 0, 0)
        if mm is not None:
            self.pair.machine.munmap(self.pair.mms[mm], self.address(first), n)
            self.pair.twin.munmap(mm, range(first, first + n))
            self.forget(mm, first, n)

    def forget(self, mm, first, n):
        for page in range(first, first + n):
            self.pair.memory.pop((mm, page), None)

    @rule(data=st.data())
    def mremap(self, data):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is None:
            return
        self.moved += 1
        to = (20 + self.moved) * LEAF
        try:
            self.pair.machine.mremap(self.pair.mms[mm], self.address(first), n, self.address(to))
        except PksmError as error:
            assert "several mappings" in str(error)
            return
        self.pair.twin.move(mm, range(first, first + n), to - first)
        for page in range(first, first + n):
            if (mm, page) in self.pair.memory:
                self.pair.memory[mm, page + to - first] = self.pair.memory.pop((mm, page))

    @rule(data=st.data(), writable=st.booleans())
    def mprotect(self, data, writable):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is not None:
            self.pair.machine.mprotect(self.pair.mms[mm], self.address(first), n, writable)
            for page in range(first, first + n):
                self.pair.twin.mms[mm][page].writable = writable

    @rule(data=st.data())
    def mlock(self, data):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is None:
            return
        pages = range(first, first + n)
        if self.attempt(lambda: self.pair.machine.mlock(self.pair.mms[mm], self.address(first), n)):
            for page in pages:
                self.pair.twin.mms[mm][page].locked = True
                if self.pair.twin.mms[mm][page].writable:
                    self.write_twin(mm, page, self.pair.content(mm, page))
            self.pair.see_what_came_back()

    @rule(data=st.data())
    def munlock(self, data):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is not None:
            self.pair.machine.munlock(self.pair.mms[mm], self.address(first), n)
            for page in range(first, first + n):
                self.pair.twin.mms[mm][page].locked = False

    @rule(data=st.data())
    def dontneed(self, data):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is not None:
            self.pair.machine.madvise(self.pair.mms[mm], self.address(first), n, "DONTNEED")
            self.pair.twin.dontneed(mm, range(first, first + n))
            self.forget(mm, first, n)

    # ---- memory ----

    def write_twin(self, mm, page, content):
        """The machine has written already: what it did to a swapped page that others have too, it says itself."""
        target = self.pair.twin.ptes.get((mm, page))
        (self.pair.twin.write_swapped if isinstance(target, Slot) else self.pair.twin.write)(mm, page, content)
        self.pair.memory[mm, page] = content

    @rule(data=st.data())
    def write(self, data):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is None or not self.writable(mm, range(first, first + n)):
            return
        self.write_range(mm, first, data.draw(st.lists(contents, min_size=n, max_size=n)))

    def write_range(self, mm, first, new):
        if new and self.attempt(lambda: self.pair.machine.write(self.pair.mms[mm], self.address(first), b"".join(new))):
            for page, content in enumerate(new, first):
                self.write_twin(mm, page, content)
            self.pair.see_what_came_back()

    @rule(data=st.data(), word=st.integers(0, PAGE_SIZE // 4 - 1), value=st.sampled_from([0, 1, 0x01010101]))
    def patch(self, data, word, value):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        pages = data.draw(st.lists(st.sampled_from(range(max(n, 1))), min_size=1, max_size=5))
        if mm is None or not self.writable(mm, [first + page for page in pages]):
            return
        patches = [(page, word, value) for page in pages]
        if self.attempt(lambda: self.pair.machine.patch(self.pair.mms[mm], self.address(first), patches)):
            for page in set(pages):
                content = bytearray(self.pair.content(mm, first + page))
                content[4 * word : 4 * word + 4] = value.to_bytes(4, "little")
                self.write_twin(mm, first + page, bytes(content))
            self.pair.see_what_came_back()

    @rule(data=st.data())
    def read(self, data):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is None:
            return
        got = []
        if self.attempt(lambda: got.extend(self.pair.machine.read(self.pair.mms[mm], self.address(first), n))):
            assert [bytes(page) for page in got] == [self.pair.content(mm, page) for page in range(first, first + n)]
            self.pair.see_what_came_back()

    # ---- frames ----

    def twin_frames(self, mm, first, n):
        """The frames of a range, each once, if every page has one; else those it has."""
        targets = [self.pair.twin.ptes.get((mm, page)) for page in range(first, first + n)]
        frames = [target for target in targets if isinstance(target, Frame)]
        return dict.fromkeys(frames), len(frames) == n

    @rule(data=st.data(), lock=st.booleans())
    def hold(self, data, lock):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is None:
            return
        frames, complete = self.twin_frames(mm, first, n)
        once = len(frames) == n and not any(frame.locked for frame in frames)
        if not complete or not once:
            return
        take = self.pair.machine.lock_page if lock else self.pair.machine.pin
        held = take(self.pair.mms[mm], self.address(first), n), list(frames)
        (self.pair.locked if lock else self.pair.pinned).append(held)
        for frame in frames:
            frame.locked, frame.pins = frame.locked or lock, frame.pins + (not lock)
            self.pair.twin.held.add(frame)

    def release(self, held, lock):
        numbers, frames = held
        (self.pair.machine.unlock_page if lock else self.pair.machine.unpin)(numbers)
        for frame in frames:
            if lock:
                frame.locked = False
            else:
                frame.pins -= 1
            if not frame.busy:
                self.pair.twin.held.discard(frame)
                if not any(frame.content):
                    self.pair.unlocked_zero.add(frame)

    @precondition(lambda self: self.pair.locked)
    @rule()
    def unlock(self):
        self.release(self.pair.locked.pop(), True)

    @precondition(lambda self: self.pair.pinned)
    @rule()
    def unpin(self):
        self.release(self.pair.pinned.pop(), False)

    @rule(data=st.data())
    def swap_out(self, data):
        mm, first, n = self.draw_range(data, mapped=False) or (None, 0, 0)
        if mm is not None:
            self.pair.machine.swap_out(self.pair.mms[mm], self.address(first), n)
            self.pair.twin.swap_out(self.twin_frames(mm, first, n)[0])

    @rule(data=st.data())
    def migrate(self, data):
        mm, first, n = self.draw_range(data, mapped=False) or (None, 0, 0)
        if mm is None:
            return
        frames = [frame for frame in self.twin_frames(mm, first, n)[0] if not frame.busy]
        moved = []
        if self.attempt(lambda: moved.append(self.pair.machine.migrate(self.pair.mms[mm], self.address(first), n))):
            assert moved == [len(frames)]
            for frame in frames:
                if frame.slot:
                    frame.slot.frame = frame.slot = None

    @rule(data=st.data())
    def unmerge(self, data):
        mm, first, n = self.draw_range(data) or (None, 0, 0)
        if mm is not None and self.attempt(
            lambda: self.pair.machine.madvise(self.pair.mms[mm], self.address(first), n, "UNMERGEABLE")
        ):
            self.pair.twin.unmerge(self.wheres(mm, range(first, first + n)))

    @rule(data=st.data())
    def split(self, data):
        ksm = [number for number, frame in sorted(self.pair.machine.label.items()) if frame.ksm]
        if ksm:
            chosen = data.draw(st.lists(st.sampled_from(ksm), min_size=1, max_size=3, unique=True))
            frames = [self.pair.machine.label[number] for number in chosen]
            if self.attempt(lambda: self.pair.machine.split(np.array(chosen, np.uint32))):
                self.pair.twin.unmerge([where for frame in frames for where in list(frame.mappers)])

    # ---- the policy ----

    @rule(times=st.integers(1, 4))
    def wake(self, times):
        for _ in range(times):
            self.pair.daemon.wake()
            self.pair.compare()

    @rule()
    def rest(self):
        """Nobody holds a page, every page has been summed since it changed: all that can be shared is."""
        while self.pair.locked:
            self.unlock()
        while self.pair.pinned:
            self.unpin()
        self.pair.compare()
        before = self.pair.daemon.tunables
        self.pair.daemon.tunables = before.with_(sleep_millisecs=1000, period_seconds=1)
        self.pair.daemon.wake()
        for _ in range(WAKES_TO_REST):
            self.pair.compare()
            if self.pair.daemon.at_rest:
                break
            self.pair.daemon.wake()
        self.pair.daemon.tunables = before
        assert self.pair.daemon.at_rest
        self.pair.compare()
        if before.order != "content" and self.pair.machine.births == "all":  # order of content: see test_pksmd
            self.pair.all_is_shared()

    def teardown(self):
        if hasattr(self, "pair") and sys.exception() is None:
            self.rest()
            self.pair.check()

    @invariant()
    def everything_is_in_order(self):
        self.pair.check()


TestMachine = MachineUnderPksmd.TestCase
TestMachine.settings = settings(stateful_step_count=100)
