"""Scanning: what merging saves in the memory of some sources, exactly.

The pages of all sources become those of one flat host, a policy runs until it is at rest, and what it has merged is
counted.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from pksm.arrays import Pages
from pksm.documents import ScanDocument
from pksm.engine.cost import Cost
from pksm.errors import PksmError, UsageError
from pksm.scan import document
from pksm.scan.findings import find
from pksm.scan.gather import Gathered, gather
from pksm.scan.interrupts import Interrupts
from pksm.scan.merge import Progress, merge
from pksm.scan.settings import Settings, fitted
from pksm.sources.base import Source
from pksm.sources.files import release
from pksm.sources.fingerprints.layout import SUM_BYTES
from pksm.sources.opening import naming_files_at_fault

Take = Callable[[Gathered, Pages], object]


class Guard(AbstractContextManager[Any], Protocol):
    """A context manager held while sources are read, such as freeze.Freezer."""

    warnings: list[str]


def scan(
    sources: Iterable[Source],
    settings: Settings | None = None,
    progress: Progress | None = None,
    *,
    errors: Sequence[PksmError] = (),
    interrupts: Interrupts | None = None,
    reading: Guard | None = None,
    take: Take | None = None,
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
        take: called with (gathered, the column that distinguishes contents: uint32 by page number) when all is counted.

    Returns:
        The document `pksm.scan/1`, ready for JSON.

    Raises:
        UsageError: for what can't be meant.
        BusError: a file shrank meanwhile.
        PksmError: the first source's own error when none is left.
    """
    parts = [part for source in sources for part in source.parts()]
    settings, stand_ins = _checked(parts, settings or Settings())
    job = _Job(parts, settings, stand_ins, progress or _silent, interrupts or Interrupts())
    with naming_files_at_fault(parts):
        return job.run(errors, reading, take)


def _checked(parts: Sequence[Source], settings: Settings) -> tuple[Settings, bool]:
    """Return the settings that fit the sources, and whether these are fingerprints. Raises UsageError."""
    if not parts:
        raise UsageError("nothing to scan: name a file or a process")
    return fitted(settings, parts)


@dataclass
class _Job:
    """One scan, stage by stage. stand_ins: the pages are fingerprints."""

    parts: Sequence[Source]
    settings: Settings
    stand_ins: bool
    progress: Progress
    interrupts: Interrupts

    def run(self, errors: Sequence[PksmError], reading: Guard | None, take: Take | None) -> ScanDocument:
        """Read, merge, count, hand on, and return the document."""
        settings, interrupts = self.settings, self.interrupts
        began, cost = document.now(), Cost()
        lap = cost.laps()
        gathered = self._read(reading)
        gathered.failed[:0] = errors
        lap("read")
        merged, contents = merge(gathered, settings, self.progress, interrupts, lap)
        findings = find(gathered, contents, settings, self.stand_ins)
        release(gathered.views)
        lap("count")
        if take:
            take(gathered, contents)
        return document.compose(settings, gathered, merged, findings, self.stand_ins, interrupts.seen, began, cost)

    def _read(self, reading: Guard | None) -> Gathered:
        """Gather the pages of all sources while `reading` is held."""
        stored_bytes = SUM_BYTES if self.stand_ins else self.settings.page_bytes
        with reading or nullcontext():
            gathered = gather(self.parts, stored_bytes, self.settings.view, _adding_up(self.progress), self.interrupts)
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
