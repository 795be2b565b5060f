"""Cores of processes: written for the test page by page, by the kernel for a child that aborts, and by gdb's gcore."""

import contextlib
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm import sources
from pksm.errors import PksmError, UnsupportedError
from pksm.scan import scan
from pksm.sources.images import mapped

from support.writers import elf, programs, reading
from support.writers.elf import PAGE, R, W, X

TEXT, HEAP, SHARED = 0x5555_5555_0000, 0x5555_6000_0000, 0x7F00_0000_0000
STACK, VDSO = 0x7FFF_0000_0000, 0x7FFF_8000_0000
VSYSCALL = 0xFFFF_FFFF_FF60_0000
NOTES = elf.nt_file([
    (TEXT, TEXT + 4 * PAGE, b"/usr/bin/tool"), (TEXT + 4 * PAGE, TEXT + 6 * PAGE, b"/usr/lib/lib\x1b[2J.so"),
    (SHARED, SHARED + 2 * PAGE, b"/dev/zero (deleted)"),
]) + elf.nt_auxv({25: STACK + 2 * PAGE + 9, 33: VDSO})  # fmt: skip


def page(number):
    return struct.pack("<Q", number) * 512


SEGMENTS = [
    (TEXT, [page(1)], 4, R | X),  # the page with the ELF header
    (TEXT + 4 * PAGE, [page(2), page(3)], 2, R | W),
    (HEAP, [page(4), None, None, page(5), bytes(PAGE)], 5, R | W),
    (HEAP + 16 * PAGE, [], 100, 0),  # never touched
    (SHARED, [page(6), page(7)], 2, R | W),
    (STACK, [None, page(8), page(9)], 3, R | W),
    (VDSO, [page(10)], 1, R | X),
    (VSYSCALL, [page(11)], 1, X),
]
DATA = {TEXT + 4 * PAGE: page(2), TEXT + 5 * PAGE: page(3), HEAP: page(4), HEAP + 3 * PAGE: page(5),
        HEAP + 4 * PAGE: bytes(PAGE), STACK + PAGE: page(8), STACK + 2 * PAGE: page(9)}  # fmt: skip


@pytest.fixture
def core(tmp_path):
    path = tmp_path / "core"
    elf.write_core(path, SEGMENTS, NOTES)
    return path


def test_states(core):
    result = reading.read(core)
    assert reading.contents(result) == DATA and result.progress == len(DATA)
    assert reading.states(result) == {"DATA": 7, "HOLE": 2 + 100 + 1, "EXCLUDED": 4 + 2 + 1 + 1}
    for address in (TEXT, TEXT + 3 * PAGE, SHARED, VDSO, VSYSCALL):
        assert result.pages[address].state == "EXCLUDED", hex(address)
    for address in (HEAP + PAGE, HEAP + 20 * PAGE, STACK):
        assert result.pages[address].state == "HOLE", hex(address)
    (warning,) = result.source.warnings
    assert "8 KiB of shared memory" in warning
    assert (result.source.kind, result.source.lost) == ("core", 0)
    assert all(region.copies is None for region in result.regions)


def test_names(core):
    source = reading.read(core).source
    assert [mapping.name for mapping in source.mappings] == [
        "tool", "lib?[2J.so", "anon", "anon", "zero (deleted)", "[stack]", "[vdso]", "[vsyscall]",
    ]  # fmt: skip
    assert [(mapping.start, mapping.end) for mapping in source.mappings] == [
        (address, address + pages * PAGE) for address, _, pages, _ in SEGMENTS
    ]


def test_a_core_without_holes_is_warned_of(tmp_path):
    path = tmp_path / "core"
    elf.write_core(path, [(HEAP, [page(1), bytes(PAGE), page(2)], 3, R | W)], NOTES, align=1)
    result = reading.read(path)
    assert reading.states(result) == {"DATA": 3}
    (warning,) = result.source.warnings
    assert "no holes, as gdb's gcore writes" in warning and "scan the live process" in warning
    elf.write_core(path, [(TEXT, [], 4, R), (HEAP, [page(1), bytes(PAGE), page(2)], 3, R | W)], NOTES)
    path.write_bytes(path.read_bytes())  # a plain copy, as long as before
    (warning,) = reading.read(path).source.warnings
    assert "no holes, as copies and pipes leave" in warning


