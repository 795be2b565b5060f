"""Whether merging is worth it for some memory, with which settings, and at what price."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.advice.recorded import advise_recording as advise_recording
    from pksm.advice.run import advise as advise
    from pksm.advice.settings import Settings as Settings
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {"Settings": "pksm.advice.settings", "advise": "pksm.advice.run", "advise_recording": "pksm.advice.recorded"},
    )
