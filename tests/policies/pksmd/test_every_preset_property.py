"""pksmd with every preset on the machine, whatever happens to the memory: no merge ever changes what anybody reads, and
machine, items, lists and trees are in order after every step."""

import sys

import numpy as np
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pksm.errors import PksmError
from pksm.hosts.machine import Machine
from pksm.hosts.machine.page_tables import LEAF, SWAPPED, maps_frame, value_of
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd
from pksm.simulation import Simulation

PAGE_SIZE = 64
WORDS = PAGE_SIZE // 4
FRAMES = 3 * LEAF
BASES = (LEAF - 4, 5 * LEAF)  # the first straddles two leaves
REGION = 10  # pages
HUGE = 9 * LEAF
MAX_PROCESSES = 5

ids = st.integers(0, 5)
words = st.tuples(st.integers(0, WORDS - 1), st.sampled_from([0, 1, 0x01010101]))
variations = st.fixed_dictionaries(
    {},
    optional={
        "births": st.sampled_from(["all", "anonymous"]),
        "reclaim": st.sampled_from(["del-list", "immediate"]),
        "update": st.sampled_from(tunables.SETTINGS["update"].metadata["choices"]),
        "order": st.sampled_from(["content", "checksum", "checksum-content"]),
    },
)


def page_of(id):
    """Contents that look alike: they differ in a word or two, and only some of these are sampled."""
    page = bytearray(PAGE_SIZE)
    page[0], page[PAGE_SIZE - 1] = id > 2, id % 3
    return bytes(page)


