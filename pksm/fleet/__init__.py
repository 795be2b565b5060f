"""The memory of many machines: what merging saves in a fleet, which belong together, and what a boundary costs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.fleet.generate import Fleet as Fleet
    from pksm.fleet.generate import tree_contents as tree_contents
    from pksm.fleet.generate import tree_fleet as tree_fleet
    from pksm.fleet.generate import tree_vm as tree_vm
    from pksm.fleet.placement import place as place
    from pksm.fleet.restores import compare_snapshots as compare_snapshots
    from pksm.fleet.run import fleet as fleet
    from pksm.fleet.settings import Settings as Settings
    from pksm.fleet.snapshots import best_snapshot as best_snapshot
    from pksm.fleet.snapshots import built_base as built_base
    from pksm.fleet.snapshots import decay as decay
    from pksm.fleet.snapshots import restored_pages as restored_pages
    from pksm.fleet.snapshots import shared as shared
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "Fleet": "pksm.fleet.generate",
            "Settings": "pksm.fleet.settings",
            "best_snapshot": "pksm.fleet.snapshots",
            "built_base": "pksm.fleet.snapshots",
            "compare_snapshots": "pksm.fleet.restores",
            "decay": "pksm.fleet.snapshots",
            "fleet": "pksm.fleet.run",
            "place": "pksm.fleet.placement",
            "restored_pages": "pksm.fleet.snapshots",
            "shared": "pksm.fleet.snapshots",
            "tree_contents": "pksm.fleet.generate",
            "tree_fleet": "pksm.fleet.generate",
            "tree_vm": "pksm.fleet.generate",
        },
    )
