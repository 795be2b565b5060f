"""Recordings, which are read to their end and held against what can have happened."""

import io
import os
import tempfile

import numpy as np

from fuzz.target import Target
from pksm.recording import Block, Recording, Writer, format

MOST_PAGES = 1 << 14


def check_recording(data: bytes) -> None:
    """Read a recording; its last state has as many pages as were counted."""
    with Recording("input", lambda path: io.BytesIO(data)) as recording:
        state = recording.check(MOST_PAGES)
    pages = sum(len(space.pages) for space in state.spaces.values())
    assert pages == state.pages <= state.peak <= MOST_PAGES


def check_segment(data: bytes) -> None:
    """Read a segment; what is sound is written and read again as it is."""
    blocks = format.read(data, "input")
    again = format.read(format.written(blocks, 1)[0], "output")
    assert [(block.ms, block.space, block.operations) for block in again] == [
        (block.ms, block.space, block.operations) for block in blocks
    ]
    for one, other in zip(blocks, again, strict=True):
        assert (one.pages == other.pages).all() and (one.kinds == other.kinds).all()
        assert (one.contents == other.contents).all()


# ---- seeds ----


def blocks() -> list[Block]:
    """Make blocks with every operation and every kind."""
    first = (("start", 7, "a"), ("map", 16, 8, "[heap]", True), ("advise", 16, 2, False))
    pages = np.arange(16, 24, dtype=np.uint64)
    return [
        Block(0, 0, first, pages, np.zeros(8, np.uint8), np.array([1, 2, 0, 1, 3, 4, 5, 6], np.uint32)),
        Block(5, 1, (("fork", 0, 8, "b"),), pages[:7], np.arange(1, 8, dtype=np.uint8), np.array([7], np.uint32)),
        Block(9, 0, (("exit",),)),
        Block(9, 1, (), pages[3:4], np.array([3], np.uint8)),
        Block(9, 1, (("unmap", 18, 1),)),
    ]


def recordings() -> list[bytes]:
    """Make a recording of several segments."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "seed")
        writer = Writer(path, {"page_size": 4096})
        for block in blocks()[:3]:
            writer.add(block)
            writer.flush()
        writer.close({"ms": 9})
        with open(path, "rb") as file:
            return [file.read()]


def segments() -> list[bytes]:
    """Make segments."""
    return [format.written(blocks(), 1)[0], format.written(blocks()[:2], 3)[0]]


WORDS = [b"PK\x03\x04", b"PK\x01\x02", b"recording.json", b"segments/", b"end.json", b'"blocks":', b'"fresh":',
         b'["fork",', b'["map",', b'["unmap",', b'["exit"]', b"\xff\xff\xff\xff"]  # fmt: skip
TARGETS = {
    "recording": Target(check_recording, recordings, WORDS),
    "segment": Target(check_segment, segments, WORDS),
}
