"""Writes of real memory: the file that holds them, and who records them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.recording.events import Block as Block
    from pksm.recording.events import Kind as Kind
    from pksm.recording.reader import Recording as Recording
    from pksm.recording.reader import repair as repair
    from pksm.recording.writer import Writer as Writer
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "Block": "pksm.recording.events",
            "Kind": "pksm.recording.events",
            "Recording": "pksm.recording.reader",
            "Writer": "pksm.recording.writer",
            "repair": "pksm.recording.reader",
        },
    )
