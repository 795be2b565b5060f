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
from pksm.shares import Shares
from pksm.sources.access import UnreadError, tell_unread
from pksm.sources.base import check_page_size
from pksm.sources.fingerprints import SUM_BYTES
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


def scan(sources, settings=None, progress=None, *, errors=(), interrupts=None, reading=None, keep=None):
    """Scan sources and return the result, a dict ready for json; README.md tells its fields.

    progress(stage, pages, total): called between batches, in the stages `read` (total None), `exact` and `merge`.
    errors: those of sources that could not be opened; the result tells of them as of sources that fail here.
    interrupts: gather.Interrupts that may end the work early; the result then holds what was done by then.
    reading: a context manager that is held while sources are read, such as freeze.Freezer; its `warnings` are told.
    keep: called with (gathered, page size) when all is counted, such as what fingerprints.new_file() gives.
    Raises UsageError for what can't be meant, BusError when a file shrinks meanwhile, and a source's own error when
    none is left.
    """
    settings, progress, interrupts = settings or Settings(), progress or _silent, interrupts or Interrupts()
    if not sources:
        raise UsageError("nothing to scan: name a file or a process")
    stands_for = _check_fingerprints(sources, settings)
    began = time.perf_counter(), time.process_time()
    cost = Cost()
    lap = cost.laps()
    with _naming_files_that_shrink(sources):
        with reading or nullcontext():
            stored = SUM_BYTES if stands_for else settings.page_size
            gathered = gather(sources, stored, settings.view, _adding_up(progress), interrupts)
        gathered.warnings += getattr(reading, "warnings", [])
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
        families = [_families(tally, gathered.taken, shares, fields, settings.page_size)
                    for fields in (("command", "user"), ("user",))]  # fmt: skip
        lap("count")
        if keep:
            keep(gathered, settings.page_size)
            lap("keep")
    errors = [*errors, *gathered.failed]
    page_size = settings.page_size
    result = {
        "schema": SCHEMA,
        "page_size": settings.page_size,
        "view": settings.view,
        "settings": settings.as_dict(),
        "sources": [
            _source(taken, count, round(share * page_size))
            for taken, count, share in zip(gathered.taken, counts, shares.of_source, strict=True)
        ],
        "unread": [
            {"pid": error.pid, "command": error.command, "cause": error.cause}
            for error in errors
            if isinstance(error, UnreadError)
        ],
        "totals": _totals(total, merged, gathered),
        "saving": _saving(total, sum(count.mapped for count in counts), merged, gathered, page_size),
        "by_command": families[0],
        "by_user": families[1],
        "by_mapping": _mappings(shares, page_size),
        "matrix": shares.matrix(),
        "fingerprints": stands_for,
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


def _families(tally, taken, shares, fields, page_size):
    """Count live processes that are alike in these of their facts, those that have the largest share first."""
    families = {}
    for one, share in zip(taken, shares.of_source, strict=True):
        if "command" in one.facts:
            families.setdefault(tuple(one.facts[field] for field in fields), []).append((one, share))
    rows = []
    for values, members in families.items():
        count = tally.of_sources([one for one, _ in members])
        rows.append({
            **dict(zip(fields, values, strict=True)), "processes": len(members), "pages": count.pages,
            "zero": count.zero, "duplicates": count.duplicates, "saving_pages": count.saving,
            "share_bytes": round(sum(share for _, share in members) * page_size),
        })  # fmt: skip
    return sorted(rows, key=lambda row: -row["share_bytes"])


def _mappings(shares, page_size):
    names = ("pages", "zero", "merging", "share_bytes")
    rows = [
        {"mapping": mapping, **dict(zip(names, [*counts, round(share * page_size)], strict=True))}
        for mapping, (*counts, share) in shares.by_mapping.items()
    ]
    return sorted(rows, key=lambda row: -row["share_bytes"])


def _source(taken, count, share_bytes):
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
        "saving_pages": count.saving,
        "share_bytes": share_bytes,
        "out_of_reach": taken.out_of_reach,
        **taken.facts,
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


def _saving(total, mappings, merged, gathered, page_size):
    zero_pages = merged.zero_pages + _known_zero(gathered)
    pages = zero_pages + merged.nonzero_pages
    size_bytes, pksm_bytes = pages * page_size, PKSM_BYTES_A_PAGE * total.pages
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
    warnings = tell_unread(errors) + gathered.warnings
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
