"""The simulated machine: processes with page tables over frames, as a host for policies that merge pages.

Machine is the front: it checks what is asked for and says what there is. The work is in the files beside it, by
subject: frames, page tables (tables), address spaces (mm, mapping), the reverse map (rmap), faults (fault), bytes
(access), huge pages (thp), swap, holding (hold), moving (move), merging frames (merge) and ptes (ksm), and what that
saves (origins). What it is to a policy, page by page, is hosting; what it is given is looked at in border.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from pksm.arrays import Buffer, Contents, IdsLike, U8Array
from pksm.engine.exclusive import Exclusive, exclusive
from pksm.errors import PksmError, UsageError
from pksm.hosts.attached import NoPolicy
from pksm.hosts.machine import border, check, content, fault, hold, mapping, merge
from pksm.hosts.machine import bytes as access
from pksm.hosts.machine import merge_ptes as ksm
from pksm.hosts.machine.frames import Frames
from pksm.hosts.machine.hosting import Hosting
from pksm.hosts.machine.mm import GROWSDOWN, MERGEABLE, OPTED_OUT, WRITABLE, Vmas
from pksm.hosts.machine.moving import Moving
from pksm.hosts.machine.origins import Origins
from pksm.hosts.machine.page_tables import LIMIT, PageTables
from pksm.hosts.machine.pagevec import Pagevec
from pksm.hosts.machine.rmap import Rmap, Sharers
from pksm.hosts.machine.swap import Swap
from pksm.hosts.machine.waits import Waits
from pksm.hosts.watch import Watch
from pksm.protocols import Policy, Saved
from pksm.saving import Saveable

if TYPE_CHECKING:
    from pksm.hosts.machine.mm import Mm


BIRTHS = ("all", "anonymous")


class Machine(Hosting, ksm.Mappings, hold.Holding, Moving, Exclusive, Saveable):
    """A PageHost and MappingHost: `frames` frames of page_size bytes, and processes that map them.

    An mm is what spawn or fork returned; addresses are in bytes, lengths n in pages. What is asked for is done whole,
    or refused with a UsageError or PksmError.

    Args:
        frames: how many there are.
        page_size: bytes.
        births: which new pages are reported to the policy: `all`, or `anonymous`: those of first writes only, not
            copies on write, pages swapped in, migrated, or split off huge ones; None: as the quirk births-missed says.
        pagevec: whether mlocked pages that are merged away wait for drain, as in Linux (see pagevec.py).
        clock: clock() is the time in ms, of a simulator of your own; None: `now` is set. Copies go by no clock.
        real_page_size: bytes of the page that each stands for, by which policies count what they save; None: page_size.
    """

    static = False  # unmerged pages change whenever they are written

    def __init__(
        self,
        frames: int,
        page_size: int = 4096,
        births: str | None = None,
        pagevec: bool = False,
        clock: Callable[[], int] | None = None,
        real_page_size: int | None = None,
    ) -> None:
        if births is not None and births not in BIRTHS:
            raise UsageError(f"births {births!r}: must be one of {', '.join(BIRTHS)}")
        self.frames = Frames(frames, page_size, real_page_size)
        self.frames.clock = clock
        self.pagevec = Pagevec(self.frames) if pagevec else None
        self.new_pages = Pagevec(self.frames)  # where they wait if they do (quirk pagevec)
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
        self.policy: Policy = NoPolicy()
        self.watch: Watch | None = None  # called after each batch; None for nobody
        self.merge_waits = Waits()  # from birth to merge of each page merged; virtual time is set by a simulation
        self.merges = 0  # pages merged, those too that freed no frame
        self.copies = 0  # merged pages that were copied, because somebody wrote to them or they were unmerged

    @exclusive
    def snapshot(self) -> Machine:
        """Return a copy of the whole machine, without a policy: array copies. Its Mm objects are in mms, by id.

        A policy attached to the copy learns of all its pages, in order of frame number. Machines can be pickled too.
        """
        twin = copy.deepcopy(self)
        twin.merge_waits = Waits()
        return twin

    def to_dict(self) -> dict[str, int]:
        """Return {name: number} of what there is, a row of a table."""
        return {
            "processes": len(self.mms),
            "frames": self.frames.n,
            "frames_used": self.frames_used,
            "pages_sharing": self.pages_sharing,
            "pages_zero_sharing": self.pages_zero_sharing,
            "frames_saved": self.frames_saved,
        }

    def __repr__(self) -> str:
        used = f"{self.frames_used:,} of {self.frames.n:,} frames used"
        return f"<Machine: {len(self.mms)} processes, {used}, {self.pages_sharing + self.zero_ptes:,} pages merged>"

    def __copy__(self) -> NoReturn:
        raise UsageError("a Machine's copy would share half of it: take snapshot()")

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"policy": None, "watch": None, "store": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.store, self.policy = self.frames.store, NoPolicy()

    @property
    def now(self) -> int:
        """Virtual ms, when pages are born."""
        return self.frames.now

    @now.setter
    def now(self, ms: int) -> None:
        self.frames.now = ms

    # ---- processes and address spaces ----

    @exclusive
    def spawn(self, salt: int = 0) -> Mm:
        """Return a new, empty Mm.

        Args:
            salt: from 0, below 2**32: policies with within=salt merge its pages with those of the same salt alone.
                Children have it too.
        """
        if not isinstance(salt, (int, np.integer)) or not 0 <= salt < 1 << 32:
            raise UsageError(f"salt {salt!r}: must be a whole number from 0, below 2**32")
        return mapping.spawn(self, int(salt))

    @exclusive
    def fork(self, mm: Mm) -> Mm:
        """Return a child of an mm: it shares all frames until one of the two writes."""
        self._alive(mm)
        child = mapping.fork(self, mm)
        ksm.enter_child(self, mm, child)
        return child

    @exclusive
    def exit(self, mm: Mm) -> None:
        """End an mm; nothing can be done with it any more."""
        self._alive(mm)
        mapping.exit_mm(self, mm)

    @exclusive
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
        """Map n pages of private anonymous memory.

        Args:
            mm: whose.
            n: pages.
            address: in bytes; None puts them behind all others.
            writable: they can be written.
            mergeable: they are opted in to KSM.
            stack: a vma that grows downwards, which pksmd leaves alone.

        Returns:
            Their address, in bytes.
        """
        first, _ = self._range(mm, 0 if address is None else address, n)
        flags = (WRITABLE if writable else 0) | (MERGEABLE if mergeable else 0) | (GROWSDOWN if stack else 0)
        first = mapping.mmap(self, mm, None if address is None else first, n, flags)
        ksm.enter(self, mm)
        return first * self.page_size

    @exclusive
    def munmap(self, mm: Mm, address: int, n: int) -> None:
        """Unmap n pages; there may be holes among them."""
        mapping.munmap(self, mm, *self._range(mm, address, n))

    @exclusive
    def mremap(
        self, mm: Mm, address: int, n: int, new_address: int | None = None, new_n: int | None = None
    ) -> int | None:
        """Move n pages of one mapping.

        Args:
            mm: whose.
            address: in bytes.
            n: pages.
            new_address: a free one; None moves them only if they must.
            new_n: their new number; None leaves it.

        Returns:
            Their address, in bytes.
        """
        first, end = self._range(mm, address, n)
        new_n = n if new_n is None else new_n
        to, _ = self._range(mm, address if new_address is None else new_address, new_n)
        return mapping.mremap(self, mm, first, end, None if new_address is None else to, new_n) * self.page_size

    @exclusive
    def mprotect(self, mm: Mm, address: int, n: int, writable: bool) -> None:
        """Make n pages writable, or read-only."""
        first, end = self._range(mm, address, n)
        if writable:
            mapping.change_flags(self, mm, first, end, add=WRITABLE)
        else:
            mapping.write_protect(self, mm, first, end)

    @exclusive
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
            mapping.change_flags(
                self, mm, first, end, add=OPTED_OUT if self.policy.out_for_good else 0, remove=MERGEABLE
            )
            self.frames.pte_changes += 1
        else:
            raise UsageError(f"advice {advice!r}: must be DONTNEED, MERGEABLE or UNMERGEABLE")

    @exclusive
    def zap_at(self, mm: Mm, addresses: IdsLike) -> None:
        """Empty pages that lie anywhere, in one call, as the advice DONTNEED does.

        Args:
            mm: whose.
            addresses: in bytes, int64 (n,), all mapped.
        """
        pages = np.unique(border.pages_at(self, mm, addresses))
        if len(pages):
            self.vmas.spans(mm, pages, self.page_size)
            slots = self.tables.slots(mm.root, pages)
            fault.zap_slots(self, slots[self.tables.ptes[slots] != 0])

    @exclusive
    def mlock(self, mm: Mm, address: int, n: int) -> None:
        """Fault n pages in and keep them in memory."""
        mapping.mlock(self, mm, *self._range(mm, address, n))

    @exclusive
    def munlock(self, mm: Mm, address: int, n: int) -> None:
        """Let go of n pages that mlock keeps."""
        mapping.munlock(self, mm, *self._range(mm, address, n))
        self.drain()

    @exclusive
    def drain(self) -> None:
        """Let go of pages that wait on their way to the LRU lists."""
        if self.pagevec:
            fault.let_go(self, self.pagevec)
        fault.let_go(self, self.new_pages)

    # ---- memory ----

    @exclusive
    def read(self, mm: Mm, address: int, n: int = 1) -> U8Array:
        """Read n pages: uint8 (n, page_size), a copy. Empty ones get the kernel's zero page."""
        return access.read(self, mm, *self._range(mm, address, n))

    @exclusive
    def touch(self, mm: Mm, address: int, n: int = 1, write: bool = False) -> None:
        """Read or write n pages without looking at or changing their bytes."""
        for _ in (fault.write_range if write else fault.read_range)(self, mm, *self._range(mm, address, n)):
            pass

    def require_writable(self, mm: Mm, address: int, n: int) -> None:
        """Raise UsageError unless a range is mapped, and PksmError if the machine has fewer frames than that."""
        first, end = self._range(mm, address, n)
        self.vmas.covering(mm, first, end, self.page_size, writable=True)
        if n > self.frames.n:
            raise PksmError(f"out of frames: {n} needed, the machine has {self.frames.n}: raise the argument frames")

    @exclusive
    def write(
        self,
        mm: Mm,
        address: int,
        contents: Contents,
        patches: access.Patches = (),
    ) -> None:
        """Write whole pages.

        Args:
            mm: whose.
            address: in bytes.
            contents: bytes, or a uint8 array (n, page_size), or content ids, one per page (see content.pages_of).
            patches: rows (page from address, 32-bit word of it, value) written on top.
        """
        pages = access.pages_given(contents, self.page_size)
        first, end = self._range(mm, address, len(pages))
        words = access.checked_patches(patches, end - first, self.page_size)
        access.write(self, mm, first, end, pages)
        self.patch(mm, address, words)

    @exclusive
    def fill(self, mm: Mm, address: int, n: int, make: Callable[[U8Array], object]) -> None:
        """Write n pages that a function makes, where they are to be: no copy of many pages is needed.

        Args:
            mm: whose.
            address: in bytes.
            n: how many pages.
            make: make(out) writes every byte of out, uint8 (n, page_size); if it fails, the pages hold anything.
        """
        access.fill(self, mm, *self._range(mm, address, n), make)

    def pages_given(self, contents: Contents) -> U8Array:
        """Return pages as write takes them (bytes, an array, or content ids) as a uint8 array (n, page_size)."""
        given = access.pages_given(contents, self.page_size)
        return content.pages_of(given, self.page_size) if given.ndim == 1 else given

    @exclusive
    def write_at(self, mm: Mm, addresses: IdsLike, contents: Contents) -> None:
        """Write whole pages that lie anywhere, in one call.

        Args:
            mm: whose.
            addresses: in bytes, int64 (n,); if one comes twice, the last counts.
            contents: as in write, one for each address.
        """
        access.write_at(self, mm, border.pages_at(self, mm, addresses), access.pages_given(contents, self.page_size))

    @exclusive
    def touch_at(self, mm: Mm, addresses: IdsLike) -> None:
        """Write pages that lie anywhere, in one call, without changing their bytes.

        Args:
            mm: whose.
            addresses: in bytes, int64 (n,).
        """
        access.touch_at(self, mm, border.pages_at(self, mm, addresses))

    @exclusive
    def patch(self, mm: Mm, address: int, patches: access.Patches) -> None:
        """Write single words: rows (page from address, 32-bit word of it, value), the last of equals wins."""
        first, _ = self._range(mm, address, 1)
        access.patch(self, mm, first, access.checked_patches(patches, LIMIT - first, self.page_size))

    @exclusive
    def write_bytes(self, mm: Mm, address: int, data: Buffer) -> None:
        """Write bytes, or the bytes of an array, to any address."""
        array = data if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)
        array = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
        offset = address % self.page_size
        first, end = self._range(mm, address - offset, -(-(offset + len(array)) // self.page_size))
        access.write_bytes(self, mm, first, end, offset, array)

    def saved_by(self, mm: Mm | None = None) -> Saved:
        """Return what merging saves on the pages of an mm (None: of all), as Saved."""
        if mm is not None:
            self._alive(mm)
        return mapping.saved_by(self, list(self.mms.values()) if mm is None else [mm])

    # ---- within the machine ----

    def _alive(self, mm: Mm) -> None:
        border.check_mm(self, mm)

    def _range(self, mm: Mm, address: int, n: int) -> tuple[int, int]:
        return border.page_range(self, mm, address, n)

    @exclusive
    def check(self) -> None:
        """Raise AssertionError unless every count is what the page tables say, and every frame can be found."""
        check.check(self)
