"""Checksum strategies on any memory: speed, collisions, blindness, consequence, advice."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.profiler.run import profile as profile
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "profile": "pksm.profiler.run",
        },
    )
