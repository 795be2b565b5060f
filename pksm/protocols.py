"""The protocols between a policy and whoever owns the memory. Nothing else.

All pages, kpages and anon_vmas are uint32 arrays, handled in batches. A host never changes the bytes of a merged page
without giving the writer a new page; unmerged pages may change silently, or be announced with policy.written(pages).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pksm.errors import UsageError

if TYPE_CHECKING:  # a list of policies needs no numpy
    from pksm.arrays import BoolArray, I64Array, IntArray, Pages, U8Array, U32Array
    from pksm.engine.store import Store

__all__ = [
    "BUSY_PAGE",
    "FREE",
    "MLOCKED",
    "NOT_ANON",
    "NOT_KPAGE",
    "NO_FRAME",
    "WALK_BREAKS",
    "WALK_FAILS",
    "WALK_LOSES",
    "ZERO_FRAME",
    "BaseHost",
    "MappingHost",
    "PageHost",
    "Policy",
    "Saved",
    "VmaHost",
    "Vmas",
]

ZERO_FRAME = 0xFFFFFFFF  # in place of a frame's page number: the zero page
NO_FRAME = 0xFFFFFFFE  # not alive

# Classes of pages: what a host says of them in `classes`. They are looked at only when something matches.
FREE = 0  # to merge
BUSY_PAGE = 1  # locked, pinned or refused: try later
WALK_FAILS = 2  # the reverse walk can't reach every pte
NOT_KPAGE = 3  # may be merged into a page, and may not be the one kept
NOT_ANON = 4  # not an anonymous page
WALK_BREAKS = 5  # the reverse walk fails after some of its ptes have moved
WALK_LOSES = 6  # it fails after all of them have
MLOCKED = 16  # a bit besides: a pte of the page lies in an mlocked vma

WITHIN = ("all", "process", "salt")  # what pages can be equal in: everything, or one process, or processes of one salt


def require_within(within: str, known: Collection[str]) -> None:
    """Raise UsageError unless a host knows such parts. known: those that it does."""
    if within not in known:
        raise UsageError(f"within={within}: this memory has no such parts: choose from {', '.join(known)}")


class Saved(NamedTuple):
    """What merging saves on some pages. sharing of all pages of a host is its pages_sharing."""

    shared: int  # merged frames that they map
    sharing: int  # mappings of these beyond the first of each
    zero: int  # mappings of the zero page that zero pages are merged with
    private: int  # mappings of other frames


class Policy(Protocol):
    """What a host calls. on_free may come while the policy is inside host.merge.

    A class that derives from this need only have the calls that concern it. What else a policy has is
    policies.Policy.
    """

    merges: bool = False  # it merges pages, and does not only listen: a host takes one such
    out_for_good: bool = False  # memory that has opted out never comes back
    opted_in_only: bool = False  # it merges opted-in memory alone, as KSM does: there is nothing else to unmerge

    def on_new(self, pages: Pages) -> None:
        """Take notice of pages that are live and anonymous from now on."""
        return

    def on_free(self, pages: Pages) -> None:
        """Forget pages whose frames are free; the numbers may be born again."""
        return

    def written(self, pages: Pages) -> None:
        """Take notice of unmerged pages whose bytes have changed."""
        return

    def moved(self, old: Pages, new: Pages) -> None:
        """Take notice of merged pages that are in other frames now, with the same bytes."""
        return


class PageHost(Protocol):
    """Memory as frames: all that pksmd needs.

    BaseHost has an answer to all that a host of one's own need not have. testing.check_host proves one against this
    page, and Pksmd(host, strict=True) looks at each of its answers while it works.
    """

    @property
    def store(self) -> Store:
        """The store whose page numbers its pages are: the same one always. It may get more regions at any time."""

    @property
    def static(self) -> bool:
        """True if unmerged pages never change either: searches by content may then be in flight together.

        Asked when an engine is made, and when its settings change.
        """

    @property
    def classes(self) -> U8Array | None:
        """The class of each page by number: FREE, BUSY_PAGE and so on; None if all are always free to merge.

        uint8, an entry for every page number of the store. Asked before each batch, and read while it is settled; the
        entries of pages that are not alive don't count. New pages are FREE.
        """

    @property
    def pages_sharing(self) -> int:
        """Ptes that point to a kept page, beyond the first of each."""

    @property
    def pages_zero_sharing(self) -> int:
        """Ptes that point to the zero page."""

    @property
    def frames_saved(self) -> int:
        """Frames that merging has freed and that are still saved."""

    def attach(self, policy: Policy) -> None:
        """Report births and deaths to this policy from now on, and to no other.

        Called when an engine is made. A host that has pages already calls policy.on_new with them, in here or later:
        the engine merges only pages that it has heard of.
        """

    # The three below return which of the pages the host refused and left as they were; None if none. A host that
    # refuses a page sets its class to BUSY_PAGE, so that later matches see it.
    def merge(self, pages: Pages, kpages: Pages) -> BoolArray | None:
        """Point every pte of pages[i] to kpages[i], and free the frame.

        Called in a wake-up, with pages whose bytes are equal to those of their kpages when they were compared: a host
        whose memory may have changed since compares them once more, and refuses. Each page comes once, and is nobody's
        kpage; a kpage may come more than once. From now on nobody may write to a kpage.

        The host reports the frames that it has freed by on_free, before it returns or later; it must not wake the
        policy. An exception leaves all pages of the call as they were.

        Returns:
            bool (n,): the pages that were refused. They wait, and are visited again. None if there are none.
        """

    def merge_zero(self, pages: Pages) -> BoolArray | None:
        """Point every pte of the pages to the zero page, and free the frames.

        As merge, with pages that were all zero. A page that is refused may be merged with another zero page.
        """

    def keep(self, pages: Pages) -> BoolArray | None:
        """Make kept pages of them, though nothing is merged into them: nobody may write to them. Returns as merge.

        Only the published presets ask for this.
        """

    def hold(self, pages: Pages) -> None:
        """Take a reference on each page that nobody will ever drop. Only the published presets ask for this."""

    def forget(self, pages: Pages) -> None:
        """Take notice of live pages that the policy tracks no more: it does nothing with them until they die."""

    def set_quirks(self, ids: Collection[str]) -> None:
        """Have these of the quirks of policies, as far as they are the host's.

        Called when an engine is made, and when its settings change. None has an effect on pages that are mapped once.
        """

    def set_within(self, within: str) -> None:
        """Let no pages be equal but within parts: of WITHIN. UsageError for what the host knows no parts of.

        Called when an engine is made, before attach. The host says by store.salt which pages are of one part, when they
        are born; zero pages are of all parts.
        """

    def split(self, pages: Pages) -> None:
        """Give each merged page a frame of its own again, born anew. A policy does not call this: owners do."""

    def unmerge_all(self) -> None:
        """Give every merged page a frame of its own again, zero pages too; born anew.

        Called when `run` is set to 2. The new frames are reported by on_new, and kept pages that nobody maps any more
        by on_free. A host that has too few frames raises PksmError, and leaves all as it was.
        """

    def anon_vma(self, pages: Pages) -> U32Array:
        """Return the anon_vma of each page: what a reverse walk starts from, or 0 where there is no such thing.

        Called before pages are merged; the policy takes references on what it returns.
        """

    def is_sharer(self, kpages: Pages, anon_vmas: U32Array) -> BoolArray:
        """Return whether anon_vmas[i] is needed to find the ptes of kept page kpages[i]; always, if that is not known.

        Called now and then, to drop the records of sharers that share no more.
        """
        import numpy as np

        return np.ones(len(kpages), bool)

    def get_anon_vma(self, anon_vmas: U32Array) -> None:
        """Take a reference on each anon_vma; one may repeat. They stay valid until they are put."""

    def put_anon_vma(self, anon_vmas: U32Array) -> None:
        """Drop a reference on each anon_vma; one may repeat. Called when a kept page dies."""


class BaseHost:
    """What most hosts of one's own can do without, for them to derive from: do-nothing answers.

    A host that derives from this has store, the three counters, merge, merge_zero and unmerge_all besides, and calls
    self.policy.on_new, on_free and, if it likes, written.
    """

    static: bool = False
    classes: U8Array | None = None
    policy: Policy

    def attach(self, policy: Policy) -> None:
        """Report to this policy from now on: it is self.policy."""
        self.policy = policy

    def keep(self, pages: Pages) -> BoolArray | None:
        """Refuse nothing."""
        return None

    def hold(self, pages: Pages) -> None:
        """Do nothing: there are no references."""

    def forget(self, pages: Pages) -> None:
        """Do nothing."""

    def set_quirks(self, ids: Collection[str]) -> None:
        """Do nothing: faults need page tables, which only a machine has."""

    def set_within(self, within: str) -> None:
        """Refuse all but `all`: there are no parts."""
        require_within(within, ("all",))

    def anon_vma(self, pages: Pages) -> U32Array:
        """Return 0 for each page: there is no reverse map."""
        import numpy as np

        return np.zeros(len(pages), np.uint32)

    def is_sharer(self, kpages: Pages, anon_vmas: U32Array) -> BoolArray:
        """Return False for each: no record is needed to find a pte."""
        import numpy as np

        return np.zeros(len(kpages), bool)

    def get_anon_vma(self, anon_vmas: U32Array) -> None:
        """Do nothing."""

    def put_anon_vma(self, anon_vmas: U32Array) -> None:
        """Do nothing."""


class MappingHost(PageHost, Protocol):
    """Memory as mappings, which is how KSM sees it: mms by id, addresses as virtual page numbers."""

    @property
    def pte_changes(self) -> int:
        """A number that changes when a pte that mapped a frame no longer does, or memory opts in or out."""

    @property
    def writes(self) -> int | None:
        """A number that changes when bytes of a page that is mapped change; None if nobody counts.

        While it stays as it is, the searches of many pages may be in flight together.
        """
        return None

    def mergeable_mms(self) -> list[int]:
        """Return the mms that have opted in and not left since, in the order in which they opted in."""

    def has_opted_in(self, mm: int) -> bool:
        """Return whether an mm has opted-in memory now."""

    def leave(self, mm: int) -> None:
        """Take an mm off mergeable_mms until it opts in again: the policy has found nothing opted in."""

    def is_alive(self, mm: int) -> bool:
        """Return True while the mm has not exited."""

    def next_mapped(self, mm: int, first: int, n: int) -> tuple[I64Array, Pages, bool]:
        """Return up to n virtual pages from `first` on that map a page, the pages, and whether they are the last."""

    def frames_at(self, mms: IntArray, virtual_pages: I64Array) -> Pages:
        """Return the page that each of these maps in opted-in memory, or NO_FRAME."""

    # The two below say which ptes, by mm and virtual page, and which page each maps. They return what merge does.
    def merge_ptes(self, mms: IntArray, virtual_pages: I64Array, pages: Pages, kpages: Pages) -> BoolArray | None:
        """Point these ptes, and no others, to the kpages."""

    def merge_zero_ptes(self, mms: IntArray, virtual_pages: I64Array, pages: Pages) -> BoolArray | None:
        """Point these ptes, and no others, to the zero page."""

    def unmerge_opted_in(self, mms: Iterable[int]) -> Iterator[int]:
        """Give every merged pte of the mms' opted-in memory a page of its own, one mm after the other; yield each."""

    def zero_ptes_of(self, mm: int) -> int:
        """Return how many ptes of an mm point to the zero page."""


class Vmas(NamedTuple):
    """Private anonymous vmas that may be merged, a row each, in order of birth. int64 but for is_touched, bool."""

    key: I64Array  # a number that no other vma has or had
    mm: I64Array
    first: I64Array  # virtual page
    n: I64Array  # pages
    is_touched: BoolArray  # a page was written in it, ever
    copied: I64Array  # copies on write of merged pages in it, so far


class VmaHost(MappingHost, Protocol):
    """Memory as vmas, opted in or not, which is how UKSM sees it."""

    def private_vmas(self) -> Vmas:
        """Return the vmas that there are now."""

    def pages_at(self, mms: IntArray, virtual_pages: I64Array) -> tuple[Pages, BoolArray]:
        """Return what these map: pages, ZERO_FRAME or NO_FRAME; and whether each page was born in the vma it is in."""

    def drain(self) -> None:
        """Let go of pages that wait on their way to the LRU lists. Called when an evaluation round ends."""
