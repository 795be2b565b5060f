"""Making fingerprints of memory: two checksums per page, in a pass of its own that keeps no bytes.

pksm.sources.fingerprints.layout has the layout of the file.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import IO, Any

import numpy as np

from pksm.arrays import AnyArray, StructArray, U8Array
from pksm.documents.fingerprint import FingerprintDocument
from pksm.engine import native
from pksm.errors import PksmError, UsageError
from pksm.linux import new_file as new_files
from pksm.scan.gather import Gathered, Taken, gather
from pksm.scan.heaviest import heaviest, stretches
from pksm.scan.interrupts import Interrupts
from pksm.scan.remarks import of_reading
from pksm.scan.run import Guard
from pksm.scan.sum_intake import SumIntake
from pksm.sources.base import Source, check_page_size
from pksm.sources.fingerprints.layout import ALL_SUMS, MAGIC, RECORD, below_of, is_zero, keep_of, sorted_records
from pksm.sources.fingerprints.table import MOST_SOURCES
from pksm.sources.fingerprints.writing import FingerprintWriter
from pksm.sources.opening import naming_files_at_fault

AT_ONCE = 1 << 16  # pages
PAGE_SIZE = 4096
KEY_BYTES = 16
KEY_CHECK = b"pksm fingerprint"  # what a key is recognized by: its keyed sum


def fingerprint(
    sources: Sequence[Source],
    path: str | os.PathLike[str],
    page_size: int = PAGE_SIZE,
    keep: float = 1.0,
    key: bytes | None = None,
    progress: Callable[[int], None] = lambda pages: None,
    *,
    errors: Sequence[PksmError] = (),
    interrupts: Interrupts | None = None,
    reading: Guard | None = None,
) -> FingerprintDocument:
    """Write the fingerprints of some memory to a file, which appears whole or not at all, for its owner only.

    Args:
        sources: opened sources; the caller closes them.
        path: of the file; it may replace fingerprints, and nothing else.
        page_size: bytes.
        keep: the share of contents to keep, the same ones wherever it is the same; 1: all.
        key: 16 secret bytes that checksums are made with, or None. Who has it can guess contents.
        progress: called with the pages read since the last call.
        errors: those of sources that could not be opened.
        interrupts: may end the reading early.
        reading: held while sources are read; its `warnings` are kept.

    Returns:
        The document `pksm.fingerprint/1`, ready for JSON.

    Raises:
        UsageError: for what can't be meant, such as fingerprints of fingerprints.
        PksmError: nothing can be read, or the file not be written.
    """
    check_page_size(page_size)
    if not 0 < keep <= 1:
        raise UsageError("must be more than 0 and at most 1", "keep")
    parts = [part for source in sources for part in source.parts()]
    _check_parts(parts)
    check = key_check(key)
    interrupts = interrupts or Interrupts()
    intake = SumIntake(page_size, interrupts.hold, key)
    with new_files.new_file(os.fspath(path), "fingerprints", _are_fingerprints) as new:
        with naming_files_at_fault(parts), reading or nullcontext():
            gathered = gather(parts, page_size, "frames", progress, interrupts, intake)
        gathered.failed[:0] = errors
        gathered.remarks += reading.warnings if reading else []
        made = _Fingerprints(gathered, intake.sums, below_of(keep), check)
        new.write(made.write)
    return made.document(os.fspath(path), page_size)


def key_check(key: bytes | None) -> int:
    """Return a number that files made with the same key have in common, 0 for none. Raises UsageError for no key."""
    if key is None:
        return 0
    if len(key) != KEY_BYTES:
        raise UsageError(f"a key has {KEY_BYTES} bytes, not {len(key)}", "key")
    sums = np.frombuffer(KEY_CHECK, "<u8").reshape(1, 2).astype(np.uint64)
    native.keyed_sums(key, sums)
    return int(sums[0, 0]) or 1


def _check_parts(parts: Sequence[Source]) -> None:
    if not parts:
        raise UsageError("nothing to read: name a file or a process")
    if any(part.page_size is not None for part in parts):
        raise UsageError("these are fingerprints already: pksm scan and pksm fleet take several files together")
    if len(parts) > MOST_SOURCES:
        raise UsageError(f"a file holds those of {MOST_SOURCES} sources, not {len(parts)}: make several files")


def _are_fingerprints(head: bytes) -> bool:
    return head.startswith(MAGIC)


class _Fingerprints:
    """What was gathered, on its way to a file.

    Args:
        gathered: whose pages are numbers of frames.
        sums: of each frame, uint64 (n, 2).
        below: the sum below which contents are kept; 0: all are.
        check: of the key.
    """

    def __init__(self, gathered: Gathered, sums: AnyArray, below: int, check: int) -> None:
        self._gathered, self._sums, self._below, self._check = gathered, sums, below, check
        self._times, self._pages, self._zero = self._counted()
        self._bytes, self._written = 0, 0

    def write(self, file: IO[bytes]) -> None:
        """Write all."""
        n = sum(len(taken.mapped) for taken in self._gathered.taken)
        expected = int(n * keep_of(self._below))
        writer = FingerprintWriter(
            file, self._gathered.store.page_size, self._table(), expected, self._below, self._check
        )
        for low, high in stretches(expected, self._below or ALL_SUMS):
            writer.add(self._records(partial(_within, low, high)))
        if self._below:
            heavy = heaviest(self._sums, self._below)
            writer.add_heavy(self._records(lambda sums: np.isin(sums[:, 0], heavy)))
        writer.finish()
        self._bytes = file.tell()

    def document(self, path: str, page_size: int) -> FingerprintDocument:
        """Return what was written, ready for JSON."""
        gathered = self._gathered
        return {
            "schema": "pksm.fingerprint/1",
            "path": path,
            "bytes": self._bytes,
            "page_size": page_size,
            "keep": keep_of(self._below),
            "keyed": self._check != 0,
            "records": self._written,
            "sources": [
                {"name": taken.name, "pages": pages + zero, "zero_pages": zero}
                for taken, pages, zero in zip(gathered.taken, self._pages, self._zero, strict=True)
            ],
            "interrupted": gathered.interrupted,
            "partial": gathered.partial,
            "warnings": [*gathered.warnings, *of_reading(gathered)],
        }

    def _counted(self) -> tuple[U8Array, list[int], list[int]]:
        """Return how often each frame is mapped, 2 being many; pages with data of each source, each frame counted for
        the first that has it; and its zero pages.
        """
        times = np.zeros(len(self._sums), np.uint8)
        all_pages, all_zero = [], []
        for taken in self._gathered.taken:
            pages = zero = 0
            for _, frames in _chunks(taken):
                new = frames[times[frames] == 0]
                times[frames] = np.where(times[frames] > 0, 2, 1)
                ordered = np.sort(frames)
                again = ordered[1:][ordered[1:] == ordered[:-1]]
                times[again] = 2
                if len(again):
                    new = np.unique(new)
                of_zeros = int((~self._sums[new].any(axis=1)).sum())
                pages, zero = pages + len(new) - of_zeros, zero + of_zeros
            all_pages.append(pages)
            all_zero.append(zero + sum(taken.zero_of))
        return times, all_pages, all_zero

    def _table(self) -> dict[str, Any]:
        gathered = self._gathered
        return {
            "time": int(time.time()),
            "sources": [
                {
                    "name": taken.name, "kind": taken.kind, "mappings": taken.names, "pages": pages, "zero_pages": zero,
                    "zero": taken.zero_of, "lost": taken.lost, "out_of_reach": taken.out_of_reach, "facts": taken.facts,
                    "warnings": taken.warnings,
                }
                for taken, pages, zero in zip(gathered.taken, self._pages, self._zero, strict=True)
            ],
            "partial": gathered.partial or gathered.interrupted,
            "warnings": of_reading(gathered),
        }  # fmt: skip

    def _records(self, wanted: Callable[[AnyArray], AnyArray]) -> StructArray:
        """Return the records, sorted, of the contents of which wanted(sums) is true; of a sample, one per source."""
        parts = [np.empty(0, RECORD)]
        for number, taken in enumerate(self._gathered.taken):
            for start, frames in _chunks(taken):
                sums = self._sums[frames]
                chosen = np.flatnonzero(wanted(sums))
                if not len(chosen):
                    continue
                made = np.zeros(len(chosen), RECORD)
                made["sum"], made["tail"] = sums[chosen, 0], sums[chosen, 1]
                several = self._times[frames[chosen]] > 1
                made["frame"] = np.where(several, frames[chosen] + np.uint32(1), 0)
                made["source"], made["count"] = number, 1
                segments = np.searchsorted(taken.starts, chosen + start, "right") - 1
                made["mapping"] = taken.segments[segments]
                parts.append(made)
        records = np.concatenate(parts)
        records = sorted_records(_counted_once(records) if self._below else records)
        self._written += len(records)
        return records


def _counted_once(records: StructArray) -> StructArray:
    """Return one record per content and source, each frame counted for the first source that has it; no zero pages."""
    records = records[~is_zero(records)]
    shared = np.flatnonzero(records["frame"])
    first = shared[np.unique(records["frame"][shared], return_index=True)[1]]
    records = records[np.sort(np.append(np.flatnonzero(records["frame"] == 0), first))]
    records["frame"], records["mapping"] = 0, 0
    records = records[np.lexsort((records["source"], records["tail"], records["sum"]))]
    if not len(records):
        return records
    new = np.any([records[name][1:] != records[name][:-1] for name in ("sum", "tail", "source")], axis=0)
    starts = np.append(0, np.flatnonzero(new) + 1)
    made = records[starts]
    made["count"] = np.diff(starts, append=len(records))
    return made


def _within(low: int, high: int, sums: AnyArray) -> AnyArray:
    above: AnyArray = sums[:, 0] >= np.uint64(low)
    return above if high >= ALL_SUMS else above & (sums[:, 0] < np.uint64(high))


def _chunks(taken: Taken) -> Iterator[tuple[int, AnyArray]]:
    for start in range(0, len(taken.mapped), AT_ONCE):
        yield start, taken.mapped.take(start, start + AT_ONCE)
