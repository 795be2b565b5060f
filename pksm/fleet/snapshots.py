"""Snapshots of microVMs: what they share with the one that all are restored from, and which that had best be."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pksm.arrays import AnyArray, BoolArray, I64Array, U64Array
from pksm.errors import UsageError

RUN_BYTES = (64 << 10, 2 << 20)  # runs worth mapping at once; the second is a huge page


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


def shared(base: U64Array, snapshot: U64Array, page_size: int) -> Shared:
    """Compare a snapshot with a base.

    Args:
        base, snapshot: uint64 (pages,): the content of each page by number, such as a checksum.
        page_size: in bytes.

    Raises:
        UsageError: they are not equally long.
    """
    _check_lengths([base, snapshot])
    same = base == snapshot
    runs = _runs(same)
    in_runs = tuple(int(runs[runs * page_size >= least].sum()) for least in RUN_BYTES)
    return Shared(int(same.sum()), int(np.isin(snapshot, base).sum()), in_runs)


def decay(snapshots: Sequence[U64Array], page_size: int) -> list[Shared]:
    """Compare each snapshot with the first one, from which they went apart: an entry for each, in order."""
    return [shared(snapshots[0], snapshot, page_size) for snapshot in snapshots]


def built_base(snapshots: Sequence[U64Array]) -> U64Array:
    """Return the base that shares most at equal offsets: at each, the content that most snapshots have there.

    Args:
        snapshots: each uint64 (pages,); of contents that are equally common, the lowest number is taken.

    Raises:
        UsageError: none, or not all equally long.
    """
    _check_lengths(snapshots)
    ordered = np.sort(np.stack(snapshots), axis=0)
    best = ordered[0].copy()
    run = np.ones(len(best), np.int64)
    longest = run.copy()
    for before, now in pairwise(ordered):
        run = np.where(now == before, run + 1, 1)
        longer = run > longest
        best[longer], longest[longer] = now[longer], run[longer]
    return best


def restored_pages(base: U64Array, snapshots: Sequence[U64Array]) -> int:
    """Return the pages that are in memory once all snapshots were restored from a base and all was touched.

    A private mapping shares the base's pages in the page cache until they are written; what differs from the base is
    written, and so a page of its own. The base counts once, whole.

    Raises:
        UsageError: not all are equally long.
    """
    _check_lengths([base, *snapshots])
    return len(base) + sum(int((base != snapshot).sum()) for snapshot in snapshots)


def best_snapshot(snapshots: Sequence[U64Array]) -> tuple[int, int]:
    """Return the index of the snapshot that is the best base for all, the first of equals, and its restored_pages().

    Raises:
        UsageError: none, or not all equally long.
    """
    _check_lengths(snapshots)
    pages = [restored_pages(base, snapshots) for base in snapshots]
    best = int(np.argmin(pages))
    return best, pages[best]


def _runs(same: BoolArray) -> I64Array:
    """Return the lengths of the runs of True."""
    edges: AnyArray = np.flatnonzero(np.diff(same.astype(np.int8), prepend=0, append=0))
    return edges[1::2] - edges[::2]


def _check_lengths(snapshots: Sequence[U64Array]) -> None:
    lengths = {len(snapshot) for snapshot in snapshots}
    if len(lengths) != 1:
        many = ", ".join(f"{length:,}" for length in sorted(lengths)) or "none"
        raise UsageError(f"snapshots have to have equally many pages, not {many}")
