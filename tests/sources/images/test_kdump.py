"""kdump-compressed dumps against the pages that were written, flattened and not."""

import contextlib
import os
import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm import sources
from pksm.errors import BusError, PksmError, UsageError
from pksm.sources.images import flattened
from pksm.sources.images import kdump as reader

from support.writers import reading
from support.writers.kdump import INCOMPLETE, LEFT_OUT, LZO, SNAPPY, ZERO, ZLIB, ZSTD, flatten, kdump

PAGE = 4096
LIST_AT = 4 * PAGE  # of pages, in a dump of up to 32768 frames


def text(number, size=PAGE):
    return (f"page {number} " * size).encode()[:size]


def noise(number, size=PAGE):
    return np.random.default_rng(number).integers(0, 256, size, np.uint8).tobytes()


PAGES = {1: text(1), 2: ZERO, 3: noise(3), 4: bytes(PAGE), 5: ZERO, 6: ZERO, 9: text(9),
         20000: noise(2), 20001: text(2)}  # fmt: skip


def expected(pages, block=PAGE):
    return {frame * block: data for frame, data in pages.items() if isinstance(data, bytes)}


def write(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("flat", [False, True])
def test_pages(tmp_path, compress, flat):
    data = kdump(PAGES, compress=compress)
    path = write(tmp_path / "vmcore", flatten(data, 5000) if flat else data)
    result = reading.read(path)
    assert reading.contents(result) == expected(PAGES)
    assert reading.states(result) == {"DATA": 6, "ZERO": 3} and result.progress == 6
    assert all(result.pages[frame * PAGE].state == "ZERO" for frame in (2, 5, 6))
    assert (result.source.kind, result.source.lost, result.source.warnings) == ("kdump", 0, [])
    with_data = [region for region in result.regions if region.buffer is not None]
    assert all((region.copies is not None) == (compress or flat) for region in with_data), (
        "plain pages are mapped, not copied"
    )


@pytest.mark.parametrize("version", [1, 5, 6])
def test_versions(tmp_path, version):
    path = write(tmp_path / "vmcore", kdump(PAGES, version=version))
    assert reading.contents(reading.read(path)) == expected(PAGES)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    ("system", "machine", "warned"), [(b"", b"x86_64", True), (b"Linux", b"x86_64", False), (b"", b"", False)]
)
def test_qemus_dumps_are_warned_of(tmp_path, system, machine, warned, flat):
    """QEMU fills in the machine alone; a kernel that dumps itself, or is dumped by makedumpfile, has a name."""
    data = kdump({0: text(1), 1: ZERO}, system=system, machine=machine)
    result = reading.read(write(tmp_path / "dump", flatten(data) if flat else data))
    assert ["never touched" in line for line in result.source.warnings] == [True] * warned


def test_larger_pages(tmp_path):
    block = 65536
    pages = {1: text(1, block), 7: noise(2, block), 8: ZERO, 9: ZERO}
    path = write(tmp_path / "vmcore", kdump(pages, block=block))
    assert reading.contents(reading.read(path, block)) == expected(pages, block)
    with pytest.raises(UsageError, match="page_size: .*pages of 65536 bytes, not 4096"):
        reading.read(path)


def test_windows_and_groups_of_any_size(tmp_path, monkeypatch):
    pages = {frame: text(frame) if frame % 3 else ZERO for frame in range(100, 400)}
    path = write(tmp_path / "vmcore", kdump(pages))
    monkeypatch.setattr(reader, "WINDOW", 64)
    monkeypatch.setattr(reader, "READ_BYTES", 256)
    monkeypatch.setattr(reader, "NEAR_BYTES", 1)
    result = reading.read(path)
    assert reading.contents(result) == expected(pages)
    assert max(len(region.buffer) for region in result.regions if region.buffer is not None) <= 64


@pytest.mark.parametrize("level, state, words", [
    (0, "EXCLUDED", "level 0 leaves out some pages"), (1, "ZERO", "zero pages: 2 pages, which are counted as zero"),
    (16, "EXCLUDED", "free pages: 2 pages"), (31, "EXCLUDED", "31 leaves out zero, cache, private cache, user, free"),
])  # fmt: skip
def test_levels(tmp_path, level, state, words):
    pages = {**PAGES, 7: LEFT_OUT, 30: LEFT_OUT}
    result = reading.read(write(tmp_path / "vmcore", kdump(pages, level=level)))
    assert reading.contents(result) == expected(PAGES)
    assert result.pages[7 * PAGE].state == result.pages[30 * PAGE].state == state and result.source.lost == 0
    (warning,) = result.source.warnings
    assert words in warning


