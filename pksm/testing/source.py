"""Proof of a reader of your own against the contract of pksm/sources/base.py."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pksm.arrays import I64Array, U8Array
from pksm.errors import PksmError, UsageError
from pksm.extents import RUN, State, data_runs, expand
from pksm.sources.base import Allocation, Region, Source

_MARK = 0xA5  # what memory for copies holds before a reader writes to it


def check_source(
    open_source: Callable[[], Source],
    expected: Mapping[int, bytes] | None = None,
    page_size: int = 4096,
    steady: bool = True,
) -> None:
    """Raise AssertionError, which says what is wrong, unless a source keeps to its contract.

    It is opened and read twice: regions agree with themselves and with the mappings, no address comes twice, all DATA
    pages have bytes, progress adds up, wrong page sizes are refused in one line, what was read stays when the source
    is closed, and closing twice does no harm. Addresses are not looked at for fingerprints, which have none.

    Args:
        open_source: opens the source anew each time: `lambda: sources.open_target(path)`, or
            `lambda: reader.open_file(sources.OpenFile(path))` for a reader that is not installed.
        expected: {address: bytes of the page} of all pages that hold bytes or are zero; None leaves that unchecked.
        page_size: bytes.
        steady: its memory does not change, so that it reads the same twice.
    """
    _check_members(open_source)
    for part in range(_n_parts(open_source)):
        first, second = (_read(open_source, part, page_size) for _ in range(2))
        if steady:
            _check_same(first, second)
    if expected is not None:
        _check_expected(_read(open_source, 0, page_size), expected, page_size)
    _check_refusals(open_source)


@dataclass
class _Reading:
    """What was read of a source.

    runs: of all regions, by address; addresses, pages: of each DATA page and its bytes, by address.
    """

    name: str
    runs: np.ndarray
    addresses: I64Array
    pages: U8Array
    mappings: list[str]
    lost: int


def _check_members(open_source: Callable[[], Source]) -> None:
    source = open_source()
    try:
        assert isinstance(source, Source), f"what was opened is a {type(source).__name__}, not a pksm.sources.Source"
        where = source.name
        assert isinstance(where, str) and where.isprintable(), "name must be printable text: what the source is called"
        assert source.kind and isinstance(source.kind, str), f"{where}: kind must say in a word what it is"
        assert isinstance(source.partial, bool), f"{where}: partial must be a bool"
        assert isinstance(source.facts(), dict), f"{where}: facts() must return a dict"
        assert list(source.parts()), f"{where}: parts() must return one source at least, itself as a rule"
    finally:
        source.close()
        source.close()


def _n_parts(open_source: Callable[[], Source]) -> int:
    source = open_source()
    try:
        return len(source.parts())
    finally:
        source.close()


def _read(open_source: Callable[[], Source], part: int, page_size: int) -> _Reading:
    """Read one part of a source, check all there is to check, and return what it gave."""
    whole = open_source()
    source = whole.parts()[part]
    # What stands for pages of a size is read as sums of 16 bytes.
    stored = 16 if source.page_size is not None else page_size
    memory, told = _Memory(stored), _Progress(source.name)
    regions: list[Region] = []
    try:
        for region in source.regions(stored, memory.allocate, told):
            _check_region(region, source, memory, stored)
            regions.append(region)
    finally:
        whole.close()
    reading = _gathered(source, regions, stored)  # the source is closed: what it gave must still be there
    n_data = len(reading.pages)
    assert told.pages == n_data, f"{source.name}: progress was called with {told.pages} pages, and {n_data} were read"
    assert type(source.lost) is int and source.lost >= 0, f"{source.name}: lost must be a number of pages"
    for line in source.warnings:
        assert isinstance(line, str) and line and "\n" not in line, f"{source.name}: a warning is one line: {line!r}"
    _check_facts(source, reading)
    if source.page_size is None:
        _check_addresses(reading, source, stored)
    return reading


class _Memory:
    """Gives memory for copies, and knows what it gave."""

    def __init__(self, page_size: int) -> None:
        self._page_size = page_size
        self.given: list[Allocation] = []

    def allocate(self, n_pages: int) -> Allocation:
        assert n_pages > 0, f"{n_pages} pages were allocated: from 1"
        self.given.append(Allocation(np.full((n_pages, self._page_size), _MARK, np.uint8), len(self.given)))
        return self.given[-1]


class _Progress:
    def __init__(self, name: str) -> None:
        self._name, self.pages = name, 0

    def __call__(self, pages: int) -> None:
        assert pages >= 0, f"{self._name}: progress was called with {pages} pages"
        self.pages += int(pages)


def _check_region(region: Region, source: Source, memory: _Memory, page_size: int) -> None:
    where, runs = source.name, region.runs
    assert isinstance(region, Region), f"{where}: regions() must yield pksm.sources.Region"
    assert runs.dtype == RUN, f"{where}: runs must be of the dtype pksm.extents.RUN"
    fault = region.fault(page_size, len(source.mappings))
    assert not fault, f"{where}: {fault}"
    assert (runs["pages"] > 0).all(), f"{where}: a run has no pages"
    if source.page_size is None:
        assert (np.diff(runs["address"].astype(object)) > 0).all(), f"{where}: runs are not sorted by address"
    if region.copies is not None:
        assert any(region.copies is given for given in memory.given), f"{where}: copies are not what allocate() gave"
        assert region.view is None, f"{where}: a region has either a view or copies"
    if region.view is not None:
        view = region.view
        assert view.dtype == np.uint8 and view.flags.c_contiguous, f"{where}: a view is contiguous, of uint8"
        assert view.size % page_size == 0, f"{where}: a view of {view.size} bytes is not whole pages of {page_size}"
        assert region.frames is None, f"{where}: frames go with copies"
    if (runs["state"] == State.DATA).any():
        assert region.buffer is not None, f"{where}: there are DATA pages and no bytes"


def _gathered(source: Source, regions: Sequence[Region], page_size: int) -> _Reading:
    """Return all that regions hold, by address."""
    runs = np.concatenate([np.empty(0, RUN), *(region.runs for region in regions)])
    addresses, pages = [np.empty(0, np.int64)], [np.empty((0, page_size), np.uint8)]
    for region in regions:
        data = data_runs(region.runs)
        counts, first = data["pages"].astype(np.int64), data["first"].astype(np.int64)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        step = page_size if source.page_size is None else 1  # addresses of fingerprints are numbers
        addresses.append(np.repeat(data["address"].astype(np.int64), counts) + within * step)
        if region.buffer is not None:
            pages.append(region.buffer.reshape(-1, page_size)[expand(first, counts)])
    where, content = np.concatenate(addresses), np.concatenate(pages)
    order = np.argsort(where, kind="stable")
    by_address = runs[np.lexsort((runs["mapping"], runs["state"], runs["address"]))]
    names = [mapping.name for mapping in source.mappings]
    return _Reading(source.name, by_address, where[order], content[order], names, source.lost)


def _check_facts(source: Source, reading: _Reading) -> None:
    out = source.facts().get("out_of_reach")
    if out is None:
        return
    assert all(type(pages) is int and pages >= 0 for pages in out.values()), f"{source.name}: out_of_reach: {out}"
    without = int(reading.runs["pages"][np.isin(reading.runs["state"], (State.HOLE, State.EXCLUDED))].sum())
    assert sum(out.values()) == without, (
        f"{source.name}: out_of_reach names {sum(out.values())} pages, and {without} are HOLE or EXCLUDED"
    )


def _check_addresses(reading: _Reading, source: Source, page_size: int) -> None:
    runs = reading.runs
    starts, ends = runs["address"], runs["address"] + runs["pages"] * np.uint64(page_size)
    twice = starts[1:] < ends[:-1]
    assert not twice.any(), f"{source.name}: address {int(starts[1:][twice][0]):#x} comes twice"
    bounds = np.array([(mapping.start, mapping.end) for mapping in source.mappings], np.uint64).reshape(-1, 2)
    low, high = bounds[runs["mapping"]].T
    outside = (starts < low) | (ends > high)
    assert not outside.any(), f"{source.name}: pages from {int(starts[outside][0]):#x} on lie outside of their mapping"


def _check_same(first: _Reading, second: _Reading) -> None:
    same = np.array_equal(
        first.runs[["state", "mapping", "address", "pages"]], second.runs[["state", "mapping", "address", "pages"]]
    )
    assert same, f"{first.name}: read again, its runs are others"
    assert first.mappings == second.mappings, f"{first.name}: read again, its mappings are others"
    assert first.lost == second.lost, f"{first.name}: read again, {second.lost} pages are lost, and not {first.lost}"
    assert np.array_equal(first.pages, second.pages), f"{first.name}: read again, its pages hold other bytes"


def _check_expected(reading: _Reading, expected: Mapping[int, bytes], page_size: int) -> None:
    zero = reading.runs[reading.runs["state"] == State.ZERO]
    counts = zero["pages"].astype(np.int64)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    found = np.concatenate(
        [reading.addresses, np.repeat(zero["address"].astype(np.int64), counts) + within * page_size]
    )
    content = np.concatenate([reading.pages, np.zeros((len(within), page_size), np.uint8)])
    order = np.argsort(found)
    due = np.array(sorted(expected), np.int64)
    missing, more = np.setdiff1d(due, found), np.setdiff1d(found, due)
    assert not len(missing), f"{reading.name}: the page at {int(missing[0]):#x} is missing"
    assert not len(more), f"{reading.name}: there should be no page at {int(more[0]):#x}"
    bytes_due = np.frombuffer(b"".join(map(expected.__getitem__, sorted(expected))), np.uint8).reshape(-1, page_size)
    wrong = due[(content[order] != bytes_due).any(axis=1)]
    assert not len(wrong), f"{reading.name}: the page at {int(wrong[0]):#x} holds other bytes"


def _check_refusals(open_source: Callable[[], Source]) -> None:
    """Page sizes that can't be are refused: a UsageError of one line that names the source or the argument."""
    for page_size in (0, 3000, 1 << 40):
        source = open_source()
        try:
            for _ in source.parts()[0].regions(page_size, _Memory(4096).allocate, lambda pages: None):
                break
        except PksmError as error:
            line = str(error)
            assert line and "\n" not in line, f"{source.name}: an error is one line: {line!r}"
            assert isinstance(error, UsageError) or source.parts()[0].page_size is not None, (
                f"{source.name}: a page size of {page_size} is not refused by a UsageError: {line}"
            )
        else:
            raise AssertionError(f"{source.name}: pages of {page_size} bytes are not refused")
        finally:
            source.close()
