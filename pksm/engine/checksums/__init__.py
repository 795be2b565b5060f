"""Checksum strategies by name, those of other packages, and strength that adapts."""

from typing import TYPE_CHECKING

from pksm.lazy import hand_on

if TYPE_CHECKING:
    from pksm.engine.checksums.plugins import Plugin
    from pksm.engine.checksums.strategies import describe, is_exact, make, names, register

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "describe": "pksm.engine.checksums.strategies",
        "is_exact": "pksm.engine.checksums.strategies",
        "make": "pksm.engine.checksums.strategies",
        "names": "pksm.engine.checksums.strategies",
        "register": "pksm.engine.checksums.strategies",
        "Plugin": "pksm.engine.checksums.plugins",
    },
)
