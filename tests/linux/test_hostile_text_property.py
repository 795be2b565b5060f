"""Texts of /proc with anything wrong in them: what comes of them is in order, or one error of ours."""

import contextlib
import mmap
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from pksm.linux import text
from pksm.linux.proc import segments, smaps, tasks
from pksm.linux.proc.areas import Area, names_of

PAGE = mmap.PAGESIZE
STAT = b"7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 4567 1000 20 18446744073709551615 94 99 140 0 0 0 0 0\n"
WORDS = [b"\r", b"\n", b"\x85", b"\xff", b"\x00", b"-", b" ", b"rw-p", b"Rss: 4 kB\n", b"VmFlags: ht um io\n", b"kB",
         b"ffffffffffffffffffffffff", b"1000-2000 rw-p 0 0:0 0 \n", b")", b"(", b"\xe2\x80\xa8", b"9" * 40]  # fmt: skip


def entry(low, pages, name):
    head = b"%x-%x rw-p 00000000 fe:00 12   " % (low * PAGE, (low + pages) * PAGE)
    return head + name.replace(b"\n", b"\\012") + b"\nRss: 4 kB\nAnonymous: 4 kB\nSwap: 0 kB\nVmFlags: rd wr\n"


@st.composite
def areas(draw):
    """Whole texts, and the (first page, pages, name) that are in them."""
    at, found = 1, []
    for _ in range(draw(st.integers(0, 6))):
        at += draw(st.integers(0, 3))
        found.append((at, draw(st.integers(1, 5)), b"/" + draw(st.binary(max_size=20).map(bytes.rstrip))))
        at += found[-1][1]
    return found


@st.composite
def mutated(draw, whole):
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 5))):
        low = draw(st.integers(0, len(data)))
        high = draw(st.integers(low, min(len(data), low + 12)))
        data[low:high] = draw(st.sampled_from(WORDS) | st.binary(max_size=4))
    return bytes(data)


def smaps_texts():
    return mutated(areas().map(lambda found: b"".join(entry(*area) for area in found)))


@given(areas())
@example([(1, 1, b"/a\r\n1000-2000 rw-p 0 0:0 0")])
def test_names_never_change_what_there_is(found):
    space = smaps.parse_smaps(b"".join(entry(*area) for area in found))
    assert [(mapping.start, mapping.end) for mapping in space.mappings] == [
        (low * PAGE, (low + pages) * PAGE) for low, pages, _ in found
    ]
    assert space.anonymous_bytes == 4096 * len(found) and not space.vmas["barred"].any()


@given(smaps_texts())
def test_mutated_smaps(data):
    with contextlib.suppress(text.MalformedError):
        space = smaps.parse_smaps(data)
        start, end = space.vmas["start"].tolist(), space.vmas["end"].tolist()
        assert [(mapping.start, mapping.end) for mapping in space.mappings] == list(zip(start, end, strict=True))
        reached = 0
        for low, high in zip(start, end, strict=True):
            assert reached <= low < high <= 1 << 63 and low % PAGE == high % PAGE == 0
            reached = high
        assert all("\n" not in mapping.name for mapping in space.mappings)


@given(st.binary(max_size=15))
@example(b") S 1 7 7 0 -")
@example(b"\r\n) R 1")
def test_a_command_is_only_a_name(command):
    stat = tasks.parse_stat(b"7 (" + command + STAT[STAT.rindex(b")") :])
    assert stat.command == command.decode("utf-8", "replace")
    assert (stat.state, stat.parent, stat.is_kernel_thread, stat.layout) == ("S", 1, False, (94, 99, 140))


@given(mutated(st.just(STAT)))
def test_mutated_stat(data):
    with contextlib.suppress(text.MalformedError):
        stat = tasks.parse_stat(data)
        assert len(stat.state) == 1 and all(isinstance(place, int) for place in (stat.parent, *stat.layout))


@given(mutated(st.just(b"Name:\ta\nUmask:\t0022\nUid:\t5\t6\t7\t8\nVmRSS:\t 12 kB\n")))
def test_fields_of_mutated_status(data):
    uid, size = text.field(data, "Uid"), text.kib(text.field(data, "VmRSS"))
    assert uid is None or b"\n" not in uid
    assert size is None or size % 1024 == 0
    assert text.field(b"Name:\t\rUid:\t12\nUid:\t5\t6\n", "Uid") == b"5\t6"


ELF = Path("/proc/self/exe").read_bytes()[:4096]


@given(mutated(st.just(ELF)))
def test_mutated_program_files(data):
    end = segments.parse(lambda offset, size: data[offset : offset + size])
    assert end is None or (end >= 0 and end % PAGE == 0)
    around = [Area(PAGE, 2 * PAGE, b"rw-p", 0, b"/x"), Area(2 * PAGE, 3 * PAGE, b"rw-p", 0, b"")]
    assert list(names_of(around, lambda path: end))[1] in ("anon", "x (bss)")
