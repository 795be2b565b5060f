"""check_host and strict engines tell broken hosts apart, and let sound ones pass."""

import re

import numpy as np
import pytest

from hosts.broken import BROKEN, Classy
from hosts.refusing import Choosy, refuses
from pksm import FlatHost, Machine, Pksmd, Store, UsageError, protocols
from pksm.engine import native
from pksm.protocols import BaseHost
from pksm.testing import check_host

from support.flat_hosts import SIZE, flat


def test_there_are_enough_of_them_and_each_is_told_by_words_of_its_own():
    assert len(BROKEN) >= 30 and len({said for _, said in BROKEN.values()}) == len(BROKEN)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_said_with_rule_and_pages(name):
    kind, said = BROKEN[name]
    host, add, read = flat(kind)
    with pytest.raises(AssertionError, match=said) as error:
        check_host(host, add, read)
    others = [other for other, (_, words) in BROKEN.items() if re.search(words, str(error.value))]
    assert others == [name], "nobody else is told by these words"
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("seed", range(3))
def test_hosts_that_refuse_for_good_are_proved_by_what_they_refuse(seed):
    check_host(*flat(Choosy), seed=seed, refuses=refuses)
    host, add, read = flat(Choosy)
    with pytest.raises(AssertionError, match=r"merge: pages were refused that are to be merged: \[1\]"):
        check_host(host, add, read, refuses=lambda pages: np.zeros(len(pages), bool))
    host, add, read = flat(FlatHost)
    with pytest.raises(AssertionError, match=r"merge: pages that are always refused were merged: \[1\]"):
        check_host(host, add, read, refuses=refuses)


class Smallest(BaseHost):
    """As little as a host needs: a dictionary of mappings."""

    def __init__(self):
        self.store = Store(SIZE)
        _, self.memory = self.store.allocate(256)
        self.frames, self.free = [], list(range(255, -1, -1))

    def add(self, contents):
        pages = np.array([self.free.pop() for _ in contents], np.uint32)
        self.memory[pages] = contents
        self.frames += pages.tolist()
        self.policy.on_new(pages)
        return pages

    def read(self):
        zero = np.zeros(SIZE, np.uint8)
        return np.stack([zero if frame is None else self.memory[frame] for frame in self.frames])

    @property
    def pages_zero_sharing(self):
        return self.frames.count(None)

    @property
    def pages_sharing(self):
        used = [frame for frame in self.frames if frame is not None]
        return len(used) - len(set(used))

    @property
    def frames_saved(self):
        return self.pages_sharing + self.pages_zero_sharing

    def _move(self, to):
        self.frames = [to.get(frame, frame) for frame in self.frames]
        self.free += to
        self.policy.on_free(np.array(list(to), np.uint32))

    def merge(self, pages, kpages):
        self._move(dict(zip(pages.tolist(), kpages.tolist(), strict=True)))

    def merge_zero(self, pages):
        self._move(dict.fromkeys(pages.tolist()))

    def unmerge_all(self):
        seen, new = set(), []
        for i, frame in enumerate(self.frames):
            if frame is None or frame in seen:
                self.frames[i] = self.free.pop()
                self.memory[self.frames[i]] = 0 if frame is None else self.memory[frame]
                new.append(self.frames[i])
            seen.add(frame)
        if new:
            self.policy.on_new(np.array(new, np.uint32))


def test_the_smallest_host_is_sound():
    host = Smallest()
    check_host(host, host.add, host.read)


@pytest.mark.parametrize("kind", ["flat", "machine"])
def test_a_strict_engine_works_as_any_other_on_sound_hosts(kind):
    counters = []
    for strict in (False, True):
        host = FlatHost(Store(SIZE)) if kind == "flat" else Machine(500, page_size=SIZE, pagevec=True)
        daemon = Pksmd(host, strict=strict)
        assert daemon.host is host
        rng = np.random.default_rng(1)
        pages = host.new(100) if kind == "flat" else host.spawn()
        at = 0 if kind == "flat" else pages.mmap(100)
        for _ in range(20):
            some, ids = rng.permutation(100)[:30], rng.integers(0, 20, 30)
            contents = np.repeat(ids.astype(np.uint8)[:, np.newaxis], SIZE, axis=1)
            if kind == "flat":
                host.write(pages[some], contents)
            else:
                pages.write_at(at + some * SIZE, contents)
                pages.mlock(at, 5)
            daemon.wake()
        daemon.sysfs["run"] = 2
        daemon.check()
        counters.append((daemon.counters(), daemon.cost.as_dict()))
    assert counters[0] == counters[1]


def test_a_strict_engine_names_rule_and_pages_while_it_works():
    for name in ("MergesSilently", "RefusesFreePages", "TellsOfBirthsTwice", "HasFewClasses", "ListsAnonVmas"):
        kind, said = BROKEN[name]
        host, add, _ = flat(kind)
        daemon = Pksmd(host, strict=True)
        with pytest.raises(UsageError, match=said.split(":")[0]) as error:
            add(np.ones((5, SIZE), np.uint8))
            daemon.wake()
        assert "\n" not in str(error.value)
    host, add, _ = flat(Classy)
    daemon = Pksmd(host, strict=True)
    with pytest.raises(UsageError, match="written named pages that were not alive: 7"):
        host._policy.written(np.array([7], np.uint32))


def test_a_strict_engine_is_not_joined_by_a_second_one():
    host = FlatHost(Store(SIZE))
    Pksmd(host, strict=True)
    with pytest.raises(UsageError, match="merges the pages of this host already"):
        Pksmd(host)


def test_classes_have_the_numbers_of_the_core():
    for name in ("FREE", "BUSY_PAGE", "WALK_FAILS", "NOT_KPAGE", "NOT_ANON", "WALK_BREAKS", "WALK_LOSES", "MLOCKED"):
        assert getattr(protocols, name) == getattr(native, name)


@pytest.mark.parametrize("protocol", [protocols.PageHost, protocols.MappingHost, protocols.BaseHost, protocols.Policy])
def test_every_method_of_a_protocol_says_what_it_is_for(protocol):
    for name, member in vars(protocol).items():
        if not name.startswith("_") and (callable(member) or isinstance(member, property)):
            assert (member.fget if isinstance(member, property) else member).__doc__, name
