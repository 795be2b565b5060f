"""Merging: a policy works on what was gathered until it is at rest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pksm.engine.cost import Cost
from pksm.hosts.flat import FlatHost
from pksm.policies.pksmd.daemon import Pksmd
from pksm.protocols import NO_FRAME
from pksm.scan.gather import Gathered
from pksm.scan.interrupts import Interrupts
from pksm.scan.settings import Settings

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Merged:
    """What one run of a policy came to.

    pages: as many it was given; frame_of: the column of FlatHost; zero_pages, nonzero_pages: frames it has freed.
    """

    pages: int
    frame_of: np.ndarray
    counters: Mapping[str, int]
    zero_pages: int
    nonzero_pages: int
    metadata_bytes: int
    cost: Cost


def merge(
    gathered: Gathered, settings: Settings, progress: Progress, interrupts: Interrupts, lap: Callable[[str], None]
) -> tuple[Merged, np.ndarray]:
    """Merge what was gathered and return (what the settings' policy came to, the column that tells contents apart).

    Where the settings may leave equal pages unmerged, the contents come from a run of our own before. Pages that the
    settings' policy did not reach have no frame in the column.
    """
    pages, exact = len(gathered.born), None
    if settings.is_lossy:
        exact = _run(gathered, pages, Settings().tunables, settings, "exact", progress, interrupts)
        pages = exact.pages
        lap("exact")
    merged = _run(gathered, pages, settings.tunables, settings, "merge", progress, interrupts)
    lap("merge")
    if exact is None:
        return merged, merged.frame_of
    return merged, np.where(merged.frame_of == NO_FRAME, np.uint32(NO_FRAME), exact.frame_of)


def _run(
    gathered: Gathered,
    pages: int,
    tunables: Any,
    settings: Settings,
    stage: str,
    progress: Progress,
    interrupts: Interrupts,
) -> Merged:
    """Let pksmd merge the first `pages` pages that were born, a batch at a time, until it is at rest."""
    host = FlatHost(gathered.store)
    daemon = Pksmd(host, tunables, seed=settings.seed, threads=settings.threads)
    daemon.items.reserve(pages)
    host.add(gathered.born.take(0, 0))  # an interrupt may come before the first batch: the host knows the store
    with interrupts.ending():
        for start in range(0, pages, tunables.pages_to_scan):
            progress(stage, start, pages)
            with interrupts.hold():
                host.add(gathered.born.take(start, min(pages, start + tunables.pages_to_scan)))
                daemon.wake()
    with interrupts.ending(), interrupts.hold():
        while not daemon.at_rest:
            daemon.wake()
    return Merged(
        pages=int((host.frame_of != NO_FRAME).sum()),
        frame_of=host.frame_of,
        counters=daemon.counters(),
        zero_pages=host.pages_zero_sharing,
        nonzero_pages=host.frames_saved - host.pages_zero_sharing,
        metadata_bytes=daemon.engine_bytes,
        cost=daemon.cost,
    )
