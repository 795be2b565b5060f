"""System calls that another process makes for us, with no code of ours in it.

The process's first thread is stopped. A signal frame with all of its registers is written below the red zone of its
stack, and its registers are set, once, to a `syscall; ret` in its own code. Behind the call it returns to the code by
which its handlers of signals return, and the kernel restores its registers from the frame. So it needs us for nothing:
when we are killed, at whatever point, it goes on with its own registers.
"""

import errno
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pksm.errors import PksmError
from pksm.linux import text
from pksm.linux.inject import frame, gadgets, refusals
from pksm.linux.inject.ptrace import EVENT_STOP, SIGTRAP, GoneError, Registers, Tracee, in_thread
from pksm.linux.proc.areas import read_areas

Call: TypeAlias = tuple[int, ...]  # the number of a system call, and up to six arguments
CALLS_A_STOP = 64  # so that no pause is long
TIMEOUT_S = 2.0
TRIES = 20
PAUSE_BETWEEN_S = 2e-3
_SYSCALL_STOP = SIGTRAP | 0x80
_ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
_SIGNALS = "signals keep coming"
_MINUS_ONE = (1 << 64) - 1


class _AgainError(Exception):
    """Not now: a signal is due, or the thread's stack is another one. message: why."""


@dataclass
class Done:
    """What injected calls returned: values, or errors as negative numbers. Pauses of the process in seconds."""

    results: list[int]
    longest_pause_s: float = 0.0
    pauses_s: float = 0.0
    stops: int = 0


def _nothing(step: str) -> None:
    pass


def inject(pid: int, calls: Sequence[Call], at_step: Callable[[str], object] = _nothing) -> Done:
    """Let a process make system calls, none of which may wait.

    The kernel lets a process go as soon as the thread that traces it ends, so a thread of its own does it.

    Args:
        pid: the process.
        calls: in order.
        at_step: called with the name of each step before it, for tests.

    Raises:
        UnsupportedError: not on this machine.
        PksmError: the process is one that this refuses, or it ended.
    """
    refusals.check_machine()
    name = refusals.check(pid)
    return in_thread(lambda: _Session(pid, name, at_step).run(calls))


class _Session:
    def __init__(self, pid: int, name: str, at_step: Callable[[str], object]) -> None:
        self.pid, self.name, self.at_step = pid, name, at_step
        self.done = Done([])

    def run(self, calls: Sequence[Call]) -> Done:
        try:
            self.at_step("search")
            memory = os.open(f"/proc/{self.pid}/mem", os.O_RDWR | os.O_CLOEXEC)
            try:
                found = gadgets.find(self.pid, memory)
            finally:
                os.close(memory)
            self._all(found, calls)
            return self.done
        except GoneError:
            raise PksmError(f"{self.name}: ended, or runs another program by now") from None
        except PermissionError:
            raise PksmError(f"{self.name}: may not be traced by this user; run pksm as root") from None
        except PksmError as error:
            raise type(error)(f"{self.name}: {error}") from None
        except OSError as error:
            raise PksmError(f"{self.name}: no call can be injected: {error.strerror}") from None

    def _all(self, found: gadgets.Gadgets, calls: Sequence[Call]) -> None:
        tries, why = 0, _SIGNALS
        while (at := len(self.done.results)) < len(calls):
            if tries == TRIES:
                raise PksmError(f"no call can be injected: {why}")
            tries += 1
            try:
                self._stop(found, calls[at : at + CALLS_A_STOP])
            except _AgainError as again:
                why = str(again)
            if len(self.done.results) > at:
                tries = 0
            else:
                time.sleep(PAUSE_BETWEEN_S)

    def _stop(self, found: gadgets.Gadgets, calls: Sequence[Call]) -> None:
        """Stop the process once, and let it make calls."""
        self.at_step("seize")
        tracee = Tracee(self.pid)
        signal, is_stopped = 0, False
        began = time.monotonic()
        try:
            self.at_step("interrupt")
            tracee.interrupt()
            began = time.monotonic()
            self._await_stop(tracee)
            is_stopped = True
            signal = self._calls(tracee, found, calls)
        finally:
            if is_stopped:
                self.at_step("detach")
                tracee.detach(signal)
                pause = time.monotonic() - began
                self.done.stops += 1
                self.done.pauses_s += pause
                self.done.longest_pause_s = max(self.done.longest_pause_s, pause)

    def _await_stop(self, tracee: Tracee) -> None:
        while True:
            status = tracee.wait(TIMEOUT_S)
            if status is None:
                raise PksmError("waits for a device, or for a child that shares its memory (vfork), and does not stop")
            if status == SIGTRAP | EVENT_STOP:
                return
            if status & ~0xFF == EVENT_STOP:
                tracee.detach()
                raise PksmError("is stopped; let it run first (SIGCONT)")
            tracee.resume(status & 0x7F)  # a signal was due before

    def _calls(self, tracee: Tracee, found: gadgets.Gadgets, calls: Sequence[Call]) -> int:
        """Let a stopped thread make calls; return a signal that is due to it when it goes."""
        self.at_step("look")
        memory = os.open(f"/proc/{self.pid}/mem", os.O_RDWR | os.O_CLOEXEC)  # before the registers: of the same program
        try:
            own = tracee.registers()
            blocked = tracee.blocked()
            self._check(own, blocked)
            if not found.are_in(memory):
                raise GoneError("another program")
            at, data = frame.build(frame.resumed(own), tracee.vector_state(), blocked, found.restorer)
            self._check_stack(at, own.rsp)
            self.at_step("write")
            if os.pwrite(memory, data, at) != len(data):
                raise PksmError("its stack has no room below")
        except OSError as error:
            if error.errno in (errno.EIO, errno.EFAULT):
                raise PksmError("its stack has no room below") from None
            raise
        finally:
            os.close(memory)
        for number, call in enumerate(calls):
            self.at_step("set registers")
            tracee.set_registers(_calling(own, found.call, at, call))
            self.at_step("enter")
            tracee.to_call()
            status = tracee.wait(TIMEOUT_S)
            if status != _SYSCALL_STOP:  # a signal came first, or it stops: as if we had never been here
                if number == 0 and status is not None:
                    tracee.set_registers(own)
                return 0 if status is None or status & ~0xFF else status & 0x7F
            self.at_step("call")
            tracee.to_call()
            if tracee.wait(TIMEOUT_S) != _SYSCALL_STOP:
                raise PksmError("does not return from a call")
            self.done.results.append(tracee.registers().signed("rax"))
        self.at_step("return")
        return 0

    def _check(self, own: Registers, blocked: int) -> None:
        if not refusals.is_64_bit(own.cs):
            raise PksmError("runs 32-bit code")
        status = text.read(f"/proc/{self.pid}/task/{self.pid}/status")
        own_due, all_due = (int(text.field(status, name) or b"0", 16) for name in ("SigPnd", "ShdPnd"))
        if (own_due | all_due) & ~blocked:
            raise _AgainError(_SIGNALS)

    def _check_stack(self, at: int, top: int) -> None:
        """Only what the kernel made as a stack is known to have room below: those of coroutines are small."""
        for area in read_areas(self.pid):
            if area.name == b"[stack]" and area.start <= top < area.end and at < area.end:
                return
        raise _AgainError("its first thread runs on a stack of its own making")


def _calling(own: Registers, code: int, stack: int, call: Call) -> Registers:
    made = own.copy()
    made.rip, made.rsp, made.rax, made.orig_rax = code, stack, call[0], _MINUS_ONE
    for name, value in zip(_ARGUMENTS, call[1:], strict=False):
        setattr(made, name, value & _MINUS_ONE)
    return made