@pytest.mark.parametrize("kind, name", [(LZO, "lzo"), (SNAPPY, "snappy"), (ZSTD, "zstd")])
def test_other_compressions_name_the_conversion(tmp_path, kind, name):
    for data in (kdump(PAGES, status=kind), kdump(PAGES, flags=kind)):
        with pytest.raises(PksmError, match=f"compressed with {name}; convert it with: makedumpfile -c") as caught:
            reading.read(write(tmp_path / "vmcore", data))
        assert "\n" not in str(caught.value)


def test_incomplete(tmp_path):
    result = reading.read(write(tmp_path / "vmcore", kdump(PAGES, status=ZLIB | INCOMPLETE)))
    assert reading.contents(result) == expected(PAGES)
    assert any("incomplete" in warning for warning in result.source.warnings)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("missing", [1, 40, 4000, 8000])
def test_cut_off(tmp_path, missing, flat):
    data = kdump(PAGES)
    cut = flatten(data, 1000)[: -missing - 16] if flat else data[:-missing]
    result = reading.read(write(tmp_path / "vmcore", cut))
    found, whole = reading.contents(result), expected(PAGES)
    assert found == {at: whole[at] for at in found}
    lost = len(whole) - len(found)
    assert 1 <= lost <= 6 and result.source.lost == lost
    assert any(f"cut off: {lost} pages" in warning for warning in result.source.warnings)


@pytest.mark.parametrize("n_bytes", [24 * 9 - 1, 24 * 4, 0])
def test_cut_off_in_the_list_of_pages(tmp_path, n_bytes):
    result = reading.read(write(tmp_path / "vmcore", kdump(PAGES)[: LIST_AT + n_bytes]))
    assert reading.states(result) == {"EXCLUDED": 9} and result.source.lost == 9


def test_damaged_pages_are_lost_and_no_others(tmp_path):
    data = bytearray(kdump(PAGES))
    rows = [LIST_AT + 24 * number for number in range(9)]
    first = struct.unpack_from("<q", data, rows[0])[0]
    data[first + 2] ^= 0xFF  # of the stream of page 1
    struct.pack_into("<I", data, rows[2] + 8, 5)  # the size of plain page 3
    struct.pack_into("<I", data, rows[6] + 12, 0x40)  # what page 9 is compressed with
    data[-1] ^= 1  # of the checksum of page 20001
    result = reading.read(write(tmp_path / "vmcore", data))
    assert reading.contents(result) == expected({frame: PAGES[frame] for frame in (4, 20000)})
    assert reading.states(result) == {"DATA": 2, "ZERO": 3, "EXCLUDED": 4} and result.source.lost == 4
    (warning,) = result.source.warnings
    assert "4 pages are damaged" in warning


def test_a_page_that_inflates_to_more_is_damaged(tmp_path):
    import zlib

    data = bytearray(kdump({1: text(1), 2: text(2)}))
    bomb = zlib.compress(bytes(1 << 20), 9)
    struct.pack_into("<qI", data, LIST_AT, len(data), len(bomb))
    result = reading.read(write(tmp_path / "vmcore", data + bomb))
    assert reading.contents(result) == expected({2: text(2)}) and result.source.lost == 1


def patched(offset, form, *values):
    def patch(data):
        data = bytearray(data)
        struct.pack_into(form, data, offset, *values)
        return bytes(data)

    return patch


def shifted(data):
    """As a machine of 32 bits writes the header: 12 bytes earlier."""
    return data[:412] + data[424:464] + data[:12] + data[464:]


def swapped(data):
    return data[:424] + struct.pack(">5I", *struct.unpack_from("<5I", data, 424)) + data[444:]


DAMAGED = {
    "block size": (patched(428, "<I", 1000), "header makes no sense"),
    "huge blocks": (patched(428, "<I", 1 << 31), "header makes no sense"),
    "sub header": (patched(432, "<I", 0), "header makes no sense"),
    "bitmaps of an odd size": (patched(436, "<I", 3), "header makes no sense"),
    "huge bitmaps": (patched(436, "<I", 1 << 31), "header makes no sense"),
    "more frames than bits": (patched(PAGE + 96, "<Q", 1 << 20), "bitmaps are too small for 1048576"),
    "no frames": (patched(PAGE + 96, "<Q", 0), "bitmaps are too small for 0"),
    "split": (patched(PAGE + 12, "<i", 1), "join the parts with makedumpfile"),
    "32 bits": (shifted, "32-bit or big-endian"),
    "big-endian": (swapped, "32-bit or big-endian"),
    "cut off in the bitmaps": (lambda data: data[: 3 * PAGE], "cut off before its list"),
    "cut off in the header": (lambda data: data[:100], "cut off before its list"),
    "no pages": (lambda data: data[: 2 * PAGE] + bytes(2 * PAGE), "no whole page"),
}


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("flat", [False, True])
def test_damaged(tmp_path, case, flat):
    change, words = DAMAGED[case]
    data = change(kdump(PAGES))
    path = write(tmp_path / "vmcore", flatten(data) if flat else data)
    with pytest.raises(PksmError, match=words) as caught:
        reading.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


