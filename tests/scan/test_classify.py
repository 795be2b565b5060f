"""What pages look like: one page of each kind, at several page sizes, and nothing of their bytes told."""

import tracemalloc

import numpy as np
import pytest

from pksm.engine.store import Store
from pksm.scan import Settings, scan
from pksm.scan.classify import BYTES_AT_ONCE, looks

from support.memory_sources import GivenSource, data

SIZES = [512, 4096, 1 << 16]


def examples(size):
    random = np.random.Generator(np.random.PCG64(size))
    noise = random.bytes(size)
    integers = random.integers(-1000, 60_000, size // 4)
    addresses = 0x7F3A_0000_0000 + random.integers(1 << 14, 1 << 26, size // 8) * 64
    objects = addresses.copy()
    objects[::2] = 1  # a count beside each pointer
    text = (b"A line of text, neither long nor short.\n" * size)[:size]
    return {
        "one byte repeated": b"\xa5" * size,
        "one word repeated": noise[:4] * (size // 4),
        "text": text,
        "sparse": noise[: size // 20].ljust(size, b"\0"),
        "small integers": integers.astype("<i4").tobytes(),
        "pointers": objects.astype("<u8").tobytes(),
        "floating point": random.standard_normal(size // 8).tobytes(),
        "high entropy": noise,
        "mixed": bytes(byte & 0x0F for byte in noise),
        "zero-prefixed, then text": text[: size // 2].rjust(size, b"\0"),
        "zero-prefixed, then high entropy": noise[: size // 2].rjust(size, b"\0"),
        "zero-prefixed, then pointers": addresses.astype("<u8").tobytes()[: size // 2].rjust(size, b"\0"),
        "zero-prefixed, then sparse": (b"\x01" + bytes(size // 4)).rjust(size, b"\0"),
    }


@pytest.mark.parametrize("size", SIZES)
def test_each_kind_is_told(size):
    kinds = examples(size)
    pages = np.frombuffer(b"".join(kinds.values()), np.uint8).reshape(-1, size)
    assert looks(pages) == list(kinds)
    assert looks(pages[::-1]) == list(kinds)[::-1], "what a page looks like depends on that page alone"


def test_many_pages_and_none():
    kinds = examples(512)
    pages = np.frombuffer(b"".join(kinds.values()), np.uint8).reshape(-1, 512)
    repeats = BYTES_AT_ONCE // pages.size + 2
    assert looks(np.tile(pages, (repeats, 1))) == list(kinds) * repeats
    assert looks(pages[:0]) == []


@pytest.mark.parametrize("size", [4096, 1 << 16, 1 << 20])
def test_large_pages_take_no_more_memory_than_small_ones(size):
    pages = np.random.default_rng(1).integers(0, 256, (8 * BYTES_AT_ONCE // size, size), np.uint8)
    tracemalloc.start()
    try:
        looks(pages)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 32 * max(BYTES_AT_ONCE, size)


def test_groups_of_large_pages_are_copied_a_few_at_a_time(monkeypatch):
    size, copied, copy = 1 << 15, [], Store.bytes_of
    monkeypatch.setattr(Store, "bytes_of", lambda store, pages: copied.append(len(pages)) or copy(store, pages))
    contents = [bytes([number]) * size for number in range(1, 11)] * 2
    result = scan([GivenSource("one", data(*contents))], Settings(page_size=size, top=10, show_bytes=True))
    assert [group["bytes"]["hex"] for group in result["groups"]] == [f"{number:02x}" * 64 for number in range(1, 11)]
    assert sum(copied) == 10 and max(copied) * size <= BYTES_AT_ONCE


def test_every_width_of_small_integers():
    for width in ("<i4", "<i8"):
        numbers = np.arange(4096 // np.dtype(width).itemsize).astype(width)
        assert looks(numbers.view(np.uint8).reshape(1, -1)) == ["small integers"]


def test_the_last_byte_alone():
    page = np.zeros((1, 4096), np.uint8)
    page[0, -1] = 7
    assert looks(page)[0].startswith("zero-prefixed")
