"""The machine under pksmd and its slow twin, side by side, with a dict of the bytes that everybody must read."""

import numpy as np
from hypothesis import event

from pksm.engine import native
from pksm.hosts.machine import Machine
from pksm.hosts.machine import frames as flag
from pksm.hosts.machine.fault import is_pksm_zero
from pksm.hosts.machine.page_tables import LIMIT, SWAPPED, maps_frame, value_of
from pksm.policies.pksmd.daemon import Pksmd

from model.machine import Frame, Slot, Zero
from model.machine import Machine as Twin


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


class Pair:
    """memory: (mm, page) -> bytes, where written; mms: id -> Mm; pinned, locked: (frame numbers, twin's frames)."""

    def __init__(self, frames, page_size, tunables, births):
        self.machine = Watched(frames, page_size, births=births)
        self.daemon = Pksmd(self.machine, tunables)
        self.twin = self.machine.twin = Twin(page_size)
        self.memory, self.mms, self.pinned, self.locked = {}, {}, [], []
        self.unlocked_zero = set()  # zero pages that were busy for a while

    def see(self):
        """Return {(mm, page): (kind, number)} from the machine's page tables."""
        seen = {}
        for mm in self.mms.values():
            for pages, slots in self.machine.tables.existing(mm.root, 0, LIMIT):
                ptes = self.machine.tables.ptes[slots]
                kinds = {"frame": maps_frame(ptes), "slot": (ptes & SWAPPED) != 0, "zero": is_pksm_zero(ptes)}
                for kind, mask in kinds.items():
                    where = [(mm.id, page) for page in pages[mask].tolist()]
                    numbers = value_of(ptes[mask]).tolist()
                    seen.update({at: (kind, number) for at, number in zip(where, numbers, strict=True)})
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
                if self.machine.frames.has(np.array([number]), flag.SWAP_CACHE).any():
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
            bits = flag.LOCKED, flag.SWAP_CACHE, flag.MLOCKED, flag.KSM, flag.UNFIT
            flags = [bool(table.flags[number] & bit) for bit in bits]
            assert flags == [frame.locked, frame.slot is not None, twin.mlocked(frame), frame.ksm, frame.unfit]
            fit = native.WALK_FAILS if frame.unfit else native.FREE
            assert machine.classes[number] == (native.BUSY_PAGE if frame.busy else fit)
            assert bytes(table.memory[number]) == frame.content
        users = twin.users_of_slots()
        assert all(machine.swap.users[number] == users[slot] for number, slot in slot_of.items())
        assert len(machine.swap) == len(slot_of) and table.n_free == table.n - len(label)
        assert machine.pages_zero_sharing == twin.zero_ptes
        assert machine.pages_sharing == twin.pages_sharing
        assert machine.frames_saved == twin.frames_saved

    def check(self):
        """Raise AssertionError unless everything is in order and everybody reads what was written."""
        self.compare()
        self.machine.check()
        self.daemon.check()
        for mm, page in self.memory.keys() | self.twin.ptes.keys():
            assert self.twin.content(mm, page) == self.content(mm, page)
        if self.machine.births == "all":
            tracked = np.flatnonzero(self.daemon.items._item_of_page).tolist()
            assert tracked == sorted(self.machine.label)

    def content(self, mm, page):
        """What a virtual page must read as."""
        return self.memory.get((mm, page), bytes(self.machine.page_size))

    def all_is_shared(self):
        """Raise AssertionError if pages of equal bytes, that may be merged, are not."""
        frames = self.twin.frames()
        spoiled = {frame.content for frame in frames if frame.unfit}
        eligible = [frame for frame in frames if frame.content not in spoiled]
        zero = [frame for frame in eligible if not any(frame.content)]
        assert set(zero) <= self.unlocked_zero, "a zero page is not merged"  # those met while busy wait for ever
        left = [frame.content for frame in eligible if any(frame.content)]
        assert len(set(left)) == len(left), "a duplicate is not shared"
        event("all shared" if any(frame.ksm for frame in eligible) else "nothing to share")
