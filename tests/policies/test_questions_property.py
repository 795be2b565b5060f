"""What a placer asks: would these contents share, what is saved, and what has merging just done."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pksm import FlatHost, Ksmd, Machine, Pksmd, Store, Watch
from pksm.engine import native
from pksm.errors import PageError, UsageError
from pksm.hosts.machine.content import pages_of
from pksm.policies.ksmd.tunables import preset as ksm_preset
from pksm.policies.pksmd.tunables import preset
from pksm.protocols import NO_FRAME, ZERO_FRAME

SIZE = 64


def engines():
    fixed = preset("fixed").with_(pages_to_scan=13)
    return {
        "checksum-content": lambda host: Pksmd(host, fixed),
        "a checksum that collides": lambda host: Pksmd(host, fixed.with_(checksum="partial:bytes=4:at=60")),
        "checksum": lambda host: Pksmd(host, fixed.with_(order="checksum")),
        "content": lambda host: Pksmd(host, fixed.with_(order="content")),
        "python": lambda host: Pksmd(host, fixed, checksum=Summed()),
        "ksmd": lambda host: Ksmd(host, ksm_preset("ksm-6.11").with_(pages_to_scan=17, max_page_sharing=3)),
        "ksmd with zero pages": lambda host: Ksmd(host, ksm_preset("ksm-6.11").with_(use_zero_pages=1)),
    }


class Summed:
    """A checksum that C can't call: the sum of the bytes, which collides."""

    name, width = "summed", 64

    def of(self, data):
        return int(np.frombuffer(data, np.uint8).sum())

    def fill(self, store, pages, out):
        out[:] = native.pages_copy(store, pages).sum(axis=1)


def contents(ids):
    """Pages that agree in most of their words."""
    pages = np.full((len(ids), SIZE), 7, np.uint8)
    pages[:, 0] = ids
    pages[np.asarray(ids) == 0] = 0
    return pages


@pytest.mark.parametrize("engine", engines())
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_would_share_is_what_a_look_at_every_visited_page_says(engine, seed):
    rng = np.random.default_rng(seed)
    machine = Machine(600, page_size=SIZE)
    daemon = engines()[engine](machine)
    mms = [machine.spawn() for _ in range(3)]
    for mm in mms:
        mm.start = mm.mmap(60, mergeable=True)
    asked = contents(np.arange(0, 250))
    for _ in range(12):
        mm = mms[rng.integers(3)]
        n = int(rng.integers(1, 20))
        mm.write_at(mm.start + rng.integers(0, 60, n) * SIZE, contents(rng.integers(0, 60, n)))
        if rng.random() < 0.2:
            mm.madvise(mm.start, 30, "DONTNEED")
        for _ in range(rng.integers(0, 4)):
            daemon.wake()
        before = daemon.counters(), daemon.cost.as_dict(), native.tree_items(daemon.items.table, native.UNSTABLE)
        answer = daemon.would_share(asked)
        assert answer.dtype == bool
        assert (daemon.counters(), daemon.cost.as_dict()) == before[:2], "asking costs nothing that is counted"
        assert np.array_equal(native.tree_items(daemon.items.table, native.UNSTABLE), before[2])
        certain, possible = visited(machine, daemon)
        if engine != "ksmd":
            certain, possible = certain | {bytes(SIZE)}, possible | {bytes(SIZE)}
        said = {bytes(page) for page in asked[answer]}
        assert said <= possible
        if engine not in ("content", "ksmd", "ksmd with zero pages"):  # where pages that change mislead searches
            assert certain & {bytes(page) for page in asked} <= said


def visited(machine, daemon):
    """Contents of pages in trees: those that no search can miss, and all. Page by page."""
    certain, possible = set(), set()
    items = daemon.items
    for which in (native.STABLE, native.UNSTABLE):
        tree = native.tree_items(items.table, which)
        sums = collections.Counter(items.checksum[tree].tolist())
        for id in tree.tolist():
            page = int(items.page[id])
            if items.flags[id] & native.DELLIST or machine.classes[page] != native.FREE:
                continue
            data = bytes(machine.store.bytes_of([page])[0])
            possible.add(data)
            checksum = getattr(daemon, "_summing", None)
            # one of several with a checksum may have changed, and have others behind it
            if checksum and checksum.checksum.of(data) == items.checksum[id] and sums[int(items.checksum[id])] == 1:
                certain.add(data)
    return certain, possible


