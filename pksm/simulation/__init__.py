"""Memory in virtual time: clock, operations, traces, workloads."""

from typing import TYPE_CHECKING

from pksm.lazy import hand_on

if TYPE_CHECKING:
    from pksm.simulation import workloads
    from pksm.simulation.observers import Observer, Reading
    from pksm.simulation.operations import OPERATIONS, Event
    from pksm.simulation.run import Settings, simulate
    from pksm.simulation.script import load_script
    from pksm.simulation.simulation import Simulation
    from pksm.simulation.trace import read_trace

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "simulate": "pksm.simulation.run",
        "Settings": "pksm.simulation.run",
        "Simulation": "pksm.simulation.simulation",
        "Event": "pksm.simulation.operations",
        "Observer": "pksm.simulation.observers",
        "Reading": "pksm.simulation.observers",
        "OPERATIONS": "pksm.simulation.operations",
        "read_trace": "pksm.simulation.trace",
        "load_script": "pksm.simulation.script",
        "workloads": "pksm.simulation.workloads",
    },
)
