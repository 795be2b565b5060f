"""Runs of pages: those of a source, by address and by what is known of them, and lists of page numbers."""

import enum
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from pksm.arrays import BoolArray, I64Array, IntArray, Pages, StructArray, U8Array, U64Array

__all__ = ["RUN", "State", "data_runs", "make_runs"]  # what readers of others need


class State(enum.IntEnum):
    """What is known of a page: its bytes, that it is zero, that it is not resident, or that it was left out."""

    DATA = 0
    ZERO = 1
    HOLE = 2
    EXCLUDED = 3


DATA = State.DATA  # looked up at every use, members of an enumeration are slow

# `address` is in bytes in the source's own address space, `mapping` an index into Source.mappings,
# `first` the page's index in the region's buffer: it means something for DATA only.
RUN = np.dtype([("state", "u1"), ("mapping", "u4"), ("address", "u8"), ("pages", "u8"), ("first", "u8")])

# Consecutive page numbers.
PAGE_RUN = np.dtype([("first", "u4"), ("pages", "i8")])


def make_runs(
    state: ArrayLike, mapping: ArrayLike, address: ArrayLike, pages: np.ndarray | Sequence[int]
) -> StructArray:
    """Make a RUN array; DATA runs take the buffer's pages one after the other."""
    runs = np.empty(len(pages), RUN)
    runs["state"], runs["mapping"], runs["address"], runs["pages"] = state, mapping, address, pages
    data_pages = np.where(runs["state"] == DATA, runs["pages"], 0)
    runs["first"] = np.cumsum(data_pages) - data_pages
    return runs


def data_runs(runs: StructArray) -> StructArray:
    """Return the DATA runs of a RUN array (a copy)."""
    return runs[runs["state"] == DATA]


def expand(first: IntArray, pages: IntArray) -> Pages:
    """Return the numbers of all pages of runs, uint32: first[i] .. first[i] + pages[i] - 1."""
    starts = np.cumsum(pages) - pages
    numbers = np.repeat((first - starts).astype(np.uint32), pages)
    numbers += np.arange(len(numbers), dtype=np.uint32)
    return numbers


def page_numbers(runs: StructArray, page_size: int) -> U64Array:
    """Return the numbers of all pages of runs, by address."""
    n_pages = runs["pages"].astype(np.int64)
    starts = np.cumsum(n_pages) - n_pages
    first = (runs["address"] // page_size).astype(np.int64)
    return (np.repeat(first - starts, n_pages) + np.arange(int(n_pages.sum()))).astype(np.uint64)


def cut_runs(data: StructArray, cuts: IntArray, page_size: int) -> StructArray:
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


def pick_runs(data: StructArray, picked: BoolArray, page_size: int) -> StructArray:
    """Return the parts of DATA runs that hold the pages `picked` (bool, one per page): they fill a buffer of their own."""
    pieces = cut_runs(data, np.flatnonzero(picked[1:] != picked[:-1]) + 1, page_size)
    pieces = pieces[picked[pieces["first"].astype(np.int64)]]
    pieces["first"] = np.cumsum(pieces["pages"]) - pieces["pages"]
    return pieces


def mark_runs(runs: StructArray, page_states: U8Array, page_size: int) -> StructArray:
    """Return `runs` with each DATA page turned into its state of `page_states` (one a buffer page)."""
    pieces = cut_runs(data_runs(runs), np.flatnonzero(page_states[1:] != page_states[:-1]) + 1, page_size)
    pieces["state"] = page_states[pieces["first"].astype(np.int64)]
    pieces["first"][pieces["state"] != DATA] = 0
    marked = np.concatenate([runs[runs["state"] != DATA], pieces])
    return marked[np.argsort(marked["address"], kind="stable")]


def page_runs(pages: Pages) -> StructArray:
    """Return page numbers (uint32) as runs of consecutive ones, in the same order."""
    jumps = np.flatnonzero(pages[1:] - pages[:-1] != 1)
    edges = np.zeros(len(jumps) + 2, np.int64)  # where each run starts, and the end
    edges[1:-1], edges[-1] = jumps + 1, len(pages)
    if not len(pages):
        edges = edges[:1]
    runs = np.empty(len(edges) - 1, PAGE_RUN)
    runs["first"], runs["pages"] = pages[edges[:-1]], edges[1:] - edges[:-1]
    return runs


# Consecutive virtual pages: of a 64-bit address space there are more than 32 bits can number.
ADDRESS_RUN = np.dtype([("first", "u8"), ("pages", "i8")])


def address_runs(pages: U64Array) -> StructArray:
    """Return virtual pages as runs of consecutive ones, in the same order."""
    heads = np.append(0, np.flatnonzero(pages[1:] - pages[:-1] != 1) + 1)[: len(pages)]
    runs = np.empty(len(heads), ADDRESS_RUN)
    runs["first"], runs["pages"] = pages[heads], np.diff(heads, append=len(pages))
    return runs


class AddressList:
    """A list of virtual pages, kept as the runs of address_runs()."""

    def __init__(self, parts: Iterable[StructArray] = ()) -> None:
        self._runs = np.concatenate([np.empty(0, ADDRESS_RUN), *parts])

    def all(self) -> I64Array:
        """Return all of them, int64."""
        lengths = self._runs["pages"]
        starts = np.cumsum(lengths) - lengths
        return np.repeat(self._runs["first"].astype(np.int64) - starts, lengths) + np.arange(int(lengths.sum()))


class PageList:
    """A list of page numbers, kept as the runs of page_runs()."""

    def __init__(self, parts: Iterable[StructArray] = ()) -> None:
        runs = np.concatenate([np.empty(0, PAGE_RUN), *parts])
        self._first = runs["first"].copy()
        self._edges = np.append(0, np.cumsum(runs["pages"]))  # positions where the runs start, and the end

    def __len__(self) -> int:
        return int(self._edges[-1])

    def take(self, start: int, stop: int) -> Pages:
        """Return the page numbers at positions start .. stop-1 (or to the end), uint32."""
        stop = min(stop, len(self))
        if start >= stop:
            return np.empty(0, np.uint32)
        if len(self._first) == 1:
            first = int(self._first[0])
            return np.arange(first + start, first + stop, dtype=np.uint32)
        low, last = np.searchsorted(self._edges, [start, stop - 1], "right") - 1
        offsets = self._first[low : last + 1] - self._edges[low : last + 1].astype(np.uint32)  # modulo 2**32
        lengths = np.diff(np.clip(self._edges[low : last + 2], start, stop))
        return np.arange(start, stop, dtype=np.uint32) + np.repeat(offsets, lengths)