def test_a_placer_finds_where_a_machine_would_share():
    here, there = Machine(100, page_size=8), Machine(100, page_size=8)
    daemons = [Pksmd(here), Pksmd(there)]
    for machine, ids in ((here, [10**18, 5, 5]), (there, [7, 8, 9])):
        mm = machine.spawn()
        mm.write_at(np.arange(3) * 8 + mm.mmap(3), np.array(ids, np.uint64))
    for daemon in daemons:
        while not daemon.at_rest:
            daemon.wake()
    wanted = np.array([10**18, 5, 6, 0, 9], np.uint64)
    assert daemons[0].would_share(wanted).tolist() == [True, True, False, True, False]
    assert daemons[1].would_share(wanted).tolist() == [False, False, False, True, True]
    assert daemons[0].would_share([]).tolist() == []
    with pytest.raises(UsageError, match="uint8 array"):
        daemons[0].would_share(np.zeros((2, 4), np.uint8))


@given(seed=st.integers(0, 2**32 - 1), policy=st.sampled_from(["pksmd", "ksmd"]))
@settings(max_examples=30)
def test_saved_by_counts_ptes_one_by_one(seed, policy):
    rng = np.random.default_rng(seed)
    machine = Machine(900, page_size=SIZE)
    daemon = Pksmd(machine) if policy == "pksmd" else Ksmd(machine, ksm_preset("ksm-6.11").with_(use_zero_pages=1))
    mms = [machine.spawn() for _ in range(3)]
    for mm in mms:
        mm.write(mm.mmap(60, mergeable=True), pages_of(rng.integers(0, 40, 60), SIZE))
    mms.append(mms[0].fork())
    for _ in range(rng.integers(0, 9)):
        daemon.wake()
    for group in ([mm] for mm in mms):
        assert group[0].saved_by() == slow_saved(machine, group)
    assert machine.saved_by() == slow_saved(machine, mms)
    assert machine.saved_by().zero == machine.pages_zero_sharing
    mms[1].exit()
    with pytest.raises(UsageError, match="exited"):
        mms[1].saved_by()


def slow_saved(machine, mms):
    kept, sharing, zero, private = set(), 0, 0, 0
    for mm in mms:
        for vma in mm.vmas:
            for page in range(*machine.vmas.span(vma)):
                pte = int(machine.tables.ptes[machine.tables.slots(mm.root, np.array([page]))[0]])
                if not pte:
                    continue
                frame = frame_of(machine, mm, page)
                if frame is None:
                    zero += 1
                elif machine.frames.flags[frame] & 32 and machine.frames.mapcount[frame] > 1:
                    sharing += frame in kept
                    kept.add(frame)
                else:
                    private += 1
    return len(kept), sharing, zero, private


def frame_of(machine, mm, page):
    """The frame of a page that is mapped, None for the zero page."""
    from pksm.hosts.machine.mapping import frames_in

    frames = frames_in(machine, mm, page, page + 1)
    return int(frames[0]) if len(frames) else None


class Diary(Watch):
    def __init__(self):
        super().__init__()
        self.told = collections.Counter()
        for name in ("on_zero", "on_unmerge", "on_drop"):
            setattr(self, name, lambda pages, name=name: self.note(name, pages))
        for name in ("on_merge", "on_cow"):
            setattr(self, name, lambda a, b, name=name: self.note(name, a, b))

    def note(self, name, *columns):
        assert all(isinstance(column, np.ndarray) and column.dtype == np.uint32 for column in columns)
        assert len({len(column) for column in columns}) == 1 and len(columns[0]), "no empty batches"
        self.told.update((name, *row) for row in zip(*(column.tolist() for column in columns), strict=True))

    def take(self):
        told, self.told = self.told, collections.Counter()
        return told


