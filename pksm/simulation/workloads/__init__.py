"""Memory to measure with, made from a seed: static loads, and workloads, which happen in virtual time."""

from typing import TYPE_CHECKING

from pksm.lazy import hand_on

if TYPE_CHECKING:
    from pksm.simulation.workloads.loads import Load, make
    from pksm.simulation.workloads.names import LOADS, RECORDED, WORKLOADS
    from pksm.simulation.workloads.registry import events

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "LOADS": "pksm.simulation.workloads.names",
        "RECORDED": "pksm.simulation.workloads.names",
        "WORKLOADS": "pksm.simulation.workloads.names",
        "Load": "pksm.simulation.workloads.loads",
        "make": "pksm.simulation.workloads.loads",
        "events": "pksm.simulation.workloads.registry",
    },
)
