"""The two protocols between a policy and whoever owns the memory. Nothing else.

All pages, kpages and anon_vmas are uint32 arrays, handled in batches. A host never changes the bytes of a merged page
without giving the writer a new page; unmerged pages may change silently, or be announced with policy.written(pages).
"""

from typing import Protocol

ZERO_FRAME = 0xFFFFFFFF  # in place of a frame's page number: the zero page
NO_FRAME = 0xFFFFFFFE  # not alive


class Policy(Protocol):
    """What a host calls. on_free may come while the policy is inside host.merge.

    A class that derives from this need only have the calls that concern it. What else a policy has is
    policies.Policy.
    """

    def on_new(self, pages): ...  # each a live anonymous page from now on

    def on_free(self, pages): ...  # their frames are free; the numbers may be born again

    def written(self, pages): ...  # unmerged pages whose bytes have changed

    def moved(self, old, new): ...  # merged pages that are in other frames now, with the same bytes


class PageHost(Protocol):
    """Memory as frames: all that pksmd needs."""

    store: object  # pksm.engine.store.Store
    static: bool  # unmerged pages never change either: searches by content may then be in flight together
    classes: object  # uint8 array by page number (native.FREE, BUSY_PAGE, ...), or None: all free to merge
    pages_sharing: int  # ptes that point to a kept page, beyond the first of each
    pages_zero_sharing: int  # ptes that point to the zero page
    frames_saved: int  # frames that merging has freed and that are still saved

    def attach(self, policy): ...  # the policy to tell of births and deaths

    # The three below return a bool array (which of the pages the host refused, and left as they were), or None.
    # A host that refuses a page sets its class to BUSY_PAGE, so that later matches see it.
    def merge(self, pages, kpages): ...  # every pte of page[i] now points to kpage[i]; frees the frame

    def merge_zero(self, pages): ...  # every pte now points to the zero page

    def keep(self, pages): ...  # they become kept pages, though nothing is merged into them; as for merge

    def hold(self, pages): ...  # take a reference on each that nobody will ever drop

    def forget(self, pages): ...  # the policy tracks these live pages no more

    def set_quirks(self, ids): ...  # which of pksmd.quirks.QUIRKS to have, as far as they are the host's

    def split(self, pages): ...  # each merged page gets a frame of its own again, born anew

    def unmerge_all(self): ...  # every merged page gets a frame of its own again, zero pages too; born anew

    def anon_vma(self, pages): ...  # the anon_vma of each page

    def get_anon_vma(self, anon_vmas): ...  # take a reference on each (may repeat)

    def put_anon_vma(self, anon_vmas): ...  # drop them


class MappingHost(PageHost, Protocol):
    """Memory as mappings, which is how KSM sees it."""

    # mms by id, addresses as virtual page numbers (int64).
    pte_changes: int  # changes when a pte that mapped a frame no longer does

    def mergeable_mms(self): ...  # those with opted-in memory, in the order in which they opted in

    def is_alive(self, mm): ...  # has it not exited?

    def next_mapped(self, mm, first, n): ...  # up to n (virtual pages, pages) from `first` on; if they are the last

    def frames_at(self, mms, virtual_pages): ...  # the page that each maps, or NO_FRAME

    # The two below say which ptes, by mm and virtual page, and which page each maps. Return as merge.
    def merge_ptes(self, mms, virtual_pages, pages, kpages): ...  # these ptes now point to the kpages, and no others

    def merge_zero_ptes(self, mms, virtual_pages, pages): ...  # these ptes now point to the zero page

    def unmerge_all(self): ...  # every merged pte gets a page of its own

    def zero_ptes_of(self, mm): ...  # how many ptes of an mm point to the zero page
