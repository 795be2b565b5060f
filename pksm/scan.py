"""Scanning: what merging saves in the memory of some sources, exactly.

The pages of all sources become those of one flat host, pksmd runs until it is at rest, and what it has merged is
counted.
"""

import os
import time
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np

from pksm import checksums, tunables
from pksm.cost import Cost
from pksm.errors import BusError, PksmError, UsageError
from pksm.flat import FlatHost
from pksm.gather import VIEWS, gather
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
def opened(openers):
    """Call each opener and give (sources, errors); close the sources at the end.

    The first error is raised when no source is left, and a UsageError at once.
    """
    sources, errors = [], []
    with ExitStack() as stack:
        for opener in openers:
            try:
                source = opener()
            except UsageError:
                raise
            except PksmError as error:
                errors.append(error)
            else:
                stack.callback(source.close)
                sources.append(source)
        if errors and not sources:
            raise errors[0]
        yield sources, errors


def scan(sources, settings=None, progress=None, *, errors=(), uninterrupted=None):
    """Scan sources and return the result, a dict ready for json; README.md tells its fields.

    progress(stage, pages, total): called between batches, in the stages `read` (total None), `exact` and `merge`.
    errors: those of sources that could not be opened; the result tells of them as of sources that fail here.
    uninterrupted: a factory of context managers that hold KeyboardInterrupt back; with it, an interrupt ends the work
    early and the result holds what was done by then.
    Raises UsageError for what can't be meant, BusError when a file shrinks meanwhile, and a source's own error when
    none is left.
    """
    settings, progress = settings or Settings(), progress or _silent
    if not sources:
        raise UsageError("nothing to scan: name a file or a process")
    began = time.perf_counter(), time.process_time()
    cost = Cost()
    lap = cost.laps()
    with _naming_files_that_shrink(sources):
        gathered = gather(sources, settings.page_size, settings.view, _adding_up(progress), uninterrupted)
        lap("read")
        runs = [settings.tunables]
        if _lossy(settings.tunables):
            runs.insert(0, Settings().tunables)
        merges = []
        for stage, values in zip(("exact", "merge")[-len(runs) :], runs, strict=True):
            merges.append(_merge(gathered, values, settings, lambda pages, total, stage=stage: progress(stage, pages, total), uninterrupted))
            lap(stage)
    ...
