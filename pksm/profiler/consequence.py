"""What a checksum means for pksmd: work to rest, merges found and missed, and pages in limbo as published.

Three runs on flat hosts: the subject's pages as they are, with preset `fixed`; the same with the published quirks; and
a copy of some pages of which a part changes, a word each, so that each becomes equal to another page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pksm.arrays import I64Array, Pages
from pksm.engine import native
from pksm.engine.checksums import strategies
from pksm.engine.store import Store
from pksm.hosts.flat import FlatHost
from pksm.policies.pksmd.daemon import Pksmd
from pksm.policies.pksmd.tunables import preset

if TYPE_CHECKING:
    from pksm.policies.pksmd.tunables import Tunables
    from pksm.profiler.subject import Subject


PUBLISHED = "v0.2"
# The recheck of unshared pages depends on time, not on work: put off where work is measured.
NEVER_SECONDS = 100_000_000
CHANGED_SHARE = 0.05  # of the unshared pages
MOST_WAKES = 100_000
PATIENCE = 32  # pksmd that has visited all pages so often without merging any is taken to be done
_WAITS_OR_SORTED = native.UNSTABLE | native.STABLE | native.NEWLIST | native.RESCAN | native.CHECKSUM_LIST


def measure(subject: Subject, name: str, seed: int = 0, changes: float = CHANGED_SHARE) -> dict[str, int]:
    """Return a strategy's row about all consequences but those of to_rest(). name: with options."""
    return {**_published(subject, name, seed), **_changing(subject, name, seed, changes)}


def to_rest(subject: Subject, name: str, seed: int = 0) -> dict[str, Any]:
    """Return a strategy's row about pksmd on the subject's pages until it is at rest."""
    values = preset("fixed").with_(checksum=name, period_seconds=NEVER_SECONDS)
    host, daemon, wakes = _run(subject.store, subject.pages, values, seed)
    cpu_s, n = daemon.cost.cpu_s, len(subject.pages)
    return {
        "cpu_ns_to_rest": 1e9 * sum(cpu_s.values()) / n,
        "cpu_ns_steps": {step: 1e9 * seconds / n for step, seconds in cpu_s.items()},
        "virtual_ms_to_rest": wakes * values.sleep_millisecs,
        "bytes_hashed": daemon.cost.bytes_hashed,
        "bytes_compared": daemon.cost.bytes_compared,
        "futile_compares": daemon.cost.futile_compares,
        "merges": host.frames_saved,
        "missed_merges": subject.saving - host.frames_saved,
    }


def _published(subject: Subject, name: str, seed: int) -> dict[str, int]:
    """Limbo: pages that pksmd has booked as merged and never looks at again, though nothing was merged."""
    values = preset(PUBLISHED).with_(checksum=name, period_seconds=NEVER_SECONDS)
    host, daemon, _ = _run(subject.store, subject.pages, values, seed)
    ids = daemon.items.item_of(subject.pages)
    limbo = (daemon.items.flags[ids] & _WAITS_OR_SORTED) == 0
    return {
        "limbo_pages": int(np.count_nonzero(limbo)),
        "published_missed_merges": subject.saving - host.frames_saved,
    }


def _changing(subject: Subject, name: str, seed: int, share: float) -> dict[str, int]:
    """Let pages change by one word each so that they become equal to others, and see which of them are merged."""
    pages, twins = _pairs(subject, seed, share)
    if not len(pages):
        return {"changes": 0, "missed_changes": 0, "missed_after_change": 0}
    rows, random = subject.rows, np.random.Generator(np.random.PCG64(seed))
    first, kept = subject.row_pages[0], rows[pages].copy()
    words = rows.view(np.uint32)
    where = pages, random.integers(0, words.shape[1], len(pages))
    try:
        rows[pages] = rows[twins]
        words[where] ^= random.integers(1, 1 << 32, len(pages), np.uint32)
        values = preset("fixed").with_(
            checksum=name, pages_to_scan=65536, sleep_millisecs=1000, period_seconds=1
        )  # so that each wake-up checks all unshared pages again
        host, daemon, _ = _run(subject.store, subject.row_pages, values, seed)
        checksum = strategies.make(name, subject.page_size, seed)
        before = native.checksum_pages(subject.store.view, checksum, first + pages)
        rows[pages] = rows[twins]
        after = native.checksum_pages(subject.store.view, checksum, first + pages)
        for _ in range(2):
            daemon.wake()
            _rest(host, daemon)
        shared = host.frame_of[first + pages] == host.frame_of[first + twins]
    finally:
        rows[pages] = kept
    return {
        "changes": len(pages),
        "missed_changes": int(np.count_nonzero(before == after)),
        "missed_after_change": int(np.count_nonzero(~shared)),
    }


def _pairs(subject: Subject, seed: int, share: float) -> tuple[I64Array, I64Array]:
    """Choose rows to change and their twins: unshared pages all, each once; a share of them changes."""
    checksum = native.Checksum("xxh3-64")
    sums = native.checksum_pages(subject.store.view, checksum, subject.row_pages)
    _, index, counts = np.unique(sums, return_index=True, return_counts=True)
    zero = native.pages_are_zero(subject.store.view, subject.row_pages)
    alone = index[counts == 1]
    alone = np.random.Generator(np.random.PCG64(seed)).permutation(alone[~zero[alone]])
    n = min(len(alone) // 2, int(np.ceil(len(alone) * share)))
    return alone[:n], alone[n : 2 * n]


def _run(store: Store, pages: Pages, values: Tunables, seed: int) -> tuple[FlatHost, Pksmd, int]:
    """Bear pages and let pksmd work until it is at rest. Return (host, daemon, wake-ups)."""
    host = FlatHost(store)
    daemon = Pksmd(host, values, seed=seed)
    host.add(pages)
    return host, daemon, _rest(host, daemon)


def _rest(host: FlatHost, daemon: Pksmd) -> int:
    """Let pksmd work until it is at rest, or merges no more. Return the number of wake-ups."""
    wakes = fruitless = 0
    saved, enough = host.frames_saved, PATIENCE * max(1, len(host.frame_of))
    while not daemon.at_rest and wakes < MOST_WAKES and fruitless < enough:
        fruitless += max(1, daemon.wake())
        wakes += 1
        if host.frames_saved != saved:
            saved, fruitless = host.frames_saved, 0
    return wakes
