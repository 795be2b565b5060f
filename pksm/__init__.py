"""Same-page merging outside a kernel: PKSM's engine as a library and a command.

Nothing heavy is loaded here; the names below come in when they are first used.
"""

from typing import TYPE_CHECKING

from pksm.lazy import hand_on

if TYPE_CHECKING:
    from pksm.engine.store import Store
    from pksm.errors import PksmError
    from pksm.hosts.flat import FlatHost
    from pksm.hosts.machine.machine import Machine
    from pksm.policies.pksmd.daemon import Pksmd
    from pksm.policies.pksmd.tunables import Tunables, preset
    from pksm.simulation.clock import Simulation

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "Store": "pksm.engine.store",
        "FlatHost": "pksm.hosts.flat",
        "Machine": "pksm.hosts.machine.machine",
        "Simulation": "pksm.simulation.clock",
        "Pksmd": "pksm.policies.pksmd.daemon",
        "Tunables": "pksm.policies.pksmd.tunables",
        "preset": "pksm.policies.pksmd.tunables",
        "PksmError": "pksm.errors",
        "bench": "pksm.bench",
        "checksums": "pksm.checksums",
        "errors": "pksm.errors",
        "policies": "pksm.policies",
        "profiler": "pksm.profiler",
        "protocols": "pksm.protocols",
        "report": "pksm.report",
        "scan": "pksm.scan",
        "simulation": "pksm.simulation",
        "sources": "pksm.sources",
        "testing": "pksm.testing",
        "validation": "pksm.validation",
    },
)