DAMAGED_FLAT = {
    "version": (lambda flat: flat[:24] + struct.pack(">q", 2) + flat[32:], "makedumpfile -R"),
    "no record": (lambda flat: flat[:4096], "before its first record"),
    "negative offset": (lambda flat: flat[:4096] + struct.pack(">2q", -5, 10) + flat[4096:], "record at byte 4096"),
    "negative size": (lambda flat: flat[:4096] + struct.pack(">2q", 0, -10) + flat[4096:], "record at byte 4096"),
    "huge": (lambda flat: flat[:4096] + struct.pack(">2q", 1 << 62, 10) + flat[4096:], "record at byte 4096"),
    "not a dump": (lambda flat: flatten(b"something else" * 1000), "does not begin as"),
}


@pytest.mark.parametrize("case", DAMAGED_FLAT)
def test_damaged_flattened(tmp_path, case):
    change, words = DAMAGED_FLAT[case]
    path = write(tmp_path / "vmcore", change(flatten(kdump(PAGES))))
    with pytest.raises(PksmError, match=words) as caught:
        reading.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_page_that_no_record_holds_is_no_zero_page(tmp_path):
    data = kdump({1: text(1), 2: noise(2)}, compress=False)
    flat = flatten(data, PAGE, order=lambda count: [place for place in range(count) if place != count - 2])
    result = reading.read(write(tmp_path / "vmcore", flat))
    assert set(reading.contents(result)) < {PAGE, 2 * PAGE} and result.source.lost >= 1


def test_shrinks_while_opened(tmp_path):
    for compress in (True, False):
        path = write(tmp_path / "vmcore", kdump(PAGES, compress=compress))
        source = sources.open_target(path)
        os.truncate(path, LIST_AT + 24 * 9 + PAGE)
        with pytest.raises(BusError) if not compress else np.errstate():
            list(
                source.regions(
                    PAGE, lambda n_pages: sources.Allocation(np.zeros((n_pages, PAGE), np.uint8)), lambda pages: None
                )
            )
            assert source.lost == 6
        source.close()


def test_lines_do_not_grow_with_pages(tmp_path):
    for compress in (True, False):
        lines = []
        for pages in (1 << 8, 1 << 11):
            data = kdump({frame: text(frame) for frame in range(pages)}, compress=compress)
            path = write(tmp_path / f"{pages}", data)
            lines.append(reading.lines_run(path))
        assert lines[0] == lines[1] > 0


kinds = st.sampled_from(["text", "noise", "bytes", ZERO, LEFT_OUT, None])


@given(frames=st.lists(kinds, min_size=1, max_size=60), compress=st.booleans(), level=st.sampled_from([0, 1, 31]),
       record=st.none() | st.integers(100, 20_000), seed=st.integers(0, 9), again=st.booleans())  # fmt: skip
def test_any_pages(tmp_path_factory, frames, compress, level, record, seed, again):
    make = {"text": text, "noise": noise, "bytes": lambda number: bytes(PAGE)}
    pages = {number: make[kind](number) if kind in make else kind for number, kind in enumerate(frames) if kind}
    pages = pages or {0: ZERO}
    data = kdump(pages, len(frames), compress=compress, level=level)
    if record:
        order = random.Random(seed).sample
        extra = [(0, data[:5000]), (4096, data[4096:9000])] if again else ()
        data = flatten(data, record, order=lambda count: order(range(count), count), extra=extra)
    result = reading.read(write(tmp_path_factory.mktemp("kdump") / "vmcore", data))
    left_out = "ZERO" if level == 1 else "EXCLUDED"
    told = {number: {ZERO: "ZERO", LEFT_OUT: left_out}.get(data, "DATA") for number, data in pages.items()}
    alone = sum(data is ZERO for data in pages.values()) <= 1  # a place that only one page uses is not looked at
    for number, state in told.items():
        page = result.pages.pop(number * PAGE)
        if state == "DATA":
            assert page.content == pages[number]
        elif not (page.state == "DATA" and alone and page.content == bytes(PAGE)):
            assert page.state == state
    assert not result.pages and result.source.lost == 0


