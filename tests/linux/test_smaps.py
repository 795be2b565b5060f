"""What smaps says, whatever names are in it; areas that cannot be are refused."""

import mmap
import os
import shutil
from pathlib import Path

import pytest

from pksm.linux import text
from pksm.linux.proc import segments, smaps
from pksm.linux.proc.smaps import Mapping

PAGE = mmap.PAGESIZE

SMAPS = b"""\
55d0a0000000-55d0a0002000 r-xp 00000000 fe:00 1234                       /usr/lib/lib foo.so.6
Size:                  8 kB
Rss:                   8 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
55d0a0002000-55d0a0005000 rw-p 00000000 00:00 0
Size:                 12 kB
Rss:                   8 kB
Anonymous:             8 kB
VmFlags: rd wr mr mw me ac
55d0a0005000-55d0a0006000 rw-p 00000000 00:00 0                          [heap]
Rss:                   0 kB
Anonymous:             0 kB
VmFlags: rd wr mr mw me ac
7f0000000000-7f0000400000 rw-p 00000000 00:00 0                          [anon:arena 1]
Rss:                4096 kB
Anonymous:          4096 kB
VmFlags: rd wr mr mw me ac um
7f0000400000-7f0000800000 rw-p 00000000 00:0f 99                         /anon_hugepage (deleted)
Rss:                   0 kB
Anonymous:             0 kB
VmFlags: rd wr mr mw me ac ht
7f0000800000-7f0000804000 rw-s 00000000 00:05 7                          /dev/dri/card0
Rss:                   0 kB
Anonymous:             0 kB
VmFlags: rd wr sh mr mw me ms pf io dd
7ffd00000000-7ffd00004000 r--p 00000000 00:00 0                          [vvar]
Rss:                   4 kB
Anonymous:             0 kB
VmFlags: rd mr de dd
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
Rss:                   0 kB
Anonymous:             0 kB
VmFlags: ex
"""


def area(start, end, access, name="", offset=0, flags="rd"):
    """An entry of smaps, bounds and offset in pages."""
    head = f"{start * PAGE:x}-{end * PAGE:x} {access} {offset * PAGE:08x} 00:00 0    {name}\nRss: 4 kB\n"
    return (head + (f"VmFlags: {flags}\n" if flags else "")).encode()


def test_unnamed_areas_are_named_by_their_neighbours():
    """A library's bss, a thread's stack behind its guard page, a heap in its 64 MiB; what is only alike is anon."""
    arena = 5 * (64 << 20) // PAGE
    whole = (64 << 20) // PAGE
    stack = 1000 + (8 << 20) // PAGE
    data = b"".join(
        [
            area(10, 12, "r--p", "/lib/libm.so"), area(12, 13, "rw-p"),
            area(20, 22, "rw-p", "/lib/libm.so"), area(22, 23, "rw-p"), area(24, 25, "rw-p"),
            area(999, 1000, "---p"), area(1000, stack, "rw-p"),
            area(stack + 9, stack + 10, "---p"), area(stack + 10, stack + 13, "rw-p"),
            area(arena, arena + 33, "rw-p"), area(arena + 33, arena + whole, "---p"),
            area(arena + 2 * whole, arena + 2 * whole + 33, "rw-p"),
        ]
    )  # fmt: skip
    assert [mapping.name for mapping in smaps.parse_smaps(data, lambda path: 3 * PAGE).mappings] == [
        "libm.so", "anon", "libm.so", "libm.so (bss)", "anon", "anon", "[thread stack]", "anon", "anon",
        "[arena]", "anon", "anon",
    ]  # fmt: skip


def test_smaps():
    space = smaps.parse_smaps(SMAPS)
    assert [mapping.name for mapping in space.mappings] == [
        "lib foo.so.6", "anon", "[heap]", "[anon:arena 1]", "anon_hugepage (deleted)", "card0", "[vvar]",
    ]  # fmt: skip
    assert space.mappings[1] == Mapping("anon", 0x55D0A0002000, 0x55D0A0005000, opted_in=False)
    assert space.vmas["start"].tolist() == [mapping.start for mapping in space.mappings]
    assert space.vmas["end"].tolist() == [mapping.end for mapping in space.mappings]
    reasons = [smaps.REASONS[reason] for reason in space.vmas["reason"]]
    assert reasons == ["file", "file", "file", "userfault", "huge", "device", "device"]
    assert space.vmas["device"].tolist() == [False] * 5 + [True] * 2
    assert space.vmas["barred"].tolist() == [False] * 3 + [True] * 2 + [False] * 2
    assert space.vmas["resident"].tolist() == [True, True, False, True, True, False, True]
    assert space.anonymous_bytes == 8 << 10 and space.userfault_bytes == 4 << 20
    assert space.has_devices


