"""Gathering: the regions of sources become pages of one store, each frame once or each mapping once.

Which pages there are is kept by runs of consecutive page numbers; work is done a region at a time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pksm.arrays import Pages, StructArray, U32Array, U64Array
from pksm.engine.store import Store
from pksm.errors import PksmError, ShortageError, UsageError
from pksm.extents import AddressList, PageList, State, address_runs, data_runs, expand, page_numbers, page_runs
from pksm.scan.intake import Intake
from pksm.scan.interrupts import Interrupts
from pksm.sources.base import Allocation, Region, Source
from pksm.sources.files import release
from pksm.sources.live.one_memory import each_memory_once
from pksm.sources.live.shared_memory import out_of_reach
from pksm.sources.opening import as_error_of, first_of

SAMPLED_AT_A_TIME = 256


@dataclass
class Taken:
    """What was read of one source.

    mapped: the page of each mapping, in order. The one at position p is in the mapping called names[segments[k]] with
    starts[k] <= p < starts[k + 1]. addresses: the virtual page of each, as an AddressList; None: not known. opted_in:
    of each mapping, whether the kernel's KSM may merge it, or None. zero, hole, excluded, lost: pages whose bytes were
    not read, by reason; zero_of: the zero ones of each mapping, in the order of `names`.
    partial: memory is missing that lost does not count. out_of_reach: {why: pages} of hole and excluded together.
    facts: what else the source reports. warnings: those of the source.
    """

    name: str
    kind: str
    names: list[str]
    opted_in: list[bool | None]
    mapped: PageList
    starts: np.ndarray
    segments: np.ndarray
    addresses: AddressList | None
    zero: int
    zero_of: list[int]
    hole: int
    excluded: int
    lost: int
    partial: bool
    out_of_reach: dict[str, int]
    facts: dict[str, Any]
    warnings: list[str]


@dataclass
class Gathered:
    """What was read of all sources.

    n_sources: how many there were to read. born: each page once, in the order of reading. failed: the errors of
    sources that could not be read to their end. remarks: lines about the reading as a whole. interrupted: whether an
    interrupt ended it early. untold: pages left out because others may have the same frame and its number is not
    known. frames_told: numbers of frames were known. views: of mapped files, where the pages of images are.
    """

    store: Store
    n_sources: int
    taken: list[Taken] = field(default_factory=list)
    born: PageList = field(default_factory=PageList)
    failed: list[PksmError] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    interrupted: bool = False
    untold: int = 0
    frames_told: bool = False
    views: list[np.ndarray] = field(default_factory=list)

    @property
    def partial(self) -> bool:
        """Whether something that should have been read was not."""
        return bool(self.failed) or any(taken.lost or taken.partial for taken in self.taken)

    @property
    def warnings(self) -> list[str]:
        """The warnings of all sources."""
        return [line for taken in self.taken for line in taken.warnings]

    def sampled(self, pages: np.ndarray) -> np.ndarray:
        """Return the bytes of pages (uint8, a row each) that lie far apart, without leaving files in our memory.

        The kernel may map megabytes around each page of a file.
        """
        parts = [np.empty((0, self.store.page_size), np.uint8)]
        for start in range(0, len(pages), SAMPLED_AT_A_TIME):
            parts.append(self.store.bytes_of(pages[start : start + SAMPLED_AT_A_TIME]))
            release(self.views)
        return np.concatenate(parts)


def gather(
    sources: Sequence[Source],
    page_size: int,
    view: str,
    progress: Callable[[int], None],
    interrupts: Interrupts | None = None,
    intake: Intake | None = None,
) -> Gathered:
    """Read the sources; processes that have one memory between them are one source, the first of them.

    Args:
        page_size: bytes that a page takes in the store.
        view: `frames` or `mappings`.
        progress: called with the pages read since the last call.
        interrupts: may end the reading early.
        intake: takes the pages instead of one that keeps their bytes.

    Whatever fails in one source is an error of that source, which is named in `failed`; what was read of it is kept.

    Raises:
        UsageError: at once.
        PksmError: the first error, when nothing is left; whatever a reader raised by mistake, as it is.
    """
    interrupts = interrupts or Interrupts()
    sources, remarks = each_memory_once(sources)
    intake = intake or Intake(Store(page_size), view, len(sources) > 1, interrupts.hold)
    gathered = Gathered(intake.store, len(sources), remarks=remarks + out_of_reach(sources))
    for source in sources:
        _gather_one(source, intake, gathered, page_size, progress, interrupts)
        if interrupts.seen:
            break
    intake.close()
    gathered.failed = _one_shortage(gathered.failed)
    if not gathered.taken:
        raise KeyboardInterrupt if interrupts.seen else first_of(gathered.failed)
    gathered.born = PageList(intake.born)
    gathered.frames_told = intake.frames_told
    gathered.views = intake.views
    gathered.interrupted = interrupts.seen
    return gathered


def _one_shortage(errors: list[PksmError]) -> list[PksmError]:
    """Return errors with one alone for all sources for which there was not enough memory: the first."""
    short = [error for error in errors if isinstance(error, ShortageError)]
    if len(short) > 1:
        short[0].args = (f"{short[0]}; neither was there memory for {len(short) - 1} more sources",)
    return [error for error in errors if not isinstance(error, ShortageError) or error is short[0]]


def _gather_one(
    source: Source,
    intake: Intake,
    gathered: Gathered,
    page_size: int,
    progress: Callable[[int], None],
    interrupts: Interrupts,
) -> None:
    reading = _Reading(source, intake, page_size)
    source.known = intake.known(source.machine)
    try:
        with interrupts.ending():
            for region in source.regions(page_size, intake.allocate, progress):
                reading.take(region)
            reading.complete = True
    except UsageError:
        raise
    except (ShortageError, MemoryError) as error:
        needed = str(error) if isinstance(error, ShortageError) else "out of memory: scan less at a time"
        gathered.failed.append(ShortageError(f"{source.name}: {needed}"))
    except Exception as error:
        gathered.failed.append(as_error_of(source.name, error))
    if reading.complete or reading.mapped:
        gathered.taken.append(reading.taken(_facts(source, gathered)))
    gathered.untold += reading.untold


def _facts(source: Source, gathered: Gathered) -> dict[str, Any]:
    """Return a copy of the source's facts; none where it fails to give them."""
    try:
        return dict(source.facts())
    except MemoryError:
        raise
    except Exception as error:
        gathered.failed.append(as_error_of(source.name, error))
        return {}


