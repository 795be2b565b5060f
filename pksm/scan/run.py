"""Scanning: what merging saves in the memory of some sources, exactly.

The pages of all sources become those of one flat host, a policy runs until it is at rest, and what it has merged is
counted.
"""

import gc
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from pksm.documents import ScanDocument
from pksm.engine.cost import Cost
from pksm.errors import UsageError
from pksm.scan import document
from pksm.scan.findings import find
from pksm.scan.fingerprints import Keep, check_keeping
from pksm.scan.gather import Gathered, gather
from pksm.scan.interrupts import Interrupts
from pksm.scan.merge import Progress, merge
from pksm.scan.settings import Settings, fitted
from pksm.sources.base import Source
from pksm.sources.fingerprints import SUM_BYTES
from pksm.sources.opening import naming_files_that_shrink


class Guard(AbstractContextManager[Any], Protocol):
    """A context manager held while sources are read, such as freeze.Freezer."""

    warnings: list[str]


def scan(
    sources: Iterable[Source],
    settings: Settings | None = None,
    progress: Progress | None = None,
    *,
    errors: Sequence[Exception] = (),
    interrupts: Interrupts | None = None,
    reading: Guard | None = None,
    keep: Keep | None = None,
) -> ScanDocument:
    """Scan sources and return what was found as a document.

    Args:
        sources: opened sources; the caller closes them.
        settings: how to scan; by default with our own pksmd, which merges all equal pages.
        progress: called as progress(stage, pages, total) between batches, in the stages `read` (total None), `exact`
            and `merge`.
        errors: those of sources that could not be opened; they are reported as those of sources that fail here.
        interrupts: may end the work early; the result then holds what was done by then.
        reading: held while sources are read; its `warnings` are reported.
        keep: called with (gathered, page size) when all is counted; scan.fingerprints.new_file() gives one.

    Returns:
        The document `pksm.scan/1`, ready for JSON.

    Raises:
        UsageError: for what can't be meant.
        BusError: a file shrank meanwhile.
        PksmError: the first source's own error when none is left.
    """
    progress, interrupts = progress or _silent, interrupts or Interrupts()
    parts = [part for source in sources for part in source.parts()]
    if not parts:
        raise UsageError("nothing to scan: name a file or a process")
    settings = settings or Settings()
    if keep:
        check_keeping(parts, settings.view)
    settings, stand_ins = fitted(settings, parts)
    began, cost = document.now(), Cost()
    lap = cost.laps()
    with naming_files_that_shrink(parts):
        gathered = _read(parts, SUM_BYTES if stand_ins else settings.page_size, settings, progress, interrupts, reading)
        gathered.failed[:0] = errors
        lap("read")
        merged, contents = merge(gathered, settings, progress, interrupts, lap)
        gc.collect()  # host and daemon hold each other: their tables shall go before counting needs room
        findings = find(gathered, contents, settings, stand_ins)
        lap("count")
        if keep:
            keep(gathered, settings.page_size)
            lap("keep")
    return document.compose(settings, gathered, merged, findings, stand_ins, interrupts.seen, began, cost)


def _read(
    parts: Sequence[Source],
    stored_bytes: int,
    settings: Settings,
    progress: Progress,
    interrupts: Interrupts,
    reading: Guard | None,
) -> Gathered:
    """Gather the pages of all sources, which take `stored_bytes` each, while `reading` is held."""
    with reading or nullcontext():
        gathered = gather(parts, stored_bytes, settings.view, _adding_up(progress), interrupts)
    gathered.remarks += reading.warnings if reading else []
    return gathered


def _silent(stage: str, pages: int, total: int | None) -> None:
    """Report to nobody."""


def _adding_up(progress: Progress) -> Callable[[int], None]:
    """Return what a source calls with the pages read since the last call."""
    pages_read = 0

    def add(pages: int) -> None:
        nonlocal pages_read
        pages_read += pages
        progress("read", pages_read, None)

    return add
