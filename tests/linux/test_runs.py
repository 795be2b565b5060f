"""What live sources compute from smaps and pagemap, against plain counting page by page."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm import extents
from pksm.extents import State
from pksm.linux.proc import pagemap
from pksm.linux.proc import smaps as procmaps
from pksm.sources.live import reading as proc

PAGE = pagemap.PAGE_SIZE


def ranges(draw, kinds):
    """Draw sorted, disjoint ranges of pages below 60, each with a kind."""
    edges = sorted(draw(st.sets(st.integers(0, 60), max_size=16)))
    return [(low, high, draw(kinds)) for low, high in itertools.pairwise(edges) if draw(st.booleans())]


def data_runs(ranges):
    """DATA runs of [(first page, end page)]."""
    low, high = np.array(ranges, np.int64).reshape(-1, 2).T
    return extents.make_runs(np.full(len(low), State.DATA, np.uint8), 0, low * PAGE, high - low)


@st.composite
def layouts(draw):
    vmas = ranges(draw, st.sampled_from(["plain", "device", "barred"]))
    resident = [(low, high) for low, high, _ in ranges(draw, st.none())]
    start, end = sorted(draw(st.sets(st.integers(0, 60), min_size=2, max_size=2)))
    return vmas, resident, start, end


@given(layouts())
def test_runs_between(layout):
    vmas, resident, start, end = layout
    vma_array = np.array(
        [(low * PAGE, high * PAGE, kind == "device", kind == "barred", True, False, 0) for low, high, kind in vmas],
        procmaps.VMA,
    )
    resident_array = np.array([(low * PAGE, high * PAGE) for low, high in resident], pagemap.RESIDENT)
    expected, n_data = {}, 0
    for index, (low, high, kind) in enumerate(vmas):
        for page in range(max(low, start), min(high, end)):
            state = State.HOLE
            if kind == "device":
                state = State.EXCLUDED
            elif any(a <= page < b for a, b in resident):
                state = State.EXCLUDED if kind == "barred" else State.DATA
            expected[page] = (state, index, n_data if state == State.DATA else None)
            n_data += state == State.DATA
    runs = proc.runs_between(start * PAGE, end * PAGE, vma_array, resident_array)
    found = {}
    for state, mapping, address, pages, first in runs.tolist():
        for page in range(pages):
            found[address // PAGE + page] = (state, mapping, first + page if state == State.DATA else None)
    assert found == expected
    assert sum(runs["pages"].tolist()) == len(expected), "no page is told twice"


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 5)), max_size=8))
def test_expand(runs):
    first, pages = np.array(runs, np.int64).reshape(-1, 2).T
    assert extents.expand(first, pages).tolist() == [page for low, n in runs for page in range(low, low + n)]


@st.composite
def runs_and_states(draw):
    states = draw(st.lists(st.sampled_from(list(State)), min_size=1, max_size=12))
    pages = draw(st.lists(st.integers(1, 6), min_size=len(states), max_size=len(states)))
    runs = extents.make_runs(states, 0, np.cumsum([0, *pages[:-1]]) * PAGE, pages)
    n_data = int(extents.data_runs(runs)["pages"].sum())
    new = draw(st.lists(st.sampled_from([State.DATA, State.HOLE, State.EXCLUDED]), min_size=n_data, max_size=n_data))
    return runs, np.array(new, np.uint8)


def by_page(runs):
    return [
        (address + page * PAGE, state, first + page if state == State.DATA else 0)
        for state, _, address, pages, first in runs.tolist()
        for page in range(pages)
    ]


@given(runs_and_states())
def test_mark_runs(case):
    runs, new = case
    expected = [
        (address, new[place] if state == State.DATA else state, place if new[place : place + 1] == [0] else 0)
        if state == State.DATA
        else (address, state, 0)
        for address, state, place in by_page(runs)
    ]
    if len(new):
        assert by_page(extents.mark_runs(runs, new, PAGE)) == expected


@given(runs_and_states(), st.integers(1, 9))
def test_cut_runs(case, batch):
    runs, new = case
    data = extents.data_runs(runs)
    if len(data):
        cut = extents.cut_runs(data, np.arange(0, len(new), batch), PAGE)
        assert by_page(cut) == by_page(data)
        assert ((cut["first"] % batch + cut["pages"]) <= batch).all(), "no piece crosses a batch"


ENTRIES = {
    "none": 0,
    "swapped": 1 << 62 | 77,
    "alone": 1 << 63 | 1 << 56 | 77,
    "shared": 1 << 63 | 78,
    "file": 1 << 63 | 1 << 61 | 79,
}


class MadeUpPagemap(pagemap.Pagemap):
    """A page map whose entries a function makes of page numbers; `spans` notes what is read at once."""

    def __init__(self, entries):
        self.spans, self._made_up = [], entries

    def _read_entries(self, page, entries):
        self.spans.append(len(entries))
        entries[:] = self._made_up(np.arange(page, page + len(entries), dtype=np.uint64))


@pytest.mark.parametrize("gap", [0, 1, pagemap.SPAN_GAP + 1, 3 * pagemap.SPAN_PAGES])
@pytest.mark.parametrize("at_a_time", [2, 5, 1 << 14])
def test_entries_of_scattered_runs(gap, at_a_time, monkeypatch):
    """Each page has to get its own entry, whatever is read at once."""
    monkeypatch.setattr(pagemap, "LOOK_UP_PAGES", at_a_time)
    pages = np.array([3, 1, 7, 2])
    starts = 1000 + np.cumsum(np.append(0, pages[:-1] + gap))
    made_up = MadeUpPagemap(lambda page: page | np.uint64(1 << 63))
    entries = made_up.entries(data_runs(list(zip(starts, starts + pages, strict=True)))) & pagemap.PM_PFN
    assert entries.tolist() == [page for low, n in zip(starts, pages, strict=True) for page in range(low, low + n)]
    if at_a_time > pages.sum():
        assert len(made_up.spans) == (1 if gap <= pagemap.SPAN_GAP else 4)
    assert len(made_up.entries(data_runs([]))) == 0


def test_what_entries_tell():
    flags = pagemap.flags_of(np.array(list(ENTRIES.values()), np.uint64))
    told = {
        name: [kind for kind, is_so in zip(ENTRIES, function(flags), strict=True) if is_so]
        for name, function in vars(pagemap).items()
        if name.startswith("is_")
    }
    assert told == {
        "is_present": ["alone", "shared", "file"],
        "is_anonymous": ["alone", "shared"],
        "is_exclusive": ["alone"],
        "is_swapped": ["swapped"],
    }


@given(
    st.lists(st.sampled_from(list(ENTRIES)), min_size=1, max_size=40),
    st.lists(st.integers(1, 12), max_size=4),
    st.integers(1, 20),
)
def test_resident_runs_by_entries(kinds, lengths, max_pages):
    """Without PAGEMAP_SCAN: what is present in areas where anything is, part by part."""
    entries = np.array([ENTRIES[kind] for kind in kinds], np.uint64)
    edges = [*(edge for edge in itertools.accumulate(lengths, initial=0) if edge < len(kinds)), len(kinds)]
    areas = [(low, high, index % 3 != 1) for index, (low, high) in enumerate(itertools.pairwise(edges))]
    vmas = np.array(
        [(low * PAGE, high * PAGE, False, False, some, False, 0) for low, high, some in areas], procmaps.VMA
    )
    found, reached = [], 0
    for part, reached in MadeUpPagemap(lambda page: entries[page])._scan_entries(vmas, max_pages):
        pages = [address // PAGE for low, high in part.tolist() for address in range(low, high, PAGE)]
        assert len(pages) <= max(max_pages, 2) and all(page * PAGE < reached for page in pages)
        found += pages
    present = {"alone", "shared", "file"}
    assert found == [page for low, high, some in areas if some for page in range(low, high) if kinds[page] in present]
    assert reached == len(kinds) * PAGE
