"""Scanning: what merging saves in the memory of some sources, exactly.

The pages of all sources become those of one flat host, pksmd runs until it is at rest, and what it has merged is
counted.
"""

import gc
import os
import time
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np

from pksm.engine.checksums import strategies as checksums
from pksm.engine.cost import Cost
from pksm.errors import BusError, PksmError, UsageError
from pksm.hosts.flat import FlatHost
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd
from pksm.protocols import NO_FRAME
from pksm.scan import document as findings
from pksm.scan.attribution import Shares
from pksm.scan.counting import Tally
from pksm.scan.gather import VIEWS, Interrupts, gather
from pksm.sources.base import check_page_size
from pksm.sources.fingerprints import SUM_BYTES

SCHEMA = "pksm.scan/1"
DEFAULTS = {
    "pages_to_scan": 65536,  # few big batches: nobody waits for a page
    "sleep_millisecs": 0,  # no time passes between two, so there is nothing to check again
}


@dataclass(frozen=True)
class Settings:
    """How to scan. UsageError for a value that can't be.

    page_size: bytes. preset, changes: names the tunables to start from, and {name: value} of those that differ.
    seed: of the sampled checksum. view: `frames` counts a frame once, `mappings` as often as it is mapped.
    top: how many groups of equal pages to tell. show_bytes: tell the first bytes of these, which may be secret.
    """

    page_size: int = 4096
    preset: str = "fixed"
    changes: dict | None = None
    seed: int = 0
    threads: int = 1
    view: str = "frames"
    top: int = 10
    show_bytes: bool = False

    def __post_init__(self):
        check_page_size(self.page_size)
        if self.view not in VIEWS:
            raise UsageError(f"unknown view {self.view!r}: choose from {', '.join(VIEWS)}")
        if self.threads < 1:
            raise UsageError(f"threads {self.threads}: there must be one at least")
        if self.top < 0:
            raise UsageError(f"top {self.top}: give the number of groups to tell, from 0")
        if self.tunables.run != 1:
            raise UsageError(f"run={self.tunables.run}: a scan has to run to find anything")
        checksums.make(self.tunables.checksum, self.page_size, self.seed)

    @property
    def tunables(self):
        """The values that pksmd runs with."""
        return tunables.preset(self.preset).with_(**{**DEFAULTS, **(self.changes or {})})

    def as_dict(self):
        """Return the values as the result has them."""
        values = {name: getattr(self.tunables, name) for name in tunables.SETTINGS}
        values["quirks"] = sorted(values["quirks"])
        return {"preset": self.preset, **values, "seed": self.seed, "threads": self.threads, "top": self.top}


@contextmanager
def opened(openers, hold=nullcontext):
    """Call each opener and give (sources, errors); close the sources at the end.

    The first error is raised when no source is left, and a UsageError at once. hold: as of gather.Interrupts.
    """
    sources, errors = [], []
    with ExitStack() as stack:
        for opener in openers:
            try:
                with hold():
                    source = opener()
                    stack.callback(source.close)
                    sources.append(source)
            except UsageError:
                raise
            except PksmError as error:
                errors.append(error)
        if errors and not sources:
            raise _none_left(errors)
        yield sources, errors


def _none_left(errors):
    """Return the first of the errors, which tells how many more there are."""
    first, others = errors[0], len(errors) - 1
    if others:
        first.args = (f"{first}; {others} more could not be read either",)
    return first


def scan(sources, settings=None, progress=None, *, errors=(), interrupts=None, reading=None, keep=None):
    """Scan sources and return the result, a dict ready for json; README.md tells its fields.

    progress(stage, pages, total): called between batches, in the stages `read` (total None), `exact` and `merge`.
    errors: those of sources that could not be opened; the result tells of them as of sources that fail here.
    interrupts: gather.Interrupts that may end the work early; the result then holds what was done by then.
    reading: a context manager that is held while sources are read, such as freeze.Freezer; its `warnings` are told.
    keep: called with (gathered, page size, partial, warnings) when all is counted, such as what fingerprints.new_file()
    gives; partial: not all was read, and warnings say why, besides those of the sources.
    Raises UsageError for what can't be meant, BusError when a file shrinks meanwhile, and a source's own error when
    none is left.
    """
    settings, progress, interrupts = settings or Settings(), progress or _silent, interrupts or Interrupts()
    if not sources:
        raise UsageError("nothing to scan: name a file or a process")
    stands_for = _check_fingerprints(sources, settings)
    if keep:
        check_keeping(stands_for, settings.view)
    began = time.perf_counter(), time.process_time()
    cost = Cost()
    lap = cost.laps()
    with _naming_files_that_shrink(sources):
        with reading or nullcontext():
            stored = SUM_BYTES if stands_for else settings.page_size
            gathered = gather(sources, stored, settings.view, _adding_up(progress), interrupts)
        cut_short, reading_warnings = interrupts.seen, getattr(reading, "warnings", [])
        gathered.warnings += reading_warnings
        errors = [*errors, *gathered.failed]
        is_partial = bool(errors) or gathered.partial
        lap("read")
        exact, pages = None, len(gathered.born)
        if _is_lossy(settings.tunables):
            exact = _merge(gathered, pages, Settings().tunables, settings, partial(progress, "exact"), interrupts)
            pages = exact.pages
            lap("exact")
        merged = _merge(gathered, pages, settings.tunables, settings, partial(progress, "merge"), interrupts)
        lap("merge")
        gc.collect()  # host and daemon hold each other: their tables shall go before counting needs room
        contents = _contents(exact, merged)
        tally, shares = Tally(gathered, contents), Shares(gathered, contents)
        total = tally.total()
        groups, groups_found = tally.groups(settings.top, not stands_for, settings.show_bytes)
        counts = [tally.of_source(taken) for taken in gathered.taken]
        families = [findings.families(tally, gathered.taken, shares, fields, settings.page_size)
                    for fields in (("command", "user"), ("user",))]  # fmt: skip
        lap("count")
        if keep:
            told = findings.of_reading(gathered, errors, reading_warnings, cut_short, len(sources))
            keep(gathered, settings.page_size, is_partial or cut_short, told)
            lap("keep")
    page_size = settings.page_size
    result = {
        "schema": SCHEMA,
        "page_size": settings.page_size,
        "view": settings.view,
        "settings": settings.as_dict(),
        "sources": [
            findings.source(taken, count, round(share * page_size))
            for taken, count, share in zip(gathered.taken, counts, shares.of_source, strict=True)
        ],
        "unread": findings.unread(errors),
        "totals": findings.totals(total, merged, gathered),
        "saving": findings.saving(total, sum(count.mapped for count in counts), merged, gathered, page_size),
        "by_command": families[0],
        "by_user": families[1],
        "by_mapping": findings.mappings(shares, page_size),
        "matrix": shares.matrix(),
        "fingerprints": stands_for,
        "groups": groups,
        "groups_found": groups_found,
        "cost": findings.cost(total.pages, began, cost, merged),
        "partial": is_partial,
        "interrupted": interrupts.seen,
    }
    result["warnings"] = findings.warnings(result, settings, gathered, errors, len(sources))
    return result


