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

from pksm import checksums, tunables
from pksm.cost import Cost
from pksm.errors import BusError, PksmError, UsageError
from pksm.flat import FlatHost
from pksm.gather import VIEWS, Interrupts, gather
from pksm.host import NO_FRAME
from pksm.pksmd import Pksmd
from pksm.sources.base import check_page_size
from pksm.tally import Tally

SCHEMA = "pksm.scan/1"
PKSM_BYTES_A_PAGE = 116  # what the kernel's PKSM keeps for each page it tracks
KSM_BYTES_A_MAPPING = 64  # and KSM for each mapping of one
DEFAULTS = {
    "pages_to_scan": 65536,  # few big batches: nobody waits for a page
    "sleep_millisecs": 0,  # no time passes between two, so there is nothing to check again
}
_LOSSY = {"collision-is-success", "sparse-zero-lost", "one-content-per-hash"}


@dataclass(frozen=True)
class Settings:
    """How to scan. UsageError for a value that can't be.

    page_size: bytes. preset, changes: names the tunables to start from, and {name: value} of those that differ.
    seed: of the sampled checksum. view: `frames` counts a frame once, `mappings` as often as it is mapped.
    top: how many groups of equal pages to tell.
    """

    page_size: int = 4096
    preset: str = "fixed"
    changes: dict | None = None
    seed: int = 0
    threads: int = 1
    view: str = "frames"
    top: int = 10

    def __post_init__(self):
        check_page_size(self.page_size)
        if self.view not in VIEWS:
            raise UsageError(f"unknown view {self.view!r}: choose from {', '.join(VIEWS)}")
        if self.threads < 1:
            raise UsageError(f"threads {self.threads}: there must be one at least")
        if self.top < 0:
            raise UsageError(f"top {self.top}: give the number of groups to tell, from 0")
        if not self.tunables.run:
            raise UsageError("run=0: a scan has to run to find anything")
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
            raise errors[0]
        yield sources, errors


def scan(sources, settings=None, progress=None, *, errors=(), interrupts=None):
    """Scan sources and return the result, a dict ready for json; README.md tells its fields.

    progress(stage, pages, total): called between batches, in the stages `read` (total None), `exact` and `merge`.
    errors: those of sources that could not be opened; the result tells of them as of sources that fail here.
    interrupts: gather.Interrupts that may end the work early; the result then holds what was done by then.
    Raises UsageError for what can't be meant, BusError when a file shrinks meanwhile, and a source's own error when
    none is left.
    """
    settings, progress, interrupts = settings or Settings(), progress or _silent, interrupts or Interrupts()
    if not sources:
        raise UsageError("nothing to scan: name a file or a process")
    began = time.perf_counter(), time.process_time()
    cost = Cost()
    lap = cost.laps()
    with _naming_files_that_shrink(sources):
        gathered = gather(sources, settings.page_size, settings.view, _adding_up(progress), interrupts)
        lap("read")
        exact, pages = None, len(gathered.born)
        if _is_lossy(settings.tunables):
            exact = _merge(gathered, pages, Settings().tunables, settings, partial(progress, "exact"), interrupts)
            pages = exact.pages
            lap("exact")
        merged = _merge(gathered, pages, settings.tunables, settings, partial(progress, "merge"), interrupts)
        lap("merge")
        gc.collect()  # host and daemon hold each other: their tables shall go before counting needs room
        tally = Tally(gathered, _contents(exact, merged))
        total = tally.total()
        groups, groups_found = tally.groups(settings.top)
        counts = [tally.of_source(taken) for taken in gathered.taken]
        lap("count")
    errors = [*errors, *gathered.failed]
    result = {
        "schema": SCHEMA,
        "page_size": settings.page_size,
        "view": settings.view,
        "settings": settings.as_dict(),
        "sources": [_source(taken, count) for taken, count in zip(gathered.taken, counts, strict=True)],
        "totals": _totals(total, merged, gathered),
        "saving": _saving(total, sum(count.mapped for count in counts), merged, gathered),
        "groups": groups,
        "groups_found": groups_found,
        "cost": _cost(total.pages, began, cost, merged),
        "partial": bool(errors) or any(taken.lost for taken in gathered.taken),
        "interrupted": interrupts.seen,
    }
    result["warnings"] = _warnings(result, settings, gathered, errors, len(sources))
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
    with interrupts.ending():
        for start in range(0, pages, values.pages_to_scan):
            progress(start, pages)
            with interrupts.hold():
                host.bear(gathered.born.take(start, min(pages, start + values.pages_to_scan)))
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
        metadata_bytes=daemon.metadata_bytes,
        cost=daemon.cost,
    )


