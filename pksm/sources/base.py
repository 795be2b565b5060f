"""What a memory source gives: states, runs of pages, regions, and the protocol every reader follows."""

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pksm.errors import UsageError

MIN_PAGE_SIZE = 512
MAX_PAGE_SIZE = 2 << 20


class State(enum.IntEnum):
    """What is known of a page: its bytes, that it is zero, that it is not resident, or that it was left out."""

    DATA = 0
    ZERO = 1
    HOLE = 2
    EXCLUDED = 3


# `address` is in bytes in the source's own address space, `mapping` an index into Source.mappings,
# `first` the page's index in the region's buffer: it means something for DATA only.
RUN = np.dtype([("state", "u1"), ("mapping", "u4"), ("address", "u8"), ("pages", "u8"), ("first", "u8")])

Allocate = Callable[[int], np.ndarray]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Mapping:
    """A named part of a source's address space, from `start` up to `end` (bytes)."""

    name: str
    start: int
    end: int


@dataclass
class Region:
    """Some runs of a source, sorted by address, and the buffer that holds the bytes of their DATA pages.

    buffer: uint8, whole pages, or None when no page has data; `frames` (uint64, 0 = unknown) and `exclusive`
    (bool: mapped once) have one entry a buffer page, or are None. `allocated` tells that `allocate` made the buffer.
    """

    buffer: np.ndarray | None
    runs: np.ndarray
    frames: np.ndarray | None = None
    exclusive: np.ndarray | None = None
    allocated: bool = False


class Source(Protocol):
    """One memory to read. `mappings`, `lost` (pages) and `warnings` are filled while reading.

    regions() asks `allocate(n_pages) -> uint8 array (n_pages, page_size)` for the memory of live copies and calls
    `progress(pages)` with the pages read since the last call. Raises PksmError (UsageError for a wrong page size).
    A source may have `partial`: whether memory is missing that `lost` does not count. It may have facts() -> dict of
    further fields for the result; `out_of_reach` in it is {why: HOLE or EXCLUDED pages}.
    """

    name: str
    kind: str
    mappings: list[Mapping]
    lost: int
    warnings: list[str]

    def regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]: ...
    def close(self) -> None: ...


def check_page_size(page_size: int) -> None:
    """Raise UsageError unless `page_size` (bytes) is a power of two that sources can be read in."""
    if not MIN_PAGE_SIZE <= page_size <= MAX_PAGE_SIZE or page_size & (page_size - 1):
        raise UsageError(f"page size {page_size}: give a power of two from {MIN_PAGE_SIZE} to {MAX_PAGE_SIZE}")


def make_runs(state, mapping, address, pages) -> np.ndarray:
    """Make a RUN array; DATA runs take the buffer's pages one after the other."""
    runs = np.empty(len(pages), RUN)
    runs["state"], runs["mapping"], runs["address"], runs["pages"] = state, mapping, address, pages
    data_pages = np.where(runs["state"] == State.DATA, runs["pages"], 0)
    runs["first"] = np.cumsum(data_pages) - data_pages
    return runs


def data_runs(runs: np.ndarray) -> np.ndarray:
    """Return the DATA runs of a RUN array (a copy)."""
    return runs[runs["state"] == State.DATA]


def expand(first: np.ndarray, pages: np.ndarray) -> np.ndarray:
    """Return the numbers of all pages of runs, uint32: first[i] .. first[i] + pages[i] - 1."""
    starts = np.cumsum(pages) - pages
    numbers = np.repeat((first - starts).astype(np.uint32), pages)
    numbers += np.arange(len(numbers), dtype=np.uint32)
    return numbers


def cut_runs(data: np.ndarray, cuts: np.ndarray, page_size: int) -> np.ndarray:
    """Cut DATA runs that fill a buffer from page 0 on, at the buffer pages `cuts`; cuts past the end do nothing.

    `cuts` are sorted and differ from one another.
    """
    first = data["first"].astype(np.int64)
    total = int(data["pages"].sum())
    at = np.searchsorted(first, cuts)
    new = cuts < total
    new[new] = first[np.minimum(at[new], len(first) - 1)] != cuts[new]
    edges = np.insert(first, at[new], cuts[new])
    owner = np.searchsorted(first, edges, "right") - 1
    pieces = data[owner]
    pieces["address"] += ((edges - first[owner]) * page_size).astype(np.uint64)
    pieces["first"] = edges
    pieces["pages"] = np.diff(edges, append=total)
    return pieces


def mark_runs(runs: np.ndarray, page_states: np.ndarray, page_size: int) -> np.ndarray:
    """Return `runs` with each DATA page turned into its state of `page_states` (one a buffer page)."""
    pieces = cut_runs(data_runs(runs), np.flatnonzero(np.diff(page_states)) + 1, page_size)
    pieces["state"] = page_states[pieces["first"].astype(np.int64)]
    pieces["first"][pieces["state"] != State.DATA] = 0
    marked = np.concatenate([runs[runs["state"] != State.DATA], pieces])
    return marked[np.argsort(marked["address"], kind="stable")]
