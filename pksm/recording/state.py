"""What there is at a point of a recording: address spaces, their mappings and pages. Blocks are held against it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from pksm.arrays import I64Array, U32Array, U64Array
from pksm.errors import PksmError
from pksm.linux import memory_limits
from pksm.recording.events import Block, Kind, Operation
from pksm.recording.lives import Lives
from pksm.recording.places import places

BYTES_A_PAGE = 96  # that State takes, most of them for a moment
_CHECKED_PAGES = 1 << 16  # are added before the next look at what memory there is


@dataclass
class Space:
    """An address space: its process (0: an image), name, pages (sorted) with their contents, and mappings.

    edges: where mappings begin and end, sorted; mappings that touch each other are one.
    copies: of the pages, their numbers in Lives.
    lent: another space has the same arrays of contents and copies, so that they are not to be written.
    """

    pid: int
    name: str
    pages: U64Array = field(default_factory=lambda: np.empty(0, np.uint64))
    contents: U32Array = field(default_factory=lambda: np.empty(0, np.uint32))
    edges: I64Array = field(default_factory=lambda: np.empty(0, np.int64))
    copies: U32Array = field(default_factory=lambda: np.empty(0, np.uint32))
    lent: bool = False


class State:
    """All address spaces that are alive, by number. A fork shares the arrays of its parent until one of them changes.

    Attributes:
        spaces: {number: Space}.
        ms: of the last block.
        pages: how many there are in all spaces together; peak: the most of them at any time that counts.
        peak_ever: the most of them at any time.
        counted_from_ms: since when events and times count: from the beginning, or as count_from says.
        counts: events so far, by kind.
        operations: operations so far, by name.
        lives: how long contents last.
    """

    def __init__(self, most_pages: int | None = None) -> None:
        """Begin with nothing. most_pages: more are refused; None: as many as there is memory for."""
        self.spaces: dict[int, Space] = {}
        self.ms = self.pages = self.peak = self.peak_ever = self.counted_from_ms = 0
        self.counts = np.zeros(len(Kind), np.int64)
        self.operations: dict[str, int] = {}
        self.lives = Lives()
        self._most = most_pages
        self._checked = self._page_ms = 0
        self._used = -1  # the last number of a space

    def apply(self, block: Block) -> None:
        """Go on by a block. PksmError if it does not fit what there is."""
        self._page_ms += self.pages * (block.ms - self.ms)
        self.ms = block.ms
        self.lives.at(block.ms)
        try:
            for operation in block.operations:
                self.operations[operation[0]] = self.operations.get(operation[0], 0) + 1
                self._operate(block.space, operation)
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

    def _operate(self, number: int, operation: Operation) -> None:
        name, *fields = operation
        if name in ("start", "fork"):
            if number <= self._used:
                raise _Unsound("its number was used before")
            self._used = number
        operate: Callable[..., None] = getattr(self, f"_{name}")
        operate(number, *fields)

    def _start(self, number: int, pid: int, name: str) -> None:
        self.spaces[number] = Space(pid, name)

    def _fork(self, number: int, parent: int, pid: int, name: str) -> None:
        of = self._alive(parent)
        self.lives.share(of.copies)
        of.lent = True
        self.spaces[number] = Space(pid, name, of.pages, of.contents, of.edges, of.copies, lent=True)
        self._grow(len(of.pages))

    def _exit(self, number: int) -> None:
        space = self._alive(number)
        self.pages -= len(space.pages)
        self.lives.end(space.copies, np.zeros(len(space.copies), bool))
        del self.spaces[number]

    def _map(self, number: int, first: int, n: int, name: str, mergeable: bool) -> None:
        space = self._alive(number)
        at, end = int(np.searchsorted(space.edges, first, "right")), int(np.searchsorted(space.edges, first + n))
        if at % 2 or end != at:
            raise _Unsound(f"page {first} and {n - 1} more: something is mapped there")
        space.edges = _toggled(space.edges, first, n)

    def _unmap(self, number: int, first: int, n: int) -> None:
        space = self._alive(number)
        self._require_mapped(space, first, n)
        low, high = np.searchsorted(space.pages, np.array([first, first + n], np.uint64))
        if low != high:
            raise _Unsound(f"page {int(space.pages[low])}: unmapped while it is resident")
        space.edges = _toggled(space.edges, first, n)

    def _advise(self, number: int, first: int, n: int, mergeable: bool) -> None:
        self._require_mapped(self._alive(number), first, n)

    def _require_mapped(self, space: Space, first: int, n: int) -> None:
        at = int(np.searchsorted(space.edges, first, "right"))
        if at % 2 == 0 or int(space.edges[at]) < first + n:
            raise _Unsound(f"page {first} and {n - 1} more: not all of it is mapped")

    def _alive(self, number: int) -> Space:
        if number not in self.spaces:
            raise _Unsound("there is no such address space")
        return self.spaces[number]

    # ---- pages ----

    def _turn(self, space: Space, block: Block) -> None:
        self.counts += np.bincount(block.kinds, minlength=len(Kind))
        born, gone = block.of(Kind.BIRTH), block.of(Kind.DEATH)
        new, dead = block.pages[born], block.pages[gone]
        at = np.searchsorted(space.edges, new.astype(np.int64), "right")
        if (at % 2 == 0).any():
            raise _Unsound(f"page {int(new[at % 2 == 0][0])}: is born where nothing is mapped")
        acted = block.of(Kind.WRITE, Kind.SAME, Kind.DEATH, Kind.MOVED)
        there = block.pages[acted]
        where, found = places(space.pages, there)
        if not found.all():
            raise _Unsound(f"page {int(there[~found][0])}: is not there")
        if places(space.pages, new)[1].any():
            raise _Unsound("a page is born that is there already")
        self.pages -= len(dead)
        self._grow(len(new))
        contents, copies = (
            (space.contents.copy(), space.copies.copy()) if space.lent else (space.contents, space.copies)
        )
        written = block.of(Kind.WRITE)
        contents[where[written[acted]]] = block.content_of(written)
        self._rewrite(copies, where[written[acted]], where[block.of(Kind.SAME)[acted]], contents)
        pages = space.pages
        if len(dead):
            stays = np.ones(len(pages), bool)
            stays[where[gone[acted]]] = False
            self.lives.end(copies[~stays], np.zeros(len(dead), bool))
            pages, contents, copies = pages[stays], contents[stays], copies[stays]
        if len(new):
            into, held = np.searchsorted(pages, new), block.content_of(born)
            pages, contents = np.insert(pages, into, new), np.insert(contents, into, held)
            copies = np.insert(copies, into, self.lives.begin(held))
        space.pages, space.contents, space.copies, space.lent = pages, contents, copies, False
        seen = block.pages[~(born | acted)]  # merged, unmerged, accessed: born just now, perhaps
        if not places(space.pages, seen)[1].all():
            raise _Unsound("something is said of a page that is not there")

    def _rewrite(self, copies: U32Array, written: I64Array, same: I64Array, contents: U32Array) -> None:
        """Give pages that were written copies of their own; those that were written as they were have them already, mostly."""
        at = np.append(written, same[self.lives.is_shared(copies[same])])
        if len(at):
            self.lives.end(copies[at], np.arange(len(at)) < len(written))
            copies[at] = self.lives.begin(contents[at])

    def _grow(self, n: int) -> None:
        self.pages += n
        self.peak, self.peak_ever = max(self.peak, self.pages), max(self.peak_ever, self.pages)
        if self._most is not None:
            if self.pages > self._most:
                raise _Unsound(f"more than {self._most:,} pages")
        elif self.pages > self._checked:
            self._checked = self.pages + _CHECKED_PAGES
            memory_limits.require(BYTES_A_PAGE * n)


class _Unsound(Exception):
    """What is wrong with a block."""


def _toggled(edges: I64Array, first: int, n: int) -> I64Array:
    """Return the edges of mappings to which pages are added, or from which they are taken."""
    low, high = np.searchsorted(edges, np.array([first, first + n])).tolist()
    begins, ends = first in edges[low : low + 1], first + n in edges[high : high + 1]
    new = np.array([first, first + n], np.int64)
    parts = [edges[:low], new[begins:1], edges[low + begins : high], new[1 + ends :], edges[high + ends :]]
    return np.concatenate(parts)
