"""pksmd, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pksm.policies.base import Pace, Policy, Spec
from pksm.policies.pksmd.counters import COUNTERS
from pksm.policies.pksmd.tunables import PRESETS, Tunables
from pksm.policies.variants import VARIANTS

if TYPE_CHECKING:
    from pksm.protocols import PageHost


def make(host: PageHost, settings: Tunables, seed: int = 0) -> Policy:
    """Return a Pksmd. seed: of the positions that a sampled checksum looks at."""
    from pksm.policies.pksmd.daemon import Pksmd

    return Pksmd(host, settings, seed=seed)


SPEC = Spec(
    name="pksmd",
    about="PKSM: physical pages, from their birth on",
    settings=Tunables,
    presets=PRESETS,
    default="fixed",
    counters=COUNTERS,
    make=make,
    shown=(
        "pages_shared",
        "pages_sharing",
        "pages_zero_sharing",
        "pages_unshared",
        "stable_nodes",
        "rmap_items",
        "new_len",
        "rescan_len",
        "del_len",
    ),
    fixed=frozenset({"order", "checksum"}) | VARIANTS,
    pace=Pace("pages_to_scan", 1, 1_000_000),
)
