"""What merging would save in memory that exists."""

from typing import TYPE_CHECKING

from pksm.lazy import hand_on

if TYPE_CHECKING:
    from pksm.scan.interrupts import Interrupts
    from pksm.scan.run import scan
    from pksm.scan.settings import Settings

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "Interrupts": "pksm.scan.interrupts",
        "Settings": "pksm.scan.settings",
        "scan": "pksm.scan.run",
    },
)
