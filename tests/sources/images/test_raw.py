"""Raw files as sources: sparse, truncated, tiny, and the ones that are refused."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm import sources
from pksm.errors import BusError, PksmError, UsageError
from pksm.extents import State
from pksm.linux.proc.smaps import Mapping
from pksm.sources import files

from support.line_events import line_events


def read(path, page_size=4096):
    """Read a raw source; return (source, region, pages reported by progress)."""
    source = sources.open_target(path)
    progress = []
    (region,) = source.regions(page_size, None, progress.append)
    source.close()
    return source, region, sum(progress)


def rows(region):
    return [
        (State(run["state"]).name, int(run["address"]), int(run["pages"]), int(run["first"])) for run in region.runs
    ]


def filled(pages, page_size=4096):
    return b"".join(bytes([1 + page % 255]) * page_size for page in range(pages))


def test_plain_file(tmp_path):
    path = tmp_path / "memory.raw"
    path.write_bytes(filled(5))
    source, region, read_pages = read(path)
    assert rows(region) == [("DATA", 0, 5, 0)]
    assert region.buffer.tobytes() == filled(5) and not region.buffer.flags.writeable
    assert (source.kind, source.name, source.lost, source.warnings) == ("raw", str(path), 0, [])
    assert source.mappings == [Mapping("memory.raw", 0, 5 * 4096)]
    assert read_pages == 5 and region.copies is None and region.frames is None


def test_holes_are_not_zero_pages(tmp_path):
    path = tmp_path / "sparse.raw"
    with open(path, "wb") as file:
        file.seek(1 << 20)
        file.write(filled(2))
        file.seek(3 << 20)
        file.write(bytes(4096))  # zeros that were written are data
        file.truncate(4 << 20)
    assert path.stat().st_blocks * 512 < 1 << 20, "these tests need a file system with sparse files"
    _, region, read_pages = read(path)
    assert rows(region) == [
        ("HOLE", 0, 256, 0),
        ("DATA", 1 << 20, 2, 256),
        ("HOLE", (1 << 20) + 8192, 510, 0),
        ("DATA", 3 << 20, 1, 768),
        ("HOLE", (3 << 20) + 4096, 255, 0),
    ]
    assert read_pages == 3
    assert bytes(region.buffer[1 << 20 : (1 << 20) + 8192]) == filled(2)
    # With 2 MiB pages a page that is data in part is DATA.
    assert rows(read(path, 2 << 20)[1]) == [("DATA", 0, 2, 0)]


def test_file_of_one_hole(tmp_path):
    path = tmp_path / "hole.raw"
    with open(path, "wb") as file:
        file.truncate(3 << 30)
    _, region, read_pages = read(path)
    assert rows(region) == [("HOLE", 0, (3 << 30) // 4096, 0)] and region.buffer is None and read_pages == 0


@pytest.mark.parametrize("page_size", [512, 4096, 16384, 2 << 20])
def test_bytes_over_are_told_and_left_out(tmp_path, page_size):
    path = tmp_path / "tail.raw"
    path.write_bytes(bytes(range(256)) * (3 * page_size // 256) + b"x" * 100)
    source, region, _ = read(path, page_size)
    assert rows(region) == [("DATA", 0, 3, 0)] and len(region.buffer) == 3 * page_size
    assert len(source.warnings) == 1 and "100 bytes over" in source.warnings[0] and str(path) in source.warnings[0]


def test_sparse_tail_holds_no_page(tmp_path):
    path = tmp_path / "tail.raw"
    with open(path, "wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 20)
        file.write(b"end")
    _, region, _ = read(path)
    assert rows(region) == [("HOLE", 0, 256, 0)] and region.buffer is None


def test_one_page_is_enough_and_less_is_refused(tmp_path):
    path = tmp_path / "tiny.raw"
    path.write_bytes(b"x" * 511)
    with pytest.raises(PksmError, match="511 bytes are less than one page of 512"):
        read(path, 512)
    path.write_bytes(b"x" * 512)
    assert rows(read(path, 512)[1]) == [("DATA", 0, 1, 0)]


@pytest.mark.parametrize("page_size", [0, -4096, 256, 3000, 4 << 20])
def test_wrong_page_size(tmp_path, page_size):
    path = tmp_path / "memory.raw"
    path.write_bytes(filled(1))
    with pytest.raises(UsageError, match=f"page size {page_size}"):
        read(path, page_size)


def make_fifo(path):
    os.mkfifo(path)


def make_unlistable(path):
    path.write_text("not a directory")
    return path / "below"


REFUSED = {
    "missing": (lambda path: None, PksmError, "no such file"),
    "empty": (lambda path: path.touch(), PksmError, "empty"),
    "directory": (lambda path: path.mkdir(), UsageError, "directory"),
    "fifo": (make_fifo, UsageError, "pipe, socket or device"),
    "device": (lambda path: path.symlink_to("/dev/zero"), UsageError, "pipe, socket or device"),
    "below a file": (make_unlistable, PksmError, "Not a directory"),
    "not mappable": (lambda path: path.symlink_to("/sys/kernel/uevent_seqnum"), PksmError, "cannot be mapped"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_one_line(tmp_path, case):
    make, error, words = REFUSED[case]
    path = tmp_path / "target"
    path = make(path) or path
    with pytest.raises(error, match=words) as caught:
        read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert type(caught.value) is error


def test_unreadable_names_the_remedy(tmp_path, monkeypatch):
    path = tmp_path / "secret.raw"
    path.write_bytes(filled(1))
    path.chmod(0)
    if os.geteuid() == 0:  # root may read everything: let the system answer as it does to others

        def deny(*args, **kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(files.os, "open", deny)
    with pytest.raises(PksmError, match="permission denied.*as root"):
        sources.open_target(path)


@pytest.mark.parametrize("left", [0, 4096, 8191])
def test_shrinks_while_opened(tmp_path, left):
    path = tmp_path / "shrinking.raw"
    path.write_bytes(filled(2))
    source = sources.open_target(path)
    os.truncate(path, left)
    with pytest.raises(BusError, match="became shorter"):
        list(source.regions(4096, None, lambda pages: None))
    source.close()


def test_shrinks_after_mapping(tmp_path, monkeypatch):
    path = tmp_path / "shrinking.raw"
    path.write_bytes(filled(2))
    source = sources.open_target(path)

    def map_and_shrink(*args, **kwargs):
        mapped = mmap(*args, **kwargs)
        os.truncate(path, 4096)
        return mapped

    mmap = files.mmap.mmap
    monkeypatch.setattr(files.mmap, "mmap", map_and_shrink)
    with pytest.raises(BusError, match="became shorter"):
        list(source.regions(4096, None, lambda pages: None))
    source.close()


def test_no_descriptor_is_left_open(tmp_path):
    path = tmp_path / "memory.raw"
    path.write_bytes(filled(1))
    (tmp_path / "empty").touch()
    before = len(os.listdir("/proc/self/fd"))
    buffer = read(path)[1].buffer
    for bad in (tmp_path, tmp_path / "empty"):
        with pytest.raises(PksmError):
            read(bad)
    assert buffer.tobytes() == filled(1), "the mapping outlives the source"
    del buffer
    assert len(os.listdir("/proc/self/fd")) == before


def test_lines_do_not_grow_with_pages(tmp_path):
    def lines_of(pages):
        path = tmp_path / f"{pages}.raw"
        path.write_bytes(filled(pages, 512))
        return line_events(lambda: read(path, 512))

    lines_of(1 << 10)  # whatever is loaded late is loaded now
    assert lines_of(1 << 10) == lines_of(1 << 14) > 0


blocks = st.lists(st.booleans(), min_size=1, max_size=40)


@given(blocks=blocks, page_size=st.sampled_from([512, 4096, 8192, 16384, 65536]), tail=st.integers(0, 4095))
def test_any_pattern_of_holes(tmp_path_factory, blocks, page_size, tail):
    path = tmp_path_factory.mktemp("pattern") / "pattern.raw"
    with open(path, "wb") as file:
        for number, block in enumerate(blocks):
            if block:
                os.pwrite(file.fileno(), b"x" * 4096, number * 4096)
        size = len(blocks) * 4096 + tail
        file.truncate(size)
    if size < page_size:
        with pytest.raises(PksmError, match="less than one page"):
            read(path, page_size)
        return
    _, region, read_pages = read(path, page_size)
    holds_data = np.repeat(np.append(blocks, False), 4096)[:size]
    expected = [bool(holds_data[at : at + page_size].any()) for at in range(0, size - page_size + 1, page_size)]
    found = [state == "DATA" for state, _, pages, _ in rows(region) for _ in range(pages)]
    assert found == expected and read_pages == sum(expected)
    for state, address, _, first in rows(region):
        assert first == (address // page_size if state == "DATA" else 0)
