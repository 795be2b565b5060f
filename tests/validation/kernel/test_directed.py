"""Small stories of what happens between two wake-ups, where the kernel's rule is known: ksmd and ours count the same."""

import pytest

from pksm.errors import UnsupportedError
from pksm.linux.ksm import Borrowed
from pksm.validation.kernel.both_sides import PAGE_SIZE, Pair
from pksm.validation.kernel.validate import BASE

pytestmark = pytest.mark.kernel


@pytest.fixture
def pair():
    try:
        with Borrowed() as ksm, Pair(ksm, 200, smart_scan=0) as both:
            yield both
    except UnsupportedError as error:
        pytest.skip(str(error))


def no_difference(pair):
    return {name: counts for name, counts in pair.compare().items() if counts[0] != counts[1]} == {}


def test_the_cursor_stands_behind_the_last_page_visited_and_not_before_the_next(pair):
    """What is written into the hole between two wake-ups is visited in the same full scan."""
    process = pair.spawn()
    process.mmap(BASE, 20)
    process.write(BASE, [1])
    process.write(BASE + 10 * PAGE_SIZE, [2, 3])
    pair.scan_pages(1)
    process.write(BASE + 2 * PAGE_SIZE, [4, 5, 6])
    pair.scan()
    assert pair.compare()["rmap_items"] == (6, 6) and no_difference(pair)


def test_what_is_written_behind_the_cursor_waits_for_the_next_full_scan(pair):
    process = pair.spawn()
    process.mmap(BASE, 20)
    process.write(BASE + 3 * PAGE_SIZE, [1, 2, 3])
    pair.scan_pages(2)
    process.write(BASE, [4, 5, 6])
    pair.scan()
    assert pair.compare()["rmap_items"] == (3, 3) and no_difference(pair)
    pair.scan()
    assert pair.compare()["rmap_items"] == (6, 6) and no_difference(pair)


def test_pages_that_go_and_come_back_before_the_cursor_arrives_keep_their_checksums(pair):
    process = pair.spawn()
    process.mmap(BASE, 20)
    process.write(BASE, [1, 2, 2, 3])
    pair.scan()
    pair.scan_pages(1)
    process.madvise(BASE + PAGE_SIZE, 2, "DONTNEED")
    process.write(BASE + PAGE_SIZE, [2, 2])
    pair.scan()
    assert pair.compare()["pages_sharing"] == (1, 1) and no_difference(pair)


@pytest.mark.parametrize("cursor_at", [0, 1, 2])
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 0, 3), (0, 1)])
def test_several_processes_that_exit_between_two_wake_ups(pair, cursor_at, order):
    """Whatever their order is: all are cleared before the next page of another process is visited."""
    processes = [pair.spawn() for _ in range(5)]
    for number, process in enumerate(processes):
        process.mmap(BASE, 10)
        process.write(BASE, [1, 2, 10 + number, 20 + number])
    pair.scan()
    pair.scan()
    pair.scan_pages(4 * cursor_at + 1)
    for number in order:
        processes[number].exit()
    for _ in range(8):
        pair.scan_pages(1)
        assert no_difference(pair), pair.compare()
    pair.scan()
    assert no_difference(pair)


def test_the_child_of_a_process_under_the_cursor_is_visited_after_it(pair):
    process = pair.spawn()
    process.mmap(BASE, 10)
    process.write(BASE, [1, 2, 3, 4])
    pair.scan_pages(2)
    child = process.fork()
    child.write(BASE, [7, 8])
    for _ in range(8):
        pair.scan_pages(1)
        assert no_difference(pair), pair.compare()
    process.exit()
    pair.scan_pages(1)
    assert no_difference(pair), pair.compare()
