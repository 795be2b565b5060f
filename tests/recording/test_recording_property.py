"""Recordings of random stories: what is written is read, whatever is cut off or damaged."""

import contextlib
import fcntl
import io
import json
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm.errors import PksmError, UnsupportedError, UsageError
from pksm.recording import Recording, Writer, container, format, repair
from pksm.recording.edges import toggled
from pksm.recording.events import Block, Kind
from pksm.recording.writer import SCHEMA

from support.recordings import as_dicts, block, joined, same, stories

HEADER = {"page_size": 4096}


@contextlib.contextmanager
def recorded(story, flushes=frozenset(), end=None, compression="zlib"):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.pksmrec"
        writer = Writer(path, HEADER, compression)
        for number, (block, _) in enumerate(story):
            writer.add(block)
            if number in flushes:
                writer.flush()
        writer.close(end)
        yield path


def reading(data):
    return Recording("memory", lambda path: io.BytesIO(data))


@given(stories(), st.sets(st.integers(0, 12)), st.sampled_from(sorted(container.METHODS)))
def test_what_is_written_is_read(told, flushes, compression):
    story, peak = told
    with recorded(story, flushes, {"ms": 1}, compression) as path, Recording(path) as recording:
        assert same(recording.blocks(), [block for block, _ in story])
        assert recording.is_whole and recording.end == {"ms": 1}
        state = recording.check()
        assert as_dicts(state) == (story[-1][1] if story else {})
        assert state.peak == peak
        assert sum(state.counts) == sum(len(block.pages) for block, _ in story)
        assert path.stat().st_mode & 0o777 == 0o600


@given(stories(), st.sets(st.integers(0, 12)), st.data())
def test_any_time_can_be_read_alone(told, flushes, data):
    story, _ = told
    with recorded(story, flushes) as path, Recording(path) as recording:
        low = data.draw(st.integers(0, 6000))
        high = data.draw(st.integers(low, 12000))
        assert same(recording.blocks(low, high), [block for block, _ in story if low <= block.ms <= high])
        before = [pages for block, pages in story if block.ms <= high]
        assert as_dicts(recording.state_at(high)) == (before[-1] if before else {})


@given(stories(6), st.sets(st.integers(0, 6)))
def test_a_recording_cut_short_at_any_byte_has_what_was_flushed(told, flushes):
    story, _ = told
    with recorded(story, flushes, {}) as path:
        data = path.read_bytes()
        ends = {}  # bytes -> number of blocks that are safe by then
        with Recording(path) as recording:
            whole = list(recording.blocks())
            for number, segment in enumerate(recording.segments):
                held = sum(len(list(recording_of(recording, part))) for part in recording.segments[: number + 1])
                ends[segment.member.end] = held
        for length in range(len(data)):
            try:
                with reading(data[:length]) as short:
                    assert not short.is_whole
                    safe = max((blocks for end, blocks in ends.items() if end <= length), default=0)
                    found = list(short.blocks())
                    assert len(found) == safe
                    assert joined(found) == joined(whole[:safe])
            except PksmError:
                assert length < 200, "of the first member something is missing"


def recording_of(recording, segment):
    return format.read(container.unpacked(recording._file, segment.member, "it"), "it")


@given(stories(6), st.data())
def test_repair_makes_a_zip_file_of_what_is_there(told, data):
    story, _ = told
    with recorded(story, {0, 1, 2, 3, 4, 5}, {"ms": 5}) as path:
        octets = path.read_bytes()
        with Recording(path) as recording:
            first = recording.members[0].end
        path.write_bytes(octets[: data.draw(st.integers(first, len(octets) - 1))])
        with Recording(path) as torn:
            before = joined(torn.blocks())
        assert repair(path) and not repair(path)
        with Recording(path) as mended:
            assert mended.is_whole and joined(mended.blocks()) == before
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert archive.namelist()[0] == "recording.json"


