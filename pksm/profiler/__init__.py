"""Checksum strategies on any memory: speed, collisions, blindness, consequence, advice."""

from typing import TYPE_CHECKING

from pksm.lazy import hand_on

if TYPE_CHECKING:
    from pksm.profiler.run import profile

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "profile": "pksm.profiler.run",
    },
)