@given(seed=st.integers(0, 2**32 - 1), policy=st.sampled_from(["pksmd", "ksmd"]))
@settings(max_examples=30)
def test_a_watch_sees_every_page_that_merging_moved(seed, policy):
    """Against the frames that pages map before and after, looked at one by one."""
    rng = np.random.default_rng(seed)
    host = FlatHost(Store(SIZE))
    daemon = Pksmd(host) if policy == "pksmd" else Ksmd(host, ksm_preset("ksm-6.11").with_(use_zero_pages=1))
    host.watch = diary = Diary()
    pages = host.new(40)
    for _ in range(12):
        some = rng.permutation(pages)[: rng.integers(1, 20)]
        before = host.frame_of[pages].tolist()
        host.write(some, contents(rng.integers(0, 6, len(some))))
        due = collections.Counter(
            ("on_cow", f, g) for f, g in zip(before, host.frame_of[pages].tolist(), strict=True) if f != g
        )
        told = diary.take()
        assert due <= told
        alone = told - due  # the last ones to map a merged frame: one of them has its number again
        assert all(row[0] == "on_cow" and row[1] == row[2] for row in alone)
        for step, kind in ((daemon.wake, "merge"), (host.unmerge_all, "unmerge")):
            if kind == "unmerge" and rng.random() < 0.8:
                continue
            for _ in range(3):
                before = host.frame_of[pages].tolist()
                step()
                after = host.frame_of[pages].tolist()
                changed = [(f, g) for f, g in zip(before, after, strict=True) if f != g]
                if kind == "merge":
                    due = [("on_zero", f) if g == ZERO_FRAME else ("on_merge", f, g) for f, g in changed]
                else:
                    due = [("on_unmerge", g) for _, g in changed]
                assert diary.take() == collections.Counter(due)
    host.check()
    assert host.saved_by()[1:3] == (host.pages_sharing, host.pages_zero_sharing)
    with pytest.raises(PageError):
        host.saved_by([int(np.flatnonzero(host.frame_of == NO_FRAME)[0])])


def test_a_machine_s_watch_sees_merges_copies_and_unmerging():
    machine = Machine(100, page_size=SIZE)
    daemon = Pksmd(machine)
    machine.watch = diary = Diary()
    mm = machine.spawn()
    at = mm.mmap(5)
    mm.write(at, [3, 3, 0, 4, 3])
    frames = [frame_of(machine, mm, at // SIZE + i) for i in range(5)]
    while not daemon.at_rest:
        daemon.wake()
    kept = frame_of(machine, mm, at // SIZE)
    told = diary.take()
    assert told == collections.Counter(
        [("on_zero", frames[2]), *(("on_merge", frames[i], kept) for i in (0, 1, 4) if frames[i] != kept)]
    )
    mm.write_at([at + SIZE, at + 2 * SIZE], [9, 9])
    new = [frame_of(machine, mm, at // SIZE + i) for i in (1, 2)]
    assert diary.take() == collections.Counter([("on_cow", kept, new[0]), ("on_cow", ZERO_FRAME, new[1])])
    child = mm.fork()
    child.write(at + 3 * SIZE, [5])
    assert not diary.take(), "a copy after a fork has nothing to do with merging"
    child.exit()
    daemon.sysfs["run"] = 2
    assert {row[0] for row in diary.take()} == {"on_unmerge"}
    with pytest.raises(UsageError, match="awake already"):
        machine.watch = Watch(on_merge=lambda *_: daemon.wake())
        daemon.sysfs["run"] = 1
        while True:
            daemon.wake()


@pytest.mark.parametrize("page_size", [8, 64])
def test_content_ids_stand_for_what_the_machine_writes(page_size):
    machine = Machine(50, page_size)
    daemon = Pksmd(machine)
    mm = machine.spawn()
    machine.write(mm, machine.mmap(mm, 4), [5, 5, 6, 6])
    for _ in range(5):
        daemon.wake()
    assert daemon.would_share([5, 6, 7, 0]).tolist() == [True, True, False, True]
