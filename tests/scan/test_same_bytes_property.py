"""Bytes that are in the store already: what stands for them has the same bytes, and a number of its own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pksm.engine.store import SECTION_PAGES, Store
from pksm.scan import same_bytes
from pksm.scan.same_bytes import SameBytes

SIZE = 64


def pages_of(contents):
    """Pages whose words are the numbers given, and one that is zero for 0."""
    return np.repeat(np.array(contents, np.uint64), SIZE // 8).view(np.uint8).reshape(-1, SIZE)


class Copied:
    """A store that pages are copied into by way of a buffer, as a scan does it."""

    def __init__(self, slots=same_bytes.SLOTS):
        self.store = Store(SIZE)
        self.same = SameBytes(self.store, slots)

    def take(self, contents):
        """Take pages; return (their numbers, how many of them took memory)."""
        buffer, array = self.store.allocate(len(contents))
        array[:] = pages_of(contents)
        numbers = np.arange(buffer, buffer + len(contents), dtype=np.uint32)
        found, twins = self.same.find(numbers)
        first, copy = self.store.allocate(int((~found).sum()))
        copy[:] = array[~found]
        self.same.learn(first, copy)
        numbers[found], numbers[~found] = twins, np.arange(first, first + len(copy))
        self.store.remove(buffer)
        return numbers, len(copy)


@given(st.lists(st.lists(st.integers(0, 300), max_size=200), max_size=6), st.integers(1, 1 << 9))
def test_every_page_keeps_its_bytes_and_has_a_number_of_its_own(rounds, slots):
    copied = Copied(slots)  # few: contents get into each other's way
    taken = [(contents, copied.take(contents)[0]) for contents in rounds]
    for contents, numbers in taken:
        assert (copied.store.bytes_of(numbers) == pages_of(contents)).all()
    numbers = np.concatenate([np.empty(0, np.uint32), *(numbers for _, numbers in taken)])
    assert len(np.unique(numbers)) == len(numbers)
    copied.store.check()


def test_what_was_copied_before_takes_no_memory():
    copied = Copied()
    assert copied.take(range(100))[1] == 100
    assert copied.take(range(100))[1] == 0
    assert copied.take(range(99, -1, -1))[1] == 0, "in any order"
    assert copied.take([7] * 100)[1] == 100, "a section has each content once, and one page is not worth a section"


def test_a_section_is_worth_its_numbers_for_enough_pages():
    copied = Copied()
    copied.take(range(SECTION_PAGES))
    few = list(range(same_bytes.FEWEST - 1))
    assert copied.take([*few, *range(1000, 1100)])[1] == len(few) + 100
    assert copied.take([*few, *range(1000, 1100)])[1] == 0, "now they lie together"
