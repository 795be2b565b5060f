"""Live processes as sources: children that map known pages."""

import contextlib
import ctypes
import mmap
import os
import pwd

import numpy as np
import pytest

from pksm import sources
from pksm.errors import PksmError, UsageError
from pksm.extents import State
from pksm.linux.proc import memory as readv
from pksm.linux.proc import pagemap, stillness
from pksm.sources.live import reading

from support.line_events import line_events
from support.live_children import PAGE, allocate, forked_from, pages_of, read, wait_for, whole


def test_known_pages(child, way):
    start = child.run(f"put(1, b'pair'); put(2, b'pair'); put(3, b'unique'); put(5, bytes({PAGE})); memory[7 * {PAGE}]")
    reported = []
    source, regions = read(child.pid, progress=reported.append)
    expected = dict.fromkeys(range(64), State.HOLE)  # never touched, or like page 7 only read: the zero page
    expected |= {1: whole(b"pair"), 2: whole(b"pair"), 3: whole(b"unique"), 5: bytes(PAGE)}
    assert pages_of(regions, start, 64) == expected
    assert source.kind == "process" and str(child.pid) in source.name and source.lost == 0
    n_data = sum(int(region.runs["pages"][region.runs["state"] == State.DATA].sum()) for region in regions)
    not_counted = sum(reported) - n_data
    assert not_counted == 0 if way == "PAGEMAP_SCAN" else not_counted >= 1
    assert all((region.copies is None) == (region.buffer is None) for region in regions)
    for region in regions:
        for state, mapping, address, pages, _ in region.runs.tolist():
            named = source.mappings[mapping]
            assert named.start <= address and address + pages * PAGE <= named.end
            if address == start:
                assert named.name == "anon"
    assert {"[heap]", "[stack]"} <= {mapping.name for mapping in source.mappings}


def test_reading_makes_nothing_resident(child, way):
    start = child.run("put(3, b'x'); put(40, b'x')")
    before = resident_pages(child.pid)
    _, regions = read(child.pid)
    data = [page for page, found in pages_of(regions, start, 64).items() if found != State.HOLE]
    assert data == [3, 40]
    assert resident_pages(child.pid) == before