UNLISTED = {
    "no notes": b"",
    "no files": elf.nt_auxv({33: VDSO}),
    "cut off": NOTES[:60],
    "too many files": NOTES.replace(b"\3\0\0\0\0\0\0\0", b"\xff" * 8, 1),
}


@pytest.mark.parametrize("case", UNLISTED)
def test_without_the_list_of_files(tmp_path, case):
    path = tmp_path / "core"
    elf.write_core(path, SEGMENTS[:3], UNLISTED[case])
    result = reading.read(path)
    assert {mapping.name for mapping in result.source.mappings} == {"anon"}
    assert reading.states(result) == {"DATA": 6, "HOLE": 5}
    assert any("NT_FILE" in warning for warning in result.source.warnings)


AUXV_WITHOUT_PLACES = {
    "none": b"",
    "empty": elf.note(b"CORE", 6, b""),
    "zeros": elf.nt_auxv({25: 0, 33: 0}),
    "cut off": elf.nt_auxv({33: HEAP})[:-24],
    "behind its end": elf.nt_auxv({0: 0, 25: HEAP, 33: HEAP}),
}


@pytest.mark.parametrize("auxv", AUXV_WITHOUT_PLACES)
def test_address_0_is_neither_vdso_nor_stack_where_the_core_names_none(tmp_path, auxv):
    path = tmp_path / "core"
    notes = AUXV_WITHOUT_PLACES[auxv]
    elf.write_core(path, [(0, [page(1), page(2)], 2, R | W), (HEAP, [page(3)], 1, R | W)], notes)
    result = reading.read(path)
    assert reading.contents(result) == {0: page(1), PAGE: page(2), HEAP: page(3)}
    assert {page.mapping for page in result.pages.values()} == {"anon"}


LIBRARY, DATA_FILE, GONE, HUGE, OLD = (0x7F00_0000_0000 + number * (1 << 24) for number in range(5))


def core_of_files(path, text_pages):
    """A core of a process that maps a library, files, and huge pages; `text_pages` of its text are dumped."""
    paths = {
        LIBRARY: b"/usr/lib/libc.so.6", DATA_FILE: b"/var/data", GONE: b"/tmp/.shm-abc (deleted)",
        HUGE: b"/anon_hugepage (deleted)", OLD: b"/usr/lib/libold.so (deleted)",
    }  # fmt: skip
    segments = [
        (HEAP, [page(1), page(2)], 2, R | W),
        (LIBRARY, [page(3)] * text_pages, 4, R | X),
        (LIBRARY + 4 * PAGE, [page(4)], 1, R),  # relocated, then read-only
        (LIBRARY + 5 * PAGE, [page(5)], 1, R | W),
        (DATA_FILE, [page(6)] * 3, 3, R | W),
        (GONE, [page(7)] * 5, 5, R | W),
        (HUGE, [page(8)] * 6, 6, R | W),
        (OLD, [page(9)], 4, R | X),
        (OLD + 4 * PAGE, [page(10)], 1, R | W),
    ]
    ranges = [(start, start + 16 * PAGE, name) for start, name in paths.items()]
    elf.write_core(path, segments, elf.nt_file(ranges))
    return reading.read(path)


def test_what_nobody_merges_is_left_out_and_counted_apart(tmp_path):
    """As of the live process: huge pages, shared memory, files; and what a core can't say."""
    result = core_of_files(tmp_path / "core", 1)
    own = {HEAP: page(1), HEAP + PAGE: page(2), LIBRARY + 4 * PAGE: page(4), LIBRARY + 5 * PAGE: page(5)}
    assert reading.contents(result) == own | {OLD + 4 * PAGE: page(10)}
    out = result.source.facts()["out_of_reach"]
    assert out == {"not_resident": 0, "left_out": 8, "shared": 0, "huge": 6, "file": 0, "unclear": 8}
    lines = "\n".join(result.source.warnings)
    assert "24 KiB of huge pages" in lines and "32 KiB of files are left out: the core does not say" in lines


def test_dumped_text_of_a_library_shows_that_files_were_dumped(tmp_path):
    result = core_of_files(tmp_path / "core", 4)
    own = {HEAP: page(1), HEAP + PAGE: page(2), LIBRARY + 5 * PAGE: page(5), OLD + 4 * PAGE: page(10)}
    assert reading.contents(result) == own
    out = result.source.facts()["out_of_reach"]
    assert out == {"not_resident": 0, "left_out": 4, "shared": 0, "huge": 6, "file": 5, "unclear": 8}
    assert any("20 KiB of files are left out, which coredump_filter" in line for line in result.source.warnings)


