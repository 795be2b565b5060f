"""Raw memory: any file whose offset is an address, such as the RAM file of a virtual machine."""

import os

import numpy as np

from pksm.errors import PksmError
from pksm.extents import State, data_runs, make_runs
from pksm.linux.proc.smaps import Mapping
from pksm.sources import base
from pksm.sources.images import files


def sniff(path, head: bytes) -> bool:
    """Tell that any file can be read as raw memory."""
    return True


def open_file(path) -> "RawSource":
    """Open `path` as raw memory. Raises as files.open_regular does."""
    return RawSource(path)


class RawSource:
    """A file mapped read-only as one region; its holes are pages that are not resident, never zero pages."""

    kind = "raw"

    def __init__(self, path):
        self.name = os.fspath(path)
        self.lost = 0
        self.warnings = []
        self._fd = files.open_regular(path)
        self._size = os.fstat(self._fd).st_size
        self.mappings = [Mapping(os.path.basename(self.name), 0, self._size)]

    def regions(self, page_size, allocate, progress):
        """Yield the file's one region. Raises UsageError for the page size, PksmError for a file below one page."""
        base.check_page_size(page_size)
        n_pages, bytes_over = divmod(self._size, page_size)
        if n_pages == 0:
            raise PksmError(f"{self.name}: {self._size} bytes are less than one page of {page_size} bytes")
        self.warnings = []
        if bytes_over:
            self.warnings.append(
                f"{self.name}: {bytes_over} bytes over after the last whole page of {page_size} bytes are left out: "
                "the file is truncated or has another page size"
            )
        runs = _runs(files.data_extents(self._fd, self._size), n_pages, page_size)
        buffer = files.map_file(self.name, self._fd, n_pages * page_size)
        data = data_runs(runs)
        if len(data):
            progress(int(data["pages"].sum()))
        yield base.Region(buffer if len(data) else None, runs)

    def close(self) -> None:
        """Close the file; a mapped buffer that is still in use stays valid."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _runs(extents: np.ndarray, n_pages: int, page_size: int) -> np.ndarray:
    """Make DATA and HOLE runs in turn; a page with any data in it is DATA."""
    starts = np.minimum(extents[:, 0] // page_size, n_pages)
    ends = np.minimum(-(-extents[:, 1] // page_size), n_pages)
    apart = starts[1:] > ends[:-1]  # extents that meet in one page are one run
    starts = starts[np.append(True, apart)] if len(starts) else starts
    ends = ends[np.append(apart, True)] if len(ends) else ends
    edges = np.concatenate([[0], np.column_stack([starts, ends]).ravel(), [n_pages]])
    first_pages, pages = edges[:-1], np.diff(edges)
    states = np.where(np.arange(len(pages)) % 2, State.DATA, State.HOLE)
    runs = make_runs(states, 0, first_pages * page_size, pages)
    runs = runs[pages > 0]
    # The buffer is the file itself, so a page's place in it is its place in the file.
    runs["first"] = np.where(runs["state"] == State.DATA, runs["address"] // page_size, 0)
    return runs
