"""Taking real memory: what a scan gathers becomes processes with mappings, each content a number."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from pksm.arrays import BoolArray, I64Array, Pages, U8Array, U32Array
from pksm.errors import PksmError, UsageError
from pksm.protocols import NO_FRAME, ZERO_FRAME
from pksm.scan.gather import Gathered, Taken
from pksm.scan.interrupts import Interrupts
from pksm.scan.merge import Progress
from pksm.scan.run import Guard, scan
from pksm.scan.settings import Settings
from pksm.scan.unmerged import unmerged
from pksm.simulation.real import Area, Family, Process, RealMemory
from pksm.sources.base import Source

SAMPLED = 1 << 11  # pages that are compared with each other, to know how much of them is equal from the start
SEED = 1
_NOBODY = -1


def from_sources(
    sources: Iterable[Source],
    *,
    page_size: int | None = None,
    threads: int = 1,
    opted_in_only: bool = False,
    progress: Progress | None = None,
    errors: Sequence[PksmError] = (),
    interrupts: Interrupts | None = None,
    reading: Guard | None = None,
) -> RealMemory:
    """Read sources and return their memory as a workload of simulations.

    Frames that several processes map are mapped by several in the simulation, too, where frames are known (as root); but
    what the kernel's KSM has merged is not yet merged there.

    Args:
        sources: opened sources, images and processes as a scan takes them; the caller closes them.
        page_size: bytes; by default those of fingerprints, else 4096.
        threads: that compute checksums.
        opted_in_only: let a policy that goes by it merge only what processes have opted in; images have all of it.
        progress: called as progress(stage, pages, total) between batches, as by scan.
        errors: those of sources that could not be opened; they are named in the warnings.
        interrupts: may end the reading early; KeyboardInterrupt is raised then.
        reading: held while sources are read.

    Raises:
        UsageError: for what can't be meant.
        PksmError: the first source's own error when none is left.
    """
    taken: list[RealMemory] = []
    interrupts = interrupts or Interrupts()

    def take(gathered: Gathered, contents: Pages) -> None:
        before = unmerged(gathered, contents)
        taken.append(memory_of(before.gathered, before.contents, opted_in_only))

    document = scan(
        sources,
        Settings(page_size=page_size, threads=threads, top=0),
        progress,
        errors=errors,
        interrupts=interrupts,
        reading=reading,
        take=take,
    )
    if interrupts.seen:
        raise KeyboardInterrupt
    return replace(taken[0], page_size=document["page_size"], warnings=tuple(document["warnings"]))


def memory_of(gathered: Gathered, contents: Pages, opted_in_only: bool = False) -> RealMemory:
    """Return what was gathered as a workload.

    Args:
        gathered: what was read.
        contents: the column that distinguishes contents, uint32 by page number.
        opted_in_only: as from_sources takes it.
    """
    ids = np.where(contents == ZERO_FRAME, np.uint32(0), contents + np.uint32(1))
    relations = _Relations(gathered, contents != NO_FRAME)
    families = tuple(_family(gathered.taken, members, relations, ids, opted_in_only) for members in relations.families)
    if not any(len(family.contents) or any(len(one.contents) for one in family.processes) for family in families):
        raise UsageError("there is no resident memory to simulate")
    name = ", ".join(taken.name for taken in gathered.taken)
    return RealMemory(name, gathered.store.page_size, families, prefix_bytes=_prefix(gathered, contents))


class _Relations:
    """Which frames several sources map, and which sources that makes relatives.

    A frame that one source maps twice is merged already: each of its mappings counts as a page of its own here.

    Attributes:
        families: lists of places in gathered.taken, each place once.
        shared: which pages several sources map, bool by page number.
        first_owner: the place of the first source that maps a shared page, int32.
        reached: which pages were reached.
    """

    def __init__(self, gathered: Gathered, reached: BoolArray) -> None:
        taken, n = gathered.taken, len(reached)
        self.reached = reached
        self.shared = np.zeros(n, bool)
        self.first_owner = np.full(n, _NOBODY, np.int32)
        if not gathered.frames_told:
            self.families = [[place] for place in range(len(taken))]
            return
        merged = np.zeros(n, bool)
        for place, one in enumerate(taken):
            pages, times = np.unique(_pages(one), return_counts=True)
            merged[pages[times > 1]] = True
            self.shared[pages[self.first_owner[pages] != _NOBODY]] = True
            fresh = pages[self.first_owner[pages] == _NOBODY]
            self.first_owner[fresh] = place
        self.shared &= reached & ~merged
        self.families = self._related(taken)

    def _related(self, taken: Sequence[Taken]) -> list[list[int]]:
        head = list(range(len(taken)))

        def find(place: int) -> int:
            while head[place] != place:
                place = head[place]
            return place

        for place, one in enumerate(taken):
            pages = _pages(one)
            for other in np.unique(self.first_owner[pages[self.shared[pages]]]).tolist():
                low, high = sorted((find(place), find(other)))
                head[high] = low
        families: dict[int, list[int]] = {}
        for place in range(len(taken)):
            families.setdefault(find(place), []).append(place)
        return list(families.values())


def _family(
    taken: Sequence[Taken], members: Sequence[int], relations: _Relations, ids: U32Array, opted_in_only: bool
) -> Family:
    """Return the family of these places in taken."""
    shared, areas = [np.empty(0, np.uint32)], []
    for place in members:
        positions = np.flatnonzero(relations.shared[_pages(taken[place])])
        pages = _pages(taken[place])[positions]
        firsts = relations.first_owner[pages] == place
        shared.append(pages[firsts])
        areas += _areas(taken[place], positions[firsts], opted_in_only)
    pages = np.concatenate(shared)
    processes = [
        _process(taken[place], f"{taken[place].name}", pages, relations, ids, opted_in_only) for place in members
    ]
    family = Family(tuple(areas), ids[pages], tuple(processes))
    return family if len(members) == 1 else _placed(family, [taken[place] for place in members], pages, relations)


def _placed(family: Family, members: Sequence[Taken], shared: Pages, relations: _Relations) -> Family:
    """Return the family with a place for each page, in the order of addresses, if each shared page has an address of its own.

    As after a fork; where frames were merged by KSM, or children that wrote have children, it has none.
    """
    addresses, own = np.full(len(shared), _NOBODY, np.int64), []
    order = np.argsort(shared, kind="stable")
    for one in members:
        if one.addresses is None:
            return family
        pages, at = _pages(one), one.addresses.all()
        is_shared = relations.shared[pages]
        which = order[np.searchsorted(shared[order], pages[is_shared])]
        theirs = at[is_shared]
        if ((addresses[which] != _NOBODY) & (addresses[which] != theirs)).any() or (np.diff(at) <= 0).any():
            return family
        addresses[which] = theirs
        own.append(at[~is_shared & relations.reached[pages]])
    if len(np.unique(addresses)) < len(addresses):
        return family
    dense = np.unique(np.concatenate([addresses, *own]))
    processes = tuple(
        replace(process, places=_places(dense, at, len(process.contents)))
        for process, at in zip(family.processes, own, strict=True)
    )
    span = len(dense) + max(len(one.contents) - len(at) for one, at in zip(processes, own, strict=True))
    return replace(family, processes=processes, places=_places(dense, addresses, len(addresses)), span=span)


def _places(dense: I64Array, addresses: I64Array, n: int) -> U32Array:
    """Return the places of addresses among all, and those behind all for what has none: n in all."""
    known = np.searchsorted(dense, addresses).astype(np.uint32)
    return np.concatenate([known, np.arange(len(dense), len(dense) + n - len(known), dtype=np.uint32)])


def _process(
    taken: Taken, name: str, shared: Pages, relations: _Relations, ids: U32Array, opted_in_only: bool
) -> Process:
    pages = _pages(taken)
    own = np.flatnonzero(~relations.shared[pages] & relations.reached[pages])
    areas, contents = _areas(taken, own, opted_in_only), [ids[pages[own]]]
    for mapping, zero in enumerate(taken.zero_of):  # without bytes, so that they are not among the pages
        if zero:
            areas.append(Area(taken.names[mapping], zero, _opted_in(taken, mapping, opted_in_only)))
            contents.append(np.zeros(zero, np.uint32))
    maps = np.packbits(np.isin(shared, pages)) if len(shared) else np.empty(0, np.uint8)
    known = ("pid", "command", "user", "cgroup", "vm")
    facts = {key: taken.facts[key] for key in known if key in taken.facts}
    return Process(name, tuple(areas), np.concatenate(contents), maps, facts)


def _areas(taken: Taken, positions: I64Array, opted_in_only: bool) -> list[Area]:
    """Return the areas of the pages at ascending positions of taken.mapped: one for each run in one mapping."""
    if not len(positions):
        return []
    mappings = taken.segments[np.searchsorted(taken.starts, positions, "right") - 1]
    heads = [0, *(np.flatnonzero(mappings[1:] != mappings[:-1]) + 1).tolist(), len(mappings)]
    return [
        Area(taken.names[mappings[head]], end - head, _opted_in(taken, int(mappings[head]), opted_in_only))
        for head, end in pairwise(heads)
    ]


def _opted_in(taken: Taken, mapping: int, opted_in_only: bool) -> bool:
    return not opted_in_only or taken.opted_in[mapping] is not False


def _pages(taken: Taken) -> Pages:
    return taken.mapped.take(0, len(taken.mapped))


def _prefix(gathered: Gathered, contents: Pages) -> float:
    """Return the mean number of bytes, from the start, that two different pages have in common where trees compare them.

    A search goes from pages that are far off in the order to ones that are close; so a sample of the pages is sorted,
    and each compared with those 1, 2, 4, ... places on.
    """
    kept = np.flatnonzero(contents == np.arange(len(contents), dtype=np.uint32)).astype(np.uint32)
    sample = np.random.default_rng(SEED).permutation(kept)[:SAMPLED]
    if len(sample) < 2:
        return 0.0
    pages = gathered.sampled(np.sort(sample))
    pages = pages[np.argsort(_as_words(pages))]
    steps = [1 << power for power in range(len(pages).bit_length() - 1)]
    return float(np.mean([_common(pages[:-step], pages[step:]).mean() for step in steps]))


def _as_words(pages: U8Array) -> np.ndarray:
    """Return pages as one text of bytes each, which sorts as memcmp does."""
    return np.ascontiguousarray(pages).view(f"S{pages.shape[1]}").reshape(-1)


def _common(pages: U8Array, others: U8Array) -> I64Array:
    """Return how many bytes of two pages are equal from the start on."""
    differs = pages != others
    first = np.argmax(differs, axis=1)
    return np.where(differs.any(axis=1), first, pages.shape[1])
