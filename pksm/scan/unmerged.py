"""Memory as it would be had the kernel's KSM merged nothing: what it has merged now is part of what it saves.

Pages that KSM has merged are read as one frame, which alone saves nothing; without KSM each mapping has its own. The
mappings that a fork has made of a merged page since cannot be distinguished from these, and KSM's counters count them too.
"""

from dataclasses import dataclass, replace

import numpy as np

from pksm.arrays import BoolArray, Pages, U32Array, U64Array
from pksm.extents import DATA, PageList, address_runs, make_runs, page_runs
from pksm.linux.ksm.watch import zero_pages
from pksm.linux.proc.kpageflags import FrameFlags
from pksm.linux.proc.pagemap import PAGE_SIZE, PM_PFN, Pagemap
from pksm.scan.gather import Gathered, Taken

ZERO_NAME = "[zero pages merged by KSM]"  # of the mapping that they are put in: where they are is not known
LIVE = ("process", "command")


@dataclass(frozen=True)
class Unmerged:
    """What was read, each mapping of a merged page with a page number of its own.

    Attributes:
        gathered: what was read. The new page numbers, behind those of the store, have no bytes.
        contents: the column that distinguishes contents, uint32 by page number.
        merged: which pages KSM has merged now, bool by page number.
    """

    gathered: Gathered
    contents: Pages
    merged: BoolArray


def unmerged(gathered: Gathered, contents: Pages) -> Unmerged:
    """Return what was read as it would be had KSM merged nothing.

    Args:
        gathered: what was read.
        contents: the column that distinguishes contents, uint32 by page number.
    """
    zero = [zero_pages(one.facts["pid"]) if _is_live(one) else 0 for one in gathered.taken]
    merged = np.zeros(len(contents), bool)
    if any(_is_live(one) and one.facts.get("ksm_merged") != 0 for one in gathered.taken):
        merged = merged_pages(gathered, len(contents))
    if not merged.any() and not any(zero):
        return Unmerged(gathered, contents, merged)
    met, added, taken = np.zeros(len(contents), bool), [np.empty(0, np.uint32)], []
    n_pages = len(contents)
    for one, n_zero in zip(gathered.taken, zero, strict=True):
        pages = one.mapped.take(0, len(one.mapped))
        again = _again(pages, merged, met)
        added.append(pages[again])
        pages[again] = np.arange(n_pages, n_pages + len(again), dtype=np.uint32)
        n_pages += len(again)
        taken.append(_with_zero(replace(one, mapped=PageList([page_runs(pages)])), n_zero))
    first_pages = np.concatenate(added)
    own = np.arange(len(contents), n_pages, dtype=np.uint32)
    born = PageList([page_runs(gathered.born.take(0, len(gathered.born))), page_runs(own)])
    return Unmerged(
        replace(gathered, taken=taken, born=born),
        np.concatenate([contents, contents[first_pages]]),
        np.concatenate([merged, np.ones(len(own), bool)]),
    )


def _again(pages: Pages, merged: BoolArray, met: BoolArray) -> U32Array:
    """Return the positions of merged pages beyond the first mapping of each; those met are marked in `met`."""
    at = np.flatnonzero(merged[pages])
    is_first = np.zeros(len(at), bool)
    is_first[np.unique(pages[at], return_index=True)[1]] = True
    again = at[~is_first | met[pages[at]]]
    met[pages[at]] = True
    return again.astype(np.uint32)


def _with_zero(taken: Taken, n_zero: int) -> Taken:
    """Return a source with so many more zero pages, which KSM had given back for the kernel's zero page."""
    if not n_zero:
        return taken
    return replace(
        taken,
        names=[*taken.names, ZERO_NAME],
        opted_in=[*taken.opted_in, True],
        zero=taken.zero + n_zero,
        zero_of=[*taken.zero_of, n_zero],
    )


def merged_pages(gathered: Gathered, n_pages: int) -> BoolArray:
    """Return which pages are frames of the kernel's KSM (bool, by page number); none of those that are not there now."""
    merged = np.zeros(n_pages, bool)
    flags = FrameFlags()
    try:
        for one in gathered.taken:
            if _is_live(one) and one.addresses is not None:
                frames = _frames(one.facts["pid"], one.addresses.all().astype(np.uint64))
                is_ksm = flags.are_ksm(frames) & (frames != 0)
                merged[one.mapped.take(0, len(one.mapped))[is_ksm]] = True
    finally:
        flags.close()
    return merged


def _is_live(taken: Taken) -> bool:
    """Return whether this is a process of this machine: fingerprints have the pids of another."""
    return taken.kind in LIVE and "pid" in taken.facts


def _frames(pid: int, pages: U64Array) -> U64Array:
    """Return the frames of pages of a process, given by their addresses in pages; 0 where there is none."""
    found = address_runs(pages)
    runs = make_runs(DATA, 0, found["first"] * np.uint64(PAGE_SIZE), found["pages"])
    try:
        pagemap = Pagemap(pid)
    except OSError:
        return np.zeros(len(pages), np.uint64)
    try:
        return pagemap.entries(runs) & PM_PFN
    finally:
        pagemap.close()
