"""Ctrl-C, and being asked to end, held back while a step is under way that must not stop halfway."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pksm.cli.exit_codes import INTERRUPTED

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Ended(KeyboardInterrupt):
    """A signal asks this process to end: what Ctrl-C does, whatever the signal.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    @property
    def name(self) -> str:
        """The name of the signal."""
        return signal.Signals(self.number).name

    @property
    def exit_code(self) -> int:
        """The exit code that names the signal, as shells have it."""
        return INTERRUPTED - signal.SIGINT + self.number


class HeldInterrupts:
    """Raises Ended on SIGINT, SIGTERM, SIGHUP and SIGQUIT: at once, or at the end of the step that is held.

    `last`: the Ended that was raised last, None if there was none.
    """

    def __init__(self) -> None:
        self.last: Ended | None = None
        self._held = 0
        self._pending: Ended | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals in this block. Those ignored stay so, and only the main thread can handle signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in previous.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold signals back until the end of this block."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if self._pending and not self._held:
            pending, self._pending = self._pending, None
            raise pending

    @contextmanager
    def passed_on(self, to: Callable[[], None]) -> Iterator[None]:
        """Call to() for each signal in this block, instead of raising here."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def pass_on(number: int, frame: FrameType | None) -> None:
            self.last = Ended(number)
            to()

        previous = {number: signal.getsignal(number) for number in SIGNALS}
        with contextlib.ExitStack() as stack:
            for number, handler in previous.items():
                if handler is not signal.SIG_IGN:
                    signal.signal(number, pass_on)
                    stack.callback(signal.signal, number, handler)
            yield

    def take(self, number: int) -> None:
        """Handle this signal as Ctrl-C, too: that by which others interrupt us. It may be waiting."""
        signal.signal(number, lambda _, frame: self._on_signal(signal.SIGINT, frame))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.last = Ended(number)
        if not self._held:
            raise self.last
        self._pending = self.last
