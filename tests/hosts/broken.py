"""Hosts that break one rule of protocols.PageHost each, and what check_host says of them."""

import copy

import numpy as np

from pksm.engine.store import Store
from pksm.hosts.flat import FlatHost
from pksm.protocols import BUSY_PAGE, NO_FRAME, WALK_FAILS

from support.flat_hosts import SIZE

BROKEN = {}  # name -> (class, what is said)


def breaks(said):
    """Enter a class under its name."""

    def enter(cls):
        BROKEN[cls.__name__] = cls, said
        return cls

    return enter


class Telling(FlatHost):
    """A FlatHost whose reports to the policy can be changed."""

    def attach(self, policy):
        super().attach(Relay(self, policy))

    def tell_new(self, policy, pages):
        policy.on_new(pages)

    def tell_free(self, policy, pages):
        policy.on_free(pages)


class Relay:
    def __init__(self, host, policy):
        self.host, self.policy, self.opted_in_only = host, policy, False

    def on_new(self, pages):
        self.host.tell_new(self.policy, pages)

    def on_free(self, pages):
        self.host.tell_free(self.policy, pages)


class Classy(FlatHost):
    """A FlatHost with classes."""

    def __init__(self, store):
        super().__init__(store)
        self.classes = np.zeros(store.n_pages, np.uint8)


# ---- merge ----


@breaks("merge: on_free did not name pages that were merged: 1, 2")
class MergesSilently(Telling):
    def tell_free(self, policy, pages):
        pass


@breaks("merge: on_free did not name pages that were merged: 2")
class TellsOfSomeDeaths(Telling):
    def tell_free(self, policy, pages):
        policy.on_free(pages[:1])


@breaks("merge has changed the bytes of pages that are alive")
class ChangesKeptPages(FlatHost):
    def merge(self, pages, kpages):
        super().merge(pages, kpages)
        self.store._buffers[0].reshape(-1, SIZE)[kpages] ^= 1


@breaks("merge: a host that refuses pages has to have classes: 1, 2")
class RefusesWithoutClasses(FlatHost):
    def merge(self, pages, kpages):
        return np.ones(len(pages), bool)


@breaks("merge: pages were refused, and their class is FREE, not BUSY_PAGE: 1, 2")
class RefusesFreePages(Classy):
    def merge(self, pages, kpages):
        return np.ones(len(pages), bool)


@breaks("merge: on_free named pages that were refused: 1, 2")
class MergesWhatItRefuses(Classy):
    def merge(self, pages, kpages):
        super().merge(pages, kpages)
        self.classes[pages] = BUSY_PAGE
        return np.ones(len(pages), bool)


@breaks("merge: it must return None or a bool array, not list")
class ReturnsAList(Classy):
    def merge(self, pages, kpages):
        super().merge(pages, kpages)
        return [False] * len(pages)


@breaks("merge: it must return None or a bool array, not int64")
class ReturnsNumbers(Classy):
    def merge(self, pages, kpages):
        super().merge(pages, kpages)
        return np.zeros(len(pages), int)


@breaks(r"merge: \(3,\) answers for 2 pages")
class AnswersTooMuch(Classy):
    def merge(self, pages, kpages):
        super().merge(pages, kpages)
        return np.zeros(len(pages) + 1, bool)


@breaks("merge: on_free named kept pages: 0")
class TellsThatKeptPagesDied(FlatHost):
    def merge(self, pages, kpages):
        super().merge(pages, kpages)
        self._policy.on_free(np.unique(kpages))


@breaks("on_free: pages that come twice at once: 1, 2")
class TellsTwiceAtOnce(Telling):
    def tell_free(self, policy, pages):
        policy.on_free(np.concatenate((pages, pages)))


@breaks("on_free named pages that were not alive: 1, 2")
class TellsOfDeathsTwice(Telling):
    def tell_free(self, policy, pages):
        policy.on_free(pages)
        policy.on_free(pages)


@breaks("on_free: pages are a uint32 array, not int64")
class TellsInWideNumbers(Telling):
    def tell_free(self, policy, pages):
        policy.on_free(pages.astype(np.int64))


@breaks("on_free: pages that are not in the store: 1000001, 1000002")
class TellsOfStrangePages(Telling):
    def tell_free(self, policy, pages):
        policy.on_free(pages + np.uint32(1_000_000))


@breaks("merge has changed what somebody reads: births")
class MergesIntoAnother(FlatHost):
    def merge(self, pages, kpages):
        super().merge(pages, kpages)
        self.frame_of[pages[0]] = 6  # whose bytes differ


@breaks("awake already: wake can't be called from within the host's calls")
class WakesThePolicy(FlatHost):
    def merge(self, pages, kpages):
        if hasattr(getattr(self._policy, "_policy", None), "wake"):
            self._policy._policy.wake()
        super().merge(pages, kpages)


@breaks("merge: pages_sharing went from 0 to 0 when 2 pages were merged")
class CountsNoSharing(FlatHost):
    pages_sharing = 0


@breaks("pages_sharing: 0.0 is not a count")
class CountsHalves(FlatHost):
    pages_sharing = property(lambda self: float(FlatHost.pages_sharing.fget(self)))


@breaks(r"merge: pages_sharing, pages_zero_sharing, frames_saved grew by \[2, 0, 0\], not \[2, 0, 2\]")
class SavesNothing(FlatHost):
    frames_saved = 0


# ---- merge_zero ----


@breaks("merge_zero: on_free did not name pages that were merged: 4, 5")
class KeepsZeroPages(FlatHost):
    def merge_zero(self, pages):
        pass


