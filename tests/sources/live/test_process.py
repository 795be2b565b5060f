"""Live processes as sources: children that map known pages, and the ways a process can be out of reach."""

import contextlib
import ctypes
import mmap
import os
import pickle
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pksm import sources
from pksm.errors import PksmError, UsageError
from pksm.extents import State
from pksm.linux.proc import memory as readv
from pksm.linux.proc import pagemap, stillness
from pksm.sources.live import reading

from support.asleep import wait_until_asleep
from support.line_events import line_events

PAGE = pagemap.PAGE_SIZE
NOBODY = 65534

# A child does what it is told, one line of Python at a time; area(n) is private memory without huge pages.
CHILD = """
import ctypes, mmap, os, signal, sys
def area(pages, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, fd=-1, advice=mmap.MADV_NOHUGEPAGE):
    global memory, start
    memory = mmap.mmap(fd, pages * %d, flags=flags)
    if advice is not None:
        memory.madvise(advice)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
def put(page, data):
    memory[page * %d : page * %d + len(data)] = data
libc = ctypes.CDLL(None)
area(64)
for line in sys.stdin:
    exec(line)
    print(start, flush=True)
""".replace("%d", str(PAGE))


class Child:
    """A Python interpreter that runs lines and tells where its area starts."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self.process.pid

    def run(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def child():
    child = Child()
    yield child
    child.kill()
    child.process.stdin.close()
    child.process.stdout.close()


@pytest.fixture(params=["PAGEMAP_SCAN", "entries"])
def way(request, monkeypatch):
    """Run a test with the ioctl and with the fallback that older kernels get."""
    if request.param == "entries":
        monkeypatch.setattr(pagemap.Pagemap, "_has_scan", lambda self: False)
    elif not pagemap_scan_works():
        pytest.skip("this kernel has no PAGEMAP_SCAN (Linux 6.7)")
    return request.param


def pagemap_scan_works():
    with contextlib.closing(pagemap.Pagemap(os.getpid())) as own:
        return own.tells_zero_pages


def allocate(n_pages):
    return sources.Allocation(np.zeros((n_pages, PAGE), np.uint8))


def read(pid, allocate=allocate, progress=lambda pages: None):
    """Read a process; return (source, regions)."""
    with contextlib.closing(sources.open_pid(pid)) as source:
        return source, list(source.regions(PAGE, allocate, progress))


def pages_of(regions, start, n_pages, what="bytes"):
    """Return {page: bytes, or its frame, or its state if it is not DATA} for `n_pages` from `start` on."""
    found = {}
    for region in regions:
        for state, _, address, pages, first in region.runs.tolist():
            for page in range(pages):
                number = (address - start) // PAGE + page
                if not 0 <= number < n_pages:
                    continue
                assert number not in found, "no page is told twice"
                place = first + page
                if state != State.DATA:
                    found[number] = State(state)
                elif what == "bytes":
                    found[number] = region.buffer[place].tobytes()
                else:
                    found[number] = (int(region.frames[place]), bool(region.exclusive[place]))
    return found


def whole(text):
    return text.ljust(PAGE, b"\0")


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


@contextlib.contextmanager
def forked_from(child, line):
    """Let the child fork a process that runs `line` and pauses; give its pid."""
    child.run(
        f"pid = os.fork(); (os.dup2(os.open('/dev/null', os.O_RDWR), 1), {line}, signal.pause()) if pid == 0 else None"
    )
    with open(f"/proc/{child.pid}/task/{child.pid}/children") as children:
        forked = int(children.read())
    try:
        yield forked
    finally:
        os.kill(forked, signal.SIGKILL)


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


def wait_for(condition):
    for _ in range(1000):
        if condition():
            return
        signal.sigtimedwait([], 0.01)
    raise AssertionError("it never happened")


def test_process_that_ends_before_its_first_page(child, way):
    def kill_and_allocate(n_pages):
        child.kill()
        return allocate(n_pages)

    with pytest.raises(PksmError, match=f"pid {child.pid} .*ended before any of its memory was read"):
        read(child.pid, kill_and_allocate)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("end", ["exit", "exec"])
def test_process_that_ends_while_it_is_read(child, way, monkeypatch, end, kept):
    """Also while somebody who reads it keeps the memory that it has left, as our second thread may."""
    monkeypatch.setattr(readv, "READ_BYTES", 16 * PAGE)
    if kept and Path("/proc/sys/kernel/randomize_va_space").read_text() == "0\n":
        pytest.skip("addresses are not random here: another program is not told from this one")
    if kept:
        monkeypatch.setattr(pagemap.Pagemap, "alive", lambda self: True)
    child.run("area(4000); put(0, b'x' * len(memory))")
    reported = []

    def end_after_ten(pages):
        reported.append(pages)
        if len(reported) == 10:
            if end == "exit":
                child.kill()
            else:
                child.run("os.execv('/bin/sh', ['sh', '-c', 'echo 0; cat'])")

    source, regions = read(child.pid, progress=end_after_ten)
    n_data = sum(int(region.runs["pages"][region.runs["state"] == State.DATA].sum()) for region in regions)
    assert n_data <= sum(reported) == 160 and n_data >= 150
    assert source.lost >= 3800
    assert len(source.warnings) == 1 and "ended" in source.warnings[0] and str(child.pid) in source.warnings[0]


def test_process_that_ends_at_any_line(way):
    """Whatever line of ours is the next: what was read is kept, or an error of ours is raised."""

    def read_and_end(line):
        """End a process before that line; return how many lines ran and what came of it."""
        count = 0
        process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.write(process.stdin.fileno(), b"x")
        os.read(process.stdout.fileno(), 1)  # its program has started

        def trace(frame, event, argument):
            nonlocal count
            if event == "line":
                count += 1
                if count == line:
                    process.kill()
                    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT * (line % 2))
            return trace if f"{os.sep}pksm{os.sep}sources{os.sep}" in frame.f_code.co_filename else None

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            source, regions = read(process.pid)
            pages = sum(len(region.buffer) for region in regions if region.buffer is not None)
            return count, (pages, source.lost, len(source.warnings))
        except PksmError as error:
            assert str(process.pid) in str(error) and "\n" not in str(error)
            return count, None
        finally:
            sys.settrace(before)
            process.kill()
            process.communicate()

    read_and_end(0)  # whatever is loaded late is loaded now
    lines, (whole, _, _) = read_and_end(0)
    came = [read_and_end(line)[1] for line in range(1, lines, 7)]
    assert None in came and whole > 10
    for pages, lost, warnings in filter(None, came):
        assert pages <= whole + 2 and (lost > 0) == (warnings == 1)


def test_zombie_and_missing(child):
    pid = child.pid
    child.process.kill()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(PksmError, match=f"pid {pid} .*ended"):
        sources.open_pid(pid)
    child.process.wait()
    for gone in (pid, 2**22 + 1, 2**40):
        with pytest.raises(PksmError, match=f"pid {gone}: no such process"):
            sources.open_pid(gone)


@pytest.mark.parametrize("pid", [0, -1, "12", 1.5])
def test_not_a_process_id(pid):
    with pytest.raises(UsageError, match="not a process id"):
        sources.open_pid(pid)


def test_kernel_thread():
    try:
        with open("/proc/2/stat") as stat:
            if "(kthreadd)" not in stat.read():
                pytest.skip("pid 2 is no kernel thread here (a container)")
    except FileNotFoundError:
        pytest.skip("no pid 2 here (a container)")
    with pytest.raises(PksmError, match="pid 2 .*kernel thread"):
        sources.open_pid(2)


def test_a_thread_is_no_process(child):
    child.run("import threading; threading.Thread(target=signal.pause, daemon=True).start()")
    thread = max(int(name) for name in os.listdir(f"/proc/{child.pid}/task"))
    with pytest.raises(PksmError, match=f"pid {thread}: is a thread"):
        sources.open_pid(thread)


def test_page_size_is_the_systems(child):
    with contextlib.closing(sources.open_pid(child.pid)) as source, pytest.raises(UsageError, match=f"{PAGE} bytes"):
        list(source.regions(2 * PAGE, allocate, lambda pages: None))


def as_nobody(function):
    """Return what `function` returns in a forked process without privileges."""
    if os.geteuid() != 0:
        return function()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            result = function()
        except BaseException as error:
            result = error
        os.write(writer, pickle.dumps(result))
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        result = pickle.load(pipe)
    os.waitpid(pid, 0)
    if isinstance(result, BaseException):
        raise result
    return result


def test_unprivileged_reads_its_own_children(way):
    def function():
        mapped = np.frombuffer(pagemap.mmap.mmap(-1, 64 * PAGE, flags=0x22), np.uint8)
        mapped[: 8 * PAGE] = 7
        ready, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: setuid has taken it away
            mapped[0] = 1
            os.write(tell, b"x")
            signal.pause()
        os.read(ready, 1)
        try:
            source, regions = read(pid)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        start = mapped.ctypes.data
        return pages_of(regions, start, 64), pages_of(regions, start, 64, "frames"), source.warnings, source.lost

    found, frames, warnings, lost = as_nobody(function)
    assert found[0] == b"\1" + b"\7" * (PAGE - 1) and lost == 0
    assert [found[page] for page in range(1, 8)] == [b"\7" * PAGE] * 7
    assert {found[page] for page in range(8, 64)} == {State.HOLE}
    assert frames[0] == (0, True) and frames[1] == (0, False)
    assert warnings == []


def test_refusal_names_rule_and_remedy(child):
    pid = child.pid if os.geteuid() == 0 else 1
    if os.stat(f"/proc/{pid}").st_uid == os.geteuid() != 0:
        pytest.skip("process 1 belongs to this user (a container)")

    def function():
        with pytest.raises(PksmError) as caught:
            sources.open_pid(pid)
        return str(caught.value)

    message = as_nobody(function)
    for words in (f"pid {pid}", "same user", "kernel.yama.ptrace_scope", "CAP_SYS_PTRACE", "as root (sudo)"):
        assert words in message
    assert "\n" not in message


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


@pytest.mark.parametrize("racy", ["keep", "drop", "unchecked"])
def test_pages_written_since_they_were_read(child, way, monkeypatch, racy):
    start = child.run("[put(page, b'old') for page in range(64)]")
    lasts = stillness.Stillness.lasts

    def write_and_ask(self):
        child.run("put(3, b'new'); put(40, b'new')")
        return lasts(self)

    monkeypatch.setattr(stillness.Stillness, "lasts", write_and_ask)
    with contextlib.closing(sources.open_pid(child.pid, racy)) as source:
        regions = list(source.regions(PAGE, allocate, lambda pages: None))
        facts = source.facts()
    found = pages_of(regions, start, 64)
    gone = [page for page, state in found.items() if state == State.EXCLUDED]
    assert gone == ([3, 40] if racy == "drop" else [])
    assert {content for page, content in found.items() if page not in gone} == {whole(b"old")}
    if racy == "unchecked":
        assert facts["racy"] is None
    else:
        assert facts["racy"] >= 2  # and what the interpreter wrote
        assert facts["out_of_reach"]["racy"] == (facts["racy"] if racy == "drop" else 0)
    assert not facts["frozen"] and source.lost == 0


def second_look_after(monkeypatch, action):
    """Do something between a reading and its second look."""
    monkeypatch.setattr(stillness.Stillness, "lasts", lambda self: [action()] == [])


@pytest.mark.parametrize("racy", ["keep", "drop"])
def test_pages_given_back_meanwhile_stay_away(child, way, monkeypatch, racy):
    start = child.run("[put(page, b'old') for page in range(64)]")
    second_look_after(monkeypatch, lambda: child.run(f"memory.madvise(mmap.MADV_DONTNEED, 8 * {PAGE}, 4 * {PAGE})"))
    with contextlib.closing(sources.open_pid(child.pid, racy)) as source:
        found = pages_of(list(source.regions(PAGE, allocate, lambda pages: None)), start, 64)
        assert source.facts()["racy"] >= 4
    assert [page for page in found if found[page] == State.EXCLUDED] == ([8, 9, 10, 11] if racy == "drop" else [])
    with contextlib.closing(pagemap.Pagemap(child.pid)) as pages:
        entries = np.zeros(64, np.uint64)
        pages._read_entries(start // PAGE, entries)
    assert np.flatnonzero(~pagemap.is_present(pagemap.flags_of(entries))).tolist() == [8, 9, 10, 11], "not even read"


def test_pages_swapped_out_meanwhile_are_not_racy(child, monkeypatch):
    """They are not looked at, for that would bring them back: whether they were written is not known."""
    start = child.run("[put(page, b'old') for page in range(64)]")
    wait_until_asleep(child.pid)
    second_look_after(monkeypatch, lambda: looked.append(1))
    looked, entries_of, pread = [], pagemap.Pagemap.entries, readv.ProcessMemory._pread
    touched = []

    def swapped_since(self, data):
        entries = entries_of(self, data)
        if looked:
            for _, _, address, pages, first in data.tolist():
                if address <= start < address + pages * PAGE:
                    at = first + (start - address) // PAGE
                    entries[at + 8 : at + 12] = 1 << 62
        return entries

    def watched(self, address, out):
        touched.append((address, address + out.size))
        return pread(self, address, out)

    monkeypatch.setattr(pagemap.Pagemap, "entries", swapped_since)
    monkeypatch.setattr(readv.ProcessMemory, "_pread", watched)
    monkeypatch.setattr(readv.ProcessMemory, "_readv", lambda *args: -1)  # all is read the other way
    with contextlib.closing(sources.open_pid(child.pid, "drop")) as source:
        found = pages_of(list(source.regions(PAGE, allocate, lambda pages: None)), start, 64)
        assert source.facts()["racy"] == 0
    assert set(found.values()) == {whole(b"old")}
    times = [sum(low <= start + page * PAGE < high for low, high in touched) for page in (7, 8, 11, 12)]
    assert looked and times == [2, 1, 1, 2]


def test_pages_shared_meanwhile_stay_shared(child, way, monkeypatch):
    start = child.run("[put(page, b'p%d' % page) for page in range(64)]")
    with contextlib.ExitStack() as stack:
        forked = []
        second_look_after(monkeypatch, lambda: forked or forked.append(stack.enter_context(forked_from(child, "0"))))
        read(child.pid)
        parent, fork = (pages_of(read(pid)[1], start, 64, "frames") for pid in (child.pid, *forked))
    assert parent == fork and not any(exclusive for _, exclusive in parent.values())


def test_an_unknown_way_with_racy_pages(child):
    with pytest.raises(UsageError, match="keep, drop"):
        sources.open_pid(child.pid, "maybe")


@pytest.mark.parametrize("looks", [False, True])
def test_pages_that_stay_are_not_racy(child, way, monkeypatch, looks):
    child.run("pass")
    wait_until_asleep(child.pid)
    look_again, looked = reading.Reading._look_again, []
    monkeypatch.setattr(reading.Reading, "_look_again", lambda *args: [looked.append(1), look_again(*args)])
    if looks:
        monkeypatch.setattr(stillness.Stillness, "lasts", lambda self: False)
    source, _ = read(child.pid)
    assert source.facts()["racy"] == 0, "the child waits for a line"
    assert bool(looked) == looks, "what slept is not looked at again"


def test_stillness(child):
    child.run("import threading; event = threading.Event(); t = threading.Thread(target=event.wait); t.start()")
    wait_until_asleep(child.pid)
    still, devices = stillness.Stillness(child.pid, False), stillness.Stillness(child.pid, True)
    few = stillness.PAGES_A_THREAD
    assert not still.lasts(), "it was not begun"
    for watched in (still, devices):
        watched.begin(few)
    assert not still.lasts(), "two threads are too many for so few pages"
    for _ in range(2):
        for watched in (still, devices):
            watched.begin(2 * few)
        assert still.lasts() and still.lasts() and not devices.lasts()
        child.run("pass")
        wait_until_asleep(child.pid)
        assert not still.lasts(), "it ran, if not for long"
        assert not still.lasts(), "and it has to begin anew"
    still.begin(2 * few)
    child.run("event.set(); t.join()")
    wait_until_asleep(child.pid)
    assert not still.lasts()
    child.run("threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()")
    still.begin(2 * few)
    assert not still.lasts(), "a thread runs all the time"
    child.kill()
    still.begin(2 * few)
    assert not still.lasts()


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