def test_a_recorder_that_ends_while_its_recording_is_looked_at_loses_nothing(tmp_path, monkeypatch):
    writer = Writer(tmp_path / "a", HEADER)
    writer.add(block(0, 0, [("start", 1, "a")]))
    writer.flush()

    def flock(file, how, _flock=fcntl.flock):
        if how == fcntl.LOCK_EX | fcntl.LOCK_NB:
            writer.add(block(1, 0, [("exit",)]))
            writer.close({"ms": 1})
        _flock(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert not repair(tmp_path / "a")
    with Recording(tmp_path / "a") as recording:
        assert recording.is_whole and [found.ms for found in recording.blocks()] == [0, 1]


@given(stories(6), st.data())
def test_a_damaged_recording_is_an_error_of_one_line_or_reads_like_one(told, data):
    story, _ = told
    with recorded(story, {0, 2}, {"ms": 3}, data.draw(st.sampled_from(sorted(container.METHODS)))) as path:
        octets = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        with reading(bytes(octets)) as recording:
            recording.check(1000)
    except PksmError as error:
        assert str(error) and "\n" not in str(error)


def test_zstd_needs_its_library(tmp_path, monkeypatch):
    with recorded([(block(0, 0, [("start", 1, "a")]), {})], set(), {}, "zstd") as path:
        monkeypatch.setitem(sys.modules, "cramjam", None)
        with Recording(path) as recording, pytest.raises(UnsupportedError, match=r"a\.pksmrec: zstd needs the package"):
            list(recording.blocks())
    with pytest.raises(UnsupportedError, match="zstd needs the package cramjam"):
        Writer(tmp_path / "b", HEADER, "zstd")
    with pytest.raises(UsageError, match="choose from zlib, zstd"):
        Writer(tmp_path / "b", HEADER, "rar")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32-be"])
def test_json_is_in_utf8_whatever_else_python_would_read(encoding):
    """A worker can load no other encoding."""
    said = json.dumps({"schema": SCHEMA, "page_size": 4096})
    _, octets = container.packed("recording.json", said.encode(encoding), 0)
    with pytest.raises(UsageError, match="is not what it should be"):
        reading(octets)
    header = json.dumps({"fresh": 1, "blocks": []}).encode(encoding)
    with pytest.raises(PksmError, match="not a sound segment"):
        format.read(len(header).to_bytes(4, "little") + header, "it")


@given(st.binary(max_size=300))
def test_a_segment_of_any_bytes_is_refused_or_sound(data):
    try:
        blocks = format.read(data, "it")
    except PksmError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(block, Block) for block in blocks)


@given(st.lists(st.integers(0, 0xFFFFFFFE), max_size=40), st.integers(1, 50))
def test_ids_in_any_order_come_back(ids, fresh):
    contents = np.array(ids, np.uint32)
    pages = np.arange(len(ids), dtype=np.uint64) * np.uint64(3)
    kinds = np.zeros(len(ids), np.uint8)
    data, after = format.written([Block(5, 1, (), pages, kinds, contents)], fresh)
    [block] = format.read(data, "it")
    assert block.contents.tolist() == ids and block.pages.tolist() == pages.tolist()
    assert fresh <= after <= fresh + len(ids)


def test_one_of_many_mappings_is_had_without_sorting_all():
    """A program may have 60,000, and a recording maps each of them."""
    edges = np.arange(0, 80_000, 2, dtype=np.int64)

    def seconds(work):
        began = time.process_time()
        for first in range(1, 2000, 2):
            work(first)
        return time.process_time() - began

    added = seconds(lambda first: toggled(edges, 40_000 + 2 * first + 1, 40_000 + 2 * first + 2))
    assert added < seconds(lambda first: np.sort(np.append(edges, [first, first + 1]))) / 2


def test_what_may_be_on_its_way_after_a_failed_write_is_not_written_again(tmp_path, monkeypatch):
    writer = Writer(tmp_path / "full", {"page_size": 4096})
    writer.add(block(0, 0, [("start", 1, "one"), ("map", 0, 3, "heap", False)], [(0, Kind.BIRTH, 5)]))

    class Full:
        """A file on a disk that is full for a moment."""

        def __init__(self, file):
            self._file, self.writes = file, 0

        def write(self, octets):
            self._file.write(octets)
            self.writes += 1

        def flush(self):
            raise OSError(28, "No space left on device")

        def __getattr__(self, name):
            return getattr(self._file, name)

    monkeypatch.setattr(writer, "_file", Full(writer._file))
    with pytest.raises(PksmError, match="No space left on device"):
        writer.flush()
    full = writer._file
    writer.close({"events": 1})
    assert full.writes == 1
    with Recording(tmp_path / "full") as recording:
        assert len(list(recording.blocks())) == 1
