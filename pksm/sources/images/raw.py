"""Raw memory: any file whose offset is an address, such as the RAM file of a virtual machine."""

import os
from collections.abc import Iterator, Sequence

import numpy as np

from pksm.errors import PksmError
from pksm.extents import DATA, State, data_runs, make_runs
from pksm.linux.proc.smaps import Mapping
from pksm.sources import base
from pksm.sources.base import Allocate, Progress, Region, Source
from pksm.sources.files import OpenFile
from pksm.sources.images import containers, copies, mapped


def sniff(file: OpenFile) -> bool:
    """Say yes: any file can be read as raw memory."""
    return True


def open_file(file: OpenFile) -> "RawSource":
    """Open the file as raw memory. Raises PksmError for a container that is known to hold it otherwise."""
    return RawSource(file, containers.check(file))


class RawSource(Source):
    """A file mapped read-only as one region; its holes are pages that are not resident, never zero pages.

    Where the file is memory, what a mapping would fill is copied instead.
    """

    kind = "raw"
    file: OpenFile

    def __init__(self, file: OpenFile, remarks: Sequence[str] = ()) -> None:
        super().__init__(file.path, file)
        self._remarks = remarks
        self.mappings = [Mapping(os.path.basename(self.name), 0, file.size)]

    def regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        """Yield the file's pages. Raises UsageError for the page size, PksmError for a file below one page."""
        base.check_page_size(page_size)
        n_pages, bytes_over = divmod(self.file.size, page_size)
        if n_pages == 0:
            raise PksmError(f"{self.name}: {self.file.size} bytes are less than one page of {page_size} bytes")
        self.warnings = list(self._remarks)
        if bytes_over:
            self.warnings.append(
                f"{self.name}: {bytes_over} bytes over after the last whole page of {page_size} bytes are left out: "
                "the file is truncated or has another page size"
            )
        if self.file.huge_page_bytes:
            self.warnings.append(
                f"{self.name}: hugetlbfs does not report the holes of files: it was copied, and as many of its zero "
                "huge pages as have no memory count as not resident"
            )
            yield from copies.HugePages(self.file).regions(n_pages, page_size, allocate, progress)
        elif self.file.fills_holes and (self.file.extents % page_size).any():
            whole = mapped.piece(0, np.zeros(1, np.uint64), [0], [n_pages * page_size])
            yield from mapped.regions(self.file, whole, State.HOLE, page_size, allocate, progress)
        else:
            yield self._mapped(n_pages, page_size, progress)

    def _mapped(self, n_pages: int, page_size: int, progress: Progress) -> Region:
        runs = _runs(self.file.extents, n_pages, page_size)
        data = data_runs(runs)
        if not len(data):
            return Region(runs)
        view = self.file.view[: n_pages * page_size]
        progress(int(data["pages"].sum()))
        return Region(runs, view)


def _runs(extents: np.ndarray, n_pages: int, page_size: int) -> np.ndarray:
    """Make DATA and HOLE runs in turn; a page with any data in it is DATA."""
    if len(extents) == 1 and extents[0, 0] == 0 and extents[0, 1] >= n_pages * page_size:  # as nearly always: no hole
        return make_runs(DATA, 0, 0, [n_pages])
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
