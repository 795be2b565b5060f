"""Ranges of processes that are worth opting in to KSM: where pages lie of which another frame has the same bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pksm.arrays import AnyArray, BoolArray, I64Array
from pksm.recording.hashing import Hasher, Snapshot
from pksm.sources.live.process import ProcessSource

PAGE_SIZE = 4096
CHUNK_PAGES = 16  # ranges begin and end at multiples of it, so that areas are not cut into crumbs
ITEM_BYTES = 64  # what KSM takes for a page that it tracks
WANTED = 0.98  # of what opting in everything would merge


@dataclass(frozen=True)
class Range:
    """Addresses from start up to end, with so many resident pages, of which so many have equals elsewhere."""

    start: int
    end: int
    pages: int
    equal_pages: int


def find(sources: Sequence[ProcessSource], progress: Callable[[int], object]) -> list[tuple[int, list[Range]]]:
    """Return (resident pages, ranges worth opting in) of each process.

    The densest chunks come first, up to WANTED of all pages that have equals.

    Args:
        sources: the processes; equals are looked for in all of them together.
        progress: called with the pages read so far.
    """
    hasher = Hasher(PAGE_SIZE)
    snapshots = []
    for source in sources:
        snapshots.append(hasher.read(source, Snapshot.empty()))
        progress(hasher.pages_read)
    equal = has_equal(snapshots)
    edges = np.cumsum([0, *(len(snapshot.pages) for snapshot in snapshots)])
    chunks = [_chunks(snapshot, equal[edges[at] : edges[at + 1]]) for at, snapshot in enumerate(snapshots)]
    least = _least_density(np.concatenate([counts for _, counts in chunks]))
    return [
        (
            len(snapshot.pages),
            _ranges(source, numbers[_is_dense(counts, least)], snapshot, equal[edges[at] : edges[at + 1]]),
        )
        for at, (source, snapshot, (numbers, counts)) in enumerate(zip(sources, snapshots, chunks, strict=True))
    ]


def has_equal(snapshots: Sequence[Snapshot]) -> BoolArray:
    """Return of which pages, those of all snapshots in order, another frame has the same content."""
    contents = np.concatenate([snapshot.contents for snapshot in snapshots])
    frames = np.concatenate([snapshot.frames for snapshot in snapshots])
    unknown = frames == 0
    frames[unknown] = (np.uint64(1) << np.uint64(63)) + np.arange(int(unknown.sum()), dtype=np.uint64)
    _, first = np.unique(frames, return_index=True)
    n_frames = np.bincount(contents[first], minlength=int(contents.max(initial=0)) + 1)
    return np.asarray(n_frames[contents] > 1)


def _chunks(snapshot: Snapshot, equal: BoolArray) -> tuple[I64Array, AnyArray]:
    """Return the numbers of chunks with resident pages, and of each (pages, equal pages)."""
    numbers, at = np.unique(snapshot.pages.astype(np.int64) // CHUNK_PAGES, return_inverse=True)
    n = len(numbers)
    return numbers, np.stack([np.bincount(at, minlength=n), np.bincount(at[equal], minlength=n)], axis=1)


def _least_density(counts: AnyArray) -> float:
    """Return what part of a chunk's pages must have equals, so that WANTED of all that have are opted in."""
    if not counts[:, 1].any():
        return 2.0  # none is dense enough
    density = counts[:, 1] / counts[:, 0]
    order = np.argsort(-density)
    reached = np.cumsum(counts[order, 1]) >= WANTED * counts[:, 1].sum()
    return float(max(density[order[np.argmax(reached)]], ITEM_BYTES / PAGE_SIZE))


def _is_dense(counts: AnyArray, least: float) -> BoolArray:
    return np.asarray(counts[:, 1] >= least * counts[:, 0])


def _ranges(source: ProcessSource, chunks: I64Array, snapshot: Snapshot, equal: BoolArray) -> list[Range]:
    """Return chunks as ranges, those side by side joined, each inside one area of the process."""
    assert source.space is not None
    bytes_of_chunk = CHUNK_PAGES * PAGE_SIZE
    breaks = np.flatnonzero(np.diff(chunks) != 1) + 1
    firsts = chunks[np.concatenate([[0], breaks])] if len(chunks) else chunks
    lasts = chunks[np.concatenate([breaks - 1, [-1]])] if len(chunks) else chunks
    starts, ends = firsts * bytes_of_chunk, (lasts + 1) * bytes_of_chunk
    areas = source.space.vmas[source.space.vmas["resident"]]
    cut_starts = np.unique(np.concatenate([starts, areas["start"], ends, areas["end"]]))
    inside = _inside(cut_starts[:-1], starts, ends) & _inside(cut_starts[:-1], areas["start"], areas["end"])
    low, high = cut_starts[:-1][inside], cut_starts[1:][inside]
    totals = np.concatenate([[0], np.cumsum(equal)])
    begin, end = (np.searchsorted(snapshot.pages, (edge // PAGE_SIZE).astype(np.uint64)) for edge in (low, high))
    rows = zip(low.tolist(), high.tolist(), (end - begin).tolist(), (totals[end] - totals[begin]).tolist(), strict=True)
    return [Range(*row) for row in rows if row[3]]  # once per range


def _inside(at: I64Array, starts: I64Array, ends: I64Array) -> BoolArray:
    """Return which addresses lie in ranges, which are in order and apart."""
    which = np.searchsorted(starts, at, "right") - 1
    inside = which >= 0
    inside[inside] = at[inside] < ends[which[inside]]
    return inside
