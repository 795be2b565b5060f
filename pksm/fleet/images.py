"""Images of memory as rows of contents: one number for each page, in the order of addresses."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np

from pksm.arrays import I64Array, StructArray, U64Array
from pksm.errors import PksmError
from pksm.extents import ADDRESS_RUN, RUN, State, data_runs, expand
from pksm.scan.sum_intake import SumIntake
from pksm.sources.base import Region, Source
from pksm.sources.opening import naming_files_at_fault

LAST = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


@dataclass(frozen=True)
class Row:
    """What one image holds.

    Args:
        path: of the image.
        layout: extents.ADDRESS_RUN, the pages that it covers by address; images with other ones cannot be compared.
        zero: of them, those that are zero: where a file or a memory has a hole, whoever reads it sees zeros, too.
        unknown: of them, those that the image should hold and does not.
        partial: whether memory is missing.
        warnings: one line each.
        contents: uint64 (pages,), a number for the content of each page: 0 for a zero page, 64 bits of checksum for
            others; unknown pages have each a content of their own.
    """

    path: str
    layout: StructArray
    zero: int
    unknown: int
    partial: bool
    warnings: list[str]
    contents: U64Array

    def stored(self, path: str) -> Row:
        """Return the same, with contents in a file instead of memory. PksmError if it cannot be written."""
        try:
            with open(path, "wb") as file:
                file.write(self.contents.data)
        except OSError as error:
            raise PksmError(f"{path}: cannot be written: {error.strerror}") from None
        shape = self.contents.shape
        return replace(self, contents=np.memmap(path, np.uint64, "r", shape=shape) if shape[0] else self.contents)


def read_row(source: Source, page_size: int, number: int) -> Row:
    """Read an image. Takes about 75 bytes per page of it.

    Args:
        source: opened; the caller closes it.
        page_size: bytes.
        number: of the image among all: by it, its unknown pages differ from those of others.

    Raises:
        UsageError: it can't be read in pages of this size.
        PksmError: it can't be read, or has no addresses, as fingerprints.
    """
    if source.page_size is not None:
        raise PksmError(f"{source.name}: holds fingerprints, in which no page has an address: name the image itself")
    intake = SumIntake(page_size, nullcontext)
    parts = [np.empty(0, RUN)]
    with naming_files_at_fault([source]):
        for region in source.regions(page_size, intake.allocate, lambda pages: None):
            parts.append(_taken(source, region, intake, page_size))
    runs = np.concatenate(parts)
    data_first = np.cumsum(np.where(runs["state"] == State.DATA, runs["pages"], 0)).astype(np.int64)
    runs["first"] = data_first - np.where(runs["state"] == State.DATA, runs["pages"], 0)  # of each, in the sums
    runs = runs[np.argsort(runs["address"], kind="stable")]
    ends = runs["address"] // page_size + runs["pages"]
    if (runs["address"][1:] // page_size < ends[:-1]).any():
        raise PksmError(f"{source.name}: has several pages at one address, and so is not an image of one memory")
    contents = _placed(runs, intake.sums, number)
    unknown = int(runs["pages"][runs["state"] == State.EXCLUDED].sum())
    return Row(
        path=source.name,
        layout=_layout(runs, page_size),
        zero=len(contents) - int(np.count_nonzero(contents)),
        unknown=unknown,
        partial=bool(source.lost or source.partial or unknown),
        warnings=list(source.warnings),
        contents=contents,
    )


def _taken(source: Source, region: Region, intake: SumIntake, page_size: int) -> StructArray:
    """Let the intake sum the DATA pages of a region, run by run, and return its runs, DATA runs in this order."""
    fault = region.fault(page_size, len(source.mappings))
    if fault:
        raise PksmError(f"{source.name}: {fault}: its reader is at fault")
    data = data_runs(region.runs)
    if len(data) and region.copies is not None:
        intake.add_copies(region.copies, expand(data["first"].astype(np.int64), data["pages"].astype(np.int64)))
    elif len(data) and region.view is not None:
        intake.add_view(region.view, data)
    return np.concatenate([data, region.runs[region.runs["state"] != State.DATA]])


def _placed(runs: StructArray, sums: U64Array, number: int) -> U64Array:
    """Return the content of each page of all runs, one run after the other; `first` of a DATA run is that of its sums."""
    pages = runs["pages"].astype(np.int64)
    starts = np.cumsum(pages) - pages
    contents = np.zeros(int(pages.sum()), np.uint64)
    is_data, is_unknown = runs["state"] == State.DATA, runs["state"] == State.EXCLUDED
    # Both sums are 0 for a zero page alone.
    contents[_all(starts[is_data], pages[is_data])] = np.where(sums[:, 0] == 0, sums[:, 1], sums[:, 0])[
        _all(runs["first"][is_data].astype(np.int64), pages[is_data])
    ]
    unknown = _all(starts[is_unknown], pages[is_unknown])
    contents[unknown] = LAST - (unknown + number * len(contents)).astype(np.uint64)
    return contents


def _all(starts: I64Array, pages: I64Array) -> I64Array:
    """Return the numbers of all pages of runs, int64."""
    before = np.cumsum(pages) - pages
    return np.repeat(starts - before, pages) + np.arange(int(pages.sum()))


def _layout(runs: StructArray, page_size: int) -> StructArray:
    """Return the pages that runs cover, sorted, as few runs as there can be: ADDRESS_RUN."""
    first, pages = runs["address"] // page_size, runs["pages"]
    heads = np.flatnonzero(np.append(True, first[1:] != (first + pages)[:-1])[: len(runs)])
    made = np.empty(len(heads), ADDRESS_RUN)
    made["first"] = first[heads]
    made["pages"] = np.add.reduceat(pages, heads) if len(heads) else 0
    return made
