"""Loads of a user's own: the pages of a file that holds memory, and which of them are equal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import Pages, U8Array, U32Array
from pksm.engine import native
from pksm.engine.checksums import strategies
from pksm.engine.store import Store
from pksm.errors import UsageError
from pksm.linux import memory_limits
from pksm.scan.gather import gather
from pksm.simulation.workloads.loads import Load
from pksm.sources import open_target, opened

if TYPE_CHECKING:
    from pksm.sources import Sandbox

COPIED_PAGES = 1 << 14  # at a time
SUMS = ("xxh64", "xxh3-64")  # each by itself: two contents that collide in one do not in the other
BYTES_OF_GROUPING = 64  # per page


@dataclass(frozen=True)
class FileLoad:
    """The resident pages of a file, in order: their store, and their numbers in it."""

    name: str
    store: Store
    pages: Pages
    warnings: tuple[str, ...]

    @property
    def about(self) -> str:
        """A sentence about it."""
        return f"The file of that name: {len(self.pages):,} resident pages."

    def write(self, out: U8Array) -> Load:
        """Write its first pages to out, uint8 (n, page_size), and return them as a load."""
        pages = self.pages[: len(out)]
        for start in range(0, len(pages), COPIED_PAGES):
            out[start : start + COPIED_PAGES] = native.pages_copy(self.store.view, pages[start : start + COPIED_PAGES])
        return Load(self.name, contents_of(out))


@contextmanager
def opened_load(path: str, page_size: int, sandbox: Sandbox | None = None) -> Iterator[FileLoad]:
    """Give the load that a file holds; its format is found out as for a scan.

    Args:
        path: of the file.
        page_size: bytes per page.
        sandbox: where the file is parsed; None is in this process.

    Raises:
        UsageError: the page size, or a file of fingerprints, which hold no bytes.
        PksmError: it cannot be read, or holds no page.
    """
    with opened([partial(open_target, path, sandbox)]) as (sources, _):
        if sources[0].page_size is not None:
            raise UsageError(f"{path}: fingerprints hold no bytes to measure with: name the memory that they are of")
        gathered = gather(sources, page_size, "mappings", lambda pages: None)
        if gathered.failed:
            raise gathered.failed[0]
        pages = gathered.born.take(0, len(gathered.born))
        if not len(pages):
            raise UsageError(f"{path}: there are no resident pages to measure with")
        yield FileLoad(path, gathered.store, pages, tuple(gathered.warnings))


def contents_of(memory: U8Array) -> U32Array:
    """Return a content id for each page of uint8 (n, page_size): equal ids mean equal bytes, 0 is the zero page.

    Pages are grouped by a checksum, and each is compared with the first of its group.
    """
    memory_limits.require(len(memory) * BYTES_OF_GROUPING, "measure fewer pages")
    store = Store(memory.shape[1])
    first = store.add(memory)
    pages = np.arange(first, first + len(memory), dtype=np.uint32)
    for name in SUMS:
        sums = native.checksum_pages(store.view, strategies.make(name, store.page_size), pages)
        _, firsts, content = np.unique(sums, return_index=True, return_inverse=True)
        if native.yardstick_memcmp(store.view, pages, pages[firsts][content]) == len(pages):
            is_zero = native.pages_are_zero(store.view, pages[firsts])
            ids = np.cumsum(~is_zero, dtype=np.uint32)
            ids[is_zero] = 0
            return ids[content]
    raise UsageError(
        f"pages that differ have the same {' and the same '.join(SUMS)}: there is no load to be made of them"
    )
