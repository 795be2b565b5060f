"""Two looks at live processes: what they write in between. KSM undoes a merge at each write."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext

import numpy as np

from pksm.arrays import U64Array
from pksm.documents.advise import Volatile
from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.store import Store
from pksm.errors import PksmError
from pksm.extents import data_runs, expand
from pksm.scan.intake import Intake
from pksm.sources.base import Source

Look = tuple[U64Array, U64Array]  # addresses, ascending, and sums


def volatile(
    sources: Iterable[Source],
    seconds: float,
    page_size: int,
    sleep: Callable[[float], object] = time.sleep,
) -> Volatile | None:
    """Look twice at the live processes among sources; None if there are none.

    Args:
        sources: opened sources.
        seconds: between the looks.
        page_size: bytes.
        sleep: waits so many seconds.
    """
    live = [source for source in sources if source.kind in ("process", "command")]
    if not live:
        return None
    first = [_look(source, page_size) for source in live]
    sleep(seconds)
    second = [_look(source, page_size) for source in live]
    return _compared(first, second, seconds, page_size)


def _compared(first: Sequence[Look], second: Sequence[Look], seconds: float, page_size: int) -> Volatile:
    sums, times = np.unique(np.concatenate([sums for _, sums in first]), return_counts=True)
    repeated = sums[(times > 1) | (sums == _zero_sum(page_size))]
    counts = np.zeros(4, np.int64)
    for (before, old), (after, new) in zip(first, second, strict=True):
        both, at, then = np.intersect1d(before, after, assume_unique=True, return_indices=True)
        changed = old[at] != new[then]
        merging = np.isin(old[at], repeated)
        counts += (len(both), changed.sum(), merging.sum(), (changed & merging).sum())
    pages, n_changed, n_merging, both_changed = counts.tolist()
    return {
        "seconds": seconds,
        "pages": pages,
        "changed": n_changed,
        "merging": n_merging,
        "merging_changed": both_changed,
    }


def _look(source: Source, page_size: int) -> Look:
    """Return a sum for each page of a process, by address; nothing of one that has ended."""
    checksum = checksums.make("xxh3-64", page_size)
    source.known = None
    addresses, sums = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    store = Store(page_size)
    intake = Intake(store, "mappings", False, nullcontext)
    try:
        for region in source.regions(page_size, intake.allocate, lambda pages: None):
            runs = data_runs(region.runs)
            if region.copies is None or not len(runs):
                continue
            counts = runs["pages"].astype(np.int64)
            pages = expand(runs["first"].astype(np.int64) + region.copies.first, counts)
            sums.append(native.checksum_pages(store.view, checksum, pages))
            starts = np.repeat(runs["address"], counts)
            within = np.arange(len(starts)) - np.repeat(np.cumsum(counts) - counts, counts)
            addresses.append(starts + (within * page_size).astype(np.uint64))
    except PksmError:
        pass  # it has ended: what it wrote until then is not known
    return np.concatenate(addresses), np.concatenate(sums)


def _zero_sum(page_size: int) -> int:
    store = Store(page_size)
    first, array = store.allocate(1)
    array[:] = 0
    checksum = checksums.make("xxh3-64", page_size)
    return int(native.checksum_pages(store.view, checksum, np.array([first], np.uint32))[0])
