"""The protocols between a policy and whoever owns the memory. Nothing else.

All pages, kpages and anon_vmas are uint32 arrays, handled in batches. A host never changes the bytes of a merged page
without giving the writer a new page; unmerged pages may change silently, or be announced with policy.written(pages).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # a list of policies needs no numpy
    from pksm.arrays import BoolArray, I64Array, IntArray, Pages, U8Array, U32Array
    from pksm.engine.store import Store

__all__ = ["NO_FRAME", "ZERO_FRAME", "MappingHost", "PageHost", "Policy", "Saved"]

ZERO_FRAME = 0xFFFFFFFF  # in place of a frame's page number: the zero page
NO_FRAME = 0xFFFFFFFE  # not alive


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
    """Memory as frames: all that pksmd needs."""

    @property
    def store(self) -> Store:
        """The store whose page numbers its pages are."""

    @property
    def static(self) -> bool:
        """True if unmerged pages never change either: searches by content may then be in flight together."""

    @property
    def classes(self) -> U8Array | None:
        """The class of each page (native.FREE, BUSY_PAGE, ...) by number, None if all are free to merge."""

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
        """Report births and deaths to this policy from now on."""

    # The three below return which of the pages the host refused and left as they were; None if none. A host that
    # refuses a page sets its class to BUSY_PAGE, so that later matches see it.
    def merge(self, pages: Pages, kpages: Pages) -> BoolArray | None:
        """Point every pte of pages[i] to kpages[i], and free the frame."""

    def merge_zero(self, pages: Pages) -> BoolArray | None:
        """Point every pte of the pages to the zero page, and free the frames."""

    def keep(self, pages: Pages) -> BoolArray | None:
        """Make kept pages of them, though nothing is merged into them."""

    def hold(self, pages: Pages) -> None:
        """Take a reference on each page that nobody will ever drop."""

    def forget(self, pages: Pages) -> None:
        """Take notice of live pages that the policy tracks no more."""

    def set_quirks(self, ids: Collection[str]) -> None:
        """Have these of the faults of pksmd.quirks.QUIRKS, as far as they are the host's."""

    def split(self, pages: Pages) -> None:
        """Give each merged page a frame of its own again, born anew."""

    def unmerge_all(self) -> None:
        """Give every merged page a frame of its own again, zero pages too; born anew."""

    def anon_vma(self, pages: Pages) -> U32Array:
        """Return the anon_vma of each page."""

    def is_sharer(self, kpages: Pages, anon_vmas: U32Array) -> BoolArray:
        """Return whether anon_vmas[i] is needed to find the ptes of kept page kpages[i]; always, if that is not known."""
        import numpy as np

        return np.ones(len(kpages), bool)

    def get_anon_vma(self, anon_vmas: U32Array) -> None:
        """Take a reference on each anon_vma; one may repeat."""

    def put_anon_vma(self, anon_vmas: U32Array) -> None:
        """Drop a reference on each anon_vma; one may repeat."""


class MappingHost(PageHost, Protocol):
    """Memory as mappings, which is how KSM sees it: mms by id, addresses as virtual page numbers."""

    @property
    def pte_changes(self) -> int:
        """A number that changes when a pte that mapped a frame no longer does, or memory opts in or out."""

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
