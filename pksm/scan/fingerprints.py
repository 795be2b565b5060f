"""Writing fingerprints: what was gathered, as two checksums a page. pksm.sources.fingerprints has the layout."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import numpy as np

from pksm.arrays import Pages, StructArray, U8Array
from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.store import Store
from pksm.errors import UsageError
from pksm.linux import new_file as new_files
from pksm.scan.gather import Gathered, Taken
from pksm.scan.remarks import of_reading
from pksm.sources import fingerprints as layout
from pksm.sources.base import Source

AT_ONCE = 1 << 16  # pages

Keep = Callable[[Gathered, int], None]


def check_keeping(sources: Sequence[Source], view: str) -> None:
    """Raise UsageError where no fingerprints can be made: of fingerprints, and of mappings, which are not frames."""
    if any(source.page_size is not None for source in sources):
        raise UsageError("these are fingerprints already: scan them together, and keep none", "keep")
    if view != "frames":
        raise UsageError(f"take the view frames, and the view {view} when the file is scanned", "keep")
    if len(sources) > layout.MOST_SOURCES:
        most = layout.MOST_SOURCES
        raise UsageError(f"a file holds those of {most} sources, not {len(sources)}: make several files", "keep")


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[Keep]:
    """Give a function write(gathered, page_size), which is what scan(keep=) takes.

    The file is there, whole and for its owner only, when the block ends. Nothing is left of it, and what was there
    stays, when the block fails or wrote nothing. Refuses to replace a file that holds something else.
    """
    with new_files.new_file(os.fspath(path), "fingerprints", _are_fingerprints) as new:
        yield lambda gathered, page_size: new.write(lambda file: _write(file, gathered, page_size, _table(gathered)))


def _are_fingerprints(head: bytes) -> bool:
    return head.startswith(layout.MAGIC)


def _write(file: IO[bytes], gathered: Gathered, page_size: int, table: bytes) -> None:
    header = np.zeros(1, layout.HEADER)
    header["magic"], header["version"], header["page_size"] = layout.MAGIC, layout.VERSION, page_size
    header["records"], header["table_bytes"] = sum(len(taken.mapped) for taken in gathered.taken), len(table)
    file.write(header.tobytes() + table)
    times = np.zeros(gathered.store.n_pages, np.uint8)  # how often pages are mapped, 2 being many
    for pages in _all_chunks(gathered):
        again = times[pages] > 0
        times[pages] = np.where(again, 2, 1)
        pages = np.sort(pages)
        times[pages[1:][pages[1:] == pages[:-1]]] = 2
    for number, taken in enumerate(gathered.taken):
        for start in range(0, len(taken.mapped), AT_ONCE):
            file.write(_records(gathered.store, taken, number, start, times).tobytes())


def _table(gathered: Gathered) -> bytes:
    table = {
        "sources": [_about(taken) for taken in gathered.taken],
        "partial": gathered.partial or gathered.interrupted,
        "warnings": of_reading(gathered),
    }
    text = json.dumps(table).encode()
    return text.ljust(-(-len(text) // layout.RECORD.itemsize) * layout.RECORD.itemsize)


def _about(taken: Taken) -> dict[str, Any]:
    return {
        "name": taken.name, "kind": taken.kind, "mappings": taken.names, "records": len(taken.mapped),
        "zero": taken.zero_of, "lost": taken.lost, "out_of_reach": taken.out_of_reach, "facts": taken.facts,
        "warnings": taken.warnings,
    }  # fmt: skip


def _records(store: Store, taken: Taken, number: int, start: int, times: U8Array) -> StructArray:
    pages = taken.mapped.take(start, start + AT_ONCE)
    records = np.zeros(len(pages), layout.RECORD)
    records["frame"], records["source"] = pages, number
    segments = np.searchsorted(taken.starts, np.arange(start, start + len(pages)), "right") - 1
    records["mapping"] = taken.segments[segments]
    zero = native.pages_are_zero(store.view, pages)
    for name, field in (("xxh3-64", "xxh3"), ("xxh64", "xxh64")):
        sums = native.checksum_pages(store.view, checksums.make(name, store.page_size), pages)
        records[field] = np.where(zero, 0, sums)
    records["xxh64"][~zero & (records["xxh3"] == 0) & (records["xxh64"] == 0)] = 1  # zero sums are for zero pages
    records["flags"] = np.where(zero, layout.ZERO, 0) | np.where(times[pages] == 1, layout.ONCE, 0)
    return records


def _all_chunks(gathered: Gathered) -> Iterator[Pages]:
    return (
        taken.mapped.take(start, start + AT_ONCE)
        for taken in gathered.taken
        for start in range(0, len(taken.mapped), AT_ONCE)
    )
