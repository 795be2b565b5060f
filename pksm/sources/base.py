"""What every memory source gives: regions of pages, and the facts about it. Readers of others derive from Source."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pksm.arrays import BoolArray, U64Array
from pksm.errors import UsageError
from pksm.extents import State
from pksm.linux.proc.smaps import Mapping as Mapping
from pksm.sources.files import OpenFile

MIN_PAGE_SIZE = 512
MAX_PAGE_SIZE = 2 << 20


class Allocation(NamedTuple):
    """Memory for copies of pages: `array` (uint8 (n, page_size)) to write to, and where whoever gave it finds it."""

    array: np.ndarray
    first: int = 0


Allocate = Callable[[int], Allocation]
Known = Callable[[U64Array], BoolArray]
Progress = Callable[[int], None]


@dataclass
class Region:
    """Some runs of a source, sorted by address, and the bytes of their DATA pages.

    Attributes:
        runs: extents.RUN; `first` counts the pages of `view` or `copies`, or where there is `copied`, its entries.
        view: uint8, bytes of a mapped file, which stay where they are; None where there are none.
        copies: what `allocate` gave, filled, where the bytes were copied.
        frames: the frame of each page, uint64, 0 where it is unknown; or None.
        exclusive: whether each page is mapped once, bool; given together with `frames`.
        copied: whether `copies` holds each page, bool; those it holds lie one after the other. None where it holds all:
            only pages of frames that are known (Source.known) may be missing.
        looked_up: of which pages `frames` and `exclusive` are those of now, bool; of others they say nothing. None: of all.
    """

    runs: np.ndarray
    view: np.ndarray | None = None
    copies: Allocation | None = None
    frames: np.ndarray | None = None
    exclusive: np.ndarray | None = None
    copied: np.ndarray | None = None
    looked_up: np.ndarray | None = None

    @property
    def buffer(self) -> np.ndarray | None:
        """The bytes, as they were read or mapped."""
        return self.view if self.copies is None else self.copies.array

    def fault(self, page_size: int, n_mappings: int) -> str:
        """Return what is wrong with a region that a reader made, "" if nothing is: so much must hold to read it."""
        runs, data = self.runs, self.runs[self.runs["state"] == State.DATA]
        if len(runs) and int(runs["state"].max()) > max(State):
            return "a run is in a state that there is not"
        if len(runs) and int(runs["mapping"].max()) >= n_mappings:
            return f"a run is of mapping {int(runs['mapping'].max())}, and there are {n_mappings}"
        held = 0 if self.buffer is None else self.buffer.size // page_size
        if self.copied is not None:
            if self.frames is None or int(self.copied.sum()) > held:
                return "of the pages that are not copied, and only of those, the frames must be given"
            held = len(self.copied)
        if len(data) and ((data["first"] > held) | (data["pages"] > held - data["first"])).any():
            return f"a run reaches behind the {held} pages of its buffer"
        if len(data) > 1:
            ordered = data[np.argsort(data["first"], kind="stable")]
            if (ordered["first"][1:] < (ordered["first"] + ordered["pages"])[:-1]).any():
                return "two runs hold one page of its buffer"
        if (self.frames is None) != (self.exclusive is None):
            return "frames and exclusive are given together or not at all"
        columns = [column for column in (self.frames, self.exclusive) if column is not None]
        if any(len(column) != held for column in columns):
            return f"frames and exclusive must have an entry for each of the {held} pages"
        return ""


class Source(ABC):
    """One memory to read. `mappings`, `lost` and `warnings` may be filled while it is read.

    Attributes:
        name: what the source is called in results and messages.
        kind: what it is, in a word.
        file: the file that it reads, or None.
        mappings: the named parts of its address space, to which runs point.
        warnings: one line each.
        lost: pages that should have been read and could not be.
        partial: whether memory is missing that `lost` does not count.
        page_size: None; for what only stands for pages, as fingerprints do, the size of these (bytes).
        key_check: of fingerprints: of the secret key that they are made with; 0: there is none.
        machine: whose frames `Region.frames` numbers: sources with equal ones may share frames. None is this machine.
        known: set by whoever reads: takes numbers of frames (uint64) and returns which of them are known (bool). Their
            pages, unless mapped once, need not be copied again.
    """

    kind: str = ""
    page_size: int | None = None
    key_check: int = 0
    machine: Hashable = None
    known: Known | None = None

    def __init__(self, name: str, file: OpenFile | None = None) -> None:
        self.name = name
        self.file = file
        self.mappings: list[Mapping] = []
        self.warnings: list[str] = []
        self.lost = 0
        self.partial = False

    def parts(self) -> Sequence["Source"]:
        """Return the memories that this is made of, each a source to be read; closing this one closes them."""
        return [self]

    @abstractmethod
    def regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        """Yield all pages, region by region.

        Args:
            page_size: bytes.
            allocate: called with a number of pages; gives the memory for copies of so many.
            progress: called with the pages read since the last call.

        Raises:
            UsageError: this memory can't be read in pages of this size.
            PksmError: it can't be read, in one line.
        """

    def facts(self) -> dict[str, Any]:
        """Return further fields for the result; `out_of_reach` among them is {why: HOLE or EXCLUDED pages}."""
        return {}

    def close(self) -> None:
        """Let go of what is open; mapped bytes that are still in use stay valid."""
        if self.file is not None:
            self.file.close()


def check_page_size(page_size: int) -> None:
    """Raise UsageError unless `page_size` (bytes) is a power of two that sources can be read in."""
    if not MIN_PAGE_SIZE <= page_size <= MAX_PAGE_SIZE or page_size & (page_size - 1):
        raise UsageError(
            f"page size {page_size}: give a power of two from {MIN_PAGE_SIZE} to {MAX_PAGE_SIZE}", "page_size"
        )
