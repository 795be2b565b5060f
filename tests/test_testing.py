"""pksm.testing: it passes the hosts and policies that are here, and finds what is wrong with others."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from pksm import policies
from pksm.engine import native
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine import Machine
from pksm.policies import Cost, Daemon, Settings, Spec, setting
from pksm.testing import check_host, check_policy

from support.flat_hosts import SIZE, flat


def machine(kind=Machine, children=0):
    host = kind(400, SIZE)
    mm = host.spawn()
    spans = []

    def add(contents):
        at = host.mmap(mm, len(contents))
        host.write(mm, at, contents)
        spans.append((at, len(contents)))
        ptes = host.tables.ptes[host.tables.slots(mm.root, at // SIZE + np.arange(len(contents)))]
        return (ptes >> np.uint64(32)).astype(np.uint32)

    return host, add, lambda: np.concatenate([host.read(mm, at, n) for at, n in spans])


class Choosy(FlatHost):
    """Never merges some of its pages."""

    def __init__(self, store):
        super().__init__(store)
        self.classes = np.zeros(store.n_pages, np.uint8)

    def _refused(self, pages):
        refused = np.isin(pages, [9, 10, 17, 30])
        self.classes[pages[refused]] = native.BUSY_PAGE
        return refused

    def merge(self, pages, kpages):
        refused = self._refused(pages)
        super().merge(pages[~refused], kpages[~refused])
        return refused

    def merge_zero(self, pages):
        refused = self._refused(pages)
        super().merge_zero(pages[~refused])
        return refused


@pytest.mark.parametrize("seed", range(3))
def test_a_host_that_always_refuses_some_pages_passes(seed):
    check_host(*flat(Choosy), seed=seed)


@pytest.mark.parametrize("make", [flat, machine])
@pytest.mark.parametrize("seed", range(3))
def test_our_hosts_pass(make, seed):
    host, add, read = make()
    check_host(host, add, read, seed=seed)
    host.check()


def test_a_host_may_refuse():
    class Refusing(FlatHost):
        """Every third page has an owner who will not let go for now."""

        def merge(self, pages, kpages):
            refused = pages % 3 == 2
            self.classes = np.zeros(64, np.uint8)
            self.classes[pages[refused]] = native.BUSY_PAGE
            super().merge(pages[~refused], kpages[~refused])
            return refused

    host, add, read = flat(Refusing)
    with pytest.raises(AssertionError, match="pksmd at rest"):  # it never lets go
        check_host(host, add, read)


def test_changed_reading_is_found():
    host, add, read = flat()
    with pytest.raises(AssertionError, match="has changed what somebody reads"):
        check_host(host, add, lambda: read() + np.uint8(host.frames_saved > 2))


# ---- policies ----


class Naive(Daemon):
    """A policy that merges nothing, and says so."""

    at_rest = True

    def __init__(self, host, settings, seed=0):
        self.cost, self._host, self._tunables = Cost(), host, settings
        self._alive = np.zeros(4096, bool)
        host.attach(self)

    def on_new(self, pages):
        self._alive[pages] = True

    def on_free(self, pages):
        self._alive[pages] = False

    def wake(self):
        return int(self._alive.sum())

    def _unmerge(self, tunables):
        self._host.unmerge_all()

    def counters(self):
        return {"pages": int(self._alive.sum())}

    def check(self):
        pass

    @property
    def metadata_bytes(self):
        return self._alive.nbytes


@dataclass(frozen=True)
class NaiveSettings(Settings):
    run: int = setting(1, "0 stop, 1 merge, 2 unmerge", 0, 2)
    sleep_millisecs: int = setting(20, "ms", 0, 1 << 31)
    speed: str = setting("slow", "of no effect", choices=("slow", "fast"))


NAIVE = Spec("naive", "merges nothing", NaiveSettings, {"p": NaiveSettings()}, "p", {"pages": "alive"}, Naive)
Naive.spec = NAIVE


class MergesWhatDiffers(Naive):
    def wake(self):
        pages = np.flatnonzero(self._alive).astype(np.uint32)
        if len(pages) > 1:
            self._host.merge(pages[1:], np.repeat(pages[:1], len(pages) - 1))
        return 0


class MergesIntoZero(Naive):
    def wake(self):
        self._host.merge_zero(np.flatnonzero(self._alive).astype(np.uint32))
        return 0


class CountsMore(Naive):
    def counters(self):
        return super().counters() | {"more": 1}


class CountsHalves(Naive):
    def counters(self):
        return {"pages": 0.5}


class FindsFault(Naive):
    def check(self):
        assert self._alive.sum() < 3, "three are too many"


class NeverRests(Naive):
    at_rest = False


class SleepsBackwards(Naive):
    def next_wake(self):
        return -1


class HangsAndWakes(Naive):
    hung = "it hangs"

    def next_wake(self):
        return 1


class HearsNothing(Naive):
    """Its settings can be set, and stay as they were."""

    tunables = property(lambda self: self._tunables, lambda self, tunables: None)


class KeepsLess(Naive):
    metadata_bytes = -1


class HasAnotherSpec(Naive):
    spec = replace(NAIVE, name="another")


class TakesReferences(Naive):
    """Frames that nobody gives back."""

    def on_new(self, pages):
        super().on_new(pages)
        if isinstance(self._host, Machine):
            Machine.hold(self._host, pages)


BROKEN_POLICIES = {
    MergesWhatDiffers: "reads other bytes|saved of",
    MergesIntoZero: "reads other bytes|saved of",
    CountsMore: "counters are .*more",
    CountsHalves: "must be an int",
    FindsFault: "three are too many",
    NeverRests: "not at rest",
    SleepsBackwards: "next_wake gives -1",
    HangsAndWakes: "hangs, and wakes",
    HearsNothing: "is set, and reads",
    KeepsLess: "less than no bytes",
    HasAnotherSpec: "another Spec",
    TakesReferences: "everybody has exited",
}


@pytest.mark.parametrize("name", ["pksmd", "ksmd", "nobody"])
def test_our_policies_pass(name):
    check_policy(policies.spec(name), rounds=20)


def test_a_policy_that_merges_nothing_passes():
    check_policy(NAIVE)


@pytest.mark.parametrize("broken", BROKEN_POLICIES, ids=lambda broken: broken.__name__)
def test_what_is_wrong_with_a_policy_is_found(broken, monkeypatch):
    spec = replace(NAIVE, make=broken)
    if broken is not HasAnotherSpec:
        monkeypatch.setattr(broken, "spec", spec)
    with pytest.raises(AssertionError, match=BROKEN_POLICIES[broken]):
        check_policy(spec)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"make": lambda *how: Naive(*how)}, "does not pickle"),
        ({"presets": {"p": Settings()}}, "its settings are not"),
    ],
    ids=["pickle", "presets"],
)
def test_what_is_wrong_with_a_spec_is_found(changes, said):
    with pytest.raises(AssertionError, match=said):
        check_policy(replace(NAIVE, **changes))
