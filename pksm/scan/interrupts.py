"""What an interrupt does to a scan."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

Hold = Callable[[], AbstractContextManager[object]]


class Interrupts:
    """What KeyboardInterrupt does to long work: it ends a part of it early, or goes through to the caller.

    Args:
        hold: makes context managers that hold interrupts back for the length of a step that must not stop halfway.
            Without it an interrupt may have come anywhere, and goes through.
    """

    def __init__(self, hold: Hold | None = None) -> None:
        self.hold: Hold = hold or nullcontext
        self._may_end = hold is not None
        self.seen = False

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Let an interrupt end this block."""
        try:
            yield
        except KeyboardInterrupt:
            if not self._may_end:
                raise
            self.seen = True
