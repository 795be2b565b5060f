"""Same-page merging outside a kernel: PKSM's engine as a library and a command.

Nothing heavy is loaded here; the names below come in when they are first used.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pksm import advice as advice
    from pksm import bench as bench
    from pksm import checkpoints as checkpoints
    from pksm import checksums as checksums
    from pksm import documents as documents
    from pksm import errors as errors
    from pksm import extents as extents
    from pksm import fleet as fleet
    from pksm import linux as linux
    from pksm import policies as policies
    from pksm import profiler as profiler
    from pksm import protocols as protocols
    from pksm import recording as recording
    from pksm import report as report
    from pksm import scan as scan
    from pksm import simulation as simulation
    from pksm import sources as sources
    from pksm import testing as testing
    from pksm import validation as validation
    from pksm.embedding import get_include as get_include
    from pksm.embedding import get_sources as get_sources
    from pksm.engine.checksums.plugins import Plugin as Plugin
    from pksm.engine.native.door import catch_bus_errors as catch_bus_errors
    from pksm.engine.store import Store as Store
    from pksm.errors import BusError as BusError
    from pksm.errors import PksmError as PksmError
    from pksm.errors import UnsupportedError as UnsupportedError
    from pksm.errors import UsageError as UsageError
    from pksm.hosts.flat import FlatHost as FlatHost
    from pksm.hosts.machine.machine import Machine as Machine
    from pksm.hosts.watch import Watch as Watch
    from pksm.policies.ksmd.daemon import Ksmd as Ksmd
    from pksm.policies.pksmd.daemon import Pksmd as Pksmd
    from pksm.policies.pksmd.tunables import preset as preset
    from pksm.simulation.simulation import Simulation as Simulation
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "BusError": "pksm.errors",
            "FlatHost": "pksm.hosts.flat",
            "Ksmd": "pksm.policies.ksmd.daemon",
            "Machine": "pksm.hosts.machine.machine",
            "PksmError": "pksm.errors",
            "Pksmd": "pksm.policies.pksmd.daemon",
            "Plugin": "pksm.engine.checksums.plugins",
            "Simulation": "pksm.simulation.simulation",
            "Store": "pksm.engine.store",
            "UnsupportedError": "pksm.errors",
            "Watch": "pksm.hosts.watch",
            "UsageError": "pksm.errors",
            "catch_bus_errors": "pksm.engine.native.door",
            "get_include": "pksm.embedding",
            "get_sources": "pksm.embedding",
            "preset": "pksm.policies.pksmd.tunables",
            "advice": "pksm.advice",
            "bench": "pksm.bench",
            "checkpoints": "pksm.checkpoints",
            "checksums": "pksm.checksums",
            "documents": "pksm.documents",
            "errors": "pksm.errors",
            "extents": "pksm.extents",
            "fleet": "pksm.fleet",
            "linux": "pksm.linux",
            "policies": "pksm.policies",
            "profiler": "pksm.profiler",
            "protocols": "pksm.protocols",
            "recording": "pksm.recording",
            "report": "pksm.report",
            "scan": "pksm.scan",
            "simulation": "pksm.simulation",
            "sources": "pksm.sources",
            "testing": "pksm.testing",
            "validation": "pksm.validation",
        },
    )
