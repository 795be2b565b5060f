"""Checksum strategies by name, those of other packages, and strength that adapts."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.engine.checksums.plugins import Plugin as Plugin
    from pksm.engine.checksums.strategies import describe as describe
    from pksm.engine.checksums.strategies import is_exact as is_exact
    from pksm.engine.checksums.strategies import make as make
    from pksm.engine.checksums.strategies import names as names
    from pksm.engine.checksums.strategies import register as register
    from pksm.engine.checksums.strategies import unregister as unregister
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "describe": "pksm.engine.checksums.strategies",
            "is_exact": "pksm.engine.checksums.strategies",
            "make": "pksm.engine.checksums.strategies",
            "names": "pksm.engine.checksums.strategies",
            "register": "pksm.engine.checksums.strategies",
            "unregister": "pksm.engine.checksums.strategies",
            "Plugin": "pksm.engine.checksums.plugins",
        },
    )
