"""What engines and hosts are given that can't be: refused at the border by one line, and nothing has changed."""

import copy
import pickle
import threading
from contextlib import nullcontext

import numpy as np
import pytest

from pksm.engine.store import Store
from pksm.errors import ItemError, PageError, PksmError, UsageError
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine import Machine
from pksm.policies.ksmd.daemon import Ksmd
from pksm.policies.nobody import Nobody
from pksm.policies.pksmd.daemon import Pksmd
from pksm.protocols import Policy

SIZE = 64
NO_NUMBERS = ([-1], [2**32], [1.0], [[1], [1, 2]], ["1"], None, [None])


def flat(n=65):
    store = Store(SIZE)
    store.add(np.ones(n * SIZE, np.uint8))
    return FlatHost(store)


def machine(n=100, births=None):
    host = Machine(n, SIZE, births=births)
    mm = host.spawn()
    at = host.mmap(mm, 10, mergeable=True)
    host.write(mm, at, [1] * 10)
    return host, mm, at


class Listener(Policy):
    """Listens, and merges nothing."""


@pytest.mark.parametrize("second", [Pksmd, Ksmd, Nobody])
@pytest.mark.parametrize("first", [Pksmd, Ksmd])
@pytest.mark.parametrize("make", [flat, lambda: machine()[0]], ids=["flat", "machine"])
def test_a_second_engine_on_one_host_is_refused(make, first, second):
    host = make()
    daemon = first(host)
    with pytest.raises(
        UsageError, match=f"^a {first.__name__} merges .* make another host for the {second.__name__}, or detach"
    ):
        second(host)
    host.attach(daemon)  # once more: nothing new
    if isinstance(host, FlatHost):
        host.add([0, 1])
    else:
        mm = host.spawn()
        host.write(mm, host.mmap(mm, 2, mergeable=True), [7, 7])
    for _ in range(3):
        daemon.wake()
    assert host.frames_saved, "the first goes on as if nothing had been"
    host.attach(Listener())


@pytest.mark.parametrize("make", [flat, lambda: machine()[0]], ids=["flat", "machine"])
@pytest.mark.parametrize("engine", [Pksmd, Ksmd])
def test_an_engine_may_follow_one_that_was_detached_or_whose_state_it_has(make, engine):
    host = make()
    first = engine(host)
    again = engine.resume(host, first.state())
    with pytest.raises(UsageError, match="merges the pages of this host already"):
        engine(host)
    host.detach()
    host.detach()
    other = engine(host)
    assert other.counters() == again.counters()


def test_an_engine_may_follow_one_who_only_listened_and_a_copy_takes_an_engine_of_its_own():
    host, _, _ = machine()
    host.attach(Listener())
    Pksmd(host)
    Pksmd(host.snapshot())


@pytest.mark.parametrize("call", ["on_new", "on_free", "written"])
@pytest.mark.parametrize("values", NO_NUMBERS, ids=str)
def test_pksmd_refuses_what_is_not_a_page_number(call, values):
    host = flat()
    daemon = Pksmd(host)
    host.add([0, 1])
    with pytest.raises(PageError, match="whole numbers from 0"):
        getattr(daemon, call)(values)
    assert daemon.counters()["rmap_items"] == 2
    daemon.check()


def test_pksmd_refuses_pages_behind_the_end_of_a_region():
    host = flat(65)  # the last section has room for 63 pages more
    daemon = Pksmd(host)
    for pages in ([70], [0, 70], [65], [127], [128], [0xFFFFFFFF]):
        with pytest.raises(PageError, match="outside the store's 65 pages"):
            daemon.on_new(np.array(pages, np.uint32))
    assert daemon.counters()["rmap_items"] == 0
    for pages in ([64], [0, 1]):
        daemon.on_new(pages)
    with pytest.raises(ItemError, match="alive already"):
        daemon.on_new([1])
    daemon.on_free([70, 0xFFFFFFFF, 64])  # those that are not tracked are passed over
    daemon.written([70, 0xFFFFFFFF, 0])
    assert daemon.counters()["rmap_items"] == 2
    daemon.check()


def test_ksmd_refuses_pages_behind_the_end_of_a_region():
    class Strange(FlatHost):
        def next_mapped(self, mm, first, n):
            return np.array([70]), np.array([70], np.uint32), True

    store = Store(SIZE)
    store.add(np.ones(65 * SIZE, np.uint8))
    daemon = Ksmd(Strange(store))
    with pytest.raises(PageError, match="outside the store"):
        daemon.wake()
    with pytest.raises(PageError, match="outside the store"):
        daemon.moved([1], [70])
    daemon.check()


