"""ksmd, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pksm.policies.base import Pace, Policy, Spec
from pksm.policies.ksmd.counters import COUNTERS
from pksm.policies.ksmd.tunables import PRESETS, KsmTunables
from pksm.policies.variants import VARIANTS

if TYPE_CHECKING:
    from pksm.protocols import MappingHost


def make(host: MappingHost, settings: KsmTunables, seed: int = 0) -> Policy:
    """Return a Ksmd, in which nothing is random."""
    from pksm.policies.ksmd.daemon import Ksmd

    return Ksmd(host, settings)


SPEC = Spec(
    name="ksmd",
    about="KSM: mappings that have opted in, address by address",
    settings=KsmTunables,
    presets=PRESETS,
    default="ksm-6.11",
    counters=COUNTERS,
    make=make,
    shown=("pages_shared", "pages_sharing", "pages_unshared", "pages_to_scan", "rmap_items"),
    # smart_scan lets pages come and go between unshared and volatile
    work=frozenset({"pages_scanned", "pages_skipped", "full_scans", "pages_unshared", "pages_volatile"}),
    moving=frozenset({"pages_to_scan"}),  # by the advisor, when it is on
    fixed=frozenset({"checksum", "stages", "unmerged_items"}) | VARIANTS,
    opt_in=True,
    pace=Pace("pages_to_scan", 1, 1_000_000),
    unproven=frozenset({"ksm-7.3", "rhel-9.9-zero"}),
)
