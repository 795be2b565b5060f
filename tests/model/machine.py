"""The machine with dicts: which frame each virtual page has, and nothing of how it is found.

A frame knows the virtual pages that map it, so there is no reverse map, no vma and no page table. What depends on vmas
is left open: whether a copy of an address space keeps ptes to the kernel's zero page (here they are as good as none),
and which of several ptes of one swapped page find each other again (`came_back` takes the machine's word for it).
"""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(eq=False)
class Frame:
    content: bytes
    mappers: set = field(default_factory=set)  # of (mm, page)
    pins: int = 0
    locked: bool = False
    ksm: bool = False
    unfit: bool = False
    slot: object = None  # in the swap cache

    @property
    def busy(self):
        return self.pins > 0 or self.locked

    @property
    def count(self):
        return len(self.mappers) + self.pins + self.locked + (self.slot is not None)


@dataclass(eq=False)
class Slot:
    content: bytes
    users: set = field(default_factory=set)
    frame: object = None  # in the swap cache


class Zero:
    """What ptes of pages merged with the zero page point to."""


@dataclass
class Area:
    """What a virtual page is allowed; one a page."""

    writable: bool = True
    locked: bool = False
    stack: bool = False


class Machine:
    """mms: id -> {page: Area}; ptes: (mm, page) -> Frame, Slot or Zero."""

    def __init__(self, page_size):
        self.page_size = page_size
        self.mms, self.ptes = {}, {}
        self.origin = {}  # (mm, page) -> the frame that its pte would point to if nothing was ever merged
        self.held = set()  # frames that are pinned or locked: they may have no mappers

    # ---- counters ----

    def frames(self):
        return {frame for frame in self.ptes.values() if isinstance(frame, Frame)} | self.held

    @property
    def zero_ptes(self):
        return sum(target is Zero for target in self.ptes.values())

    @property
    def pages_sharing(self):
        return sum(max(len(frame.mappers) - 1, 0) for frame in self.frames() if frame.ksm)

    @property
    def frames_saved(self):
        mapped = {where: target for where, target in self.ptes.items() if not isinstance(target, Slot)}
        frames = {target for target in mapped.values() if target is not Zero}
        return len({self.origin[where] for where in mapped}) - len(frames)

    def mlocked(self, frame):
        return any(self.mms[mm][page].locked for mm, page in frame.mappers)

    # ---- ptes ----

    def _drop(self, where):
        """The pte at `where` is gone."""
        target = self.ptes.pop(where, None)
        if isinstance(target, Slot):
            target.users.discard(where)
            if not target.users and target.frame:
                target.frame.slot = None
        elif isinstance(target, Frame):
            target.mappers.discard(where)
            if not target.mappers and target.slot:
                target.slot.frame = target.slot = None

    def _map(self, where, target, origin=None):
        """origin: whose the pte was, for one that is moved or copied; None: its own."""
        self._drop(where)
        self.ptes[where] = target
        self.origin[where] = origin or target
        if target is not Zero:
            (target.users if isinstance(target, Slot) else target.mappers).add(where)

    def content(self, mm, page):
        target = self.ptes.get((mm, page))
        return bytes(self.page_size) if target in (None, Zero) else target.content

    # ---- faults ----

    def write(self, mm, page, content):
        where = mm, page
        target, frame = self.ptes.get(where), None
        if isinstance(target, Frame) and not target.ksm and target.mappers == {where} and not target.slot:
            frame = target
        else:
            frame = Frame(b"", unfit=self.mms[mm][page].stack)
            self._map(where, frame)
        frame.content = content

    def write_swapped(self, mm, page, content):
        """A write to a swapped page: in place if nobody else has it."""
        slot = self.ptes[mm, page]
        if slot.users == {(mm, page)} and not slot.frame:
            self.came_back([(mm, page)])
        self.write(mm, page, content)

    def came_back(self, wheres):
        """These swapped ptes share a frame now."""
        slots = {self.ptes[where] for where in wheres}
        (slot,) = slots
        mm, page = wheres[0]
        frame = Frame(slot.content, unfit=self.mms[mm][page].stack)
        for where in wheres:
            self._map(where, frame)
        return slot, frame

    # ---- address spaces ----

    def fork(self, mm, child):
        self.mms[child] = {page: Area(area.writable, False, area.stack) for page, area in self.mms[mm].items()}
        for (owner, page), target in list(self.ptes.items()):
            if owner == mm:
                self._map((child, page), target, self.origin[owner, page])

    def exit(self, mm):
        self.munmap(mm, list(self.mms[mm]))
        del self.mms[mm]

    def mmap(self, mm, pages, **area):
        for page in pages:
            assert page not in self.mms[mm]
            self.mms[mm][page] = Area(**area)

    def munmap(self, mm, pages):
        self.dontneed(mm, pages)
        for page in pages:
            self.mms[mm].pop(page, None)

    def dontneed(self, mm, pages):
        for page in pages:
            self._drop((mm, page))

    def move(self, mm, pages, distance):
        for page in pages:
            self.mms[mm][page + distance] = self.mms[mm].pop(page)
            target = self.ptes.get((mm, page))
            if target is not None:
                self._map((mm, page + distance), target, self.origin[mm, page])
                self._drop((mm, page))

    # ---- frames ----

    def swap_out(self, frames):
        for frame in frames:
            if not frame.busy and not self.mlocked(frame):
                slot = frame.slot or Slot(frame.content)
                for where in list(frame.mappers):
                    self._map(where, slot)

    def merge(self, frame, kframe):
        assert frame.content == kframe.content and frame is not kframe and not frame.busy and not frame.unfit
        self.make_ksm(kframe)
        for where in list(frame.mappers):
            self._map(where, kframe, self.origin[where])

    def make_ksm(self, frame):
        frame.ksm = True
        if frame.slot:
            frame.slot.frame = frame.slot = None

    def merge_zero(self, frame):
        assert not any(frame.content) and not frame.busy
        for where in list(frame.mappers):
            self._map(where, Zero, self.origin[where])

    def unmerge(self, wheres):
        """These ptes get frames of their own if they are merged."""
        for where in wheres:
            target = self.ptes.get(where)
            if target is Zero or (isinstance(target, Frame) and target.ksm):
                mm, page = where
                content = self.content(mm, page)
                self._map(where, Frame(content, unfit=self.mms[mm][page].stack))

    def users_of_slots(self):
        return Counter(target for target in self.ptes.values() if isinstance(target, Slot))
