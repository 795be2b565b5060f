"""Compressed AVML images against the ranges that were written, compressed by the library the reader uses, too."""

import struct
import sys

import numpy as np
import pytest

from pksm.errors import PksmError, UnsupportedError
from pksm.sources.images import snappy

from support.writers import reading
from support.writers.lime import avml, header, lime

PAGE = 4096


def mixed(pages, seed=0):
    """Pages of text and of noise in turn."""
    chance = np.random.default_rng(seed)
    noise = chance.integers(0, 256, (pages, PAGE), np.uint8)
    noise[::2] = np.frombuffer(b"memory, ", np.uint8).repeat(512)
    noise[:, :8] = np.arange(pages, dtype=np.uint64).view(np.uint8).reshape(-1, 8)
    return noise.tobytes()


RANGES = [(0x1000, mixed(40)), (0x100000, bytes(PAGE) * 17 + mixed(3, 1)), (0x40000000, mixed(100, 2))]


def expected(ranges):
    return {start + at: data[at : at + PAGE] for start, data in ranges for at in range(0, len(data), PAGE)}


def write(path, data):
    path.write_bytes(data)
    return path


def test_ranges(tmp_path):
    result = reading.read(write(tmp_path / "memory.avml", avml(RANGES)))
    assert reading.contents(result) == expected(RANGES)
    assert reading.states(result) == {"DATA": 160} and result.progress == 160
    assert (result.source.kind, result.source.lost, result.source.partial) == ("avml", 0, False)
    assert all(region.copies is not None for region in result.regions)


@pytest.mark.parametrize("part", [1, 3 * PAGE, 100_000])
def test_parts_of_any_size(tmp_path, monkeypatch, part):
    monkeypatch.setattr(snappy, "PART_BYTES", part)
    result = reading.read(write(tmp_path / "memory.avml", avml(RANGES)))
    assert reading.contents(result) == expected(RANGES)
    assert max(len(region.buffer) for region in result.regions) * PAGE <= part + 2 * snappy.MAX_CHUNK


def test_ranges_that_begin_within_a_page(tmp_path):
    data = mixed(40)
    result = reading.read(write(tmp_path / "memory.avml", avml([(0x1800, data)])))
    assert reading.contents(result) == {0x2000 + at: data[0x800 + at : 0x1800 + at] for at in range(0, 39 * PAGE, PAGE)}
    (warning,) = result.source.warnings
    assert f"{PAGE} bytes" in warning and "ends of its ranges" in warning


def test_chunks_that_are_skipped(tmp_path):
    """Padding, chunks of other programs, and the stream's name again, between its chunks."""
    data = avml([(0, mixed(40))])
    stream = data[32:-8]
    length = 4 + int.from_bytes(stream[11:14], "little")  # of the first chunk behind the name
    spread = (stream[: 10 + length] + b"\xfe\x02\x00\x00ab" + b"\x80\x01\x00\x00x" + snappy.IDENTIFIER
              + stream[10 + length :])  # fmt: skip
    path = write(tmp_path / "memory.avml", data[:32] + spread + struct.pack("<Q", len(spread)))
    assert reading.contents(reading.read(path)) == expected([(0, mixed(40))])


def test_zero_blocks_that_avml_leaves_out_are_warned_of(tmp_path):
    ranges = [(0, mixed(4)), (0x100000, bytes(16 << 20) + mixed(4))]
    data = avml(ranges, skip_zero_blocks=True)
    assert len(data) < 1 << 20
    result = reading.read(write(tmp_path / "memory.avml", data))
    assert reading.contents(result) == expected([(0, mixed(4)), (0x1100000, mixed(4))])
    (warning,) = result.source.warnings
    assert "blocks of 16 MiB that are all zero" in warning


@pytest.mark.parametrize("missing", [4, 9, 5000, 200_000])
def test_cut_off(tmp_path, missing):
    whole = expected(RANGES)
    result = reading.read(write(tmp_path / "short.avml", avml(RANGES)[:-missing]))
    kept = reading.contents(result)
    assert kept == {address: whole[address] for address in kept}
    lost = len(whole) - len(kept)
    assert (lost > 0) == (missing > 8) and result.source.lost == lost
    assert reading.states(result).get("EXCLUDED", 0) == lost
    assert any("cut off" in warning and f"{lost} pages" in warning for warning in result.source.warnings) == (lost > 0)


def test_cut_off_in_a_header(tmp_path):
    whole = avml(RANGES[:2])
    result = reading.read(write(tmp_path / "short.avml", avml(RANGES)[: len(whole) + 20]))
    assert reading.contents(result) == expected(RANGES[:2])
    assert any("header that is cut off" in warning for warning in result.source.warnings) and result.source.partial


ONE = avml([(0, mixed(40))])


def chunk(kind, content):
    return bytes([kind]) + len(content).to_bytes(3, "little") + content


DAMAGED = {
    "checksum": (ONE[:60] + b"\xff" + ONE[61:], "do not inflate"),
    "length at the end": (ONE[:-8] + struct.pack("<Q", 7), "not as long as it says"),
    "more than the header says": (header(0, PAGE, b"AVML", 2) + ONE[32:], "inflates to more"),
    "no chunk": (header(0, PAGE, b"AVML", 2) + bytes(100), "no snappy chunk at byte 32"),
    "reserved chunk": (header(0, PAGE, b"AVML", 2) + chunk(0x02, b"abcdef"), "no snappy chunk at byte 32"),
    "a chunk of too much": (header(0, 1 << 30, b"AVML", 2) + chunk(1, bytes(70_000)), "no snappy chunk"),
    "a length without end": (header(0, PAGE, b"AVML", 2) + chunk(0, bytes(4) + b"\xff" * 9), "no snappy chunk"),
    "nothing but padding": (header(0, PAGE, b"AVML", 2) + chunk(0xFE, b"") * 1000, "with content before byte"),
    "version": (header(0, PAGE, b"AVML", 3) + ONE[32:], "version 3"),
    "overlap": (ONE + ONE, "overlap"),
    "a LiME range": (ONE + lime([(1 << 30, mixed(1))]), "no header where the range"),
    "header cut off": (ONE[:20], "ended at byte 0"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged(tmp_path, case):
    data, words = DAMAGED[case]
    path = write(tmp_path / "damaged.avml", data)
    with pytest.raises(PksmError, match=words) as caught:
        reading.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_what_was_read_before_the_damage_is_given(tmp_path):
    from pksm import sources
    from pksm.sources import Allocation

    source = sources.open_target(write(tmp_path / "memory.avml", ONE + avml([(1 << 30, mixed(20))])[:32] + bytes(99)))
    regions = []
    with pytest.raises(PksmError, match="no snappy chunk"):
        for region in source.regions(
            PAGE, lambda n_pages: Allocation(np.empty((n_pages, PAGE), np.uint8)), lambda pages: None
        ):
            regions.append(region)
    source.close()
    assert sum(int(region.runs["pages"].sum()) for region in regions) == 40


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cramjam", None)
    with pytest.raises(UnsupportedError, match="pip install cramjam"):
        reading.read(write(tmp_path / "memory.avml", ONE))


def test_lines_grow_with_chunks_not_with_pages(tmp_path):
    lines = [
        reading.lines_run(write(tmp_path / f"{pages}.avml", avml([(0, bytes(pages * PAGE))]))) for pages in (16, 1024)
    ]
    assert lines[1] - lines[0] <= 40 * (1024 - 16) * PAGE // snappy.MAX_CHUNK
