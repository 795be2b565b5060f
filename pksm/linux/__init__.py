"""What Linux reports and takes: /proc, the files of KSM, facts about this machine."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.linux import ksm as ksm
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(__name__, {"ksm": "pksm.linux.ksm"})
