"""pksm.testing.check_host: it passes the hosts that are here, and finds what is wrong with others."""

import numpy as np
import pytest

from pksm.engine import native
from pksm.engine.store import Store
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine import Machine
from pksm.protocols import ZERO_FRAME
from pksm.testing import check_host

SIZE = 64


def flat(kind=FlatHost):
    """Return (host, add, read) of a flat host."""
    store = Store(SIZE)
    _, memory = store.allocate(64)
    host, born = kind(store), []

    def add(contents):
        pages = np.arange(len(born), len(born) + len(contents), dtype=np.uint32)
        memory[pages] = contents
        host.add(pages)
        born.extend(pages.tolist())
        return pages

    def read():
        frames = host.frame_of[born]
        return np.where((frames == ZERO_FRAME)[:, np.newaxis], 0, memory[frames % np.uint32(64)]).astype(np.uint8)

    return host, add, read


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


def broken(name, work):
    """A FlatHost with one method that does something else."""
    return type("Broken", (FlatHost,), {name: work})


def silent_merge(self, pages, kpages):
    policy, self._policy = self._policy, type("Deaf", (), {"on_free": lambda self, pages: None})()
    FlatHost.merge(self, pages, kpages)
    self._policy = policy


def clobbering_merge(self, pages, kpages):
    FlatHost.merge(self, pages, kpages)
    self.store._buffers[0].reshape(-1, SIZE)[kpages] ^= 1


def lying_refusal(self, pages, kpages):
    return np.ones(len(pages), bool)


BROKEN = [
    (broken("merge", silent_merge), "merge: on_free told of others"),
    (broken("merge", clobbering_merge), "merge has changed a kept page"),
    (broken("merge", lying_refusal), "has to say so in classes"),
    (broken("merge_zero", lambda self, pages: None), "merge_zero: on_free told of others"),
    (broken("unmerge_all", lambda self: None), "unmerge_all has left something merged"),
    (broken("frames_saved", property(lambda self: 0)), "frames_saved grew by"),
    (broken("anon_vma", lambda self, pages: [0] * len(pages)), "anon_vma gives a uint32 array"),
    (broken("add", lambda self, pages, anon_vma=0: FlatHost.add(self, pages[:1], anon_vma)), "on_new did not tell"),
]


@pytest.mark.parametrize("kind, said", BROKEN, ids=[said for _, said in BROKEN])
def test_what_is_wrong_is_found(kind, said):
    host, add, _ = flat(kind)
    with pytest.raises(AssertionError, match=said):
        check_host(host, add)


def test_changed_reading_is_found():
    host, add, read = flat()
    with pytest.raises(AssertionError, match="has changed what somebody reads"):
        check_host(host, add, lambda: read() + np.uint8(host.frames_saved > 2))