def test_truncated(core):
    with open(core, "rb+") as file:
        file.truncate(os.path.getsize(core) - 3 * PAGE - 100)  # vsyscall, vdso, and the stack's pages
    result = reading.read(core)
    lost = {STACK + PAGE, STACK + 2 * PAGE}
    assert reading.contents(result) == {address: data for address, data in DATA.items() if address not in lost}
    assert result.source.lost == 2 and all(result.pages[address].state == "EXCLUDED" for address in lost)
    assert any("cut off: 2 pages" in warning for warning in result.source.warnings)


def test_larger_pages(core):
    result = reading.read(core, 2 * PAGE)
    assert reading.contents(result) == {
        TEXT + 4 * PAGE: page(2) + page(3), HEAP: page(4) + bytes(PAGE), HEAP + 2 * PAGE: bytes(PAGE) + page(5),
        STACK: bytes(PAGE) + page(8),
    }  # fmt: skip
    assert any(
        f"{2 * PAGE} bytes at the ends of its ranges fill no page" in warning for warning in result.source.warnings
    )


def patched(core, offset, form, *values):
    data = bytearray(core.read_bytes())
    struct.pack_into(form, data, offset, *values)
    core.write_bytes(data)


def first_load(field):
    return 64 + 56 + {"flags": 4, "offset": 8, "vaddr": 16, "filesz": 32, "memsz": 40}[field]


