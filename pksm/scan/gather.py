"""Gathering: the regions of sources become pages of one store, each frame once or each mapping once.

Which pages there are is kept by runs of consecutive page numbers; work is done a region at a time.
"""

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import numpy as np

from pksm.engine.memory import zeros
from pksm.engine.store import Store
from pksm.errors import PksmError, UsageError
from pksm.extents import PageList, State, data_runs, expand, page_runs

VIEWS = ("frames", "mappings")
HOLE_PAGES = 1 << 9  # longer holes of a mapped file get no page numbers: these take more than another region does
_NO_PAGE = np.uint32(0xFFFFFFFF)


@dataclass
class Taken:
    """What was read of one source.

    mapped: the page of each mapping, in order. The one at position p is in the mapping called names[segments[k]] with
    starts[k] <= p < starts[k + 1]. zero, hole, excluded, lost: pages that have no bytes here; zero_of: the zero ones of
    each of names.
    partial: memory is missing that lost does not count. out_of_reach: {why: pages} of hole and excluded together.
    facts: what else the source tells. warnings: those of the source.
    """

    name: str
    kind: str
    names: list
    mapped: PageList
    starts: np.ndarray
    segments: np.ndarray
    zero: int
    zero_of: list
    hole: int
    excluded: int
    lost: int
    partial: bool
    out_of_reach: dict
    facts: dict
    warnings: list


@dataclass
class Gathered:
    """What was read of all sources.

    born: each page once, in the order of reading. untold: pages left out because others may have the same frame and
    its number is not known. frames_told: numbers of frames were known.
    """

    store: Store
    taken: list = field(default_factory=list)
    born: PageList = field(default_factory=PageList)
    warnings: list = field(default_factory=list)
    failed: list = field(default_factory=list)  # PksmErrors
    untold: int = 0
    frames_told: bool = False

    @property
    def partial(self):
        """Tell whether something that should have been read was not."""
        return bool(self.failed) or any(taken.lost or taken.partial for taken in self.taken)


class Interrupts:
    """What KeyboardInterrupt does to long work: it ends a part of it early, or goes through to the caller.

    hold: a factory of context managers that hold interrupts back for the length of a step that must not stop halfway;
    without one, an interrupt may have come anywhere, and goes through.
    """

    def __init__(self, hold=None):
        self.hold = hold or nullcontext
        self._may_end = hold is not None
        self.seen = False

    @contextmanager
    def ending(self):
        """Let an interrupt end this block."""
        try:
            yield
        except KeyboardInterrupt:
            if not self._may_end:
                raise
            self.seen = True


def gather(sources, page_size, view, progress, interrupts=None):
    """Read the sources and return Gathered.

    progress(pages) is told of pages as they are read; interrupts may end the reading early. A source that fails is
    named in `failed` and what was read of it is kept; when nothing is left the first error is raised, and a UsageError
    at once.
    """
    interrupts = interrupts or Interrupts()
    intake = _Intake(Store(page_size), view, len(sources) > 1, interrupts.hold)
    gathered = Gathered(intake.store)
    for source in sources:
        reading = _Reading(source, intake)
        try:
            with interrupts.ending():
                for region in source.regions(page_size, intake.allocate, progress):
                    reading.take(region)
                reading.complete = True
        except UsageError:
            raise
        except PksmError as error:
            gathered.failed.append(error)
        if reading.complete or reading.mapped:
            gathered.taken.append(reading.taken())
            gathered.warnings.extend(source.warnings)
        gathered.untold += reading.untold
        if interrupts.seen:
            break
    if not gathered.taken:
        raise KeyboardInterrupt if interrupts.seen else gathered.failed[0]
    gathered.born = PageList(intake.born)
    gathered.frames_told = intake.frames_told
    return gathered


class _Intake:
    """The store being filled, and the frames that are in it.

    compact: live copies are made in a buffer that is used again, and only frames that are new come into the store.
    """

    def __init__(self, store, view, compact, hold):
        self.store = store
        self.by_frame = view == "frames"
        self.born = []  # runs
        self.frames_told = False
        self.hold = hold
        self._compact = compact and self.by_frame
        self._scratch = None
        self._last = None  # (array, first page) that was allocated last in the store
        self._known = _FrameBook()

    def allocate(self, n_pages):
        """Give a source memory for a live copy: uint8 (n_pages, page_size)."""
        with self.hold():
            if not self._compact:
                first, array = self.store.allocate(n_pages)
                self._last = array, first
                return array
            if self._scratch is None or len(self._scratch) < n_pages:
                self._scratch = zeros((n_pages, self.store.page_size))
            return self._scratch[:n_pages]

    def add_copy(self, buffer, index, frames, exclusive):
        """Take buffer pages `index` of a live copy; return the page number of each.

        frames, exclusive: of those pages, or None where each is a page of its own. Pages mapped once are new whatever
        their frame's number: it may have served another process before.
        """
        fresh = np.ones(len(index), bool)
        owners = np.empty(len(index), np.uint32)
        if frames is not None:
            shared = np.flatnonzero(~exclusive)
            owners[shared], fresh[shared] = self._known.look_up(frames[shared])
        if self._compact:
            first, array = self.store.allocate(int(fresh.sum()))
            np.take(buffer, index[fresh], axis=0, out=array, mode="clip")
            numbers = np.arange(first, first + len(array), dtype=np.uint32)
        else:
            array, first = self._last
            offset = (buffer.ctypes.data - array.ctypes.data) // self.store.page_size
            assert 0 <= offset <= len(array) - len(buffer), "a region's buffer is not what was allocated for it"
            numbers = (index[fresh] + (first + offset)).astype(np.uint32)
        owners[fresh] = numbers
        if frames is not None:
            owners[shared] = self._known.enter(frames[shared], owners[shared], fresh[shared])
        self.born.append(page_runs(numbers))
        return owners

    def add_mapped(self, buffer, runs):
        """Take the DATA runs of a mapped file; return the page number of each of their pages."""
        first, pages = runs["first"].astype(np.int64), runs["pages"].astype(np.int64)
        ends = first + pages
        cuts = np.append(0, np.flatnonzero(first[1:] - ends[:-1] > HOLE_PAGES) + 1)
        lasts = np.append(cuts[1:], len(runs)) - 1
        flat, size = buffer.reshape(-1), self.store.page_size
        offsets = [
            self.store.add(flat[start * size : end * size]) - start
            for start, end in zip(first[cuts].tolist(), ends[lasts].tolist(), strict=True)
        ]
        numbers = expand(first + np.repeat(offsets, lasts - cuts + 1), pages)
        self.born.append(page_runs(numbers))
        return numbers


