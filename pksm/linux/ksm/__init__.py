"""The running kernel's KSM: its files, and its daemon, borrowed."""

from typing import TYPE_CHECKING

from pksm.lazy import hand_on

if TYPE_CHECKING:
    from pksm.linux.ksm.borrow import Borrowed
    from pksm.linux.ksm.files import read, write

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {"Borrowed": "pksm.linux.ksm.borrow", "read": "pksm.linux.ksm.files", "write": "pksm.linux.ksm.files"},
)
