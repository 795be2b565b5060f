"""Images that hold memory as it was: pieces of the file are mapped and given as views, which need no alignment."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pksm.arrays import AnyArray, BoolArray, I64Array, StructArray, U8Array, distinct
from pksm.extents import State, make_runs
from pksm.sources.base import Allocate, Progress, Region
from pksm.sources.files import OpenFile
from pksm.sources.images import copies
from pksm.sources.images.image import Image

# Bytes of the file from `offset` on that lay at `address`, all in one entry of Source.mappings; sizes in bytes.
PIECE = np.dtype([("address", "u8"), ("offset", "i8"), ("size", "i8"), ("mapping", "u4")])
# The same for memory that has no bytes in the file, in a State.
GAP = np.dtype([("address", "u8"), ("size", "i8"), ("mapping", "u4"), ("state", "u1")])

REGION_PAGES = 1 << 18
_HOLE, _MAPPED, _COPIED = range(3)
MAX_BYTES = 1 << 57  # all that five levels of page tables reach; sums of these stay far below 2**63


class MappedImage(Image):
    """An image whose _open() calls hold() with what the file holds, checked.

    hole_state: what a page is that lies in a hole of the file: zeros that a copy left out, or memory that is not
    resident.
    """

    hole_state = State.ZERO

    def hold(self, pieces: StructArray, gaps: Sequence[StructArray] = ()) -> None:
        """Take pieces (PIECE) and gaps (arrays of GAP), in any order."""
        self.pieces = pieces[np.argsort(pieces["address"], kind="stable")]
        self.gaps = np.concatenate([np.empty(0, GAP), *gaps])

    def _regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        if self.file.huge_page_bytes:
            self.warnings.append(
                f"{self.name}: hugetlbfs does not report the holes of files: it was copied instead of mapped"
            )
        pieces, bytes_over = _whole_pages(self.pieces, page_size)
        pieces, cut_off = _cut_at_end(pieces, self.size, page_size)
        gaps = np.concatenate([_whole_pages(self.gaps, page_size)[0], cut_off])
        gaps = gaps[np.argsort(gaps["address"], kind="stable")]
        if bytes_over:
            self.warnings.append(
                f"{self.name}: {bytes_over} bytes at the ends of its ranges fill no page of {page_size} bytes and are "
                "left out"
            )
        self.say_cut_off(int(cut_off["size"].sum()) // page_size)
        if len(gaps):
            yield Region(_runs(gaps["state"], gaps, gaps["size"] // page_size))
        yield from regions(self.file, pieces, self.hole_state, page_size, allocate, progress)


def gap(state: Any, mapping: Any, address: AnyArray, size: AnyArray) -> StructArray:
    """Make a GAP array, without the rows of no size."""
    gaps = np.empty(len(address), GAP)
    gaps["state"], gaps["mapping"], gaps["address"], gaps["size"] = state, mapping, address, size
    return gaps[gaps["size"] > 0]


def piece(mapping: Any, address: AnyArray, offset: Any, size: Any) -> StructArray:
    """Make a PIECE array, without the rows of no size."""
    pieces = np.empty(len(address), PIECE)
    pieces["mapping"], pieces["address"], pieces["offset"], pieces["size"] = mapping, address, offset, size
    return pieces[pieces["size"] > 0]


def overlap(start: AnyArray, size: AnyArray) -> bool:
    """Tell whether any of the ranges (sizes above 0) meet."""
    order = np.argsort(start, kind="stable")
    start, size = start[order], size[order].astype(start.dtype)
    return bool((start[:-1] + size[:-1] > start[1:]).any())


def _cut_at_end(pieces: StructArray, file_size: int, page_size: int) -> tuple[StructArray, StructArray]:
    """Return (the pages of each piece that the file holds, gaps for the rest)."""
    held = np.clip((file_size - pieces["offset"]) // page_size * page_size, 0, pieces["size"])
    address = pieces["address"] + held.astype(np.uint64)
    cut_off = gap(State.EXCLUDED, pieces["mapping"], address, pieces["size"] - held)
    pieces = pieces.copy()
    pieces["size"] = held
    return pieces[held > 0], cut_off


def _whole_pages(pieces: StructArray, page_size: int) -> tuple[StructArray, int]:
    """Return (the part of each piece that is whole pages, the bytes that are over)."""
    skipped = (-pieces["address"] % np.uint64(page_size)).astype(np.int64)
    kept = np.maximum(pieces["size"] - skipped, 0) // page_size * page_size
    whole = pieces.copy()
    whole["address"] += skipped.astype(np.uint64)
    whole["size"] = kept
    if pieces.dtype == PIECE:
        whole["offset"] += skipped
    return whole[kept > 0], int((pieces["size"] - kept).sum())


def regions(
    file: OpenFile, pieces: StructArray, hole_state: State, page_size: int, allocate: Allocate, progress: Progress
) -> Iterator[Region]:
    """Yield the regions of whole-page pieces of a file (OpenFile).

    First come the pages in holes of the file, which are in `hole_state`; then those that hold data, mapped, at most
    REGION_PAGES at a time. Where the file is memory and would grow, pages that lie in holes in part are copied.
    """
    kinds, rows = _cut_at_holes(pieces, file, page_size)
    holes = rows[kinds == _HOLE]
    if len(holes):
        yield Region(_runs(hole_state, holes, holes["size"] // page_size))
    if (kinds == _MAPPED).any():
        yield from _mapped(file.view, rows[kinds == _MAPPED], page_size, progress)
    if (kinds == _COPIED).any():
        yield from copies.regions(file, rows[kinds == _COPIED], page_size, allocate, progress)


def _mapped(view: U8Array, rows: StructArray, page_size: int, progress: Progress) -> Iterator[Region]:
    """Yield whole-page pieces as views of the mapped file."""
    pages = rows["size"] // page_size
    place, residue = np.divmod(rows["offset"], page_size)
    owner, within = _expand((place + pages - 1) // REGION_PAGES - place // REGION_PAGES + 1)
    box = place[owner] // REGION_PAGES + within
    start = np.maximum(place[owner], box * REGION_PAGES)
    end = np.minimum(place[owner] + pages[owner], (box + 1) * REGION_PAGES)
    rows, residue = rows[owner], residue[owner]
    rows["address"] += ((start - place[owner]) * page_size).astype(np.uint64)
    # A region is a view with one alignment in which pages lie in the order of their addresses.
    apart = (np.diff(residue) != 0) | (np.diff(box) != 0) | (start[1:] < end[:-1])
    heads = np.append(0, np.flatnonzero(apart) + 1)
    for head, stop in zip(heads.tolist(), [*heads[1:].tolist(), len(rows)], strict=True):
        first, last = int(start[head]), int(end[stop - 1])
        runs = _runs(State.DATA, rows[head:stop], (end - start)[head:stop])
        runs["first"] = start[head:stop] - first
        progress(int(runs["pages"].sum()))
        begin = int(residue[head])
        yield Region(runs, view[first * page_size + begin : last * page_size + begin])


def _cut_at_holes(pieces: StructArray, file: OpenFile, page_size: int) -> tuple[I64Array, StructArray]:
    """Cut pieces where data and holes of the file meet; return (_HOLE, _MAPPED or _COPIED for each, the pieces)."""
    found, owner = found_in(pieces, file.extents)
    pages = pieces["size"] // page_size
    stops = np.cumsum(pages)
    bases = stops - pages  # pages are counted through all pieces
    begins = bases[owner] + np.maximum(found[:, 0], 0) // page_size
    ends = bases[owner] + np.minimum(-(-found[:, 1] // page_size), pages[owner])
    inner = np.empty((0, 2), np.int64)
    if file.fills_holes and not file.huge_page_bytes:
        inner = np.stack([
            bases[owner] + np.maximum(-(-found[:, 0] // page_size), 0),
            bases[owner] + np.minimum(found[:, 1] // page_size, pages[owner]),
        ], axis=1)  # fmt: skip
        inner = inner[inner[:, 0] < inner[:, 1]]
    edges = distinct(np.concatenate([bases, begins, ends, inner.ravel(), stops[-1:]]))
    heads = edges[:-1]
    kinds = np.where(_within(heads, begins, ends), _COPIED if file.fills_holes else _MAPPED, _HOLE)
    kinds[_within(heads, inner[:, 0], inner[:, 1])] = _MAPPED
    place = np.searchsorted(bases, heads, "right") - 1
    rows, skipped = pieces[place], (heads - bases[place]) * page_size
    rows["address"] += skipped.astype(np.uint64)
    rows["offset"] += skipped
    rows["size"] = np.diff(edges) * page_size
    return kinds, rows


def found_in(pieces: StructArray, extents: I64Array) -> tuple[I64Array, I64Array]:
    """Return where each piece meets the extents, in bytes from its start (n, 2), and which piece it is."""
    low = np.searchsorted(extents[:, 1], pieces["offset"], "right")
    high = np.searchsorted(extents[:, 0], pieces["offset"] + pieces["size"], "left")
    owner, within = _expand(np.maximum(high - low, 0))
    return extents[low[owner] + within] - pieces["offset"][owner, None], owner


def _within(heads: I64Array, begins: I64Array, ends: I64Array) -> BoolArray:
    """Return which heads lie in one of the ranges, which are sorted and may overlap by a page."""
    # Extents that meet in a page overlap by it: the last one that begins at or before a page reaches farthest.
    last = np.searchsorted(begins, heads, "right") - 1
    return (last >= 0) & (heads < np.append(ends, 0)[last])


def _expand(counts: I64Array) -> tuple[I64Array, I64Array]:
    """Return (owner, number within it) of counts[i] rows for each i."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)


def _runs(state: Any, rows: StructArray, pages: I64Array) -> StructArray:
    return make_runs(state, rows["mapping"], rows["address"], pages)
