"""Checkpoints: engines, hosts and simulations in files, and back."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.checkpoints.files import load as load
    from pksm.checkpoints.files import save as save
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__, {"load": "pksm.checkpoints.files", "save": "pksm.checkpoints.files"}
    )
