"""Pages: compare, zero test, copies: C at every CPU level against the model, at any size and alignment."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm import errors
from pksm.engine import native

from model import page as model
from support.pages import SIZES, at_every_level, store_of, unaligned


@pytest.mark.parametrize("size", SIZES)
@given(data=st.data())
def test_compare_is_memcmp_with_the_common_prefix(size, data):
    seed = data.draw(st.integers(0, 2**32 - 1))
    a = np.random.default_rng(seed).integers(0, 3, size, np.uint8).tobytes()
    b = bytearray(a)
    changes = data.draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, 255)), max_size=3))
    for at, byte in changes:
        b[at] = byte
    b = bytes(b)
    left, right = unaligned(a, data.draw(st.integers(0, 63))), unaligned(b, data.draw(st.integers(0, 63)))
    order, common = at_every_level(lambda: native.page_compare(left, right))
    assert (order, common) == model.compare(a, b)
    assert order == (a > b) - (a < b)
    assert at_every_level(lambda: native.page_compare(right, left)) == (-order, common)


@pytest.mark.parametrize("size", SIZES)
@given(data=st.data())
def test_is_zero_sees_every_bit(size, data):
    page = unaligned(bytes(size), data.draw(st.integers(0, 63)))
    assert at_every_level(lambda: native.page_is_zero(page)) and model.is_zero(page.tobytes())
    at, bit = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, 7))
    page[at] = 1 << bit
    assert not at_every_level(lambda: native.page_is_zero(page)) and not model.is_zero(page.tobytes())


@given(
    pages=st.lists(st.sampled_from([bytes(16), bytes(15) + b"\1", b"\1" + bytes(15), b"\xff" * 16]), min_size=1,
                   max_size=200),
    data=st.data(),
    offset=st.integers(0, 9),
)  # fmt: skip
def test_batches_go_through_sections(pages, data, offset):
    store, memory = store_of(pages, offset)
    numbers = st.lists(st.integers(0, len(pages) - 1), max_size=150)
    a = data.draw(numbers)
    b = data.draw(st.lists(st.sampled_from(a), min_size=len(a), max_size=len(a))) if a else []
    assert native.pages_copy(store, a).tobytes() == b"".join(pages[page] for page in a)
    zero = [model.is_zero(pages[page]) for page in a]
    assert at_every_level(lambda: native.pages_are_zero(store, a).tolist()) == zero
    order = [model.compare(pages[x], pages[y])[0] for x, y in zip(a, b, strict=True)]
    assert at_every_level(lambda: native.pages_compare(store, a, b).tolist()) == order


def test_page_numbers_outside_the_store_are_refused():
    store, memory = store_of([bytes(8)] * 65)
    for outside in (65, 127, 128, 0xFFFFFFFF):
        for call in (
            lambda: native.pages_are_zero(store, [0, outside]),
            lambda: native.pages_copy(store, [outside]),
            lambda: native.pages_compare(store, [0, 1], [64, outside]),
            lambda: native.pages_compare(store, [outside], [0]),
        ):
            with pytest.raises(errors.PageError):
                call()
    for no_number in (-1, 2**32, 0.5):
        with pytest.raises(errors.PageError, match="whole numbers from 0"):
            native.pages_are_zero(store, [no_number])


@pytest.mark.parametrize("size", [0, 1, 4, 7, 12, 4095, 4097, 6144])
def test_page_sizes_that_are_no_power_of_two_from_8_are_refused(size):
    memory = np.zeros(8192, np.uint8)
    store = native.StoreView(np.array([memory.ctypes.data], np.uint64), 1, size)
    with pytest.raises(ValueError):
        native.pages_are_zero(store, [0])


def test_more_pages_than_sections_are_refused():
    with pytest.raises(ValueError):
        native.StoreView(np.zeros(1, np.uint64), 65, 8)


def test_pages_of_two_sizes_are_not_compared():
    with pytest.raises(ValueError):
        native.page_compare(bytes(8), bytes(16))


def test_unknown_cpu_levels_are_refused():
    with pytest.raises(errors.UsageError, match="scalar, sse42, avx2, avx512"):
        native.select_cpu("mmx")


def test_a_page_is_its_bytes_whatever_they_are_given_as():
    data = np.zeros((4, 8), np.uint64)
    data[3, 7] = 1 << 63
    as_bytes = data.tobytes()
    assert not native.page_is_zero(data) and native.page_is_zero(np.zeros((2, 4), np.uint64))
    assert native.page_compare(data, bytes(256)) == native.page_compare(as_bytes, bytes(256)) == (1, 255)
    for name in ("xxh3-64", "fnv1a-64"):
        assert native.Checksum(name).of(data) == native.Checksum(name).of(as_bytes)
    with pytest.raises(ValueError):
        native.page_is_zero(data[:, ::2])


@pytest.mark.parametrize("size", [0, 1, 4, 7, 9, 24, 100])
def test_sizes_that_no_page_has_are_refused(size):
    for call in (native.page_is_zero, native.Checksum("xxh3-64").of, lambda data: native.page_compare(data, data)):
        with pytest.raises(ValueError, match=f"{size} bytes are not a page"):
            call(bytes(size))


def test_remap_takes_a_frame_for_each_page():
    frame_of, mapcount = np.arange(4, dtype=np.uint32), np.ones(4, np.uint32)
    view = native.FramesView(frame_of, mapcount)
    for frames in ([0], [0, 1, 0]):
        with pytest.raises(ValueError, match="2 pages"):
            native.remap(view, [2, 3], frames)
    assert frame_of.tolist() == [0, 1, 2, 3]
