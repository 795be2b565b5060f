"""Checksums while reading, window by window, against those of single pages."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pksm.engine.checksums import strategies
from pksm.engine.store import Store
from pksm.linux.proc.memory import WINDOW_BYTES
from pksm.recording.hashing import FIRST, SECOND
from pksm.recording.sums import Sums

SIZE = 1 << 16
WINDOW = WINDOW_BYTES // SIZE


def made():
    first, second = (strategies.make(name, SIZE) for name in (FIRST, SECOND))
    return Sums(Store(SIZE), first, second), first, second


@given(
    st.sets(st.integers(0, 200), min_size=1), st.sets(st.integers(0, 200)), st.sets(st.integers(0, 200)), st.randoms()
)
def test_sums_are_those_of_each_page(now, before, changed, random):
    sums, first, second = made()
    bytes_of = {page: bytes([page % 7 + 1]) * SIZE for page in now | before}
    were = {page: first.of(b"\0" * SIZE if page in changed else bytes_of[page]) for page in before}
    known = sorted(before)
    sums.compare_with(np.array(known, np.uint64), np.array([were[page] for page in known], np.uint64))
    pages = sorted(now)
    sums.begin(np.array(pages, np.uint64))
    heads = list(range(0, len(pages), WINDOW))
    random.shuffle(heads)
    for head in heads:
        end = min(head + WINDOW, len(pages))
        number, window = sums.window(end - head)
        for row, page in zip(window, pages[head:end], strict=True):
            row[:] = np.frombuffer(bytes_of[page], np.uint8)
        sums.take(head, end, number)
    assert sums.first.tolist() == [first.of(bytes_of[page]) for page in pages]
    asked = np.array([at for at, page in enumerate(pages) if page not in before or page in changed], np.int64)
    assert sums.second(asked).tolist() == [second.of(bytes_of[pages[at]]) for at in asked.tolist()]


def test_windows_come_back_when_a_reading_was_broken_off():
    sums, *_ = made()
    for _ in range(3):
        sums.begin(np.arange(2, dtype=np.uint64))
        assert sums.window(1)[0] != sums.window(1)[0]