def _is_lossy(values):
    """Tell whether these settings may leave equal pages unmerged, so that contents have to be counted apart."""
    return values.order == "checksum" or not _LOSSY.isdisjoint(values.quirks)


def _contents(exact, merged):
    """The column that tells contents apart, without pages that the run asked for did not reach."""
    if exact is None:
        return merged.frame_of
    return np.where(merged.frame_of == NO_FRAME, np.uint32(NO_FRAME), exact.frame_of)


def _source(taken, count):
    return {
        "name": taken.name,
        "kind": taken.kind,
        "pages": {
            "data": count.pages - count.zero,
            "zero": count.zero,
            "hole": taken.hole,
            "excluded": taken.excluded,
        },
        "mappings": count.mapped,
        "duplicates": count.duplicates,
        "lost": taken.lost,
    }


def _known_zero(gathered):
    """Zero pages that never had bytes here, and so were not given to pksmd."""
    return sum(taken.zero for taken in gathered.taken)


def _totals(total, merged, gathered):
    counters, known_zero = merged.counters, _known_zero(gathered)
    return {
        "pages": total.pages,
        "zero": total.zero,
        "distinct": total.distinct,
        "duplicates": total.duplicates,
        "pages_shared": counters["pages_shared"],
        "pages_sharing": counters["pages_sharing"] + known_zero,
        "pages_zero_sharing": counters["pages_zero_sharing"] + known_zero,
        "pages_unshared": counters["pages_unshared"],
    }


def _saving(total, mappings, merged, gathered):
    zero_pages = merged.zero_pages + _known_zero(gathered)
    pages = zero_pages + merged.nonzero_pages
    size_bytes, pksm_bytes = pages * gathered.store.page_size, PKSM_BYTES_A_PAGE * total.pages
    return {
        "pages": pages,
        "zero_pages": zero_pages,
        "nonzero_pages": merged.nonzero_pages,
        "bytes": size_bytes,
        "metadata_bytes": {
            "ours": merged.metadata_bytes,
            "pksm": pksm_bytes,
            "ksm": KSM_BYTES_A_MAPPING * mappings,
        },
        "net_bytes": size_bytes - pksm_bytes,
    }


def _cost(pages, began, cost, merged):
    wall_s, cpu_s = time.perf_counter() - began[0], time.process_time() - began[1]
    steps = {
        name: {"wall_s": wall, "cpu_s": part.cpu_s[name]}
        for part in (cost, merged.cost)
        for name, wall in part.wall_s.items()
    }
    speed = pages / steps["merge"]["wall_s"]
    return {"wall_s": wall_s, "cpu_s": cpu_s, "pages_per_s": speed, **merged.cost.as_dict(), "steps": steps}


def _warnings(result, settings, gathered, errors, n_sources):
    warnings = [str(error) for error in errors] + gathered.warnings
    if gathered.untold:
        if gathered.frames_told:
            reason, remedy = "they moved to other frames while they were read", "scan again"
        else:
            reason = "they are mapped more than once, and frames can't be told apart without root (CAP_SYS_ADMIN)"
            remedy = "scan as root"
        warnings.append(
            f"{gathered.untold} pages are left out: {reason}; {remedy}, or count mappings with --view mappings"
        )
    idle = sorted(quirk for quirk in settings.tunables.quirks if not tunables.QUIRKS[quirk][0])
    if idle:
        warnings.append(
            f"{len(idle)} quirks of these settings need page tables and have no effect on memory that is only read: "
            f"preset {settings.preset} sets values and the other quirks here"
        )
    totals, saving = result["totals"], result["saving"]
    possible = totals["duplicates"] + (totals["zero"] > 0)
    if saving["pages"] < possible:
        warnings.append(
            f"these settings save {saving['pages']} pages of the {possible} that could be saved: "
            "equal pages that the checksum or the quirks hide stay apart"
        )
    if result["interrupted"]:
        warnings.append(
            f"interrupted: this is about the {totals['pages']} pages that were reached, "
            f"of {len(gathered.taken)} of {n_sources} sources"
        )
    return warnings


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
