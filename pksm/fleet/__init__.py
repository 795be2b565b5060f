"""The memory of many machines: what merging saves in a fleet, which belong together, and what a boundary costs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.fleet.generate import Fleet as Fleet
    from pksm.fleet.generate import tree_fleet as tree_fleet
    from pksm.fleet.placement import place as place
    from pksm.fleet.run import Settings as Settings
    from pksm.fleet.run import fleet as fleet
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "Fleet": "pksm.fleet.generate",
            "Settings": "pksm.fleet.run",
            "fleet": "pksm.fleet.run",
            "place": "pksm.fleet.placement",
            "tree_fleet": "pksm.fleet.generate",
        },
    )