def resident_pages(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return next(line for line in rollup if line.startswith("Rss:"))


def test_only_private_copies_of_shared_and_file_pages_count(child, way, tmp_path):
    file = tmp_path / "data"
    file.write_bytes(b"f" * 8 * PAGE)
    start = child.run(
        f"area(8, mmap.MAP_PRIVATE, os.open({str(file)!r}, os.O_RDWR), None); "
        f"[memory[page * {PAGE}] for page in range(8)]; put(2, b'own')"
    )
    found = pages_of(read(child.pid)[1], start, 8)
    assert found.pop(2) == b"own" + b"f" * (PAGE - 3)
    assert set(found.values()) == {State.EXCLUDED}
    start = child.run("area(8, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, -1, None); put(1, b'shared')")
    assert pages_of(read(child.pid)[1], start, 8) == dict.fromkeys(range(8), State.HOLE) | {1: State.EXCLUDED}


def test_huge_pages_are_read_as_base_pages(child, way):
    huge = 2 << 20
    start = child.run(f"area({4 * huge // PAGE}, advice=mmap.MADV_HUGEPAGE); put(0, b'h' * {3 * huge})")
    found = pages_of(read(child.pid)[1], start, 4 * huge // PAGE)
    # A huge page that is only partly written is resident as a whole where the kernel made one.
    assert [found[page] for page in range(3 * huge // PAGE)] == [b"h" * PAGE] * (3 * huge // PAGE)
    assert {found[page] for page in range(3 * huge // PAGE, len(found))} <= {State.HOLE, bytes(PAGE)}


def test_memory_without_access_is_read_too(child, way):
    start = child.run(f"put(4, b'hidden'); libc.mprotect(ctypes.c_void_p(start), {64 * PAGE}, 0)")
    source, regions = read(child.pid)
    assert pages_of(regions, start, 64)[4] == whole(b"hidden") and source.lost == 0


def test_without_process_vm_readv(child, way, monkeypatch):
    refused = []

    def refuse(*args):
        refused.append(args)
        ctypes.set_errno(1)
        return -1

    monkeypatch.setattr(readv, "_vm_readv", refuse)
    start = child.run("put(1, b'one'); put(2, b'two'); put(60, b'three')")
    source, regions = read(child.pid)
    assert refused, "it was tried first"
    found = pages_of(regions, start, 64)
    assert (found[1], found[2], found[60]) == (whole(b"one"), whole(b"two"), whole(b"three")) and source.lost == 0


def test_many_regions_and_batches(child, way, monkeypatch):
    monkeypatch.setattr(reading, "REGION_PAGES", 100)
    monkeypatch.setattr(readv, "READ_BYTES", 7 * PAGE)
    monkeypatch.setattr(readv, "MAX_IOVECS", 3)
    start = child.run("area(1000); [put(page, str(page).encode()) for page in range(1000) if page % 5]")
    _, regions = read(child.pid)
    assert len(regions) > 8 and max(len(region.buffer) for region in regions if region.copies) <= 100
    expected = {page: whole(str(page).encode()) if page % 5 else State.HOLE for page in range(1000)}
    assert pages_of(regions, start, 1000) == expected


def test_pages_unmapped_meanwhile_are_lost(child, way):
    start = child.run("[put(page, b'x') for page in range(64)]")
    unmapped = []

    def unmap_and_allocate(n_pages):
        if not unmapped:
            unmapped.append(child.run(f"libc.munmap(ctypes.c_void_p(start + 10 * {PAGE}), {5 * PAGE})"))
        return allocate(n_pages)

    source, regions = read(child.pid, unmap_and_allocate)
    found = pages_of(regions, start, 64)
    assert [page for page, state in found.items() if state == State.EXCLUDED] == [10, 11, 12, 13, 14]
    assert found[9] == found[15] == whole(b"x")
    assert source.lost >= 5 and str(source.lost) in source.warnings[0]


def test_forked_processes_share_frames(child, way):
    start = child.run("[put(page, b'p%d' % page) for page in range(8)]")
    with forked_from(child, "put(3, b'changed')") as forked:
        wait_for(lambda: pages_of(read(forked)[1], start, 8)[3] == whole(b"changed"))
        parent, fork = (pages_of(read(pid)[1], start, 8, "frames") for pid in (child.pid, forked))
        source, _ = read(forked)
        # Looking tears no shared frame apart, as process_vm_readv of them would.
        assert parent == pages_of(read(child.pid)[1], start, 8, "frames")
        assert pages_of(read(child.pid)[1], start, 8) == {page: whole(b"p%d" % page) for page in range(8)}
    shared = [page for page in range(8) if page != 3]
    assert [parent[page][1] for page in shared] == [False] * 7 and parent[3][1] and fork[3][1]
    if parent[0][0] == 0:
        assert {frame for frame, _ in [*parent.values(), *fork.values()]} == {0}
        assert source.warnings == []
    else:
        assert all(parent[page] == fork[page] for page in shared) and parent[3][0] != fork[3][0]
        assert len({frame for frame, _ in parent.values()}) == 8 and source.warnings == []


def test_shared_and_own_pages_in_one_batch(child, way):
    start = child.run("area(512); [put(page, b'old%d' % page) for page in range(512)]")
    changes = "[put(page, b'new%d' % page) for page in range(512) if page % 3 == 0 or 100 < page < 200]"
    with forked_from(child, changes) as forked:
        expected = {
            page: whole(b"new%d" % page if page % 3 == 0 or 100 < page < 200 else b"old%d" % page)
            for page in range(512)
        }
        wait_for(lambda: pages_of(read(forked)[1], start, 512) == expected)


USERFAULT = """
import fcntl, struct
uffd = libc.syscall(323, 0o2004000)
fcntl.ioctl(uffd, 0xC018AA3F, bytearray(struct.pack("QQQ", 0xAA, 0, 0)))
fcntl.ioctl(uffd, 0xC020AA00, bytearray(struct.pack("QQQQ", start, {size}, 1, 0)))
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of the system call is that of x86-64")
@pytest.mark.skipif(os.geteuid() != 0, reason="userfaultfd needs root on most systems")
def test_pages_under_userfaultfd_are_not_read(child, way):
    code = USERFAULT.format(size=64 * PAGE)
    start = child.run(f"put(3, b'x'); put(4, b'y'); exec({code!r})")
    source, regions = read(child.pid)
    expected = dict.fromkeys(range(64), State.HOLE) | {3: State.EXCLUDED, 4: State.EXCLUDED}
    assert pages_of(regions, start, 64) == expected
    assert source.lost == 0 and ["2 resident pages are under userfaultfd" in line for line in source.warnings] == [True]


def test_page_size_is_the_systems(child):
    with contextlib.closing(sources.open_pid(child.pid)) as source, pytest.raises(UsageError, match=f"{PAGE} bytes"):
        list(source.regions(2 * PAGE, allocate, lambda pages: None))


def test_no_descriptor_is_left_open(child, way):
    before = len(os.listdir("/proc/self/fd"))
    source, _ = read(child.pid)
    source.close()
    with pytest.raises(PksmError):
        sources.open_pid(2**22 + 1)
    with contextlib.closing(sources.open_pid(child.pid)) as source:
        unfinished = source.regions(PAGE, allocate, lambda pages: None)
        next(unfinished)
        unfinished.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_lines_do_not_grow_with_pages(child, way, monkeypatch):
    monkeypatch.setattr(stillness.Stillness, "lasts", lambda self: False)  # all is looked at a second time

    def lines_of(pages):
        child.run(f"area({pages}); put(0, b'x' * len(memory))")
        return line_events(lambda: read(child.pid))

    lines_of(1 << 10)  # whatever is loaded late is loaded now
    few, many = lines_of(1 << 10), lines_of(1 << 14)
    more_pages = (1 << 14) - (1 << 10)
    assert many - few < more_pages // 4, "batches and mappings cost lines, pages do not"


def test_reasons_sum_up_to_what_was_not_read(child, way, tmp_path):
    file = tmp_path / "data"
    file.write_bytes(b"f" * 8 * PAGE)
    child.run(f"kept = [mmap.mmap(os.open({str(file)!r}, os.O_RDWR), 0, flags=mmap.MAP_PRIVATE)]; kept[0][:{PAGE}]")
    child.run(f"kept.append(mmap.mmap(-1, 8 * {PAGE})); kept[1][: 3 * {PAGE}] = b's' * 3 * {PAGE}")
    source, regions = read(child.pid)
    reasons = source.facts()["out_of_reach"]
    states = np.concatenate([region.runs for region in regions])
    holes, excluded = (int(states["pages"][states["state"] == state].sum()) for state in (State.HOLE, State.EXCLUDED))
    assert reasons["not_resident"] + reasons["swapped"] == holes
    assert sum(reasons.values()) == holes + excluded
    assert reasons["shared"] >= 3 and reasons["file"] >= 1 and reasons["huge"] == 0


def test_who_a_process_is(child):
    source, _ = read(child.pid)
    facts = source.facts()
    assert facts["pid"] == child.pid and facts["command"] in source.name
    with open(f"/proc/{child.pid}/comm") as comm:
        assert facts["command"] == comm.read().strip()
    assert facts["user"] == pwd.getpwuid(os.getuid()).pw_name
    assert facts["ksm_merged"] in (0, None)


def test_scattered_pages_are_found_once_each():
    n_pages = 4096  # in more runs than the kernel keeps before it hands them over
    with contextlib.closing(mmap.mmap(-1, n_pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        view = np.frombuffer(memory, np.uint8)
        view[:: 2 * PAGE] = 1
        start = view.ctypes.data
        del view
        vmas = np.zeros(1, [("start", "i8"), ("end", "i8"), ("resident", "?")])
        vmas["start"], vmas["end"], vmas["resident"] = start, start + n_pages * PAGE, True
        for most in (1 << 17, 1000):
            with contextlib.closing(pagemap.Pagemap(os.getpid())) as own:
                runs = np.concatenate([part for part, _ in own.resident(vmas, most)])
            assert np.array_equal(runs["start"], np.arange(start, start + n_pages * PAGE, 2 * PAGE))
            assert ((runs["end"] - runs["start"]) == PAGE).all()
