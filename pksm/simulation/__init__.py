"""Memory in virtual time: clock, operations, traces, workloads."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.simulation import workloads as workloads
    from pksm.simulation.at_cpu import compare_at_cpu as compare_at_cpu
    from pksm.simulation.observers import Observer as Observer
    from pksm.simulation.observers import Reading as Reading
    from pksm.simulation.operations import OPERATIONS as OPERATIONS
    from pksm.simulation.operations import Event as Event
    from pksm.simulation.parts import within as within
    from pksm.simulation.real import RealMemory as RealMemory
    from pksm.simulation.replay import RecordedWrites as RecordedWrites
    from pksm.simulation.run import Settings as Settings
    from pksm.simulation.run import compare as compare
    from pksm.simulation.run import simulate as simulate
    from pksm.simulation.script import load_script as load_script
    from pksm.simulation.simulation import Simulation as Simulation
    from pksm.simulation.sweeps import sweep as sweep
    from pksm.simulation.taking import from_sources as from_sources
    from pksm.simulation.trace import read_trace as read_trace
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "RealMemory": "pksm.simulation.real",
            "RecordedWrites": "pksm.simulation.replay",
            "compare": "pksm.simulation.run",
            "from_sources": "pksm.simulation.taking",
            "simulate": "pksm.simulation.run",
            "Settings": "pksm.simulation.run",
            "Simulation": "pksm.simulation.simulation",
            "Event": "pksm.simulation.operations",
            "Observer": "pksm.simulation.observers",
            "Reading": "pksm.simulation.observers",
            "OPERATIONS": "pksm.simulation.operations",
            "compare_at_cpu": "pksm.simulation.at_cpu",
            "sweep": "pksm.simulation.sweeps",
            "within": "pksm.simulation.parts",
            "read_trace": "pksm.simulation.trace",
            "load_script": "pksm.simulation.script",
            "workloads": "pksm.simulation.workloads",
        },
    )
