"""Snapshots of microVMs: what they share with the one that all are restored from, and which that had best be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pksm.arrays import AnyArray, BoolArray, I64Array, U64Array
from pksm.errors import UsageError

RUN_BYTES = (64 << 10, 2 << 20)  # runs worth mapping at once; the second is a huge page
CELLS = 1 << 20  # pages of all snapshots together that are compared at a time, whose sorting takes about 50 bytes each
PAGES_AT_ONCE = 1 << 18  # looked up in a base


@dataclass(frozen=True)
class Shared:
    """What a snapshot has in common with a base, in pages. Zero is a content like any other.

    Args:
        same_offset: pages that the base has at the same offset: a restore that maps it shares them until written.
        anywhere: pages that the base has at some offset: what merging can share.
        in_runs: pages of `same_offset` that lie in runs of at least so many bytes, for each of RUN_BYTES.
    """

    same_offset: int
    anywhere: int
    in_runs: tuple[int, ...]


class Base:
    """A base that snapshots are compared with.

    Args:
        contents: uint64 (pages,): the content of each page by number, such as a checksum.
        page_size: in bytes.
    """

    def __init__(self, contents: U64Array, page_size: int) -> None:
        self.contents, self._page_size = contents, page_size
        self._ordered = np.sort(contents)

    def shared(self, snapshot: U64Array) -> Shared:
        """Compare a snapshot with the base. UsageError if they are not equally long."""
        _check_lengths([self.contents, snapshot])
        same = self.contents == snapshot
        runs = _runs(same)
        in_runs = tuple(int(runs[runs * self._page_size >= least].sum()) for least in RUN_BYTES)
        return Shared(int(np.count_nonzero(same)), self._anywhere(snapshot), in_runs)

    def _anywhere(self, snapshot: U64Array) -> int:
        found = 0
        for begin in range(0, len(snapshot), PAGES_AT_ONCE):
            part = snapshot[begin : begin + PAGES_AT_ONCE]
            place = np.minimum(np.searchsorted(self._ordered, part), len(self._ordered) - 1)
            found += int(np.count_nonzero(self._ordered[place] == part))
        return found


def shared(base: U64Array, snapshot: U64Array, page_size: int) -> Shared:
    """Compare a snapshot with a base.

    Args:
        base, snapshot: uint64 (pages,): the content of each page by number, such as a checksum.
        page_size: in bytes.

    Raises:
        UsageError: they are not equally long.
    """
    return Base(base, page_size).shared(snapshot)


def decay(snapshots: Sequence[U64Array], page_size: int) -> list[Shared]:
    """Compare each snapshot with the first one, from which they went apart: an entry for each, in order."""
    base = Base(snapshots[0], page_size)
    return [base.shared(snapshot) for snapshot in snapshots]


def built_base(snapshots: Sequence[U64Array]) -> U64Array:
    """Return the base that shares most at equal offsets: at each, the content that most snapshots have there.

    Args:
        snapshots: each uint64 (pages,); of contents that are equally common, that of the first snapshot is taken, which
            keeps runs long.

    Raises:
        UsageError: none, or not all equally long.
    """
    _check_lengths(snapshots)
    return np.concatenate([np.zeros(0, np.uint64), *(block.commonest() for block in _blocks(snapshots))])


def restored_pages(base: U64Array, snapshots: Sequence[U64Array]) -> int:
    """Return the pages that are in memory once all snapshots were restored from a base and all was touched.

    A private mapping shares the base's pages in the page cache until they are written; what differs from the base is
    written, and so a page of its own. The base counts once, whole.

    Raises:
        UsageError: not all are equally long.
    """
    _check_lengths([base, *snapshots])
    return len(base) + sum(int(np.count_nonzero(base != snapshot)) for snapshot in snapshots)


def best_snapshot(snapshots: Sequence[U64Array]) -> tuple[int, int]:
    """Return the index of the snapshot that is the best base for all, the first of equals, and its restored_pages().

    One pass over all pages: at each offset it is counted how many snapshots have which content there, so no two
    snapshots are compared with each other.

    Raises:
        UsageError: none, or not all equally long.
    """
    _check_lengths(snapshots)
    same = np.zeros(len(snapshots), np.int64)
    for block in _blocks(snapshots):
        same += block.in_common()
    best = int(np.argmax(same))
    return best, len(snapshots[0]) * (1 + len(snapshots)) - int(same[best])


class _Block:
    """Some offsets of all snapshots: the contents at each offset, sorted, and how many snapshots have each.

    Args:
        columns: uint64 (offsets, snapshots), one of each at least.
    """

    def __init__(self, columns: U64Array) -> None:
        self._order = np.argsort(columns, axis=1, kind="stable")
        ordered = np.take_along_axis(columns, self._order, axis=1)
        first = np.ones(ordered.shape, bool)
        np.not_equal(ordered[:, 1:], ordered[:, :-1], out=first[:, 1:])
        self._starts = np.flatnonzero(first)
        self._times = np.diff(self._starts, append=first.size)
        self._contents = ordered.ravel()[self._starts]
        self._n_snapshots = columns.shape[1]

    def in_common(self) -> I64Array:
        """Return int64 (snapshots,): of each, how many snapshots have the content that it has, itself too, added up."""
        times = np.repeat(self._times, self._times)
        return np.bincount(self._order.ravel(), times, self._n_snapshots).astype(np.int64)

    def commonest(self) -> U64Array:
        """Return the content that most snapshots have at each offset, of equals that of the first snapshot."""
        n = self._n_snapshots
        rank = (
            self._times * n - self._order.ravel()[self._starts]
        )  # sorting was stable: a run begins with the first one
        first = np.flatnonzero(np.diff(self._starts // n, prepend=-1))
        best = np.maximum.reduceat(rank, first)
        return self._contents[rank == np.repeat(best, np.diff(first, append=len(rank)))]


def _blocks(snapshots: Sequence[U64Array]) -> Iterator[_Block]:
    """Yield all offsets of the snapshots, so many at a time that memory does not grow with either number."""
    step = max(1, CELLS // len(snapshots))
    for begin in range(0, len(snapshots[0]), step):
        yield _Block(np.stack([snapshot[begin : begin + step] for snapshot in snapshots], axis=1))


def _runs(same: BoolArray) -> I64Array:
    """Return the lengths of the runs of True."""
    edges: AnyArray = np.flatnonzero(np.diff(same.astype(np.int8), prepend=0, append=0))
    return edges[1::2] - edges[::2]


def _check_lengths(snapshots: Sequence[U64Array]) -> None:
    lengths = {len(snapshot) for snapshot in snapshots}
    if len(lengths) != 1:
        many = ", ".join(f"{length:,}" for length in sorted(lengths)) or "none"
        raise UsageError(f"snapshots have to have equally many pages, not {many}")
