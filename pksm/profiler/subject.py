"""What checksums are profiled on: pages of a workload or of somebody's memory, and a part of them that may change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pksm.arrays import Pages
from pksm.engine import memory, native
from pksm.engine.store import Store
from pksm.errors import UsageError
from pksm.linux import memory_limits
from pksm.scan.gather import gather
from pksm.scan.interrupts import Interrupts
from pksm.simulation.workloads import make
from pksm.sources import opened

SAMPLE_PAGES = 16384
TABLE_CHECKSUM = "xxh3-64"


class Subject:
    """Pages to profile on.

    name; store; pages: uint32, ascending; rows: uint8 (n, page_size), a copy of some of the pages, evenly spread, that
    may be written to, and row_pages: their page numbers in the same store; copied: those they are copies of;
    contents: bool, the first page of each content among the pages; n_zero: zero pages among them; warnings, partial:
    what its sources had to say, and whether something of them is missing.
    """

    def __init__(
        self, name: str, store: Store, pages: Pages, warnings: list[Any] | tuple[Any, ...] = (), partial: bool = False
    ) -> None:
        if not len(pages):
            raise UsageError(f"{name}: there are no resident pages to profile on")
        self.name, self.store, self.pages = name, store, pages
        self.warnings, self.partial = list(warnings), partial
        native.yardstick_read(store.view, pages)  # touched: page tables are in place
        self._count()
        chosen = pages[np.linspace(0, len(pages) - 1, min(len(pages), SAMPLE_PAGES)).astype(np.intp)]
        first, self.rows = store.allocate(len(chosen))
        self.rows[:] = native.pages_copy(store.view, chosen)
        self.row_pages = np.arange(first, first + len(chosen), dtype=np.uint32)
        self.copied = chosen

    def _count(self) -> None:
        view, n = self.store.view, len(self.pages)
        checksum = native.Checksum(TABLE_CHECKSUM)
        kept = np.empty(n, np.uint32)
        slots = memory.zeros(1 << (2 * n).bit_length(), native.SLOT)
        native.yardstick_table(view, checksum, self.pages, slots, kept)
        self.contents = kept == self.pages
        self.zero = native.pages_are_zero(view, self.pages)
        self.n_zero = int(np.count_nonzero(self.zero))

    @property
    def page_size(self) -> int:
        return self.store.page_size

    @property
    def saving(self) -> int:
        """Frames that merging saves: all zero pages, and all but one of each other content."""
        n_contents = int(np.count_nonzero(self.contents)) - (self.n_zero > 0)
        return len(self.pages) - n_contents

    def as_dict(self) -> dict[str, Any]:
        """Return what the pages are, ready for json."""
        return {
            "name": self.name,
            "pages": len(self.pages),
            "bytes": len(self.pages) * self.page_size,
            "contents": int(np.count_nonzero(self.contents)),
            "zero_pages": self.n_zero,
            "saving_pages": self.saving,
        }


def of_load(name: str, n_pages: int, page_size: int = 4096, seed: int = 0) -> Subject:
    """Return the Subject of a static load. UsageError for an unknown load or no pages."""
    if n_pages < 1:
        raise UsageError(f"{n_pages} pages: there must be one at least to profile on")
    memory_limits.require(n_pages * page_size, "profile fewer pages")
    store = Store(page_size)
    first, array = store.allocate(n_pages)
    make(name, array, seed)
    return Subject(f"workload {name}", store, np.arange(first, first + n_pages, dtype=np.uint32))


@contextmanager
def of_memory(
    openers: list[Callable[..., Any]],
    page_size: int,
    progress: Callable[..., Any],
    hold: Callable[..., Any] | None = None,
) -> Iterator[Subject]:
    """Give the Subject of all pages of some sources together, each frame once; as for a scan."""
    interrupts = Interrupts(hold)
    with opened(openers, interrupts.hold) as (sources, errors):
        gathered = gather(sources, page_size, "frames", progress, Interrupts())
        pages = np.sort(gathered.born.take(0, len(gathered.born)))
        names = [taken.name for taken in gathered.taken]
        failed = [*errors, *gathered.failed]
        partial = bool(failed) or gathered.partial
        name = names[0] if len(names) == 1 else f"{len(names)} sources"
        yield Subject(name, gathered.store, pages, [*gathered.warnings, *map(str, failed)], partial)