class _Reading:
    """One source while it is read."""

    def __init__(self, source: Source, intake: Intake, page_size: int) -> None:
        self._source, self._intake, self._page_size = source, intake, page_size
        self._counts = dict.fromkeys(range(len(State)), 0)  # pages by state
        self._segments: list[tuple[np.ndarray, np.ndarray]] = []
        self._addresses: list[StructArray] = []
        self._zero: list[np.ndarray] = []  # pages by mapping, one array a region
        self._n_mapped = 0
        self.mapped: list[np.ndarray] = []  # runs
        self._of_family = False
        self.untold = 0
        self.complete = False

    def take(self, region: Region) -> None:
        """Take the pages of a region. Raises PksmError for one that can't be right."""
        fault = region.fault(self._page_size, len(self._source.mappings))
        if fault:
            raise PksmError(f"{self._source.name}: {fault}: its reader is at fault")
        with self._intake.hold():
            states = np.bincount(region.runs["state"], region.runs["pages"], len(State)).astype(np.int64)
            self._counts = {state: self._counts[state] + n_pages for state, n_pages in enumerate(states.tolist())}
            zero = region.runs[region.runs["state"] == State.ZERO]
            if len(zero):
                self._zero.append(np.bincount(zero["mapping"], zero["pages"]).astype(np.int64))
            data = data_runs(region.runs)
            if not len(data):
                return
            mapping = np.repeat(data["mapping"], data["pages"].astype(np.int64))
            addresses = page_numbers(data, self._page_size)
            if region.copies is not None:
                pages, mapping, addresses = self._copied(region, region.copies, data, mapping, addresses)
            elif region.view is not None:
                pages = self._intake.add_view(region.view, data)
            if not len(pages):
                return
            runs = page_runs(pages)
            heads = np.append(0, np.flatnonzero(mapping[1:] != mapping[:-1]) + 1)
            self._segments.append((heads + self._n_mapped, mapping[heads]))
            self._addresses.append(address_runs(addresses))
            self._n_mapped += len(pages)
            self.mapped.append(runs)

    def _copied(
        self, region: Region, copies: Allocation, data: StructArray, mapping: U32Array, addresses: U64Array
    ) -> tuple[Pages, U32Array, U64Array]:
        at = expand(data["first"].astype(np.int64), data["pages"].astype(np.int64))
        index = at.astype(np.int64)
        if region.copied is not None:
            index = np.where(region.copied, np.cumsum(region.copied) - 1, -1)[at]
        frames = exclusive = None
        if self._intake.by_frame and region.frames is not None and region.exclusive is not None:
            frames, exclusive = region.frames[at], region.exclusive[at]
            told = exclusive | (frames != 0)
            self._intake.frames_told |= bool(frames.any())
            if not told.all():
                self.untold += len(told) - int(np.count_nonzero(told))
                columns = (index, mapping, frames, exclusive, addresses)
                index, mapping, frames, exclusive, addresses = (column[told] for column in columns)
        machine = self._source.machine
        self._of_family |= region.copied is not None
        pages = self._intake.add_copies(copies, index, frames, exclusive, machine, self._of_family)
        return pages, mapping, addresses

    def taken(self, facts: dict[str, Any]) -> Taken:
        """Return all that was read. facts: of the source."""
        source, counts = self._source, self._counts
        starts, segments = ([], []) if not self._segments else zip(*self._segments, strict=True)
        images = {"not_resident": counts[State.HOLE], "left_out": counts[State.EXCLUDED]}
        reasons = dict(facts.pop("out_of_reach", images))
        reasons["untold"] = reasons.get("untold", 0) + self.untold
        return Taken(
            name=source.name,
            kind=source.kind,
            names=[mapping.name for mapping in source.mappings],
            opted_in=[mapping.opted_in for mapping in source.mappings],
            mapped=PageList(self.mapped),
            starts=np.concatenate([np.empty(0, np.int64), *starts]),
            segments=np.concatenate([np.empty(0, np.uint32), *segments]),
            addresses=None if source.page_size else AddressList(self._addresses),  # fingerprints have none
            zero=counts[State.ZERO],
            zero_of=self._zero_of(),
            hole=counts[State.HOLE],
            excluded=counts[State.EXCLUDED] + self.untold,
            lost=source.lost,
            partial=source.partial,
            out_of_reach={reason: pages for reason, pages in reasons.items() if pages},
            facts=facts,
            warnings=list(source.warnings),
        )

    def _zero_of(self) -> list[int]:
        zero_of = np.zeros(len(self._source.mappings), np.int64)
        for pages in self._zero:
            zero_of[: len(pages)] += pages
        return zero_of.tolist()
