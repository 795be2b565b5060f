"""Pages of files that are memory themselves, read into copies: a mapping would fill the holes that it touches."""

from collections.abc import Iterator

import numpy as np

from pksm import extents
from pksm.arrays import BoolArray, StructArray, U8Array
from pksm.extents import State
from pksm.sources.base import Allocate, Progress, Region
from pksm.sources.files import OpenFile

COPY_BYTES = 8 << 20  # of a region
HUGE_BYTES = 32 << 20  # read at a time where holes have to be looked for


def regions(
    file: OpenFile, pieces: StructArray, page_size: int, allocate: Allocate, progress: Progress
) -> Iterator[Region]:
    """Yield pieces (mapped.PIECE, whole pages, by address) as copies."""
    runs = extents.make_runs(State.DATA, pieces["mapping"], pieces["address"], pieces["size"] // page_size)
    at_once = max(1, COPY_BYTES // page_size)
    parts = extents.cut_runs(runs, np.arange(at_once, int(runs["pages"].sum()), at_once), page_size)
    first = parts["first"].astype(np.int64)
    owner = np.searchsorted(runs["first"].astype(np.int64), first, "right") - 1
    offsets = pieces["offset"][owner] + (first - runs["first"][owner].astype(np.int64)) * page_size
    heads = np.append(0, np.flatnonzero(np.diff(first // at_once)) + 1)
    for head, stop in zip(heads.tolist(), [*heads[1:].tolist(), len(parts)], strict=True):
        part = extents.make_runs(State.DATA, *(parts[name][head:stop] for name in ("mapping", "address", "pages")))
        counts, starts = part["pages"].astype(np.int64), part["first"].astype(np.int64)
        copies = allocate(int(counts.sum()))
        within = np.arange(int(counts.sum())) - np.repeat(starts, counts)
        file.read_pages(np.repeat(offsets[head:stop], counts) + within * page_size, copies.array)
        progress(len(within))
        yield Region(part, copies=copies)


class HugePages:
    """A raw file on hugetlbfs, whose holes are not reported.

    As many of its huge pages as have no memory are holes. They read as zeros; which of those that do are holes is not
    known, and does not matter to counts: the first ones are taken for them.
    """

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._huge = file.huge_page_bytes
        self._hidden = file.hidden_hole_bytes // self._huge

    def regions(self, n_pages: int, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        """Yield the first `n_pages` of the file, those in holes as HOLE."""
        group = max(self._huge, page_size)
        step = max(group, HUGE_BYTES // group * group)
        for start in range(0, n_pages * page_size, step):
            data = self._read(start, min(step, n_pages * page_size - start))
            hole = np.repeat(self._holes(data, group), group // page_size)[: len(data) // page_size]
            states = np.where(hole, np.uint8(State.HOLE), np.uint8(State.DATA))
            whole = extents.make_runs([State.DATA], 0, [start], [len(states)])
            marked = extents.mark_runs(whole, states, page_size)
            runs = extents.make_runs(*(marked[name] for name in ("state", "mapping", "address", "pages")))
            if hole.all():
                yield Region(runs)
                continue
            copies = allocate(int((~hole).sum()))
            np.compress(~hole, data.reshape(-1, page_size), axis=0, out=copies.array)
            progress(len(copies.array))
            yield Region(runs, copies=copies)

    def _read(self, start: int, size: int) -> U8Array:
        data = np.frombuffer(self._file.read_at(start, size), np.uint8)
        if len(data) < size:
            raise self._file.shrunk()
        return data

    def _holes(self, data: U8Array, group: int) -> BoolArray:
        """Return, for each `group` of bytes, whether it is taken for a hole."""
        heads = np.arange(0, len(data), group)
        zero = ~np.logical_or.reduceat(data.view(np.uint64) != 0, heads // 8)
        each = group // self._huge
        holes = zero & (np.cumsum(zero) * each <= self._hidden)
        self._hidden -= int(holes.sum()) * each
        return holes
