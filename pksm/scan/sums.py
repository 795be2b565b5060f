"""The checksums of a file, page by page."""

import os

import numpy as np

from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.store import Store
from pksm.errors import PksmError
from pksm.sources import base
from pksm.sources.images import files


class FileSums:
    """A file as pages, and their checksums.

    width: bits of a checksum; bytes_over: what is left behind the last whole page. Raises as files.open_regular does,
    UsageError for the strategy or the page size, PksmError for a file below one page.
    """

    def __init__(self, path, name, page_size=4096, seed=0):
        base.check_page_size(page_size)
        self._checksum = checksums.make(name, page_size, seed)
        self.width = self._checksum.width
        descriptor = files.open_regular(path)
        try:
            size = os.fstat(descriptor).st_size
            n_pages, self.bytes_over = divmod(size, page_size)
            if not n_pages:
                raise PksmError(f"{path}: {size} bytes are less than one page of {page_size} bytes")
            self._store = Store(page_size)
            self._first = self._store.add(files.map_file(path, descriptor, n_pages * page_size))
        finally:
            os.close(descriptor)
        self.n_pages = n_pages

    def parts(self, n):
        """Yield (first page, the checksums of it and of the next ones: uint64), up to n at a time."""
        for start in range(0, self.n_pages, n):
            pages = np.arange(start, min(self.n_pages, start + n), dtype=np.uint32) + np.uint32(self._first)
            yield start, native.checksum_pages(self._store.view, self._checksum, pages)


def hexadecimal(sums, width):
    """Return checksums as hexadecimal numbers of as many digits as `width` bits take."""
    return map(f"{{:0{-(-width // 4)}x}}".format, sums.tolist())