@pytest.mark.parametrize(
    ("name", "is_device"),
    [("", False), ("[heap]", False), ("/usr/lib/dev/lib.so", False), ("/dev/shm/x", False), ("/dev/zero (deleted)", False),
     ("anon_inode:[io_uring]", True), ("/[aio] (deleted)", True), ("anon_inode:kvm-vcpu:0", True),
     ("/dev/infiniband/uverbs0", True)],
)  # fmt: skip
def test_what_is_written_while_its_process_sleeps(name, is_device):
    data = f"55d0a0000000-55d0a0002000 rw-p 00000000 00:00 0   {name}\nRss: 0 kB\nVmFlags: rd wr\n".encode()
    assert smaps.parse_smaps(data).has_devices == is_device


def test_smaps_of_nothing():
    space = smaps.parse_smaps(b"")
    assert space.mappings == [] and len(space.vmas) == 0 and not space.has_devices


@pytest.mark.parametrize(
    ("end", "name"), [(3, "libm.so (bss)"), (4, "libm.so (bss)"), (2, "anon"), (None, "anon"), (0, "anon")]
)
def test_a_bss_goes_as_far_as_its_file_s_memory(end, name):
    """The data is the file's third page; in memory, zeros follow up to the end of the last segment."""
    data = area(7, 9, "r--p", "/lib/libm.so") + area(10, 11, "rw-p", "/lib/libm.so", offset=1) + area(11, 12, "rw-p")
    space = smaps.parse_smaps(data, lambda path: {"/lib/libm.so": end}[path] and end * PAGE)
    assert space.mappings[-1].name == name


def test_memory_behind_a_library_is_not_its_bss(tmp_path):
    """As of the C library of our own process, which has a bss, and memory that was mapped behind it."""
    found = smaps.read_address_space(os.getpid())
    library = next(mapping for mapping in found.mappings if mapping.name.endswith(" (bss)"))
    assert library.end - library.start < 16 << 20
    n_pages = (library.end - library.start) // PAGE
    path = next(
        line.split()[-1]
        for line in Path("/proc/self/maps").read_text("utf-8", "replace").split("\n")
        if line.rstrip().endswith(library.name.removesuffix(" (bss)"))
    )
    with open(path, "rb") as file:
        end = segments.parse(lambda offset, size: os.pread(file.fileno(), size, offset))
    first = end // PAGE - n_pages  # the bss's place, counted as offsets are
    for more, name in ((0, library.name), (1, "anon"), (65536, "anon")):
        data = area(99, 100, "rw-p", path, first - 1) + area(100, 100 + n_pages + more, "rw-p")
        assert smaps.parse_smaps(data, segments.memory_end_in(os.getpid())).mappings[1].name == name
    shutil.copy(path, tmp_path / "damaged")
    os.truncate(tmp_path / "damaged", 100)
    ends = [segments.memory_end_in(os.getpid())(str(tmp_path / name)) for name in ("damaged", "missing", ".")]
    assert ends == [None] * 3


