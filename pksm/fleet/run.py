"""fleet(): files of fingerprints to the document pksm.fleet/1, in N + B tasks, here or on a cluster."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pksm.documents.fleet import FleetDocument
from pksm.errors import PksmError
from pksm.fleet.alike import alike
from pksm.fleet.document import document_of
from pksm.fleet.files import batches, files_of
from pksm.fleet.mapping import Mapped, map_files
from pksm.fleet.members import who_is_who
from pksm.fleet.plans import Capacities, check_number, placement
from pksm.fleet.reducing import reduce
from pksm.fleet.settings import Settings
from pksm.fleet.tally import Tally
from pksm.fleet.tasks import Tasks
from pksm.sources.fingerprints.layout import below_of, edges
from pksm.sources.opening import first_of

Progress = Callable[[str, int, int, int], object]


def fleet(
    paths: Sequence[str],
    settings: Settings | None = None,
    place: Capacities | None = None,
    progress: Progress = lambda what, done, total, peak: None,
) -> FleetDocument:
    """Count what merging saves in the fleet whose fingerprints these files hold.

    Args:
        paths: files that pksm fingerprint has made, or directories, of which such files are taken.
        settings: see Settings.
        place: hosts with room, to place VMs on; None: nothing is placed.
        progress: progress("reading" or "counting", done, in all, bytes): files that are read, or ranges of contents
            that are counted; and the most memory that a process has had so far.

    Returns:
        The document. Files that can't be read are named in its warnings, and it is partial.

    Raises:
        UsageError: no files, or none that holds fingerprints; or too many VMs to place.
        PksmError: no file can be read, or the work directory can't be written.
    """
    settings = settings or Settings()
    files, errors = files_of(paths)
    tasks = Tasks(settings)
    with _work(settings) as directory:
        chosen, warnings = _mapped(files, errors, directory, settings, tasks, progress)
        keep = min(one.keep for one in chosen)
        members = who_is_who(chosen, settings)
        if place:
            check_number(members)
        rows = sum(one.n_rows for one in chosen)
        ranges = max(1, -(-rows // settings.rows))
        bounds = edges(below_of(keep), ranges)
        parts = [one.part for one in chosen]
        counting: list[tuple[Any, ...]] = [
            (parts, bounds[number], bounds[number + 1], dict(members.groups), members.units) for number in range(ranges)
        ]
        total = Tally(hosts=np.zeros(len(members.labels["host"]) + 1, np.int64))
        progress("counting", 0, ranges, tasks.peak_bytes)
        for done, (_, part) in enumerate(tasks.done(reduce, counting, min(rows, settings.rows)), 1):
            total.add(part)
            progress("counting", done, ranges, tasks.peak_bytes)
        document = document_of(chosen, members, total, keep, settings.rows, warnings)
        doubts: list[str] = []
        document["placement"] = placement(chosen, members, place, keep, settings.rows, doubts) if place else None
        document["warnings"] += doubts
        document["work"] = directory if settings.work else ""
        document["ranges"], document["peak_bytes"] = ranges, tasks.peak_bytes
        return document


def _mapped(
    files: Sequence[str],
    errors: list[PksmError],
    directory: str,
    settings: Settings,
    tasks: Tasks,
    progress: Progress,
) -> tuple[list[Mapped], list[str]]:
    """Return the files that are counted, in their order, and a line for each that is not, or that is odd."""
    together = batches(files)
    reading = [(batch, directory, settings.keep, settings.in_sandbox) for batch in together]
    found: dict[int, list[Mapped | PksmError]] = {}
    read = 0
    progress("reading", 0, len(files), tasks.peak_bytes)
    for number, some in tasks.done(map_files, reading, settings.rows):
        found[number] = some
        read += len(some)
        progress("reading", read, len(files), tasks.peak_bytes)
    every = [one for number in range(len(together)) for one in found[number]]
    errors = [*errors, *(one for one in every if isinstance(one, PksmError))]
    good = [one for one in every if isinstance(one, Mapped)]
    if not good:
        raise first_of(errors)
    warnings = list(map(str, errors))
    return alike(good, warnings), warnings


@contextmanager
def _work(settings: Settings) -> Iterator[str]:
    if settings.work is None:
        with tempfile.TemporaryDirectory(prefix="pksm-fleet-") as directory:
            yield directory
        return
    try:
        os.makedirs(settings.work, mode=0o700, exist_ok=True)
    except OSError as error:
        why = "is not a directory: name one" if isinstance(error, FileExistsError) else error.strerror
        raise PksmError(f"{settings.work}: {why}") from None
    yield settings.work