BLOCK = 2 << 20


def promising(n_frames):
    """The headers of a dump of so many frames, and the bytes of each of its bitmaps."""
    blocks = n_frames // 8 // PAGE
    head = bytearray(kdump({9: text(9)}, 16)[: 2 * PAGE])
    struct.pack_into("<I", head, reader.FIELDS_AT + 12, 2 * blocks)
    struct.pack_into("<Q", head, PAGE + reader.SUB_HEADER.size - 8, n_frames)
    return head, blocks * PAGE


def counted(monkeypatch, target, name):
    """Count the bytes that a method read_at returns."""
    original, read = getattr(target, name), []

    def read_at(self, offset, size):
        data = original(self, offset, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(target, name, read_at)
    return read


@pytest.mark.parametrize("flat", [False, True])
def test_frames_that_only_a_header_promises_are_not_looked_at(tmp_path, monkeypatch, flat):
    """Holes of the file, and what no record holds, have no frames: of 2^35 one is there, behind most of the others."""
    head, bitmap = promising(1 << 35)
    frame = (1 << 35) - 10
    page, path = zlib.compress(text(9)), tmp_path / "vmcore"
    list_at = 2 * PAGE + 2 * bitmap
    bit = bytes([1 << frame % 8])
    parts = [
        (0, bytes(head)),
        *((2 * PAGE + start + frame // 8, bit) for start in (0, bitmap)),
        (list_at, struct.pack("<qIIQ", list_at + 24, len(page), ZLIB, 0) + page),
    ]
    if flat:
        path.write_bytes(flatten(b"", extra=parts))
    else:
        with open(path, "wb") as file:
            for at, data in parts:
                file.seek(at)
                file.write(data)
    read = counted(monkeypatch, flattened.Flattened if flat else reader.KdumpImage, "read_at")
    result = reading.read(path)
    assert reading.contents(result) == {frame * PAGE: text(9)} and result.source.lost == 0
    assert sum(read) < 1 << 20


def test_bitmaps_of_zeros_are_looked_at_together(tmp_path, monkeypatch):
    """A million frames that are not in memory take no more lines of Python than a thousand."""
    lines = []
    for n_frames in (1 << 15, 1 << 20):
        path = write(tmp_path / f"{n_frames}", kdump({1: text(1), n_frames - 1: text(2)}))
        lines.append(reading.lines_run(path))
    assert lines[0] <= lines[1] < lines[0] + 60


@pytest.mark.parametrize("compress", [True, False])
def test_many_pages_at_one_place_are_one(tmp_path, compress):
    """Else a list of 24 bytes a page would be memory without end; writers let zero pages alone share a place."""
    page = text(1) if compress else noise(1)
    data = bytearray(kdump(dict.fromkeys(range(8), page), compress=compress))
    first = data[LIST_AT : LIST_AT + 24]
    data[LIST_AT : LIST_AT + 8 * 24] = first * 8
    result = reading.read(write(tmp_path / "vmcore", data))
    assert reading.contents(result) == {0: page} and result.source.lost == 7
    assert "7 pages are damaged" in result.source.warnings[-1]


def test_many_pages_at_one_place_of_other_windows_are_no_more_than_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "WINDOW", 8)
    data = bytearray(kdump({frame: noise(1) for frame in range(800)}, compress=False))
    list_end = LIST_AT + 800 * 24
    first = data[LIST_AT : LIST_AT + 24]
    data[LIST_AT:list_end] = first * 800
    path = write(tmp_path / "vmcore", data[: list_end + 3 * PAGE])
    result = reading.read(path)
    assert 0 < len(reading.contents(result)) <= os.path.getsize(path) // PAGE
    assert result.source.lost == 800 - len(reading.contents(result))


def test_windows_of_large_pages_are_of_few(tmp_path, monkeypatch):
    """What is allocated together is bounded by bytes, not by pages alone."""
    asked = []

    def allocate(n_pages):
        asked.append(n_pages)
        return sources.Allocation(np.zeros((n_pages, BLOCK), np.uint8))

    path = write(tmp_path / "vmcore", kdump({frame: text(frame, BLOCK) for frame in range(40)}, block=BLOCK))
    with contextlib.closing(sources.open_target(path)) as source:
        for _ in source.regions(BLOCK, allocate, lambda pages: None):
            pass
    assert sum(asked) == 40 and max(asked) * BLOCK <= 64 << 20
