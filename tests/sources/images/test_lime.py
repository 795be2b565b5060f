"""LiME images against the ranges that were written."""

import struct

import pytest

from pksm.errors import PksmError, UsageError
from pksm.sources.images import mapped

from support.writers import reading
from support.writers.lime import header, lime

PAGE = 4096


def filled(pages, start=0):
    return b"".join(struct.pack("<Q", start + number + 1) * 512 for number in range(pages))


def expected(ranges, page_size=PAGE):
    """{address: bytes} of all whole pages of ranges."""
    return {
        start + at: data[at : at + page_size]
        for start, data in ranges
        for at in range(-start % page_size, len(data) - page_size + 1, page_size)
    }


RANGES = [(0x1000, filled(3)), (0x9000, bytes(PAGE) + filled(1, 7)), (0x100000, filled(40, 9))]


def test_ranges(tmp_path):
    path = tmp_path / "memory.lime"
    path.write_bytes(lime(RANGES))
    result = reading.read(path)
    assert reading.contents(result) == expected(RANGES)
    assert reading.states(result) == {"DATA": 45} and result.progress == 45
    source = result.source
    assert (source.kind, source.name, source.lost, source.warnings) == ("lime", str(path), 0, [])
    assert not source.partial
    assert all(region.copies is None and not region.buffer.flags.writeable for region in result.regions)


def test_ranges_in_any_order(tmp_path):
    path = tmp_path / "memory.lime"
    path.write_bytes(lime(RANGES[::-1]))
    result = reading.read(path)
    assert reading.contents(result) == expected(RANGES)


@pytest.mark.parametrize("page_size", [512, 16384, 65536])
def test_other_page_sizes(tmp_path, page_size):
    path = tmp_path / "memory.lime"
    path.write_bytes(lime(RANGES))
    result = reading.read(path, page_size)
    pages = expected(RANGES, page_size)
    assert reading.contents(result) == pages
    left_over = sum(len(data) for _, data in RANGES) - len(pages) * page_size
    assert len(result.source.warnings) == bool(left_over)
    assert all(f"{left_over} bytes" in warning for warning in result.source.warnings)


def test_holes_of_the_file_are_zeros_that_a_copy_left_out(tmp_path):
    path = tmp_path / "sparse.lime"
    with open(path, "wb") as file:
        file.write(header(0, 64 * PAGE) + filled(1))
        file.truncate(32 + 64 * PAGE)
    result = reading.read(path)
    assert reading.states(result) == {"DATA": 2, "ZERO": 62}
    assert result.pages[PAGE].content == bytes(PAGE), "the page that the file's first block ends in"


def test_regions_are_bounded(tmp_path, monkeypatch):
    path = tmp_path / "memory.lime"
    path.write_bytes(lime(RANGES))
    monkeypatch.setattr(mapped, "REGION_PAGES", 8)
    result = reading.read(path)
    assert reading.contents(result) == expected(RANGES)
    assert max(len(region.buffer) for region in result.regions) <= 8 * PAGE


@pytest.mark.parametrize("missing", [1, PAGE, 10 * PAGE + 5, 40 * PAGE])
def test_cut_off_in_a_range(tmp_path, missing):
    path = tmp_path / "short.lime"
    path.write_bytes(lime(RANGES)[:-missing])
    result = reading.read(path)
    lost = -(-missing // PAGE)
    kept = dict(sorted(expected(RANGES).items())[:-lost])
    assert reading.contents(result) == kept
    assert reading.states(result) == {"DATA": 45 - lost, "EXCLUDED": lost} and result.source.lost == lost
    (warning,) = result.source.warnings
    assert "cut off" in warning and f"{lost} pages" in warning and str(path) in warning


def test_cut_off_in_a_header(tmp_path):
    path = tmp_path / "short.lime"
    path.write_bytes(lime(RANGES)[: -40 * PAGE - 1])
    result = reading.read(path)
    assert reading.contents(result) == expected(RANGES[:-1])
    (warning,) = result.source.warnings
    assert "header that is cut off" in warning and result.source.partial


DAMAGED = {
    "big-endian": (b"LiME" + struct.pack(">I3Q", 1, 0, PAGE - 1, 0) + filled(1), "big-endian"),
    "version": (header(0, PAGE, version=7) + filled(1), "version 7 .* reads version 1"),
    "header cut off": (header(0, PAGE)[:20], "shorter than its first header"),
    "backwards": (struct.pack("<4sI3Q", b"EMiL", 1, 9 * PAGE, PAGE, 0) + filled(1), "range at byte 0"),
    "as large as can be": (struct.pack("<4sI3Q", b"EMiL", 1, 0, (1 << 64) - 1, 0) + filled(1), "range at byte 0"),
    "overlap": (lime([(0, filled(2)), (PAGE, filled(1))]), "overlap"),
    "no second header": (lime([(0, filled(1))]) + bytes(64), f"no header where the range at byte {32 + PAGE}"),
    "less than a page": (lime([(0, b"x" * 100)]), "no whole page"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged(tmp_path, case):
    data, words = DAMAGED[case]
    path = tmp_path / "damaged.lime"
    path.write_bytes(data)
    with pytest.raises(PksmError, match=words) as caught:
        reading.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_too_many_ranges(tmp_path):
    path = tmp_path / "many.lime"
    path.write_bytes(lime([(number, b"x") for number in range((1 << 16) + 1)]))
    with pytest.raises(PksmError, match="more than 65536 ranges"):
        reading.read(path)


def test_wrong_page_size(tmp_path):
    path = tmp_path / "memory.lime"
    path.write_bytes(lime(RANGES))
    with pytest.raises(UsageError, match="page size 3000"):
        reading.read(path, 3000)


def test_lines_do_not_grow_with_pages(tmp_path):
    lines = []
    for pages in (1 << 8, 1 << 12):
        path = tmp_path / f"{pages}.lime"
        path.write_bytes(lime([(0, filled(pages)), (1 << 40, filled(pages))]))
        lines.append(reading.lines_run(path))
    assert lines[0] == lines[1] > 0
