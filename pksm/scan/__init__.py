"""What merging would save in memory that exists."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.scan.interrupts import Interrupts as Interrupts
    from pksm.scan.run import scan as scan
    from pksm.scan.settings import Settings as Settings
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "Interrupts": "pksm.scan.interrupts",
            "Settings": "pksm.scan.settings",
            "scan": "pksm.scan.run",
        },
    )
