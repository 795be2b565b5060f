"""Regions of sources as pages of one store: runs, frames that several map, and what is left out."""

from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm.engine.store import Store
from pksm.errors import PksmError, ShortageError, UsageError
from pksm.extents import PageList, State, make_runs, page_runs
from pksm.linux import memory_limits
from pksm.scan import Interrupts
from pksm.scan.gather import gather
from pksm.scan.intake import FrameBook, Intake
from pksm.sources import open_target

from support.memory_sources import GivenSource, data

SIZE = 512


def page(text):
    return text.encode().ljust(SIZE, b"\0")


def collect(*sources, view="frames", interrupts=None):
    return gather(sources, SIZE, view, lambda pages: None, interrupts)


def contents(gathered, pages):
    """What the pages hold, by their first letters."""
    rows = gathered.store.bytes_of(pages.take(0, len(pages)))
    return [bytes(row).rstrip(b"\0").decode() for row in rows]


@given(st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=5), st.integers(0, 60), st.integers(0, 60))
def test_page_list_is_a_list(parts, start, length):
    numbers = [number for part in parts for number in part]
    pages = PageList(page_runs(np.array(part, np.uint32)) for part in parts)
    assert len(pages) == len(numbers)
    assert pages.take(start, start + length).tolist() == numbers[start : start + length]
    assert pages.take(0, len(numbers)).dtype == np.uint32


def test_consecutive_pages_are_one_run():
    assert len(page_runs(np.arange(7, 1000, dtype=np.uint32))) == 1
    assert page_runs(np.array([5, 6, 9, 3], np.uint32)).tolist() == [(5, 2), (9, 1), (3, 1)]


@given(
    st.lists(
        st.lists(st.integers(1, 30) | st.integers(1 << 22, (1 << 22) + 9) | st.just(1 << 54), max_size=20), max_size=12
    )
)
def test_frame_book_is_a_dict(batches):
    book, model, next_page = FrameBook(), {}, 0
    for batch in batches:
        frames = np.array(batch, np.uint64)
        pages, new = book.look_up(frames)
        first = [frame not in model and frame not in batch[:at] for at, frame in enumerate(batch)]
        assert new.tolist() == first
        pages[new] = np.arange(next_page, next_page + new.sum(), dtype=np.uint32)
        for frame, number in zip(frames[new].tolist(), pages[new].tolist(), strict=True):
            model[frame] = number
        next_page += int(new.sum())
        assert book.enter(frames, pages, new).tolist() == [model[frame] for frame in batch]
    assert book.has(np.array([*model, 31, 1 << 50], np.uint64)).tolist() == [True] * len(model) + [False, False]


@pytest.mark.parametrize("n_sources", [1, 2])
def test_frames_that_several_map_are_born_once(n_sources):
    """Frame 70 is mapped twice by one and once by the other, 80 by both; 90 is the last owner's alone."""
    one = GivenSource("one", data(page("a"), page("a"), page("b"), page("c")), [70, 70, 80, 90], [0, 0, 0, 1], cuts=[1])
    two = GivenSource("two", data(page("b"), page("a"), page("d")), [80, 70, 90], [0, 0, 1])
    gathered = collect(*[one, two][:n_sources])
    born = ["a", "b", "c", "d"] if n_sources == 2 else ["a", "b", "c"]
    assert contents(gathered, gathered.born) == born
    assert contents(gathered, gathered.taken[0].mapped) == ["a", "a", "b", "c"]
    if n_sources == 2:
        assert contents(gathered, gathered.taken[1].mapped) == ["b", "a", "d"]
        shared = {int(gathered.taken[0].mapped.take(2, 3)[0]), int(gathered.taken[1].mapped.take(0, 1)[0])}
        assert len(shared) == 1, "the frame that both map is one page"
    assert gathered.frames_told and gathered.untold == 0


def test_every_mapping_is_a_page_in_the_view_of_mappings():
    sources = [GivenSource(name, data(page("a"), page("b")), [70, 0], [0, 0]) for name in ("one", "two")]
    gathered = collect(*sources, view="mappings")
    assert contents(gathered, gathered.born) == ["a", "b", "a", "b"]
    assert gathered.untold == 0 and [taken.excluded for taken in gathered.taken] == [0, 0]