class EveryPreset(RuleBasedStateMachine):
    """memory: {(process, page): bytes}, what must be read; areas: {process: {page: may be written}}."""

    @initialize(
        preset=st.sampled_from(list(tunables.PRESETS)),
        changes=variations,
        pages_to_scan=st.sampled_from([2, 7, 100]),
        sampled=st.integers(0, 3),
        written=st.lists(ids, min_size=REGION, max_size=REGION),
        forks=st.integers(0, 2),
    )
    def start(self, preset, changes, pages_to_scan, sampled, written, forks):
        order = changes.get("order", tunables.preset(preset).order)
        if changes.get("update") == "on-search" and order == "content":
            del changes["update"]
        chosen = tunables.preset(preset).with_(**{"pages_to_scan": pages_to_scan, **changes})
        self.machine = Machine(FRAMES, PAGE_SIZE)
        self.daemon = Pksmd(self.machine, chosen, seed=sampled)
        self.sim = Simulation(self.machine, self.daemon)
        self.memory, self.areas, self.mms, self.held = {}, {}, {}, []
        self.number = 0
        self.spawn()
        self.map(1, 0, REGION)
        self.put(1, BASES[0], written)
        for _ in range(forks):
            self.fork_from(1)
        event(preset)

    # ---- drawing ----

    def process(self, data):
        return data.draw(st.sampled_from(sorted(self.mms)))

    def range_of(self, data, writable=False):
        """Draw (process, first page, n): all mapped (and writable), or None."""
        process = self.process(data)
        area = [page for page, may in self.areas[process].items() if may or not writable]
        if not area:
            return None
        first = data.draw(st.sampled_from(sorted(area)))
        n = data.draw(st.integers(1, REGION))
        while n > 1 and not all(page in area for page in range(first, first + n)):
            n -= 1
        return process, first, n

    def attempt(self, work):
        """Do it; False if frames are lacking."""
        try:
            work()
        except PksmError as error:
            assert "free frames" in str(error) or "out of frames" in str(error)
            event("out of frames")
            return False
        return True

    def at(self, page):
        return page * PAGE_SIZE

    # ---- address spaces ----

    @precondition(lambda self: len(self.mms) < MAX_PROCESSES)
    @rule()
    def spawn(self):
        self.number += 1
        self.mms[self.number], self.areas[self.number] = self.machine.spawn(), {}

    @precondition(lambda self: len(self.mms) < MAX_PROCESSES)
    @rule(data=st.data())
    def fork(self, data):
        self.fork_from(self.process(data))

    def fork_from(self, parent):
        self.number += 1
        child = self.number
        self.mms[child], self.areas[child] = self.machine.fork(self.mms[parent]), dict(self.areas[parent])
        copies = {(child, page): content for (process, page), content in self.memory.items() if process == parent}
        self.memory.update(copies)

    @precondition(lambda self: len(self.mms) > 1)
    @rule(data=st.data())
    def exit(self, data):
        process = self.process(data)
        self.machine.exit(self.mms.pop(process))
        del self.areas[process]
        self.memory = {where: content for where, content in self.memory.items() if where[0] != process}

    def map(self, process, base, n, offset=0, stack=False):
        pages = range(BASES[base] + offset, BASES[base] + min(offset + n, REGION))
        if pages and not any(page in self.areas[process] for page in pages):
            self.machine.mmap(self.mms[process], len(pages), self.at(pages[0]), stack=stack)
            self.areas[process].update(dict.fromkeys(pages, True))

    @rule(
        data=st.data(),
        base=st.integers(0, len(BASES) - 1),
        offset=st.integers(0, REGION - 1),
        n=st.integers(1, REGION),
        stack=st.sampled_from([False, False, True]),
    )
    def mmap(self, data, base, offset, n, stack):
        self.map(self.process(data), base, n, offset, stack)

    @rule(data=st.data(), keeping=st.booleans())
    def munmap_or_dontneed(self, data, keeping):
        drawn = self.range_of(data)
        if not drawn:
            return
        process, first, n = drawn
        if keeping:
            self.machine.madvise(self.mms[process], self.at(first), n, "DONTNEED")
        else:
            self.machine.munmap(self.mms[process], self.at(first), n)
        for page in range(first, first + n):
            self.memory.pop((process, page), None)
            if not keeping:
                del self.areas[process][page]

    @rule(data=st.data())
    def mremap(self, data):
        drawn = self.range_of(data)
        if not drawn:
            return
        process, first, n = drawn
        self.number += 1
        to = (20 + self.number) * LEAF
        try:
            self.machine.mremap(self.mms[process], self.at(first), n, self.at(to))
        except PksmError as error:
            assert "several mappings" in str(error)
            return
        for page in range(n):
            self.areas[process][to + page] = self.areas[process].pop(first + page)
            if (process, first + page) in self.memory:
                self.memory[process, to + page] = self.memory.pop((process, first + page))

    @rule(data=st.data(), writable=st.booleans())
    def mprotect(self, data, writable):
        drawn = self.range_of(data)
        if drawn:
            process, first, n = drawn
            self.machine.mprotect(self.mms[process], self.at(first), n, writable)
            self.areas[process].update(dict.fromkeys(range(first, first + n), writable))

    @rule(data=st.data(), locking=st.booleans())
    def mlock(self, data, locking):
        drawn = self.range_of(data)
        if drawn:
            process, first, n = drawn
            work = self.machine.mlock if locking else self.machine.munlock
            self.attempt(lambda: work(self.mms[process], self.at(first), n))

    @rule(data=st.data())
    def unmerge(self, data):
        drawn = self.range_of(data)
        if drawn:
            process, first, n = drawn
            self.attempt(lambda: self.machine.madvise(self.mms[process], self.at(first), n, "UNMERGEABLE"))

    # ---- memory ----

    def put(self, process, first, new):
        contents = [page_of(id) for id in new]
        if self.attempt(lambda: self.machine.write(self.mms[process], self.at(first), b"".join(contents))):
            self.memory.update({(process, first + i): content for i, content in enumerate(contents)})

    @rule(data=st.data())
    def write(self, data):
        drawn = self.range_of(data, writable=True)
        if drawn:
            process, first, n = drawn
            self.put(process, first, data.draw(st.lists(ids, min_size=n, max_size=n)))

    @rule(data=st.data(), patch=words)
    def patch(self, data, patch):
        drawn = self.range_of(data, writable=True)
        if drawn:
            process, first, n = drawn
            word, value = patch
            patches = [(page, word, value) for page in range(n)]
            if self.attempt(lambda: self.machine.patch(self.mms[process], self.at(first), patches)):
                for page in range(first, first + n):
                    content = bytearray(self.memory.get((process, page), bytes(PAGE_SIZE)))
                    content[4 * word : 4 * word + 4] = value.to_bytes(4, "little")
                    self.memory[process, page] = bytes(content)

    @rule(data=st.data())
    def read(self, data):
        drawn = self.range_of(data)
        if drawn:
            process, first, n = drawn
            self.attempt(lambda: self.machine.touch(self.mms[process], self.at(first), n))

    # ---- frames ----

    @rule(data=st.data(), locking=st.booleans())
    def hold(self, data, locking):
        drawn = self.range_of(data)
        if not drawn:
            return
        process, first, n = drawn
        take = self.machine.lock_page if locking else self.machine.pin
        release = self.machine.unlock_page if locking else self.machine.unpin
        try:
            self.held.append((release, take(self.mms[process], self.at(first), n)))
        except PksmError as error:
            assert "has a frame" in str(error) or "locked already" in str(error)

    @precondition(lambda self: self.held)
    @rule()
    def release(self):
        release, held = self.held.pop()
        release(held)

    @rule(data=st.data(), what=st.sampled_from(["swap_out", "swap_in", "migrate", "thp_split"]))
    def move(self, data, what):
        drawn = self.range_of(data)
        if drawn:
            process, first, n = drawn
            self.attempt(lambda: getattr(self.machine, what)(self.mms[process], self.at(first), n))

    @rule(data=st.data(), keep=st.integers(1, 8))
    def huge(self, data, keep):
        """A huge page of zeros, of which only the first few pages are kept."""
        process = self.process(data)
        if HUGE in self.areas[process] or any(page in self.areas[process] for page in range(HUGE, HUGE + LEAF)):
            return
        mm = self.mms[process]
        self.machine.mmap(mm, LEAF, self.at(HUGE))
        self.attempt(lambda: self.machine.thp_fault(mm, self.at(HUGE)))
        self.machine.munmap(mm, self.at(HUGE + keep), LEAF - keep)
        self.areas[process].update(dict.fromkeys(range(HUGE, HUGE + keep), True))

    # ---- the policy ----

    @rule(times=st.integers(1, 5))
    def wake(self, times):
        for _ in range(times):
            self.sim.run(self.sim.now + self.daemon.tunables.sleep_millisecs + 1)
            self.everything_is_in_order()

    @rule(run=st.sampled_from([0, 1, 1, 1, 2]))
    def switch(self, run):
        self.attempt(lambda: self.sim.set("run", run))

    @rule(period=st.sampled_from([1, 10]), pages_to_scan=st.sampled_from([2, 7, 100]))
    def tune(self, period, pages_to_scan):
        self.sim.set("period_seconds", period)
        self.sim.set("pages_to_scan", pages_to_scan)

    # ---- what must be so ----

    @invariant()
    def everything_is_in_order(self):
        self.machine.check()
        self.daemon.check()
        memory, swap, tables = self.machine.frames.memory, self.machine.swap, self.machine.tables
        for process, mm in self.mms.items():
            pages = np.array(sorted(self.areas[process]), np.int64)
            ptes = tables.ptes[tables.slots(mm.root, pages)]
            found = np.zeros((len(pages), PAGE_SIZE), np.uint8)
            mapped, swapped = maps_frame(ptes), (ptes & SWAPPED) != 0
            found[mapped] = memory[value_of(ptes[mapped])]
            found[swapped] = swap._memory[value_of(ptes[swapped])]
            expected = b"".join(self.memory.get((process, page), bytes(PAGE_SIZE)) for page in pages.tolist())
            assert found.tobytes() == expected, "somebody reads other bytes than were written"

    def teardown(self):
        if hasattr(self, "machine") and sys.exception() is None:
            self.rest()

    def rest(self):
        """What nobody holds is merged; and after everybody has exited nothing is left."""
        while self.held:
            self.release()
        self.attempt(lambda: self.sim.set("run", 1))
        self.wake(30)
        for mm in self.mms.values():
            self.machine.exit(mm)
        self.mms, self.areas, self.memory = {}, {}, {}
        self.wake(3)
        faults = self.daemon.tunables.faults
        if not (faults.ref_leak or faults.mlock_hang):  # these keep frames, or items, for ever
            assert self.machine.frames_used == self.daemon.counters()["rmap_items"] == 0


TestEveryPreset = EveryPreset.TestCase
TestEveryPreset.settings = settings(stateful_step_count=100)