CALLS_BY_FRAME = {
    "merge": lambda host, frames: host.merge(frames, frames),
    "merge (kept)": lambda host, frames: host.merge([0], frames),
    "merge_zero": lambda host, frames: host.merge_zero(frames),
    "split": lambda host, frames: host.split(frames),
    "keep": lambda host, frames: host.keep(frames),
    "hold": lambda host, frames: host.hold(frames),
    "anon_vma": lambda host, frames: host.anon_vma(frames),
}


@pytest.mark.parametrize("call", CALLS_BY_FRAME.values(), ids=CALLS_BY_FRAME)
@pytest.mark.parametrize("frames", [[100], [127], [0xFFFFFFFF], [50], *NO_NUMBERS], ids=str)
def test_a_machine_refuses_frames_that_are_not_in_use(call, frames):
    host, _, _ = machine()
    with pytest.raises(PageError):
        call(host, frames)
    host.check()
    assert host.frames_used == 10


def test_a_machine_refuses_merges_that_contradict_themselves():
    host, mm, at = machine()
    for pages, kpages in (([1, 1], [0, 0]), ([0, 1], [1, 2]), ([0], [1, 2]), ([0, 1], [2])):
        with pytest.raises(PageError):
            host.merge(pages, kpages)
    with pytest.raises(PageError, match="twice"):
        host.merge_zero([3, 3])
    host.check()
    assert host.merge([1, 2], [0, 0]) is None and host.frames_used == 8
    host.check()


@pytest.mark.parametrize("make", [lambda: machine()[0], lambda: flat()], ids=["machine", "flat"])
@pytest.mark.parametrize("call", ["get_anon_vma", "put_anon_vma"])
def test_anon_vmas_that_are_not_there_are_refused(make, call):
    host = make()
    for anon_vmas in ([77], [1 << 20], [0xFFFFFFFF], *NO_NUMBERS):
        with pytest.raises((UsageError, PageError)):
            getattr(host, call)(anon_vmas)
    host.check()


def test_a_reference_that_was_not_taken_is_not_put():
    host, _, _ = machine()
    (anon_vma,) = host.anon_vma([0])
    host.get_anon_vma([anon_vma, anon_vma])
    for too_many in ([anon_vma] * 3,):
        with pytest.raises(UsageError, match="never taken"):
            host.put_anon_vma(too_many)
    host.put_anon_vma([anon_vma, anon_vma])
    host.check()


