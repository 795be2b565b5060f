"""Ctrl-C, held back while a step is under way that must not stop halfway."""

import signal
import threading
from contextlib import contextmanager


class HeldInterrupts:
    """Raises KeyboardInterrupt on SIGINT: at once, or at the end of the step that is held."""

    def __init__(self):
        self._held = 0
        self._pending = False

    @contextmanager
    def installed(self):
        """Handle SIGINT in this block. Where it is ignored it stays so, and only the main thread can handle signals."""
        previous = signal.getsignal(signal.SIGINT)
        if previous is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
            yield
            return
        signal.signal(signal.SIGINT, self._on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)

    @contextmanager
    def hold(self):
        """Hold interrupts back until the end of this block."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if self._pending and not self._held:
            self._pending = False
            raise KeyboardInterrupt

    def _on_signal(self, number, frame):
        if not self._held:
            raise KeyboardInterrupt
        self._pending = True