@dataclass(frozen=True)
class _Merged:
    """What one run of pksmd came to. pages: as many it was given; zero_pages, nonzero_pages: frames it has freed."""

    pages: int
    frame_of: np.ndarray
    counters: dict
    zero_pages: int
    nonzero_pages: int
    metadata_bytes: int
    cost: Cost


def _merge(gathered, pages, values, settings, progress, interrupts):
    """Let pksmd merge the first `pages` pages that were born, a batch at a time, until it is at rest."""
    host = FlatHost(gathered.store)
    daemon = Pksmd(host, values, seed=settings.seed, threads=settings.threads)
    daemon.items.reserve(pages)
    host.add(gathered.born.take(0, 0))  # an interrupt may come before the first batch: the host knows the store
    with interrupts.ending():
        for start in range(0, pages, values.pages_to_scan):
            progress(start, pages)
            with interrupts.hold():
                host.add(gathered.born.take(start, min(pages, start + values.pages_to_scan)))
                daemon.wake()
    with interrupts.ending(), interrupts.hold():
        while not daemon.at_rest:
            daemon.wake()
    return _Merged(
        pages=int((host.frame_of != NO_FRAME).sum()),
        frame_of=host.frame_of,
        counters=daemon.counters(),
        zero_pages=host.pages_zero_sharing,
        nonzero_pages=host.frames_saved - host.pages_zero_sharing,
        metadata_bytes=daemon.engine_bytes,
        cost=daemon.cost,
    )


def _is_lossy(values):
    """Tell whether these settings may leave equal pages unmerged, so that contents have to be counted apart."""
    return values.order == "checksum" or values.faults.lossy


def _contents(exact, merged):
    """The column that tells contents apart, without pages that the run asked for did not reach."""
    if exact is None:
        return merged.frame_of
    return np.where(merged.frame_of == NO_FRAME, np.uint32(NO_FRAME), exact.frame_of)


def _check_fingerprints(sources, settings):
    """Tell whether these are fingerprints. UsageError unless all are, of one page size, and the settings fit."""
    sizes = {getattr(source, "page_size", None) for source in sources}
    if sizes == {None}:
        return False
    if None in sizes:
        raise UsageError("fingerprints and memory can't be scanned together: make fingerprints of the memory first")
    if sizes != {settings.page_size}:
        told = ", ".join(map(str, sorted(sizes)))
        raise UsageError(f"these fingerprints are of pages of {told} bytes, not {settings.page_size}")
    if _is_lossy(settings.tunables):
        raise UsageError("fingerprints tell equal pages only: take a preset and an order that merge all of them")
    if settings.show_bytes:
        raise UsageError("--show-bytes: fingerprints hold no bytes of pages")
    return True


def check_keeping(stands_for, view):
    """Raise UsageError where no fingerprints can be made: of fingerprints, and of mappings, which are no frames."""
    if stands_for:
        raise UsageError("--fingerprints: these are fingerprints already: scan them together, without this option")
    if view != "frames":
        raise UsageError(f"--fingerprints: take --view frames, and --view {view} when the file is scanned")


def _silent(stage, pages, total):
    """Tell nobody."""


def _adding_up(progress):
    """Return what a source calls with the pages read since the last call."""
    pages_read = 0

    def told(pages):
        nonlocal pages_read
        pages_read += pages
        progress("read", pages_read, None)

    return told


@contextmanager
def _naming_files_that_shrink(sources):
    """Say in a BusError which file it was."""
    sizes = {source.name: os.stat(source.name).st_size for source in sources if os.path.isfile(source.name)}
    try:
        yield
    except BusError:
        for name, size in sizes.items():
            if not os.path.isfile(name) or os.stat(name).st_size < size:
                raise BusError(f"{name}: the file became shorter while it was read; scan a copy of it") from None
        raise