REFUSED = {
    "32 bits": (lambda core: patched(core, 4, "B", 1), "32-bit little-endian core"),
    "big-endian": (lambda core: patched(core, 5, "B", 2), "64-bit big-endian core"),
    "no such class": (lambda core: patched(core, 4, "B", 9), "makes no sense"),
    "entries of another size": (lambda core: patched(core, 54, "<H", 32), "segments of 32 bytes"),
    "a table behind the end": (lambda core: patched(core, 32, "<Q", 1 << 40), "at byte 1099511627776"),
    "a table at the end of addresses": (lambda core: patched(core, 32, "<Q", (1 << 64) - 8), "at byte"),
    "too many segments": (lambda core: patched(core, 56, "<H", 60000), "60000 segments"),
    "number that is elsewhere": (lambda core: patched(core, 56, "<H", 0xFFFF), "makes no sense|segments"),
    "no segments": (lambda core: patched(core, 56, "<H", 1), "without memory"),
    "larger in the file": (lambda core: patched(core, first_load("filesz"), "<Q", 9 * PAGE), "more bytes in the file"),
    "huge": (lambda core: patched(core, first_load("memsz"), "<Q", 1 << 60), "larger than any memory"),
    "round the end": (lambda core: patched(core, first_load("vaddr"), "<Q", (1 << 64) - PAGE), "larger than any"),
    "overlap": (lambda core: patched(core, first_load("memsz"), "<Q", 5 * PAGE), "overlap in memory"),
    "twice in the file": (lambda core: patched(core, first_load("filesz"), "<Q", 4 * PAGE), "overlap in the file"),
    "far behind": (lambda core: patched(core, first_load("offset"), "<Q", (1 << 63) + 5), "far behind the end"),
    "cut off in the header": (lambda core: os.truncate(core, 40), "makes no sense or is cut off"),
    "cut off in the table": (lambda core: os.truncate(core, 200), "segments of 56 bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_one_line(core, case):
    change, words = REFUSED[case]
    change(core)
    with pytest.raises(PksmError, match=words) as caught:
        reading.read(core)
    assert str(core) in str(caught.value) and "\n" not in str(caught.value)


def test_more_segments_than_the_header_has_room_for(tmp_path):
    path = tmp_path / "core"
    count = 70_000
    segments = [
        (HEAP + number * 2 * PAGE, [page(number)] if number % 1000 == 0 else [], 1, R) for number in range(count)
    ]
    elf.write_core(path, segments, NOTES)
    result = reading.read(path)
    assert len(result.source.mappings) == count
    assert reading.contents(result) == {HEAP + number * 2 * PAGE: page(number) for number in range(0, count, 1000)}
    assert len(result.regions) == 2, "segments that lie one behind the other in the file are one region"


def test_programs_are_raw_memory(tmp_path):
    path = tmp_path / "program"
    path.write_bytes(elf.header(0, kind=3) + bytes(2 * PAGE))
    assert reading.read(path).source.kind == "raw"


def test_a_missing_package_is_named(core, monkeypatch):
    monkeypatch.setitem(sys.modules, "elftools.elf.elffile", None)
    with pytest.raises(UnsupportedError, match="pip install pyelftools"):
        reading.read(core)


def test_no_descriptor_is_left_open(core):
    before = len(os.listdir("/proc/self/fd"))
    reading.read(core)
    patched(core, 4, "B", 1)
    with pytest.raises(PksmError):
        reading.read(core)
    assert len(os.listdir("/proc/self/fd")) == before


def test_lines_do_not_grow_with_pages(tmp_path):
    lines = []
    for pages in (1 << 8, 1 << 12):
        path = tmp_path / f"{pages}"
        elf.write_core(path, [(HEAP, [None] + [page(1)] * pages, pages + 1, R | W)], NOTES)
        lines.append(reading.lines_run(path))
    assert lines[0] == lines[1] > 0


segments = st.tuples(st.integers(0, 3), st.lists(st.booleans(), max_size=12), st.integers(0, 3))


@given(
    segments=st.lists(segments, min_size=1, max_size=8),
    align=st.sampled_from([1, 512, PAGE]),
    page_size=st.sampled_from([512, PAGE, 2 * PAGE, 4 * PAGE]),
    most=st.sampled_from([1, 3, 1 << 18]),
)
def test_any_segments(tmp_path_factory, segments, align, page_size, most):
    path = tmp_path_factory.mktemp("core") / "core"
    address, rows = 16 * PAGE, [(8 * PAGE, [page(99)] * 4, 4, R)]
    memory = {8 * PAGE + number * PAGE: page(99) for number in range(4)}
    for skipped, resident, missing in segments:
        address += skipped * PAGE
        pages = [page(number + 1) if there else None for number, there in enumerate(resident)]
        rows.append((address, pages, len(pages) + missing, R | W))
        memory |= {address + number * PAGE: data for number, data in enumerate(pages)}
        address += (len(pages) + missing) * PAGE
    elf.write_core(path, rows, elf.nt_file([(1, 2, b"/x")]), align)
    sizes, mapped.REGION_PAGES = mapped.REGION_PAGES, most
    try:
        result = reading.read(path, page_size)
    finally:
        mapped.REGION_PAGES = sizes
    found = reading.contents(result)
    on_grid = align == PAGE  # otherwise a page of the file system holds parts of two pages, and may be data for both
    for start, pages, _, _ in rows:
        end = start + len(pages) * PAGE
        for at in range(-(-start // page_size) * page_size, end - page_size + 1, page_size):
            there = [memory[part] for part in range(at // PAGE * PAGE, at + page_size, PAGE)]
            content = b"".join(part or bytes(PAGE) for part in there)[at % PAGE :][:page_size]
            if any(there) or at in found:
                assert found.pop(at) == content
            if on_grid and not any(there) and page_size >= PAGE:
                assert result.pages[at].state == "HOLE"
    assert not found
    assert all(region.buffer is None or len(region.buffer) <= most * page_size for region in result.regions)


# ---- cores of a real process ----

CHILD = """
import ctypes, mmap, os, sys
PAGE, PRIVATE = 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
def address(memory): return ctypes.addressof(ctypes.c_char.from_buffer(memory))
sparse, never, hidden = (mmap.mmap(-1, 64 * PAGE, flags=PRIVATE) for _ in range(3))
for memory in (sparse, never, hidden): memory.madvise(mmap.MADV_NOHUGEPAGE)
shared = mmap.mmap(-1, 64 * PAGE)
file = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
for number in range(0, 64, 2): sparse[number * PAGE : number * PAGE + 8] = (number + 1).to_bytes(8, "little")
sparse[2 * PAGE : 3 * PAGE] = bytes(PAGE)
hidden[:] = shared[:] = b"x" * len(hidden)
hidden.madvise(mmap.MADV_DONTDUMP)
file[0]
print(*map(address, (sparse, never, hidden, shared, file)), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def child(tmp_path):
    """A process, and where it has its memory: sparse, never touched, not to be dumped, shared, of a file."""
    (tmp_path / "mapped.data").write_bytes(b"file" * 4096)
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "mapped.data")], cwd=tmp_path,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    process.addresses = [int(word) for word in process.stdout.readline().split()]
    yield process
    process.kill()
    process.communicate()


def brute_force(path, shared):
    """Return {address: bytes or None for a hole} of what is in the file: read with struct and pread, page by page."""
    memory = {}
    with open(path, "rb") as file:
        head = file.read(64)
        start, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<2H", head, 54)
        for number in range(count):
            row = os.pread(file.fileno(), size, start + number * size)
            kind, _, offset, vaddr, _, filesz, memsz, _ = struct.unpack("<2I6Q", row)
            if kind != 1 or vaddr >= 1 << 63 or filesz < memsz or vaddr in shared:
                continue
            for at in range(0, filesz, PAGE):
                try:
                    is_data = os.lseek(file.fileno(), offset + at, os.SEEK_DATA) < offset + at + PAGE
                except OSError:
                    is_data = False
                memory[vaddr + at] = os.pread(file.fileno(), PAGE, offset + at) if is_data else None
    return memory


def test_core_of_the_kernel(child, tmp_path):
    try:
        path = programs.kernel_core(child, tmp_path)
    except programs.NotHere as reason:
        pytest.skip(str(reason))
    result = reading.read(path)
    sparse, never, hidden, shared, file = child.addresses
    pages = result.pages
    for number in range(64):
        state, content = pages[sparse + number * PAGE].state, pages[sparse + number * PAGE].content
        assert state == ("HOLE" if number % 2 else "DATA")
        if state == "DATA":
            assert content == (0 if number == 2 else number + 1).to_bytes(8, "little") + bytes(PAGE - 8)
        assert pages[never + number * PAGE].state == pages[hidden + number * PAGE].state == "HOLE"
        assert pages[shared + number * PAGE].state == "EXCLUDED"
    assert pages[file].state == "EXCLUDED" and pages[file].mapping == "mapped.data"
    assert "[stack]" in {page.mapping for page in pages.values() if page.state == "DATA"}
    vdso = {address for address, page in pages.items() if page.mapping == "[vdso]"}
    truth = {at: data for at, data in brute_force(path, {shared, *vdso}).items() if at not in vdso}
    assert reading.contents(result) == {at: data for at, data in truth.items() if data is not None}
    assert all(pages[at].state == "HOLE" for at, data in truth.items() if data is None)
    assert not any("no holes" in warning for warning in result.source.warnings)


FILES = """
import mmap, sys, tempfile
open("/proc/self/coredump_filter", "w").write(sys.argv[1])
PAGE = 4096
def map_all(file):
    file.truncate(300 * PAGE)
    memory = mmap.mmap(file.fileno(), 300 * PAGE)
    memory[:] = bytes([len(maps) + 1]) * len(memory)
    maps.append(memory)
maps = []
map_all(tempfile.TemporaryFile(dir="."))
map_all(open("kept", "w+b"))
own = mmap.mmap(-1, 64 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
own[:] = b"o" * len(own)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("coredump_filter", ["0x33", "0x37", "0x3b", "0x7f"])
def test_a_core_promises_no_more_than_the_live_process(tmp_path, coredump_filter):
    """Files that processes share are dumped by some filters: 300 equal pages, twice, that nobody can merge."""
    command = [sys.executable, "-c", FILES, coredump_filter]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        live = scan_one(sources.open_pid(process.pid))
        try:
            path = programs.kernel_core(process, tmp_path)
        except programs.NotHere as reason:
            process.kill()
            pytest.skip(str(reason))
    dumped = scan_one(sources.open_target(path))
    assert dumped["sources"][0]["out_of_reach"]["unclear"] >= 300
    assert abs(dumped["saving"]["pages"] - live["saving"]["pages"]) < 100, "a few pages of libraries are not told apart"


def scan_one(source):
    with contextlib.closing(source):
        return scan([source])


def test_core_of_gcore(child, tmp_path):
    path = tmp_path / "gcore.out"
    try:
        programs.gcore(child, path)
    except programs.NotHere as reason:
        pytest.skip(str(reason))
    result = reading.read(path)
    sparse = child.addresses[0]
    for number in range(64):
        page = result.pages[sparse + number * PAGE]
        written = number % 2 == 0 and number != 2
        assert page.state == "DATA"
        assert page.content == ((number + 1) * written).to_bytes(8, "little") + bytes(PAGE - 8)
    assert any("gdb's gcore" in warning for warning in result.source.warnings)
    vdso = {address for address, page in result.pages.items() if page.mapping == "[vdso]"}
    truth = brute_force(path, {child.addresses[3], *vdso})
    data = reading.contents(result)
    assert data == {address: truth[address] for address in data}
    assert np.isin(list(truth), [*data, *vdso]).all()
