"""Memory to measure with, made from a seed: static loads, and workloads, which happen in virtual time."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.simulation.workloads.loads import Load as Load
    from pksm.simulation.workloads.loads import make as make
    from pksm.simulation.workloads.names import LOADS as LOADS
    from pksm.simulation.workloads.names import RECORDED as RECORDED
    from pksm.simulation.workloads.names import WORKLOADS as WORKLOADS
    from pksm.simulation.workloads.registry import events as events
else:
    from pksm.lazy import hand_on

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
