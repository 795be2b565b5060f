"""cksm, by name: its settings, presets, quirks and counters. Values only.

No kernel with CKSM was booted: what is here follows the published sources and paper, and was held against no recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pksm.engine.settings import Settings, setting
from pksm.errors import UsageError
from pksm.naming import unknown
from pksm.policies.base import Pace, Policy, Spec
from pksm.policies.variants import VARIANTS, within, zero_only

if TYPE_CHECKING:
    from pksm.protocols import PageHost

# id -> published behaviour in one line
QUIRKS = {
    "busy-loop": "visits of kept pages move no counter: a wake-up that meets nothing else never ends",
    "merged-stay": "kept pages stay on the list for ever",
    "double-hash": "a page is at rest if two sums of one visit agree",
    "zero-counts-attempts": "zero_merged counts refused merges, too",
}
PAGE_SLOT_BYTES = 80
COUNTERS = {
    "pages_shared": "kept pages that others have been merged into",
    "pages_sharing": "ptes merged away into kept pages",
    "pages_zero_sharing": "ptes merged into the zero page",
    "pages_unshared": "pages in the unstable table",
    "pages_merged": "merges into kept pages so far",
    "zero_merged": "merges with the zero page so far",
    "pages_inlist": "pages on the list",
    "full_scans": "passes over the list",
    "scan_step": "entries of the list from one visit to the next",
    "pages_scanned": "visits so far",
}


@dataclass(frozen=True)
class CksmSettings(Settings):
    """Values of CKSM, under its names where it has one."""

    pages_to_scan: int = setting(10_000_000, "visits that end a wake-up", 1, 1 << 31)
    unmerge_pages_to_scan: int = setting(200, "visits in a row that merge nothing and end a wake-up", 1, 1 << 31)
    sleep_millisecs: int = setting(50, "ms between two wake-ups; taken as 20 at least and 1000 at most", 0, 1 << 31)
    run: int = setting(1, "0 stop, 1 merge, 2 stop and unmerge everything", 0, 2)
    checksum: str = setting("xxh3-64", "name of the checksum, in place of CKSM's own 64 bits")
    quirks: frozenset[str] = setting(frozenset(), "faults of the published code to have, by id, separated by commas")
    within: str = within()
    zero_only: int = zero_only()

    def __post_init__(self) -> None:
        super().__post_init__()
        strange = sorted(self.quirks - QUIRKS.keys())
        if strange:
            raise unknown("unknown quirk", strange[0], QUIRKS)

    def with_(self, **changes: Any) -> Self:
        """Return a copy with changes. UsageError if unfit."""
        quirks = changes.pop("quirks", self.quirks)
        if not isinstance(quirks, (str, frozenset, set, list, tuple)):
            raise UsageError(f"quirks={quirks}: must be names of quirks")
        return super().with_(quirks=frozenset([quirks] if isinstance(quirks, str) else quirks), **changes)


def make(host: PageHost, settings: CksmSettings, seed: int = 0) -> Policy:
    """Return a Cksm. seed: of the positions that a sampled checksum looks at."""
    from pksm.policies.cksm.daemon import Cksm

    return Cksm(host, settings, seed=seed)


PRESETS = {"cksm-4.14": CksmSettings(quirks=frozenset(QUIRKS)), "fixed": CksmSettings()}
SPEC = Spec(
    name="cksm",
    about="CKSM: physical pages, newest first (after its sources; no recording exists)",
    settings=CksmSettings,
    presets=PRESETS,
    default="cksm-4.14",
    counters=COUNTERS,
    make=make,
    shown=("pages_shared", "pages_sharing", "pages_zero_sharing", "pages_unshared", "scan_step", "pages_inlist"),
    work=frozenset({"full_scans", "scan_step", "pages_scanned"}),
    fixed=frozenset({"checksum"}) | VARIANTS,
    pace=Pace("unmerge_pages_to_scan", 1, 1_000_000),
)
