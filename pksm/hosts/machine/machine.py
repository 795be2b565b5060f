"""The simulated machine: processes with page tables over frames, as a host for policies that merge pages.

Machine is the front: it checks what is asked for and says what there is. The work is in the files beside it, by
subject: frames, page tables (tables), address spaces (mm, mapping), the reverse map (rmap), faults (fault), bytes
(access), huge pages (thp), swap, holding (hold), moving (move), merging frames (merge) and ptes (ksm), and what that
saves (origins).
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from pksm.arrays import BoolArray, Buffer, IdsLike, Pages, U8Array, U32Array
from pksm.engine.native import ids_array
from pksm.errors import PksmError, UsageError
from pksm.hosts.machine import bytes as access
from pksm.hosts.machine import check, fault, hold, mapping, merge, move, reach, thp
from pksm.hosts.machine import frames as flag
from pksm.hosts.machine import merge_ptes as ksm
from pksm.hosts.machine.frames import Frames
from pksm.hosts.machine.mm import GROWSDOWN, MERGEABLE, WRITABLE, Vmas
from pksm.hosts.machine.origins import Origins
from pksm.hosts.machine.page_tables import LIMIT, PageTables
from pksm.hosts.machine.pagevec import Pagevec
from pksm.hosts.machine.quirks import Quirks
from pksm.hosts.machine.rmap import Rmap, Sharers
from pksm.hosts.machine.swap import Swap
from pksm.hosts.machine.waits import Waits
from pksm.protocols import Policy

if TYPE_CHECKING:
    from pksm.hosts.machine.mm import Mm


BIRTHS = ("all", "anonymous")


class _NoPolicy(Policy):
    """Nobody to tell."""


class Machine(ksm.Mappings, hold.Holding):
    """A PageHost and MappingHost: `frames` frames of page_size bytes, and processes that map them.

    births: which new pages the policy is told of: `all`, or `anonymous`: those of first writes only, not copies on
    write, pages swapped in, migrated, or split off huge ones; None: as the quirk births-missed says.
    pagevec: whether mlocked pages that are merged away wait for drain, as in Linux (see pagevec.py). An mm is what
    spawn or fork returned; addresses are in bytes, lengths n in pages. What is asked for is done whole, or refused with
    a UsageError or PksmError.
    """

    _is_copy = False
    static = False  # unmerged pages change whenever they are written

    def __init__(self, frames: int, page_size: int = 4096, births: str | None = None, pagevec: bool = False) -> None:
        if births is not None and births not in BIRTHS:
            raise UsageError(f"births {births!r}: must be one of {', '.join(BIRTHS)}")
        self.frames = Frames(frames, page_size)
        self.pagevec = Pagevec(self.frames) if pagevec else None
        self.store = self.frames.store
        self.page_size = page_size
        self._births = births
        self.tables = PageTables()
        self.origins = Origins(self.frames, self.tables)
        self.rmap = Rmap()
        self.vmas = Vmas(self.rmap)
        self.sharers = Sharers(self.frames)
        self.swap = Swap(page_size)
        self.mms: dict[int, Mm] = {}  # id -> Mm, those alive
        self.opted_in: dict[int, None] = {}  # ids of mms that have opted in and not left since, in this order
        self.last_mm = 0
        self.zero_ptes = 0  # ptes that point to the merged zero page
        self.policy: Policy = _NoPolicy()
        self.merge_waits = Waits()  # from birth to merge of each page merged; virtual time is set by a simulation

    def snapshot(self) -> Machine:
        """Return a copy of the whole machine, without a policy: array copies. Its Mm objects are in mms, by id.

        A policy attached to the copy is told of all its pages, in order of frame number. Machines can be pickled too.
        """
        return copy.deepcopy(self)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"policy": _NoPolicy(), "store": None, "merge_waits": Waits(), "_is_copy": True}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.store = self.frames.store

    @property
    def now(self) -> int:
        """Virtual ms, when pages are born."""
        return self.frames.now

    @now.setter
    def now(self, ms: int) -> None:
        self.frames.now = ms

    # ---- processes and address spaces ----

    def spawn(self) -> Mm:
        """Return a new, empty Mm."""
        return mapping.spawn(self)

    def fork(self, mm: Mm) -> Mm:
        """Return a child of an mm: it shares all frames until one of the two writes."""
        self._alive(mm)
        child = mapping.fork(self, mm)
        ksm.enter_child(self, mm, child)
        return child

    def exit(self, mm: Mm) -> None:
        """End an mm; nothing can be done with it any more."""
        self._alive(mm)
        mapping.exit_mm(self, mm)

    def mmap(
        self,
        mm: Mm,
        n: int,
        address: int | None = None,
        *,
        writable: bool = True,
        mergeable: bool = False,
        stack: bool = False,
    ) -> int:
        """Map n pages of private anonymous memory and return their address.

        address: None puts them behind all others. stack: a vma that grows downwards, which merging leaves alone.
        """
        first, _ = self._range(mm, 0 if address is None else address, n)
        flags = (WRITABLE if writable else 0) | (MERGEABLE if mergeable else 0) | (GROWSDOWN if stack else 0)
        first = mapping.mmap(self, mm, None if address is None else first, n, flags)
        ksm.enter(self, mm)
        return first * self.page_size

    def munmap(self, mm: Mm, address: int, n: int) -> None:
        """Unmap n pages; there may be holes among them."""
        mapping.munmap(self, mm, *self._range(mm, address, n))

    def mremap(
        self, mm: Mm, address: int, n: int, new_address: int | None = None, new_n: int | None = None
    ) -> int | None:
        """Move n pages of one mapping to new_address, which is free (None: only if they must); new_n: their new number.

        Returns their address.
        """
        first, end = self._range(mm, address, n)
        new_n = n if new_n is None else new_n
        to, _ = self._range(mm, address if new_address is None else new_address, new_n)
        return mapping.mremap(self, mm, first, end, None if new_address is None else to, new_n) * self.page_size

    def mprotect(self, mm: Mm, address: int, n: int, writable: bool) -> None:
        """Make n pages writable, or read-only."""
        first, end = self._range(mm, address, n)
        if writable:
            mapping.change_flags(self, mm, first, end, add=WRITABLE)
        else:
            mapping.write_protect(self, mm, first, end)

    def madvise(self, mm: Mm, address: int, n: int, advice: str) -> None:
        """Advise on n pages: DONTNEED empties them, MERGEABLE opts in to KSM, UNMERGEABLE out, and unmerges them."""
        first, end = self._range(mm, address, n)
        self.vmas.covering(mm, first, end, self.page_size)
        if advice == "DONTNEED":
            fault.zap(self, mm, first, end)
        elif advice == "MERGEABLE":
            mapping.change_flags(self, mm, first, end, add=MERGEABLE)
            self.frames.pte_changes += 1
            ksm.enter(self, mm)
        elif advice == "UNMERGEABLE":
            if self.quirks.stays_merged:
                return
            merge.unmerge(self, [mm], first, end, MERGEABLE if self.policy.opted_in_only else 0)
            mapping.change_flags(self, mm, first, end, remove=MERGEABLE)
            self.frames.pte_changes += 1
        else:
            raise UsageError(f"advice {advice!r}: must be DONTNEED, MERGEABLE or UNMERGEABLE")

    def mlock(self, mm: Mm, address: int, n: int) -> None:
        """Fault n pages in and keep them in memory."""
        mapping.mlock(self, mm, *self._range(mm, address, n))

    def munlock(self, mm: Mm, address: int, n: int) -> None:
        """Let go of n pages that mlock keeps."""
        mapping.munlock(self, mm, *self._range(mm, address, n))
        self.drain()

    def drain(self) -> None:
        """Let go of pages that wait on their way to the LRU lists."""
        if self.pagevec:
            gone = self.pagevec.drain()
            fault.bury(self, gone[self.frames.count[gone] == 0])

    # ---- memory ----

    def read(self, mm: Mm, address: int, n: int = 1) -> U8Array:
        """Read n pages: uint8 (n, page_size), a copy. Empty ones get the kernel's zero page."""
        return access.read(self, mm, *self._range(mm, address, n))

    def touch(self, mm: Mm, address: int, n: int = 1, write: bool = False) -> None:
        """Read or write n pages without looking at or changing their bytes."""
        for _ in (fault.write_range if write else fault.read_range)(self, mm, *self._range(mm, address, n)):
            pass

    def require_writable(self, mm: Mm, address: int, n: int) -> None:
        """Raise UsageError unless a range is mapped, and PksmError if the machine has fewer frames than that."""
        first, end = self._range(mm, address, n)
        self.vmas.covering(mm, first, end, self.page_size, writable=True)
        if n > self.frames.n:
            raise PksmError(f"{n} pages to write, and the machine has {self.frames.n} frames")

    def write(
        self,
        mm: Mm,
        address: int,
        contents: access.Contents,
        patches: access.Patches = (),
    ) -> None:
        """Write whole pages.

        contents: bytes, or a uint8 array (n, page_size), or content ids, one a page (see content.pages_of); patches:
        rows (page from address, 32-bit word of it, value) written on top.
        """
        pages = access.pages_given(contents, self.page_size)
        first, end = self._range(mm, address, len(pages))
        words = access.checked_patches(patches, end - first, self.page_size)
        access.write(self, mm, first, end, pages)
        self.patch(mm, address, words)

    def patch(self, mm: Mm, address: int, patches: access.Patches) -> None:
        """Write single words: rows (page from address, 32-bit word of it, value), the last of equals wins."""
        first, _ = self._range(mm, address, 1)
        access.patch(self, mm, first, access.checked_patches(patches, LIMIT - first, self.page_size))

    def write_bytes(self, mm: Mm, address: int, data: Buffer) -> None:
        """Write bytes, or the bytes of an array, to any address."""
        array = data if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)
        array = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
        offset = address % self.page_size
        first, end = self._range(mm, address - offset, -(-(offset + len(array)) // self.page_size))
        access.write_bytes(self, mm, first, end, offset, array)

    # ---- moving and losing frames (holding them: hold.py) ----

    def swap_out(self, mm: Mm, address: int, n: int) -> int:
        """Swap out the frames that n pages map, from under all who map them; returns how many went.

        Busy and mlocked ones stay. They come back when they are read or written.
        """
        return move.swap_out(self, mapping.frames_in(self, mm, *self._range(mm, address, n)))

    def swap_in(self, mm: Mm, address: int, n: int) -> None:
        """Bring those of n pages back that are swapped out."""
        first, end = self._range(mm, address, n)
        self.frames.require(fault.frames_to_read(self, mm, first, end))
        for pages, slots in self.tables.existing(mm.root, first, end):
            pages = pages[self.tables.ptes[slots] != 0]
            if len(pages):
                fault.read_fault(self, mm, pages)

    def migrate(self, mm: Mm, address: int, n: int) -> int:
        """Move the pages that n pages map to other frames; returns how many moved. Busy ones stay."""
        return move.migrate(self, mapping.frames_in(self, mm, *self._range(mm, address, n)))

    def thp_fault(self, mm: Mm, address: int) -> None:
        """Write-fault 512 pages as a huge page; address: a multiple of that."""
        thp.thp_fault(self, mm, self._range(mm, address, 1)[0])

    def thp_split(self, mm: Mm, address: int, n: int = 1) -> None:
        """Split the huge pages that any of n pages belongs to."""
        thp.split_compound(self, mapping.frames_in(self, mm, *self._range(mm, address, n)))

    # ---- as a host (protocols in pksm/protocols.py) ----

    def attach(self, policy: Policy) -> None:
        """Tell this policy of births and deaths from now on; in a copy, of the pages that there are besides."""
        self.policy = policy
        if self._is_copy:
            there = (self.frames.mapcount > 0) & (self.frames.flags & flag.COMPOUND == 0)
            policy.on_new(np.flatnonzero(there).astype(np.uint32))

    def set_quirks(self, ids: Collection[str]) -> None:
        """Have these faults of the published kernels, of pksmd.quirks.QUIRKS; those that need no page tables do nothing."""
        quirks = Quirks.of(ids)
        if quirks == self.quirks:
            return
        if quirks.books_sharing != self.quirks.books_sharing:
            self.frames.open_books(quirks.books_sharing)
        self.frames.quirks = quirks
        self.rmap.watches = True
        self.rmap.touch(np.arange(len(self.rmap.root)))
        reach.refresh(self)
        self.rmap.watches = not quirks.exact_walk

    @property
    def births(self) -> str:
        """`all` or `anonymous`."""
        return self._births or ("anonymous" if self.quirks.births_missed else "all")

    @property
    def quirks(self) -> Quirks:
        """The quirks.Quirks that it has."""
        return self.frames.quirks

    @property
    def classes(self) -> U8Array:
        """uint8 by frame: native.FREE and the others."""
        if self.rmap.watches:
            reach.refresh(self)
        if self.quirks.mlock_hangs:
            self.frames.mark_mlocked()
        return self.frames.classes

    @property
    def pages_sharing(self) -> int:
        """Ptes that point to a kept page, beyond the first of each."""
        return self.frames.pages_sharing

    @property
    def pages_zero_sharing(self) -> int:
        """Ptes that point to the merged zero page."""
        return self.zero_ptes

    @property
    def frames_used(self) -> int:
        """Frames that are not free."""
        return self.frames.n - self.frames.n_free

    @property
    def frames_saved(self) -> int:
        """Frames more that there would be without merging; found by a look at all ptes."""
        return self.origins.saved()

    def merge(self, pages: IdsLike, kpages: IdsLike) -> BoolArray | None:
        """Let every pte of pages[i] point to kpages[i]. Returns a bool array of the refused, or None."""
        pages, kpages = ids_array(pages), ids_array(kpages)
        refused = merge.merge(self, pages, kpages)
        self.frames_merged(pages, kpages, refused)
        return refused

    def merge_zero(self, pages: Pages) -> BoolArray | None:
        """Let every pte of pages point to the zero page. Returns a bool array of the refused, or None."""
        pages = ids_array(pages)
        refused = merge.merge_zero(self, pages)
        self.frames_merged(pages, pages, refused)
        return refused

    def split(self, pages: Pages) -> None:
        """Give all who share these merged frames private copies."""
        merge.split(self, ids_array(pages))

    def unmerge_all(self) -> None:
        """Give every merged pte, those of the zero page too, a frame of its own."""
        merge.unmerge(self, self.mms.values(), 0, LIMIT)

    def keep(self, pages: Pages) -> BoolArray | None:
        """Make kept pages of pages without merging anything. Returns a bool array of the refused, or None."""
        kept = merge.can_keep(self, ids_array(pages))
        return None if kept.all() else ~kept

    def hold(self, pages: Pages) -> None:
        """Take a reference on each frame that nobody will ever drop."""
        self._pin(np.asarray(pages))

    def forget(self, pages: Pages) -> None:
        """The policy tracks these pages no more: what it has counted for them stays counted."""
        self.frames.replaced[pages] = 0

    def anon_vma(self, pages: Pages) -> U32Array:
        """Return an anon_vma, alive, of each frame."""
        return merge.anon_vmas(self, pages)

    def is_sharer(self, kpages: Pages, anon_vmas: U32Array) -> BoolArray:
        """Return whether anon_vmas[i] is that of kept page kpages[i], or a pte of it is found through it."""
        return merge.is_sharer(self, kpages, anon_vmas)

    def get_anon_vma(self, anon_vmas: U32Array) -> None:
        """Take a reference on each anon_vma; one may repeat."""
        self.rmap.get(anon_vmas)

    def put_anon_vma(self, anon_vmas: U32Array) -> None:
        """Drop a reference on each anon_vma; one may repeat."""
        self.rmap.put(np.asarray(anon_vmas))

    # ---- within the machine ----

    def frames_merged(self, pages: Pages, kpages: Pages, refused: BoolArray | None = None) -> None:
        """Remember how long the pages that were not refused have waited for their merge: since both were there."""
        if refused is not None:
            pages, kpages = pages[~refused], kpages[~refused]
        born = self.frames.born_ms
        self.merge_waits.add(self.now - np.maximum(born[pages], born[kpages]))

    def born(self, new: Pages, first_write: BoolArray | None = None) -> None:
        """Tell the policy of new pages; first_write: a bool for each that is nothing but an anonymous page's first."""
        if self.births != "all":
            new = new[:0] if first_write is None else new[first_write]
        if len(new):
            self.policy.on_new(new)

    def lose_zero(self, n: int) -> None:
        """n ptes don't point to the merged zero page any more."""
        self.zero_ptes -= n

    def _alive(self, mm: Mm) -> None:
        if not mm.alive:
            raise UsageError(f"mm {mm.id} has exited")

    def _range(self, mm: Mm, address: int, n: int) -> tuple[int, int]:
        """Return (first, end) in virtual page numbers. UsageError unless that is a range of pages of a living mm."""
        self._alive(mm)
        if address % self.page_size or address < 0:
            raise UsageError(f"address {address:#x} is no multiple of the page size, {self.page_size} bytes")
        first = address // self.page_size
        if n < 1 or first + n > LIMIT:
            top = LIMIT * self.page_size
            raise UsageError(f"{n} pages at {address:#x}: a range has at least one page and ends below {top:#x}")
        return first, first + n

    def check(self) -> None:
        """Raise AssertionError unless every count is what the page tables say, and every frame can be found."""
        check.check(self)