@breaks(r"merge_zero: \(\) answers for 2 pages|merge_zero: it must return None or a bool array, not bool")
class SaysYes(FlatHost):
    def merge_zero(self, pages):
        super().merge_zero(pages)
        return True


@breaks("merge_zero: pages_sharing went from 4 to 6")
class CountsZeroTwice(FlatHost):
    pages_sharing = property(lambda self: FlatHost.pages_sharing.fget(self) + self.pages_zero_sharing)


@breaks("merge_zero: pages_zero_sharing went from 0 to 0")
class CountsNoZero(FlatHost):
    pages_zero_sharing = 0


# ---- births ----


@breaks(r"add: on_new did not name all pages: \[1, 2, 3, 4, 5, 6, 7, 8\] are missing")
class TellsOfOneBirth(Telling):
    def tell_new(self, policy, pages):
        policy.on_new(pages[:1])


@breaks("add: on_new named pages in another order")
class TellsBackwards(Telling):
    def tell_new(self, policy, pages):
        policy.on_new(pages[::-1].copy())


@breaks("on_new named pages that were alive already: 0")
class TellsOfBirthsTwice(Telling):
    def tell_new(self, policy, pages):
        policy.on_new(pages)
        policy.on_new(pages[:1])


@breaks("on_new: pages are a uint32 array, not list")
class TellsInLists(Telling):
    def tell_new(self, policy, pages):
        policy.on_new(pages.tolist())


@breaks("on_new: pages that are not in the store: 4294967294")
class TellsOfNoPage(Telling):
    def tell_new(self, policy, pages):
        policy.on_new(np.append(pages, np.uint32(NO_FRAME)))


@breaks("attach: births are still reported to the policy before")
class KeepsItsFirstPolicy(FlatHost):
    def attach(self, policy):
        if type(self._policy).__name__ == "NoPolicy":
            super().attach(policy)


# ---- classes ----


@breaks("classes: it must be None or a uint8 array, not int64")
class HasWideClasses(Classy):
    def __init__(self, store):
        super().__init__(store)
        self.classes = self.classes.astype(int)


@breaks("classes: 3 entries for the 64 page numbers of the store")
class HasFewClasses(Classy):
    def __init__(self, store):
        super().__init__(store)
        self.classes = self.classes[:3]


@breaks("classes: values that are not classes: 2")
class HasStrangeClasses(Classy):
    def __init__(self, store):
        super().__init__(store)
        self.classes[2] = 9


@breaks(r"classes: new pages are free to merge, and these are not: \[1\]")
class HasUnfitPages(Classy):
    def __init__(self, store):
        super().__init__(store)
        self.classes[1] = WALK_FAILS


# ---- unmerging ----


@breaks("unmerge_all has left something merged")
class NeverUnmerges(FlatHost):
    def unmerge_all(self):
        pass


@breaks("unmerge_all: 9 pages were born, and 3 are alive: on_new names those born anew")
class UnmergesSilently(Telling):
    silent = False

    def unmerge_all(self):
        self.silent = True
        super().unmerge_all()

    def tell_new(self, policy, pages):
        if not self.silent:
            policy.on_new(pages)


@breaks(r"unmerge_all has changed what somebody reads: births \[1, 2, 3, 8\]")
class UnmergesWithoutBytes(FlatHost):
    def unmerge_all(self):
        merged = np.flatnonzero((self.frame_of != np.arange(len(self.frame_of))) & (self.frame_of < NO_FRAME))
        self.store._buffers[0].reshape(-1, SIZE)[merged] = 9
        super().unmerge_all()


# ---- references, sharers, and the rest ----


@breaks("anon_vma: for 9 pages it must give a uint32 array of as many, not list")
class ListsAnonVmas(FlatHost):
    def anon_vma(self, pages):
        return [0] * len(pages)


@breaks(r"anon_vma: for 9 pages it must give a uint32 array of as many, not uint32 \(1,\)")
class HasOneAnonVma(FlatHost):
    def anon_vma(self, pages):
        return np.zeros(1, np.uint32)


@breaks("get_anon_vma: references can be taken twice and put twice: once is enough")
class TakesOneReference(FlatHost):
    def get_anon_vma(self, anon_vmas):
        assert len(set(anon_vmas.tolist())) == len(anon_vmas), "once is enough"


@breaks("put_anon_vma: references can be taken twice and put twice")
class ForgetsReferences(FlatHost):
    def get_anon_vma(self, anon_vmas):
        pass

    def put_anon_vma(self, anon_vmas):
        assert (self._references[anon_vmas] > 0).all(), "never taken"


@breaks("is_sharer: for 9 kpages it must give a bool array of as many, not bool")
class KnowsOneSharer(FlatHost):
    def is_sharer(self, kpages, anon_vmas):
        return True


class Recopied(Store):
    def __copy__(self):
        other = Recopied(SIZE)
        other.__dict__.update(self.__dict__)
        return other


@breaks("store: it must be the same one always")
class HasNewStores(FlatHost):
    @property
    def store(self):
        return copy.copy(self.own) if hasattr(self, "_policy") else self.own

    @store.setter
    def store(self, store):
        self.own = Recopied(SIZE)
        self.own.__dict__.update(store.__dict__)


@breaks("forget returns nothing")
class RemembersWhatItForgets(FlatHost):
    def forget(self, pages):
        return pages


@breaks("set_quirks returns nothing")
class HasQuirksOfItsOwn(FlatHost):
    def set_quirks(self, ids):
        return ids