@pytest.mark.parametrize("n_sources", [1, 2])
def test_pages_whose_frames_are_not_told_are_left_out(n_sources):
    sources = [
        GivenSource(name, data(page("a"), page("b"), page("c")), [0, 0, 0], [1, 0, 1], names=["x", "y", "y"])
        for name in ("one", "two")
    ][:n_sources]
    gathered = collect(*sources)
    assert contents(gathered, gathered.born) == ["a", "c"] * n_sources
    assert gathered.untold == n_sources and not gathered.frames_told
    for taken in gathered.taken:
        assert taken.excluded == 1
        assert [taken.names[number] for number in taken.segments] == ["x", "y"]
        assert taken.starts.tolist() == [0, 1]


def test_states_without_bytes_are_counted():
    zero, hole, excluded = ((state, None) for state in (State.ZERO, State.HOLE, State.EXCLUDED))
    pages = [hole, (State.DATA, page("a")), zero, excluded, zero]
    taken = collect(GivenSource("one", pages, cuts=[1, 4])).taken[0]
    assert (taken.hole, taken.zero, taken.excluded, len(taken.mapped)) == (1, 2, 1, 1)


def failing(error):
    def fail():
        raise error

    return fail


def test_what_a_failing_source_gave_is_kept():
    broken = GivenSource("broken", data(page("a")), then=failing(PksmError("gone")))
    gathered = collect(broken, GivenSource("whole", data(page("b"))))
    assert [str(error) for error in gathered.failed] == ["gone"]
    assert contents(gathered, gathered.born) == ["a", "b"]


def test_a_source_that_gave_nothing_is_not_listed():
    gathered = collect(GivenSource("none", [], then=failing(PksmError("gone"))), GivenSource("whole", data(page("b"))))
    assert [taken.name for taken in gathered.taken] == ["whole"] and len(gathered.failed) == 1


@pytest.mark.parametrize(
    "error, words",
    [
        (ValueError("too\nbad"), "its reader failed with ValueError"),
        (KeyError("x"), "its reader failed with KeyError"),
        (IndexError(), "its reader failed with IndexError"),
        (OSError(5, "Input/output error"), "cannot be read: Input/output error"),
    ],
)
def test_whatever_fails_in_one_source_is_its_own_error(error, words):
    """A bug in a reader is named with its class, and what the system refuses in its words; the others count."""
    broken = GivenSource("broken", data(page("a")), then=failing(error))
    gathered = collect(broken, GivenSource("whole", data(page("b"))))
    (found,) = gathered.failed
    assert str(found).startswith(f"broken: {words}")
    assert "\n" not in str(found) and found.__cause__ is (None if isinstance(error, OSError) else error)
    assert contents(gathered, gathered.born) == ["a", "b"] and gathered.partial
    with pytest.raises(PksmError if isinstance(error, OSError) else type(error)):  # nothing is left: a bug shows itself
        collect(GivenSource("broken", [], then=failing(error)))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()])
def test_what_is_not_the_sources_fault_goes_through(error):
    with pytest.raises(type(error)):
        collect(GivenSource("broken", data(page("a")), then=failing(error)), GivenSource("whole", data(page("b"))))


def test_want_of_memory_loses_nothing_that_was_read():
    """It is an error of the source that needed it, one line for all such sources, and others are read."""
    short = [
        GivenSource("big", data(page("a")), then=failing(MemoryError())),
        GivenSource("bigger", [], then=failing(ShortageError("5 MiB of memory are needed and 4 MiB available"))),
        GivenSource("broken", [], then=failing(PksmError("broken"))),
    ]
    gathered = collect(*short, GivenSource("small", data(page("b"))))
    assert contents(gathered, gathered.born) == ["a", "b"] and gathered.partial
    assert [taken.name for taken in gathered.taken] == ["big", "small"]
    assert list(map(str, gathered.failed)) == [
        "big: out of memory: scan less at a time; neither was there memory for 1 more sources",
        "broken",
    ]
    with pytest.raises(ShortageError, match="bigger: 5 MiB of memory are needed and 4 MiB available"):
        collect(short[1])


