"""A command as a source: start it, give it time, read it as a process, end it."""

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence

from pksm.errors import PksmError, UsageError
from pksm.linux.proc import access, processes
from pksm.sources.base import Allocate, Progress, Region
from pksm.sources.live.process import ProcessSource, wait_for_exit

PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 2.0
NAME_LENGTH = 80  # characters
STDERR = 2

_prctl = ctypes.CDLL(None).prctl


class CommandSource(ProcessSource):
    """The memory of a command `after` seconds after its start; close() ends it and all of its process group.

    Its stdout goes to stderr, its stdin is empty. The thread that makes this source has to outlive it: the kernel
    kills the command when that thread ends.
    """

    def __init__(self, argv: Sequence[str], after: float = 1.0, racy: str = "keep") -> None:
        self._command = " ".join(shlex.join(argv).split())[:NAME_LENGTH]
        self._after = after
        self._read_at = time.monotonic() + after
        self._child = _start(argv)
        try:
            super().__init__(self._child.pid, racy)
            self.command, self.user = os.path.basename(argv[0]), access.user_of(self._child.pid)
        except BaseException:
            _end(self._child)
            raise
        self.name = f"{self._command} (pid {self.pid})"

    def regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        """Wait for the time given, then yield as ProcessSource does. Raises PksmError if it ended."""
        self.wait_ready()
        children = processes.children_of(self.pid)
        yield from super().regions(page_size, allocate, progress)
        if children:
            what = f"{len(children)} process{'es' if len(children) > 1 else ''} that it has started"
            self.warnings.append(f"{self.name}: without the {what}: read them by pid or by control group")

    def wait_ready(self) -> None:
        """Wait for the time given. Raises PksmError if it ended."""
        if self.exited(max(0.0, self._read_at - time.monotonic())):
            raise PksmError(
                f"{self._command}: ended with {_describe(_end(self._child))} before it was read, {self._after:g} s "
                "after its start; give a command that keeps running, or a shorter time"
            )

    def _check(self) -> None:
        """Refuse nothing yet: how the command started shows then."""

    def close(self) -> None:
        """End the command and let go of it."""
        try:
            _end(self._child)
        finally:
            super().close()


def _start(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    if not argv:
        raise UsageError("no command given after --")
    parent = os.getpid()

    def die_with_parent() -> None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the request was made
            os._exit(1)

    try:
        # Popen returns when exec has succeeded: the maps read later are never those of this interpreter.
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=STDERR, process_group=0, preexec_fn=die_with_parent
        )
    except FileNotFoundError:
        raise UsageError(f"{argv[0]}: command not found") from None
    except PermissionError:
        raise UsageError(f"{argv[0]}: may not be executed") from None
    except OSError as error:
        raise UsageError(f"{argv[0]}: cannot be started: {error.strerror}") from None


def _end(child: subprocess.Popen[bytes]) -> int:
    """End the command's process group (terminate, then kill), reap the command and return its status."""
    if child.returncode is None:
        pidfd = os.pidfd_open(child.pid)
        try:
            _signal_group(child.pid, signal.SIGTERM)
            wait_for_exit(pidfd, GRACE_SECONDS)
        finally:
            _signal_group(child.pid, signal.SIGKILL)  # the number is this group's as long as the command is not reaped
            child.wait()
            os.close(pidfd)
    return child.returncode


def _describe(status: int) -> str:
    return f"status {status}" if status >= 0 else f"signal {-status} ({signal.strsignal(-status)})"


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
