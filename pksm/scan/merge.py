"""Merging: a policy works on what was gathered until it is at rest."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pksm.arrays import distinct
from pksm.engine.cost import Cost
from pksm.hosts.flat import FlatHost
from pksm.policies.base import Policy
from pksm.policies.pksmd.daemon import Pksmd
from pksm.policies.pksmd.items import forest_for
from pksm.policies.pksmd.tunables import Tunables
from pksm.policies.registry import Choice
from pksm.protocols import NO_FRAME, ZERO_FRAME
from pksm.scan.gather import Gathered
from pksm.scan.interrupts import Interrupts
from pksm.scan.settings import DEFAULTS, Settings
from pksm.sources.files import release

Progress = Callable[[str, int, int | None], None]

MAPPED_PAGES = 1 << 16  # of files that stay in our memory while they are merged
PATIENCE = 32  # a policy that has visited all pages so often without merging any is taken to be done


@dataclass(frozen=True)
class Merged:
    """What one run of a policy came to.

    pages: as many it was given; frame_of: the column of FlatHost; shared, unshared: pages that are kept for others, and
    that no other equals, as the policy counts them; zero_sharing: pages merged with the zero page; zero_pages,
    nonzero_pages: frames it has freed of pages that are zero, wherever these went, and of others; at_rest: False if it
    would go on for ever; metadata_bytes: what a kernel's records about these pages take now; engine_bytes: what ours do.
    """

    pages: int
    frame_of: np.ndarray
    shared: int
    unshared: int
    zero_sharing: int
    zero_pages: int
    nonzero_pages: int
    at_rest: bool
    metadata_bytes: int
    engine_bytes: int
    cost: Cost


def merge(
    gathered: Gathered, settings: Settings, progress: Progress, interrupts: Interrupts, lap: Callable[[str], None]
) -> tuple[Merged, np.ndarray]:
    """Merge what was gathered and return (what the settings' policy came to, the column that distinguishes contents).

    Where the settings may leave equal pages unmerged, the contents come from a run of our own before. Pages that the
    settings' policy did not reach have no frame in the column.
    """
    pages, exact = len(gathered.born), None
    if settings.is_lossy:
        ours = Settings().choice
        exact = _Run(gathered, pages, ours, settings.threads).to_rest("exact", progress, interrupts)
        pages = exact.pages
        lap("exact")
    merged = _Run(gathered, pages, settings.choice, settings.threads).to_rest("merge", progress, interrupts)
    lap("merge")
    if exact is None:
        return merged, merged.frame_of
    contents = np.where(merged.frame_of == NO_FRAME, np.uint32(NO_FRAME), exact.frame_of)
    zero = np.flatnonzero(contents == ZERO_FRAME)
    freed = merged.zero_pages + merged.nonzero_pages
    zero_pages = int((merged.frame_of[zero] != zero).sum())
    return replace(merged, zero_pages=zero_pages, nonzero_pages=freed - zero_pages), contents


class _Run:
    """One policy on a host of its own."""

    def __init__(self, gathered: Gathered, pages: int, choice: Choice, threads: int) -> None:
        self._gathered, self._pages = gathered, pages
        self._host = FlatHost(gathered.store)
        self._policy = _made(choice, self._host, threads, pages)
        self._batch = choice.settings.as_dict().get("pages_to_scan", DEFAULTS["pages_to_scan"])
        self._host.add(
            gathered.born.take(0, 0)
        )  # an interrupt may come before the first batch: the host knows the store

    def to_rest(self, stage: str, progress: Progress, interrupts: Interrupts) -> Merged:
        """Give the policy the pages that were born, a batch at a time, and let it work until it is at rest."""
        pages, batch, host, views = self._pages, self._batch, self._host, self._gathered.views
        released = 0
        with interrupts.ending():
            for start in range(0, pages, batch):
                progress(stage, start, pages)
                with interrupts.hold():
                    host.add(self._gathered.born.take(start, min(pages, start + batch)))
                    self._policy.wake()
                if start - released >= MAPPED_PAGES:
                    release(views)
                    released = start
        with interrupts.ending(), interrupts.hold():
            self._wake_until_rest()
        release(views)
        merged = self._merged()
        host.detach()  # they hold each other: their tables shall go before counting needs room
        return merged

    def _wake_until_rest(self) -> None:
        fruitless, saved = 0, self._host.frames_saved
        while not self._policy.at_rest and not self._policy.hung and fruitless < PATIENCE * self._pages:
            fruitless += max(1, self._policy.wake())
            if self._host.frames_saved != saved:
                fruitless, saved = 0, self._host.frames_saved

    def _merged(self) -> Merged:
        host, policy, counters = self._host, self._policy, self._policy.counters()
        frames = host.frame_of
        pages = int((frames != NO_FRAME).sum())
        shared = counters["pages_shared"] if "pages_shared" in counters else _kept(frames)
        return Merged(
            pages=pages,
            frame_of=frames,
            shared=shared,
            unshared=counters.get("pages_unshared", pages - host.frames_saved - shared),
            zero_sharing=host.pages_zero_sharing,
            zero_pages=host.pages_zero_sharing,
            nonzero_pages=host.frames_saved - host.pages_zero_sharing,
            at_rest=policy.at_rest,
            metadata_bytes=policy.metadata_bytes,
            engine_bytes=policy.engine_bytes,
            cost=policy.cost,
        )


def _kept(frames: np.ndarray) -> int:
    """Return how many pages' frames serve others, too."""
    merged = (frames < NO_FRAME) & (frames != np.arange(len(frames), dtype=np.uint32))
    return len(distinct(frames[merged]))


def _made(choice: Choice, host: FlatHost, threads: int, pages: int) -> Policy:
    """Make the policy; pksmd with threads, and with room for all pages at once."""
    if not isinstance(choice.settings, Tunables):
        return choice.make(host)
    daemon = Pksmd(host, choice.settings, seed=choice.seed, threads=threads, forest=forest_for(pages))
    daemon.items.reserve(pages)
    return daemon
