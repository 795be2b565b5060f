"""Same-page merging outside a kernel: PKSM's engine as a library and a command.

Nothing heavy is loaded here; the names below come in when they are first used.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "Store": "pksm.store",
    "FlatHost": "pksm.flat",
    "Machine": "pksm.machine",
    "Simulation": "pksm.simulation",
    "Pksmd": "pksm.pksmd",
    "Tunables": "pksm.tunables",
    "preset": "pksm.tunables",
    "PksmError": "pksm.errors",
}
_MODULES = ("checksums",)
__all__ = ["__version__", *_HOMES, *_MODULES]


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"pksm.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'pksm' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
