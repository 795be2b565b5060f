"""What merging would save in memory that exists."""

from typing import TYPE_CHECKING

from pksm.lazy import hand_on

if TYPE_CHECKING:
    from pksm.scan.gather import Interrupts
    from pksm.scan.run import Settings, opened, scan

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "Settings": "pksm.scan.run",
        "opened": "pksm.scan.run",
        "scan": "pksm.scan.run",
        "Interrupts": "pksm.scan.gather",
    },
)
