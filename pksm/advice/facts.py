"""The facts that advice rests on: what KSM would save, in which parts, and in which of the sources."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pksm.arrays import Pages
from pksm.documents.advise import Compressing
from pksm.documents.scan import KsmAnswer, WithinRow
from pksm.protocols import NO_FRAME, ZERO_FRAME
from pksm.scan import under_ksm
from pksm.scan.gather import Gathered
from pksm.scan.under_ksm import Limits
from pksm.scan.unmerged import unmerged
from pksm.simulation.real import RealMemory
from pksm.simulation.taking import memory_of

SAMPLED = 1000
SEED = 1
MOST_OF_IT = 0.9  # of what all processes save together: so much is enough for fewer of them


@dataclass(frozen=True)
class Facts:
    """What was read, as far as advice goes by it. No bytes are kept.

    Attributes:
        memory: as a workload, as if all had opted in.
        if_all, opted_in: KSM's answer.
        within: a row for each way of parting the sources.
        tenants: the way in which tenants are parted.
        zero_frames: that merging zero pages frees.
        groups_across_tenants: contents, the zero page not among them, that several tenants have.
        few: places of the sources that save most of it by themselves, and what they save, net.
        largest_group: mappings of one content, the zero page aside.
        compressing: what zlib makes of a sample.
        merged_unseen: mappings that KSM has merged and that are not counted, for frames are hidden from this user.
    """

    memory: RealMemory
    if_all: KsmAnswer
    opted_in: KsmAnswer
    within: list[WithinRow]
    tenants: str
    zero_frames: int
    groups_across_tenants: int
    few: tuple[list[int], int]
    largest_group: int
    compressing: Compressing
    merged_unseen: int


def facts_of(gathered: Gathered, contents: Pages, page_size: int, tenants: str | None) -> Facts:
    """Return the facts about what a scan has gathered. What KSM has merged now is part of what it saves.

    Args:
        gathered: what was read.
        contents: the column that distinguishes contents.
        page_size: bytes, as the result counts them.
        tenants: how sources are parted into tenants; None: guests if there are several, else users.
    """
    limits = Limits(256, by_zero=True)
    compressing = _compressing(gathered, contents, page_size)
    before = unmerged(gathered, contents)
    gathered, contents = before.gathered, before.contents
    if_all = under_ksm.answer(gathered, contents, limits, page_size, opted_in_only=False, merged=before.merged)
    if tenants is None:
        guests = sum("vm" in taken.facts or "pid" not in taken.facts for taken in gathered.taken)
        tenants = "vm" if guests > 1 else "user"
    names = ("process", "user", "cgroup", "vm", "all")
    rows = [under_ksm.within_limits(gathered, contents, limits, page_size, name) for name in names]
    frames = contents[_all_pages(gathered)]
    zero = int(np.count_nonzero(frames == ZERO_FRAME)) + sum(taken.zero for taken in gathered.taken)
    return Facts(
        memory=replace(memory_of(gathered, contents), page_size=page_size),
        if_all=if_all,
        opted_in=under_ksm.answer(gathered, contents, limits, page_size, opted_in_only=True, merged=before.merged),
        within=rows,
        tenants=tenants,
        zero_frames=zero,
        groups_across_tenants=_across(gathered, contents, tenants),
        few=_few(gathered, contents, limits, page_size, if_all),
        largest_group=_largest(gathered, contents),
        compressing=compressing,
        merged_unseen=_merged_unseen(gathered),
    )


def _merged_unseen(gathered: Gathered) -> int:
    merged = sum(taken.facts.get("ksm_merged") or 0 for taken in gathered.taken)
    return 0 if gathered.frames_told else min(merged, gathered.untold)


def _all_pages(gathered: Gathered) -> Pages:
    return gathered.born.take(0, len(gathered.born))


def _across(gathered: Gathered, contents: Pages, tenants: str) -> int:
    """Return how many contents two or more tenants have."""
    having = np.zeros(len(contents), np.uint16)
    for members in under_ksm.parts_of(gathered, tenants):
        found = np.unique(np.concatenate([contents[one.mapped.take(0, len(one.mapped))] for one in members]))
        having[found[found < NO_FRAME]] += 1
    return int(np.count_nonzero(having > 1))


def _few(
    gathered: Gathered, contents: Pages, limits: Limits, page_size: int, if_all: KsmAnswer
) -> tuple[list[int], int]:
    """Return the fewest sources, those with most merged pages first, that save most of it together; and how much."""
    order = sorted(range(len(gathered.taken)), key=lambda place: -if_all["processes"][place]["ksm_process_profit"])

    def net(n: int) -> int:
        return under_ksm.net_bytes_of([gathered.taken[place] for place in order[:n]], contents, limits, page_size)

    wanted, low, high = MOST_OF_IT * if_all["net_bytes"], 1, len(order)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if net(middle) >= wanted else (middle + 1, high)
    return sorted(order[:low]), net(low)


def _largest(gathered: Gathered, contents: Pages) -> int:
    counts = np.zeros(len(contents), np.int64)
    for one in gathered.taken:
        frames = contents[one.mapped.take(0, len(one.mapped))]
        counts += np.bincount(frames[frames < NO_FRAME], minlength=len(contents))
    return int(counts.max(initial=0))


def _compressing(gathered: Gathered, contents: Pages, page_size: int) -> Compressing:
    """Compress a sample of the pages that are not zero, each by itself, as zram and zswap do.

    Fingerprints stand for pages, and there is nothing to compress.
    """
    if gathered.store.page_size != page_size:
        return {"sampled": 0, "percent": None}
    pages = _all_pages(gathered)
    pages = pages[contents[pages] < NO_FRAME]
    sample = np.sort(np.random.default_rng(SEED).permutation(pages)[:SAMPLED])
    if not len(sample):
        return {"sampled": 0, "percent": None}
    rows = gathered.sampled(sample)
    packed = sum(_packed(rows))
    return {"sampled": len(sample), "percent": round(100 * (1 - packed / rows.size), 1)}


def _packed(rows: np.ndarray) -> Sequence[int]:
    """Return the bytes that each page of a sample takes when it is compressed; none takes more than itself."""
    return [min(rows.shape[1], len(zlib.compress(row.tobytes(), 1))) for row in rows]