def test_opening_a_file_for_its_bss_waits_for_nobody(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    look_up = segments.memory_end_in(os.getpid())
    assert look_up(str(tmp_path / "fifo")) is None and look_up("/dev/zero") is None and look_up("\0") is None


HOSTILE = [
    b"/tmp/a\r55d0a0000000-55d0a0002000 rw-p 00000000 00:00 0 [heap]", b"/tmp/\rRss:   8 kB", b"/tmp/\x0c\x1c\x85\x0b",
    b"/tmp/\xff\xfe", "/tmp/\u2028Rss: 8 kB".encode(), b"/tmp/a\\012Rss: 8 kB", b"/tmp/x (deleted)", b"/tmp/ (bss)",
    b"/tmp/VmFlags: ht", b"/tmp/\x1b[31m", b"/ ", b"[anon:\r]", b"/tmp/a\x00b", b"/tmp/  two  blanks  ",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_only_a_name(name):
    """It adds no area, hides none, and changes no number."""
    around = [area(10, 11, "rw-p", "[heap]"), area(30, 31, "rw-p", "[stack]")]
    head = f"{20 * PAGE:x}-{22 * PAGE:x} rw-p 00000000 fe:00 12    ".encode()
    entry = head + name + b"\nSize: 8 kB\nRss: 8 kB\nAnonymous: 4 kB\nSwap: 4 kB\nKSM: 0 kB\nVmFlags: rd wr mr\n"
    space = smaps.parse_smaps(around[0] + entry + around[1])
    spans = [(mapping.start // PAGE, mapping.end // PAGE) for mapping in space.mappings]
    assert spans == [(10, 11), (20, 22), (30, 31)]
    assert space.vmas["start"].tolist() == [start * PAGE for start, _ in spans]
    assert [mapping.name for mapping in space.mappings[::2]] == ["[heap]", "[stack]"]
    shown = space.mappings[1].name
    assert shown == (name.rpartition(b"/")[2] if name.startswith(b"/") else name).decode("utf-8", "replace")
    assert (space.anonymous_bytes, space.swapped_bytes, space.ksm_bytes) == (4096, 4096, 0)
    assert space.opted_in_bytes == 0
    assert not space.vmas["barred"].any() and not space.vmas["device"].any()


def test_files_with_hostile_names_are_read_as_they_are_mapped(tmp_path):
    """The kernel itself writes the lines here."""
    directory, maps = os.fsencode(tmp_path), []
    names = [b"a\r1000-2000 rw-p", b"b\nRss: 8 kB", b"\xff\xfe", b"c (deleted)", "\u2028\x85".encode(), b"d\x1b[31m"]
    for name in names:
        with open(os.path.join(directory, name), "w+b") as file:
            file.truncate(PAGE)
            maps.append(mmap.mmap(file.fileno(), PAGE))
    found = [mapping.name for mapping in smaps.read_address_space(os.getpid()).mappings]
    for name in names:
        assert name.replace(b"\n", b"\\012").decode("utf-8", "replace") in found


@pytest.mark.parametrize(
    "areas",
    [
        [(10, 12), (11, 13)], [(10, 12), (10, 12)], [(20, 21), (10, 11)], [(10, 10)], [(12, 10)],
        [((1 << 51) - 1, (1 << 51) + 1)], [(1 << 52, 1 << 53), (10, 11)], [(1 << 60, 1 << 61), (10, 11)],
    ],
)  # fmt: skip
def test_areas_that_cannot_be_are_refused(areas):
    with pytest.raises(text.MalformedError, match="/proc/PID/smaps: an area"):
        smaps.parse_smaps(b"".join(area(*span, "rw-p") for span in areas))


def test_areas_that_end_within_a_page_are_refused():
    with pytest.raises(text.MalformedError):
        smaps.parse_smaps(b"1000-1800 rw-p 00000000 00:00 0 \n")


def test_flags_may_be_missing():
    """The area is there all the same, and no number of one area is taken for the next one's."""
    data = area(10, 11, "rw-p", flags="") + b"1000000-1001000 rw-s 00000000 00:00 0 \n" + area(9000, 9001, "r--p")
    space = smaps.parse_smaps(data)
    assert space.vmas["start"].tolist() == [10 * PAGE, 0x1000000, 9000 * PAGE]
    assert space.vmas["resident"].tolist() == [True, False, True]
    assert [smaps.REASONS[reason] for reason in space.vmas["reason"]] == ["file", "shared", "file"]


def test_mergeable_areas(monkeypatch):
    data = area(1, 2, "rw-p", flags="rd wr mg") + area(2, 3, "rw-p", "/x mg") + area(5, 9, "rw-p", flags="mg")
    monkeypatch.setattr(smaps.text, "read", lambda path: data)
    monkeypatch.setattr(smaps.tasks, "directory", lambda pid: "/proc/7")
    assert smaps.mergeable_areas(7) == [(PAGE, 2 * PAGE), (5 * PAGE, 9 * PAGE)]


@pytest.mark.parametrize(
    ("ksm", "flags", "ksmd_runs", "merged"),
    [
        ("KSM: 4 kB\n", "rd mg", False, True),
        ("KSM: 0 kB\n", "rd mg", False, False),
        ("KSM: 0 kB\n", "rd mg", True, True),
        ("KSM: 0 kB\n", "rd", True, False),
        ("", "rd mg", False, True),
        ("", "rd", True, False),
    ],
)
def test_which_areas_may_have_pages_of_ksm(ksm, flags, ksmd_runs, merged):
    """Those that have some now, those where ksmd may merge some at any time, and, where smaps has no count, any."""
    data = f"{PAGE:x}-{2 * PAGE:x} rw-p 00000000 00:00 0 \nRss: 4 kB\n{ksm}VmFlags: {flags}\n".encode()
    assert smaps.parse_smaps(data, ksmd_runs=ksmd_runs).vmas["merged"].tolist() == [merged]
