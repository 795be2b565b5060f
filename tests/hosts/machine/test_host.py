"""The machine as PageHost and MappingHost, asked by hand."""

import numpy as np
import pytest

from pksm.engine import native
from pksm.errors import PageError
from pksm.hosts.machine import Machine
from pksm.hosts.machine.content import pages_of
from pksm.protocols import NO_FRAME

from support.machines import SIZE, Log, check, frames_of, machine_and_daemon, n_used, settle


def u32(*values):
    return np.array(values, np.uint32)


def mapped(ids, frames=100, **kind):
    """A machine with one mapping of pages with these content ids: (machine, mm, address, frames)."""
    machine = Machine(frames, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, len(ids), **kind)
    machine.write(mm, at, ids)
    return machine, mm, at, u32(*frames_of(machine, mm, at, len(ids)))


def test_merge_is_all_or_nothing_for_each_page():
    machine, mm, at, frames = mapped([1, 1, 1, 2, 2])
    log = Log(machine)
    pinned = machine.pin(mm, at + SIZE)
    locked = machine.lock_page(mm, at + 4 * SIZE)
    assert machine.classes[[*pinned, *locked]].tolist() == [native.BUSY_PAGE] * 2
    refused = machine.merge(frames[[0, 1, 3]], frames[[2, 2, 4]])
    assert refused.tolist() == [False, True, True]  # done; the page is pinned; the one to keep is locked
    assert log.freed == [frames[0]] and not machine.frames.has(frames[[3, 4]], 32).any()
    machine.check()
    machine.unpin(pinned)
    machine.unlock_page(locked)
    assert machine.classes[frames[[1, 4]]].tolist() == [native.FREE] * 2
    assert machine.merge(frames[[1, 3]], frames[[2, 4]]) is None
    assert n_used(machine) == 2 and np.array_equal(machine.read(mm, at, 5), pages_of([1, 1, 1, 2, 2], SIZE))
    machine.check()


def test_a_page_with_a_pte_out_of_reach_is_refused():
    machine, mm, at, frames = mapped([1, 1, 0])
    machine.frames.anon_vma[frames[[0, 2]]] = 40  # nobody's
    assert machine.merge(frames[:1], frames[1:2]).tolist() == [True]
    assert machine.merge(frames[1:2], frames[:1]).tolist() == [True]
    assert machine.merge_zero(frames[2:]).tolist() == [True]
    assert machine.classes[frames].tolist() == [native.WALK_FAILS, native.FREE, native.WALK_FAILS]
    assert n_used(machine) == 3 and machine.pages_sharing == machine.pages_zero_sharing == 0


def test_stack_pages_are_tracked_and_never_merged():
    machine, daemon = machine_and_daemon()
    mm = machine.spawn()
    at = machine.mmap(mm, 4, stack=True)
    machine.write(mm, at, [1, 1, 0, 0])
    frames = u32(*frames_of(machine, mm, at, 4))
    assert machine.classes[frames].tolist() == [native.WALK_FAILS] * 4
    settle(machine, daemon)
    assert n_used(machine) == 4 and len(daemon.items) == 4
    assert machine.merge(frames[:1], frames[1:2]).tolist() == [True]
    assert machine.merge_zero(frames[2:]).tolist() == [True, True]
    check(machine, daemon)


def test_split_gives_all_sharers_private_copies_and_births():
    machine, mm, at, frames = mapped([1, 1, 1, 2])
    machine.merge(frames[:2], frames[[2, 2]])
    child = machine.fork(mm)
    log = Log(machine)
    machine.split(frames[2:3])
    assert len(log.new) == 6 and log.freed == [frames[2]]
    assert machine.pages_sharing == machine.frames_saved == 0 and n_used(machine) == 7
    machine.check()
    machine.write(mm, at, [5])
    assert np.array_equal(machine.read(child, at, 4), pages_of([1, 1, 1, 2], SIZE))
    with pytest.raises(PageError, match="not merged"):
        machine.split(frames[3:])


def test_unmergeable_and_unmerge_all():
    machine, daemon = machine_and_daemon()
    mm = machine.spawn()
    at = machine.mmap(mm, 6)
    machine.write(mm, at, [1, 1, 1, 1, 0, 0])
    settle(machine, daemon)
    daemon.tunables = daemon.tunables.with_(run=0)
    machine.madvise(mm, at + 2 * SIZE, 3, "UNMERGEABLE")
    assert (n_used(machine), machine.pages_sharing, machine.pages_zero_sharing) == (4, 1, 1)
    check(machine, daemon)
    machine.unmerge_all()
    assert (n_used(machine), machine.pages_sharing, machine.pages_zero_sharing, machine.frames_saved) == (6, 0, 0, 0)
    check(machine, daemon)
    daemon.tunables = daemon.tunables.with_(run=1)
    settle(machine, daemon)
    assert n_used(machine) == 1