class _Reading:
    """One source while it is read."""

    def __init__(self, source, intake):
        self._source, self._intake = source, intake
        self._counts = dict.fromkeys(State, 0)
        self._segments = []
        self._zero = []  # pages by mapping, one array a region
        self._n_mapped = 0
        self.mapped = []  # runs
        self.untold = 0
        self.complete = False

    def take(self, region):
        """Take the pages of a region."""
        with self._intake.hold():
            for state in State:
                self._counts[state] += int(region.runs["pages"][region.runs["state"] == state].sum())
            zero = region.runs[region.runs["state"] == State.ZERO]
            if len(zero):
                self._zero.append(np.bincount(zero["mapping"], zero["pages"]).astype(np.int64))
            data = data_runs(region.runs)
            mapping = np.repeat(data["mapping"], data["pages"].astype(np.int64))
            if region.allocated:
                pages, mapping = self._copied(region, data, mapping)
            else:
                pages = self._intake.add_mapped(region.buffer, data) if len(data) else mapping
            if not len(pages):
                return
            heads = np.append(0, np.flatnonzero(np.diff(mapping)) + 1)
            self._segments.append((heads + self._n_mapped, mapping[heads]))
            self._n_mapped += len(pages)
            self.mapped.append(page_runs(pages))

    def _copied(self, region, data, mapping):
        index = expand(data["first"].astype(np.int64), data["pages"].astype(np.int64))
        frames = exclusive = None
        if self._intake.by_frame and region.frames is not None:
            frames, exclusive = region.frames[index], region.exclusive[index]
            told = exclusive | (frames != 0)
            self._intake.frames_told |= bool(frames.any())
            if not told.all():
                self.untold += len(told) - int(told.sum())
                index, mapping, frames, exclusive = (column[told] for column in (index, mapping, frames, exclusive))
        return self._intake.add_copy(region.buffer, index, frames, exclusive), mapping

    def taken(self):
        """Return all that was read."""
        source, counts = self._source, self._counts
        starts, segments = ([], []) if not self._segments else zip(*self._segments, strict=True)
        facts = source.facts() if hasattr(source, "facts") else {}
        images = {"not_resident": counts[State.HOLE], "left_out": counts[State.EXCLUDED]}
        reasons = facts.pop("out_of_reach", images)
        reasons["untold"] = reasons.get("untold", 0) + self.untold
        return Taken(
            name=source.name,
            kind=source.kind,
            names=[mapping.name for mapping in source.mappings],
            mapped=PageList(self.mapped),
            starts=np.concatenate([np.empty(0, np.int64), *starts]),
            segments=np.concatenate([np.empty(0, np.uint32), *segments]),
            zero=counts[State.ZERO],
            zero_of=self._zero_of(),
            hole=counts[State.HOLE],
            excluded=counts[State.EXCLUDED] + self.untold,
            lost=source.lost,
            partial=getattr(source, "partial", False),
            out_of_reach={reason: pages for reason, pages in reasons.items() if pages},
            facts=facts,
            warnings=list(source.warnings),
        )

    def _zero_of(self):
        zero_of = np.zeros(len(self._source.mappings), np.int64)
        for pages in self._zero:
            zero_of[: len(pages)] += pages
        return zero_of.tolist()


class _FrameBook:
    """Page numbers by frame: sorted parts, each more than twice as long as the next."""

    def __init__(self):
        self._parts = []

    def look_up(self, frames):
        """Return (pages, new): the page of each frame (uint32), and which are the first of a frame not yet known."""
        pages = np.full(len(frames), _NO_PAGE)
        for known, numbers in self._parts:
            at = np.minimum(np.searchsorted(known, frames), len(known) - 1)
            found = known[at] == frames
            pages[found] = numbers[at[found]]
        new = np.zeros(len(frames), bool)
        unknown = np.flatnonzero(pages == _NO_PAGE)
        new[unknown[np.unique(frames[unknown], return_index=True)[1]]] = True
        return pages, new

    def enter(self, frames, pages, new):
        """Learn the pages of the new frames, and return pages with theirs wherever such a frame comes again."""
        if not new.any():
            return pages
        order = np.argsort(frames[new])
        known, numbers = frames[new][order], pages[new][order]
        again = np.flatnonzero((pages == _NO_PAGE) & ~new)
        pages[again] = numbers[np.searchsorted(known, frames[again])]
        self._parts.append((known, numbers))
        while len(self._parts) > 1 and len(self._parts[-2][0]) < 2 * len(self._parts[-1][0]):
            known, numbers = (np.concatenate(column) for column in zip(*self._parts[-2:], strict=True))
            order = np.argsort(known, kind="stable")
            self._parts[-2:] = [(known[order], numbers[order])]
        return pages
