"""What is borrowed is given back as long as pksm or its guard lives; a guard that dies is replaced at once."""

import contextlib
import math
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Self

from pksm.errors import PksmError
from pksm.linux import guard, isolated

MOST_GUARDS = 20  # started one after the other; if the last one dies, too, we give back ourselves


class Guarded:
    """The guard process while it is needed: a context manager.

    Args:
        program: the path of a module that gives back. It imports the standard library only: the guard runs it by path.
        prepare: its function of that name, which returns a function that gives back and returns whether all went back.
        arguments: what prepare is called with, here and in the guard.
        fds: descriptors that the guard needs, too.
        deadline: time.monotonic() at which the guard gives back even though we live.
        patience_s: how long to wait at the end for the guard, before it is ended and we give back ourselves.

    Raises:
        PksmError: no guard could be started; nothing may be borrowed then.
    """

    def __init__(
        self,
        program: str,
        prepare: Callable[..., Callable[[], bool]],
        arguments: Sequence[str],
        fds: Sequence[int],
        deadline: float = math.inf,
        patience_s: float = 600.0,
    ):
        self._program, self._prepare, self._arguments, self._fds = program, prepare, arguments, fds
        self._deadline, self._patience_s = deadline, patience_s
        self._changing = threading.Lock()
        self._ending = False
        self._guard = self._start()
        self._started = 1
        self._watcher = threading.Thread(target=self._replace_the_dead, daemon=True)

    def __enter__(self) -> Self:
        with contextlib.suppress(RuntimeError):  # no thread is to be had: that the guard died shows at the end
            self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changing:
            self._ending = True
            assert self._guard.stdin is not None
            self._guard.stdin.close()
        if self._watcher.ident is None:
            self._wait_alone()
        else:
            self._watcher.join(self._patience_s)
            if self._watcher.is_alive():
                self._guard.kill()
                self._watcher.join()
        if self._guard.returncode:
            self._prepare(*self._arguments)()

    def _wait_alone(self) -> None:
        """Wait for the guard without the thread that waits for it."""
        try:
            self._guard.wait(self._patience_s)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        try:
            process = subprocess.Popen(
                isolated.command(guard.__file__, self._program, repr(self._deadline), *self._arguments),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=self._fds,
                start_new_session=True,
            )
        except OSError as error:
            raise PksmError(
                f"the process that gives back what pksm borrows could not be started: {error.strerror}"
            ) from None
        assert process.stdout is not None
        with process.stdout as ready:
            if ready.read(1) != guard.READY:
                process.kill()
                process.wait()
                raise PksmError("the process that gives back what pksm borrows could not be started")
        return process

    def _replace_the_dead(self) -> None:
        """Start a guard for each that dies. One that has given back, because time is up, is not replaced."""
        while self._guard.wait():
            with self._changing:
                if self._ending or self._started == MOST_GUARDS:
                    return
                with contextlib.suppress(OSError, PksmError):
                    dead, self._guard = self._guard, self._start()
                    assert dead.stdin is not None
                    dead.stdin.close()
                self._started += 1