def test_memory_to_merge_what_is_read_is_left(monkeypatch):
    """The copies may take what is available less what merging them takes, whatever was read before."""
    asked = []
    monkeypatch.setattr(memory_limits, "require", asked.append)
    intake = Intake(Store(4096), "mappings", False, nullcontext)
    intake.allocate(100)
    intake.allocate(1000)
    assert 100 * (4096 + 64) < asked[0] < 100 * (4096 + 300)
    assert 1000 * 4096 + 1100 * 64 < asked[1] < 1000 * 4096 + 1200 * 300
    together = Intake(Store(4096), "frames", True, nullcontext)
    together.allocate(100)
    assert asked[2] > 2 * 100 * 4096, "what is read, and those of it that are new"
    mapped = Intake(Store(SIZE), "frames", False, nullcontext)
    runs = make_runs([State.DATA], [0], [0], [100])
    mapped.add_view(np.zeros(100 * SIZE, np.uint8), runs)
    assert 100 * 64 < asked[3] < 100 * 300, "bytes of a file that stay where they are take none"


class Strange(GivenSource):
    """A source whose facts are wrong once it is read."""

    def facts(self):
        return {}["missing"]


def test_facts_that_fail_are_the_sources_error():
    gathered = collect(Strange("strange", data(page("a"))), GivenSource("whole", data(page("b"))))
    assert [taken.name for taken in gathered.taken] == ["strange", "whole"] and "KeyError" in str(gathered.failed[0])
    assert contents(gathered, gathered.born) == ["a", "b"]


def test_errors_that_are_raised():
    with pytest.raises(PksmError, match="first"):
        collect(*[GivenSource(name, [], then=failing(PksmError(name))) for name in ("first", "second")])
    with pytest.raises(UsageError, match="wrong"):
        collect(GivenSource("whole", data(page("b"))), GivenSource("other", [], then=failing(UsageError("wrong"))))
    with pytest.raises(KeyboardInterrupt):
        collect(GivenSource("whole", data(page("b")), then=failing(KeyboardInterrupt())))


def test_an_interrupt_ends_the_reading():
    interrupts = Interrupts(nullcontext)
    sources = [
        GivenSource("one", data(page("a")), then=failing(KeyboardInterrupt())),
        GivenSource("two", data(page("b"))),
    ]
    gathered = collect(*sources, interrupts=interrupts)
    assert interrupts.seen and contents(gathered, gathered.born) == ["a"]
    with pytest.raises(KeyboardInterrupt):
        collect(GivenSource("one", [], then=failing(KeyboardInterrupt())), interrupts=Interrupts(nullcontext))


def test_long_holes_get_no_page_numbers(tmp_path):
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        for number in (3, 4, 10, 1_000_000, 1_000_001, 5_000_000):
            file.seek(number * SIZE * 8)
            file.write(bytes(f"{number}", "ascii").ljust(SIZE * 8, b"\0"))
    source = open_target(path)
    gathered = gather([source], SIZE * 8, "frames", lambda pages: None)
    source.close()
    assert contents(gathered, gathered.born) == ["3", "4", "10", "1000000", "1000001", "5000000"]
    assert gathered.store.n_pages < 1000
    assert gathered.taken[0].hole == 5_000_001 - 6


@pytest.mark.parametrize(("apart", "a_page"), [(60_000, 64), (600, 64), (400, 400)])
def test_page_numbers_go_with_the_data_where_holes_are_long(tmp_path, apart, a_page):
    path, n_pages = tmp_path / "sparse", 300
    with open(path, "wb") as file:
        for number in range(n_pages):
            file.seek(number * apart * SIZE * 8)
            file.write(bytes(f"{number}", "ascii").ljust(SIZE * 8, b"\0"))
    source = open_target(path)
    gathered = gather([source], SIZE * 8, "frames", lambda pages: None)
    source.close()
    assert contents(gathered, gathered.born) == [str(number) for number in range(n_pages)]
    assert gathered.store.n_pages <= n_pages * a_page
    assert gathered.taken[0].hole == (n_pages - 1) * (apart - 1)