def test_next_mapped_goes_round_what_is_opted_in():
    machine, mm, at, _ = mapped([1] * 5, mergeable=True)
    private = machine.mmap(mm, 3)
    machine.write(mm, private, [1] * 3)
    far = machine.mmap(mm, 2000, mergeable=True)
    machine.touch(mm, far, 2000)  # zero pages are no pages to merge
    machine.patch(mm, far, [(page, 0, 1) for page in (0, 600, 1999)])
    child = machine.fork(mm)
    machine.madvise(child, far, 2000, "UNMERGEABLE")
    machine.spawn()
    assert machine.mergeable_mms() == [mm.id, child.id]
    expected = [(mm.id, at + i * SIZE) for i in range(5)] + [(mm.id, far + i * SIZE) for i in (0, 600, 1999)]
    expected += [(child.id, at + i * SIZE) for i in range(5)]
    for n in (1, 2, 3, 13, 50):
        seen = []
        for mm_id in machine.mergeable_mms():
            first, at_end = 0, False
            while not at_end:
                pages, frames, at_end = machine.next_mapped(mm_id, first, n)
                assert len(pages) == len(frames) <= n and (at_end or len(pages) == n)
                assert machine.frames_at(np.full(len(pages), mm_id), pages).tolist() == frames.tolist()
                seen += [(mm_id, page * SIZE) for page in pages.tolist()]
                first = int(pages[-1]) + 1 if len(pages) else first
        assert seen == expected
    assert machine.next_mapped(mm.id, 0, 1)[1].tolist() == frames_of(machine, mm, at, 1)
    machine.exit(mm)
    assert machine.mergeable_mms() == [child.id] and machine.next_mapped(mm.id, 0, 9)[2]
    assert machine.frames_at([mm.id], np.array([at // SIZE])).tolist() == [NO_FRAME]


def test_merge_ptes_moves_single_ptes_and_a_frame_goes_with_its_last():
    machine, mm, at, frames = mapped([1, 1, 1])
    child = machine.fork(mm)
    log = Log(machine)
    page = at // SIZE
    assert machine.merge_ptes([mm.id], [page], frames[:1], frames[:1]) is None  # the first page becomes the kept one
    assert machine.merge_ptes([mm.id, mm.id], [page + 1, page + 2], frames[1:], frames[[0, 0]]) is None
    assert log.freed == [] and machine.frames_saved == 0  # the child still has both: fake merges
    machine.check()
    before = machine.pte_changes
    assert machine.merge_ptes([child.id, child.id], [page + 1, page + 2], frames[1:], frames[[0, 0]]) is None
    assert log.freed == frames[1:].tolist() and machine.frames_saved == 2 and machine.pages_sharing == 5
    assert machine.pte_changes != before
    machine.check()
    machine.unmerge_ptes([child.id, mm.id], [page, page + 1])
    assert n_used(machine) == 3
    machine.check()
    pinned = machine.pin(child, at)
    assert machine.merge_ptes([child.id], [page], u32(*pinned), frames[:1]).tolist() == [True]
    machine.unpin(pinned)
    assert machine.merge_ptes([child.id], [page], frames[2:], frames[:1]).tolist() == [True]  # it maps another frame
    assert machine.merge_zero_ptes([child.id], [page], frames[2:]).tolist() == [True]
    with pytest.raises(PageError):
        machine.merge_ptes([mm.id], [page + 3], frames[:1], frames[:1])
    with pytest.raises(PageError):
        machine.merge_ptes([99], [page], frames[:1], frames[:1])
    machine.check()


def test_merge_zero_ptes_frees_a_frame_with_its_last():
    machine, mm, at, frames = mapped([0, 0, 7])
    child = machine.fork(mm)
    pages = np.arange(at // SIZE, at // SIZE + 2)
    assert machine.merge_zero_ptes([mm.id] * 2, pages, frames[:2]) is None
    assert (n_used(machine), machine.pages_zero_sharing, machine.frames_saved) == (3, 2, 0)
    assert machine.merge_zero_ptes([child.id], pages[:1], frames[:1]) is None
    assert (n_used(machine), machine.pages_zero_sharing, machine.frames_saved) == (2, 3, 1)
    assert (machine.zero_ptes_of(mm.id), machine.zero_ptes_of(child.id), machine.zero_ptes_of(99)) == (2, 1, 0)
    assert np.array_equal(machine.read(mm, at, 3), pages_of([0, 0, 7], SIZE))
    machine.check()


def test_frames_saved_knows_of_what_a_zero_page_had_taken_in():
    machine, mm, at, frames = mapped([0, 0, 0])
    machine.merge(frames[:2], frames[[2, 2]])
    assert machine.frames_saved == 2
    machine.merge_zero(frames[2:])
    assert machine.frames_saved == machine.pages_zero_sharing == 3
    machine.check()
    machine.write(mm, at, [1])
    assert machine.frames_saved == 2


def test_a_write_in_place_moves_the_page_to_the_writers_anon_vma():
    machine, mm, at, frames = mapped([1])
    child = machine.fork(mm)
    machine.write(mm, at, [2])
    parents = machine.anon_vma(u32(*frames_of(machine, mm, at, 1)))
    assert machine.anon_vma(frames) == parents
    machine.write(child, at, [3])
    assert frames_of(machine, child, at, 1) == frames.tolist()
    assert machine.anon_vma(frames) == machine.vmas.anon_vma[child.vmas[0]] != parents
    machine.check()
