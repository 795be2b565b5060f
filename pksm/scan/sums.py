"""The checksums of a file, page by page."""

import os
from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np

from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.store import Store
from pksm.extents import data_runs, expand
from pksm.scan.intake import Intake
from pksm.sources.base import check_page_size
from pksm.sources.files import OpenFile
from pksm.sources.images.raw import RawSource


class FileSums:
    """A file as pages, and their checksums.

    Attributes:
        width: bits of a checksum.
        n_pages: whole pages of the file.
        warnings: lines about what is not in them.

    Raises:
        UsageError: for the strategy, the page size, or what is not a regular file.
        PksmError: for a file that cannot be read or is below one page.
    """

    def __init__(self, path: str | os.PathLike[str], name: str, page_size: int = 4096, seed: int = 0) -> None:
        check_page_size(page_size)
        self._checksum = checksums.make(name, page_size, seed)
        self.width: int = self._checksum.width
        self._store = Store(page_size)
        file = OpenFile(path)
        try:
            self._pages, self.warnings = _paged(RawSource(file), self._store)
        finally:
            file.close()
        self.n_pages = len(self._pages)

    def parts(self, n: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first page, the checksums of it and of the next ones: uint64), up to n at a time."""
        for start in range(0, self.n_pages, n):
            yield start, native.checksum_pages(self._store.view, self._checksum, self._pages[start : start + n])


def hexadecimal(sums: np.ndarray, width: int) -> Iterator[str]:
    """Return checksums as hexadecimal numbers of as many digits as `width` bits take."""
    return map(f"{{:0{-(-width // 4)}x}}".format, sums.tolist())


def _paged(source: RawSource, store: Store) -> tuple[np.ndarray, list[str]]:
    """Return (the store's page for each page of the file, uint32; warnings). Holes are one page of zeros for all."""
    intake, size = Intake(store, "mappings", False, nullcontext), store.page_size
    zero, _ = store.allocate(1)
    pages = np.full(source.file.size // size, zero, np.uint32)
    for region in source.regions(size, intake.allocate, lambda pages: None):
        data = data_runs(region.runs)
        if len(data):
            counts = data["pages"].astype(np.int64)
            if region.copies is not None:
                numbers = intake.add_copies(region.copies, expand(data["first"].astype(np.int64), counts))
            elif region.view is not None:
                numbers = intake.add_view(region.view, data)
            pages[expand(data["address"].astype(np.int64) // size, counts)] = numbers
    return pages, source.warnings
