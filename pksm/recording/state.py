"""What there is at a point of a recording: address spaces, their mappings and pages. Blocks are held against it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np

from pksm.arrays import I64Array, U32Array, U64Array
from pksm.errors import PksmError
from pksm.linux import memory_limits
from pksm.recording import edges
from pksm.recording.events import Block, Kind, Operation
from pksm.recording.lives import Lives
from pksm.recording.places import places

BYTES_A_PAGE = 96  # that State takes, most of them for a moment
_CHECKED_PAGES = 1 << 16  # are added before the next look at what memory there is
_MAPPINGS = ("map", "unmap", "advise")


@dataclass
class Held:
    """Pages (sorted), their contents, and their copies by number in Lives: of all spaces that a fork gave them to.

    holders: how many spaces those are; only one of them may write into the arrays.
    """

    pages: U64Array = field(default_factory=lambda: np.empty(0, np.uint64))
    contents: U32Array = field(default_factory=lambda: np.empty(0, np.uint32))
    copies: U32Array = field(default_factory=lambda: np.empty(0, np.uint32))
    holders: int = 1


@dataclass
class Space:
    """An address space: its process (0: an image), name, what it holds, and its mappings (see edges)."""

    pid: int
    name: str
    held: Held = field(default_factory=Held)
    edges: I64Array = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def pages(self) -> U64Array:
        """Its pages, sorted."""
        return self.held.pages

    @property
    def contents(self) -> U32Array:
        """What its pages hold."""
        return self.held.contents


class State:
    """All address spaces that are alive, by number. A fork shares what its parent holds until one of them changes.

    Attributes:
        spaces: {number: Space}.
        ms: of the last block.
        pages: how many there are in all spaces together; peak: the most of them at any time that counts.
        peak_ever: the most of them at any time.
        forked: pages that forks began with, all together.
        counted_from_ms: since when events and times count: from the beginning, or as count_from says.
        counts: events so far, by kind.
        operations: operations so far, by name.
        lives: how long contents last.
    """

    def __init__(self, most_pages: int | None = None, most_steps: int | None = None) -> None:
        """Begin with nothing.

        Args:
            most_pages: more are refused; None: as many as there is memory for.
            most_steps: pages, mappings and contents that are gone through besides those that events name; more are
                refused.
        """
        self.spaces: dict[int, Space] = {}
        self.ms = self.pages = self.peak = self.peak_ever = self.forked = self.counted_from_ms = 0
        self.counts = np.zeros(len(Kind), np.int64)
        self.operations: dict[str, int] = {}
        self.lives = Lives()
        self._most, self._most_steps = most_pages, most_steps
        self._steps = self._own = self._checked = self._page_ms = 0  # _own: pages in arrays, however many share them
        self._used = -1  # the last number of a space

    def apply(self, block: Block) -> None:
        """Go on by a block. PksmError if it does not fit what there is."""
        self._page_ms += self.pages * (block.ms - self.ms)
        self.ms = block.ms
        self.lives.at(block.ms)
        try:
            for name, operations in groupby(block.operations, itemgetter(0)):
                self._operate(block.space, name, list(operations))
            if len(block.pages):
                self._turn(self._alive(block.space), block)
        except _Unsound as error:
            raise PksmError(f"at {block.ms} ms, space {block.space}: {error}") from None

    def count_from(self, ms: int) -> None:
        """Let events, operations and times count from a time on; what there is stays as it is."""
        self.ms = self.counted_from_ms = ms
        self.lives.count_from(ms)
        self.counts[:] = 0
        self._page_ms = 0
        self.operations, self.peak = {}, self.pages

    def volatile_share(self, until_ms: int) -> float:
        """Return the share of memory, over time, that is rewritten within a minute."""
        page_ms = self._page_ms + self.pages * (until_ms - self.ms)
        return round(min(1.0, self.lives.volatile_ms / page_ms), 6) if page_ms > 0 else 0.0

    def write_rate(self, until_ms: int) -> float:
        """Return the writes per page alive and second, up to a time."""
        page_ms = self._page_ms + self.pages * (until_ms - self.ms)
        writes = int(self.counts[Kind.WRITE] + self.counts[Kind.SAME])
        return round(1000 * writes / page_ms, 6) if page_ms > 0 else 0.0

    # ---- operations ----

    def _operate(self, number: int, name: str, operations: list[Operation]) -> None:
        """Do operations of one name."""
        self.operations[name] = self.operations.get(name, 0) + len(operations)
        if name in _MAPPINGS:
            self._map(self._alive(number), name, operations)
            return
        operate: Callable[..., None] = getattr(self, f"_{name}")
        for _, *fields in operations:
            if name in ("start", "fork"):
                if number <= self._used:
                    raise _Unsound("its number was used before")
                self._used = number
            operate(number, *fields)

    def _start(self, number: int, pid: int, name: str) -> None:
        self.spaces[number] = Space(pid, name)

    def _fork(self, number: int, parent: int, pid: int, name: str) -> None:
        of = self._alive(parent)
        of.held.holders += 1
        self.spaces[number] = Space(pid, name, of.held, of.edges)
        self._grow(len(of.pages))
        self.forked += len(of.pages)

    def _exit(self, number: int) -> None:
        held = self._alive(number).held
        self.pages -= len(held.pages)
        held.holders -= 1
        if not held.holders:
            self._own -= len(held.pages)
            self.lives.end(held.copies, np.zeros(len(held.copies), bool))
        del self.spaces[number]

    def _map(self, space: Space, name: str, operations: list[Operation]) -> None:
        """Map, unmap or advise: in one go where that is in the order of addresses, as recorders write it."""
        firsts, lengths = np.array([operation[1:3] for operation in operations], np.int64).T
        ranges = np.stack([firsts, firsts + lengths], axis=1)
        for part in [ranges] if edges.are_apart(ranges) else np.split(ranges, len(ranges)):
            self._map_apart(space, name, part)

    def _map_apart(self, space: Space, name: str, ranges: I64Array) -> None:
        fits = edges.free(space.edges, ranges) if name == "map" else edges.mapped(space.edges, ranges)
        if not fits.all():
            first, end = ranges[~fits][0].tolist()
            wrong = "something is mapped there" if name == "map" else "not all of it is mapped"
            raise _Unsound(f"page {first} and {end - first - 1} more: {wrong}")
        if name == "unmap":
            low, high = (np.searchsorted(space.pages, ranges[:, side].astype(np.uint64)) for side in (0, 1))
            if (low != high).any():
                raise _Unsound(f"page {int(space.pages[low[low != high][0]])}: unmapped while it is resident")
        if name != "advise":
            self._step(len(space.edges))
            space.edges = edges.all_toggled(space.edges, ranges)

    def _alive(self, number: int) -> Space:
        if number not in self.spaces:
            raise _Unsound("there is no such address space")
        return self.spaces[number]

    # ---- pages ----

    def _turn(self, space: Space, block: Block) -> None:
        self.counts += np.bincount(block.kinds, minlength=len(Kind))
        born, moved = block.of(Kind.BIRTH), block.of(Kind.MOVED)
        new = block.pages[born]
        at = np.searchsorted(space.edges, new.astype(np.int64), "right")
        if (at % 2 == 0).any():
            raise _Unsound(f"page {int(new[at % 2 == 0][0])}: is born where nothing is mapped")
        acted = block.of(Kind.WRITE, Kind.SAME, Kind.DEATH) | moved
        there = block.pages[acted]
        where, found = places(space.pages, there)
        if not found.all():
            raise _Unsound(f"page {int(there[~found][0])}: is not there")
        if places(space.pages, new)[1].any():
            raise _Unsound("a page is born that is there already")
        if (born | acted & ~moved).any():
            self._change(space, block, where[~moved[acted]])
        seen = block.pages[~(born | acted)]  # merged, unmerged, accessed: born just now, perhaps
        if not places(space.pages, seen)[1].all():
            raise _Unsound("something is said of a page that is not there")

    def _change(self, space: Space, block: Block, where: I64Array) -> None:
        """Let pages be written, go and come. where: the places of those that are written or go."""
        held = self._own_of(space)
        kinds = block.kinds[block.of(Kind.WRITE, Kind.SAME, Kind.DEATH)]
        written, same, gone = (where[kinds == kind] for kind in (Kind.WRITE, Kind.SAME, Kind.DEATH))
        held.contents[written] = block.content_of(block.of(Kind.WRITE))
        self._rewrite(held, written, same)
        if len(gone):
            self._step(len(held.pages))
            self.pages -= len(gone)
            self._own -= len(gone)
            self.lives.end(held.copies[gone], np.zeros(len(gone), bool))
            is_stretch = int(gone[-1] - gone[0]) == len(gone) - 1
            cut: Any = slice(int(gone[0]), int(gone[-1]) + 1) if is_stretch else gone  # far faster
            held.pages, held.contents = np.delete(held.pages, cut), np.delete(held.contents, cut)
            held.copies = np.delete(held.copies, cut)
        born = block.of(Kind.BIRTH)
        if born.any():
            new, contents = block.pages[born], block.content_of(born)
            self._step(len(held.pages))
            self._grow(len(new))
            self._take(len(new))
            into = np.searchsorted(held.pages, new)
            held.pages, held.contents = np.insert(held.pages, into, new), np.insert(held.contents, into, contents)
            held.copies = np.insert(held.copies, into, self.lives.begin(contents))

    def _own_of(self, space: Space) -> Held:
        """Return what a space holds, and nobody else."""
        held = space.held
        if held.holders > 1:
            self._step(len(held.pages))
            self._take(len(held.pages))
            held.holders -= 1
            self.lives.share(held.copies)
            space.held = Held(held.pages, held.contents.copy(), held.copies.copy())
        return space.held

    def _rewrite(self, held: Held, written: I64Array, same: I64Array) -> None:
        """Give pages that were written copies of their own; those that were written as they were have them already, mostly."""
        shared = same[self.lives.is_shared(held.copies[same])]
        at = np.append(written, shared[~np.isin(shared, written)])
        if len(at):
            self.lives.end(held.copies[at], np.arange(len(at)) < len(written))
            held.copies[at] = self.lives.begin(held.contents[at])

    # ---- bounds ----

    def _grow(self, n: int) -> None:
        """Let there be n pages more."""
        self.pages += n
        self.peak, self.peak_ever = max(self.peak, self.pages), max(self.peak_ever, self.pages)
        if self._most is not None and self.pages > self._most:
            raise _Unsound(f"more than {self._most:,} pages")

    def _take(self, n: int) -> None:
        """Look whether there is memory for n pages more."""
        self._own += n
        if self._most is None and self._own > self._checked:
            self._checked = self._own + _CHECKED_PAGES
            memory_limits.require(BYTES_A_PAGE * max(n, _CHECKED_PAGES), "record less at a time")

    def _step(self, n: int) -> None:
        """Count what is gone through."""
        self._steps += n
        if self._most_steps is not None and self._steps + self.lives.steps > self._most_steps:
            raise _Unsound(
                "so few bytes hold changes of too many pages and mappings to go through: record fewer processes at a time"
            )


class _Unsound(Exception):
    """What is wrong with a block."""