VERBS = {
    "fork": lambda host, mm, at: host.fork(mm),
    "exit": lambda host, mm, at: host.exit(mm),
    "mmap": lambda host, mm, at: host.mmap(mm, 3),
    "munmap": lambda host, mm, at: host.munmap(mm, at, 1),
    "mremap": lambda host, mm, at: host.mremap(mm, at, 1, at + 100 * SIZE),
    "mprotect": lambda host, mm, at: host.mprotect(mm, at, 1, False),
    "madvise": lambda host, mm, at: host.madvise(mm, at, 1, "DONTNEED"),
    "mlock": lambda host, mm, at: host.mlock(mm, at, 1),
    "munlock": lambda host, mm, at: host.munlock(mm, at, 1),
    "read": lambda host, mm, at: host.read(mm, at),
    "touch": lambda host, mm, at: host.touch(mm, at),
    "write": lambda host, mm, at: host.write(mm, at, [1]),
    "write_bytes": lambda host, mm, at: host.write_bytes(mm, at, b"x"),
    "patch": lambda host, mm, at: host.patch(mm, at, [(0, 0, 1)]),
    "require_writable": lambda host, mm, at: host.require_writable(mm, at, 1),
    "swap_out": lambda host, mm, at: host.swap_out(mm, at, 1),
    "swap_in": lambda host, mm, at: host.swap_in(mm, at, 1),
    "migrate": lambda host, mm, at: host.migrate(mm, at, 1),
    "thp_fault": lambda host, mm, at: host.thp_fault(mm, 0),
    "thp_split": lambda host, mm, at: host.thp_split(mm, at),
    "lock_page": lambda host, mm, at: host.lock_page(mm, at),
    "pin": lambda host, mm, at: host.pin(mm, at),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_an_mm_of_another_machine_is_refused_by_every_verb(verb):
    host, mm, at = machine()
    other, foreign, there = machine()
    copied = host.snapshot()
    for stranger in (foreign, copied.mms[mm.id], copy.copy(mm)):
        with pytest.raises(UsageError, match=f"mm {mm.id} belongs to another machine"):
            verb(host, stranger, at)
    for no_mm in (1, None, "mm"):
        with pytest.raises(UsageError, match="is not an Mm"):
            verb(host, no_mm, at)
    for one in (host, other, copied):
        one.check()
        assert one.frames_used == 10 and len(one.mms) == 1
    with nullcontext() if verb is not VERBS["thp_fault"] else pytest.raises(UsageError, match="nothing is mapped"):
        verb(copied, copied.mms[mm.id], at)
    copied.check()


def test_addresses_and_numbers_of_pages_are_whole_numbers():
    host, mm, at = machine()
    for address, n in ((float(at), 1), (at, 1.0), (None, 1), (at, "1"), (at, None), (at, -1), (-SIZE, 1), (at + 1, 1)):
        with pytest.raises(UsageError):
            host.read(mm, address, n)
    assert host.read(mm, np.int64(at), np.int32(2)).shape == (2, SIZE)


@pytest.mark.parametrize("call", ["unpin", "unlock_page"])
def test_frames_to_let_go_of_that_nobody_holds_are_refused(call):
    host, _, _ = machine()
    for frames in ([0], [99], [100], [1 << 31], *NO_NUMBERS):
        with pytest.raises((UsageError, PageError)):
            getattr(host, call)(frames)
    host.check()


# ---- copies ----


def engines():
    host, _, _ = machine()
    return {"pksmd": Pksmd(flat()), "ksmd": Ksmd(host), "flat": flat()}


@pytest.mark.parametrize("name", engines())
def test_engines_and_flat_hosts_are_not_copied_by_halves(name):
    with pytest.raises(UsageError, match="copy would share half of it: take copy.deepcopy"):
        copy.copy(engines()[name])


def test_a_machine_is_copied_by_snapshot_and_pickled_whole():
    host, mm, at = machine()
    with pytest.raises(UsageError, match="snapshot"):
        copy.copy(host)
    for twin in (host.snapshot(), copy.deepcopy(host), pickle.loads(pickle.dumps(host))):
        twin.write(twin.mms[mm.id], at, [2])
        twin.check()
    assert np.array_equal(host.read(mm, at), host.read(mm, at + SIZE))
    host.check()


# ---- threads ----


class Slow(FlatHost):
    """Lets another thread do something while a merge is under way."""

    meanwhile = None

    def merge(self, pages, kpages):
        errors = []

        def run():
            try:
                self.meanwhile()
            except PksmError as error:
                errors.append(error)

        if self.meanwhile:
            other = threading.Thread(target=run)
            other.start()
            other.join()
            self.told = errors
        return super().merge(pages, kpages)


THREADED = {
    "wake": lambda host, daemon: daemon.wake(),
    "on_new": lambda host, daemon: daemon.on_new([5]),
    "on_free": lambda host, daemon: daemon.on_free([0]),
    "written": lambda host, daemon: daemon.written([0]),
    "tunables": lambda host, daemon: setattr(daemon, "tunables", daemon.tunables.with_(run=2)),
    "check": lambda host, daemon: daemon.check(),
    "add": lambda host, daemon: host.add([5]),
    "free": lambda host, daemon: host.free([0]),
    "unmerge_all": lambda host, daemon: host.unmerge_all(),
}


@pytest.mark.parametrize("call", THREADED.values(), ids=THREADED)
def test_a_second_thread_is_refused_while_the_first_is_at_work(call):
    store = Store(SIZE)
    store.add(np.ones(65 * SIZE, np.uint8))
    host = Slow(store)
    daemon = Pksmd(host)
    host.meanwhile = lambda: call(host, daemon)
    host.add([0, 1, 2])
    daemon.wake()
    (error,) = host.told
    assert "another thread is at work in it" in str(error) and isinstance(error, UsageError)
    daemon.check()
    host.check()
    assert host.frames_saved == 2
    host.meanwhile = None
    second = threading.Thread(target=lambda: (host.add([3]), daemon.wake()))  # one after the other they may
    second.start()
    second.join()
    assert host.frames_saved == 3


def test_a_second_thread_is_refused_by_a_machine_too():
    host, mm, at = machine()
    errors = []

    class Nosy(Pksmd):
        def on_free(self, pages):
            def run():
                for call in (host.spawn, lambda: host.write(mm, at, [1]), lambda: host.exit(mm), host.snapshot):
                    with pytest.raises(UsageError, match="another thread"):
                        call()
                    errors.append(call)

            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
            super().on_free(pages)

    Nosy(host)
    host.munmap(mm, at, 2)
    assert len(errors) == 4 and host.frames_used == 8
    host.check()
