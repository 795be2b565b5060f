"""Settings of KSM: what each means, its range, and presets of kernel versions. Values only."""

from dataclasses import dataclass, replace
from typing import Any, Self

from pksm.engine.settings import Settings, preset_of, setting
from pksm.errors import UsageError
from pksm.policies.ksmd.advisor import FIRST_PAGES
from pksm.policies.variants import within, zero_only

STAGE_ORDERS = {  # until 6.11 the stable tree was searched before anything was known of the page
    "unchanged-first": ("unchanged", "zero", "stable", "unstable"),
    "stable-first": ("stable", "unchanged", "zero", "unstable"),
}


@dataclass(frozen=True)
class KsmTunables(Settings):
    """Values of ksmd, under the kernel's names. Make one with preset(), change it with with_(); both check ranges."""

    pages_to_scan: int = setting(100, "pages that a wake-up visits", 1, 1 << 31)
    sleep_millisecs: int = setting(20, "ms between two wake-ups", 0, 1 << 31)
    run: int = setting(1, "0 stop, 1 merge, 2 stop and unmerge everything", 0, 2)
    use_zero_pages: int = setting(0, "1: empty pages are merged with the kernel's zero page", 0, 1)
    max_page_sharing: int = setting(256, "mappings that may hang on one stable page; 0: no limit", 0, 1 << 31)
    merge_across_nodes: int = setting(1, "1: one pair of trees for all memory nodes, of which there is one here", 1, 1)
    smart_scan: int = setting(1, "1: pages that did not merge are left out of more and more full scans", 0, 1)
    stable_node_chains_prune_millisecs: int = setting(2000, "ms from one pruning of a chain to the next", 0, 1 << 31)
    advisor_mode: str = setting(
        "none", "scan-time: pages_to_scan is set anew after each full scan", choices=("none", "scan-time")
    )
    advisor_max_cpu: int = setting(70, "percent of one CPU that the advisor lets ksmd use", 0, 1 << 31)
    advisor_min_pages_to_scan: int = setting(500, "pages_to_scan when the advisor is switched on", 1, 1 << 31)
    advisor_max_pages_to_scan: int = setting(30000, "pages_to_scan that the advisor does not go beyond", 1, 1 << 31)
    advisor_target_scan_time: int = setting(200, "s that a full scan is to take", 1, 1 << 31)
    visit_ns: int = setting(7300, "ns of CPU that a visit counts for, to the advisor alone", 0, 1 << 31)
    checksum: str = setting("xxh64-trunc32", "name of the checksum that shows whether a page has changed")
    stages: str = setting("unchanged-first", "what is done with a page in which order", choices=tuple(STAGE_ORDERS))
    unmerged_items: str = setting(
        "as-they-were",
        "age and checksum of an item whose merged page was written: as-they-were, or new and not skipped",
        choices=("as-they-were", "new"),
    )
    within: str = within()
    zero_only: int = zero_only()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_page_sharing == 1:
            raise UsageError("max_page_sharing=1: must be 0 (no limit), or 2 and more")

    def with_(self, **changes: Any) -> Self:
        """Return a copy with changes. UsageError if unfit.

        A change of advisor_mode sets pages_to_scan; while it is scan-time nobody else can.
        """
        changed = super().with_(**changes)
        if changed.advisor_mode != self.advisor_mode:
            first = changed.advisor_min_pages_to_scan if changed.advisor_mode == "scan-time" else FIRST_PAGES
            changed = replace(changed, **{"pages_to_scan": first, **changes})
        if changed.advisor_mode == "scan-time" and "pages_to_scan" in changes:
            raise UsageError(f"pages_to_scan={changes['pages_to_scan']}: advisor_mode=scan-time sets it: leave it out")
        return changed


SETTINGS = KsmTunables.entries()

_NEWEST = KsmTunables()
PRESETS = {
    "ksm-6.11": _NEWEST,
    # The next two are made from descriptions of patches, and not held against a kernel yet.
    "ksm-7.3": _NEWEST.with_(unmerged_items="new"),
    "rhel-9.9-zero": _NEWEST.with_(zero_only=1, use_zero_pages=1),
    "ksm-4.20": _NEWEST.with_(stages="stable-first", smart_scan=0),
    "ksm-3.x": _NEWEST.with_(stages="stable-first", smart_scan=0, max_page_sharing=0, checksum="jhash2"),
}


def preset(name: str) -> KsmTunables:
    """Return the KsmTunables of a kernel: ksm-6.11 and later, ksm-4.20, ksm-3.x; unproven: ksm-7.3, rhel-9.9-zero.

    UsageError if unknown.
    """
    return preset_of(PRESETS, name)
