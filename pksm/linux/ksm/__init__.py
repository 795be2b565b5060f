"""The running kernel's KSM: its files, and its daemon, borrowed."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.linux.ksm.borrow import Borrowed as Borrowed
    from pksm.linux.ksm.files import read as read
    from pksm.linux.ksm.files import write as write
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {"Borrowed": "pksm.linux.ksm.borrow", "read": "pksm.linux.ksm.files", "write": "pksm.linux.ksm.files"},
    )
