"""What a memory source gives: states, runs of pages, regions, and the protocol every reader follows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pksm.errors import UsageError
from pksm.linux.proc.smaps import Mapping

MIN_PAGE_SIZE = 512
MAX_PAGE_SIZE = 2 << 20


Allocate = Callable[[int], np.ndarray]
Progress = Callable[[int], None]


@dataclass
class Region:
    """Some runs of a source, sorted by address, and the buffer that holds the bytes of their DATA pages.

    buffer: uint8, whole pages, or None when no page has data; `frames` (uint64, 0 = unknown) and `exclusive`
    (bool: mapped once) have one entry a buffer page, or are None. `allocated` tells that `allocate` made the buffer.
    """

    buffer: np.ndarray | None
    runs: np.ndarray
    frames: np.ndarray | None = None
    exclusive: np.ndarray | None = None
    allocated: bool = False


class Source(Protocol):
    """One memory to read. `mappings`, `lost` (pages) and `warnings` are filled while reading.

    regions() asks `allocate(n_pages) -> uint8 array (n_pages, page_size)` for the memory of live copies and calls
    `progress(pages)` with the pages read since the last call. Raises PksmError (UsageError for a wrong page size).
    A source may have `partial`: whether memory is missing that `lost` does not count. It may have facts() -> dict of
    further fields for the result; `out_of_reach` in it is {why: HOLE or EXCLUDED pages}.
    """

    name: str
    kind: str
    mappings: list[Mapping]
    lost: int
    warnings: list[str]

    def regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]: ...
    def close(self) -> None: ...


def check_page_size(page_size: int) -> None:
    """Raise UsageError unless `page_size` (bytes) is a power of two that sources can be read in."""
    if not MIN_PAGE_SIZE <= page_size <= MAX_PAGE_SIZE or page_size & (page_size - 1):
        raise UsageError(f"page size {page_size}: give a power of two from {MIN_PAGE_SIZE} to {MAX_PAGE_SIZE}")
