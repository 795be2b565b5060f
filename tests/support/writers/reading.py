"""Reads a source to its end, page by page, as slowly and plainly as possible."""

import sys
from types import SimpleNamespace

import numpy as np

from pksm import sources
from pksm.extents import State
from pksm.sources import Allocation


def read(path, page_size=4096):
    """Return the source, its regions, the pages told to progress, and `pages`: {address: Page}."""
    source = sources.open_target(path)
    regions, progress = [], []

    def allocate(n_pages):
        return Allocation(np.full((n_pages, page_size), 0xA5, np.uint8))

    try:
        for region in source.regions(page_size, allocate, progress.append):
            regions.append(region)
    finally:
        source.close()
    pages = {}
    for region in regions:
        for address, page in pages_of(region, source, page_size):
            assert address not in pages, f"{address:#x} comes twice"
            pages[address] = page
    return SimpleNamespace(source=source, regions=regions, progress=sum(progress), pages=pages)


def pages_of(region, source, page_size):
    """Yield (address, page) of a region; a page has `state`, `content` (bytes or None) and `mapping` (a name)."""
    assert np.all(np.diff(region.runs["address"].astype(object)) > 0), "runs are out of order"
    for run in region.runs:
        state, first = State(run["state"]), int(run["first"])
        assert run["pages"] > 0
        for number in range(int(run["pages"])):
            content = None
            if state == State.DATA:
                flat = region.buffer.reshape(-1)
                content = flat[(first + number) * page_size : (first + number + 1) * page_size].tobytes()
                assert len(content) == page_size, "a run reaches out of its buffer"
            mapping = source.mappings[int(run["mapping"])]
            address = int(run["address"]) + number * page_size
            assert mapping.start <= address < mapping.end
            yield address, SimpleNamespace(state=state.name, content=content, mapping=mapping.name)


def states(result):
    """Return {state: pages} of what was read, without states that no page is in."""
    counts = {}
    for page in result.pages.values():
        counts[page.state] = counts.get(page.state, 0) + 1
    return counts


def contents(result):
    """Return {address: bytes} of the pages with data."""
    return {address: page.content for address, page in result.pages.items() if page.state == "DATA"}


def lines_run(path, page_size=4096):
    """Return how many lines of Python it takes to read a source, once libraries have filled their caches."""
    _lines_run(path, page_size)
    return _lines_run(path, page_size)


def _lines_run(path, page_size):
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += event == "line"
        return trace

    source = sources.open_target(path)  # outside: modules that are loaded here would count, too
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for _ in source.regions(
            page_size, lambda pages: Allocation(np.empty((pages, page_size), np.uint8)), lambda pages: None
        ):
            pass
    finally:
        sys.settrace(before)
        source.close()
    return count
