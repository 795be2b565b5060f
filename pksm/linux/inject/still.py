"""A process that stands still while something is done: all of its threads are stopped by ptrace.

When we are killed meanwhile, the kernel lets them go, with the signals that were due to them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pksm.errors import PksmError
from pksm.linux.inject.ptrace import EVENT_STOP, SIGTRAP, GoneError, Tracee, in_thread
from pksm.linux.inject.refusals import check_stop
from pksm.linux.proc import tasks

TIMEOUT_S = 0.25  # until the last thread stands; the others wait as long
Found = TypeVar("Found")


@dataclass
class Still(Generic[Found]):
    """What the work returned, and how long a thread stood still for it at most, in seconds."""

    found: Found
    pause_s: float


def _nothing(step: str) -> None:
    pass


def while_still(pid: int, work: Callable[[], Found], at_step: Callable[[str], object] = _nothing) -> Still[Found]:
    """Stop all threads of a process, do some work, and let them go on.

    Processes that share its memory (vfork, CLONE_VM) go on meanwhile.

    Args:
        pid: the process.
        work: what is to be done; the shorter, the better.
        at_step: called with the name of each step before it, for tests.

    Raises:
        PksmError: the process is one that this refuses, does not stop in time, or has ended; or the work raised it.
    """
    return in_thread(lambda: _Session(pid, check_stop(pid), at_step).run(work))


class _Session:
    def __init__(self, pid: int, name: str, at_step: Callable[[str], object]) -> None:
        self.pid, self.name, self.at_step = pid, name, at_step
        self._threads: dict[int, Tracee] = {}
        self._due: dict[int, int] = {}  # signals that threads get when they go on

    def run(self, work: Callable[[], Found]) -> Still[Found]:
        began = time.monotonic()
        try:
            try:
                began = self._stop()
                self.at_step("work")
                found = work()
            finally:
                self._let_go()
        except PermissionError:
            raise PksmError(f"{self.name}: may not be traced by this user; run pksm as root") from None
        except OSError as error:
            raise PksmError(f"{self.name}: cannot be made to stand still: {error.strerror}") from None
        return Still(found, time.monotonic() - began)

    def _stop(self) -> float:
        """Stop all threads; return when the first was asked to. Whoever stands begins no thread: the last list has all."""
        began, seen = 0.0, set[int]()
        while new := [thread for thread in tasks.threads(self.pid) if thread not in seen]:
            seen.update(new)
            self.at_step("seize")
            seized = [tracee for tracee in map(self._seized, new) if tracee is not None]
            began = began or time.monotonic()
            for tracee in seized:
                self.at_step("interrupt")
                self._unless_gone(tracee, tracee.interrupt)
            for tracee in seized:
                self.at_step("wait")
                self._unless_gone(tracee, lambda: self._await_stop(tracee, began + TIMEOUT_S))  # noqa: B023
        if not self._threads:
            raise PksmError(f"{self.name}: has ended")
        return began

    def _seized(self, thread: int) -> Tracee | None:
        """Seize a thread, which goes on; None if it has ended."""
        try:
            self._threads[thread] = tracee = Tracee(thread)
        except OSError:
            try:
                has_ended = tasks.read_stat(self.pid, thread).state in tasks.ENDED_STATES
            except (FileNotFoundError, ProcessLookupError):
                has_ended = True
            if not has_ended:
                raise
            return None
        return tracee

    def _unless_gone(self, tracee: Tracee, step: Callable[[], object]) -> None:
        try:
            step()
        except GoneError:
            self._threads.pop(tracee.tid, None)

    def _await_stop(self, tracee: Tracee, until: float) -> None:
        status = tracee.wait(max(0.0, until - time.monotonic()))
        if status is None:
            why = "waits for a device, or for a child that shares its memory (vfork), and does not stop"
            raise PksmError(f"{self.name}: {why}")
        if status == SIGTRAP | EVENT_STOP:
            return
        if status & ~0xFF == EVENT_STOP:
            raise PksmError(f"{self.name}: is stopped; let it run first (SIGCONT)")
        self._due[tracee.tid] = status & 0x7F

    def _let_go(self) -> None:
        """Detach from all. From one that does not stand the kernel detaches when this thread of ours ends."""
        for thread, tracee in self._threads.items():
            self.at_step("detach")
            tracee.detach(self._due.get(thread, 0))
