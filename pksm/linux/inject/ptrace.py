"""ptrace(2) on x86-64: a thread is seized, stopped, and its registers are read and written."""

import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from pksm.errors import PksmError
from pksm.linux.proc import tasks

SEIZE, INTERRUPT, CONT, DETACH, SYSCALL = 0x4206, 0x4207, 7, 17, 24
GETREGS, SETREGS, GETREGSET, GETSIGMASK = 12, 13, 0x4204, 0x420A
TRACE_SYSGOOD = 1
XSTATE = 0x202
MOST_XSTATE = 1 << 15  # bytes: more than any processor saves
ALL_CHILDREN = 0x40000000
SPINS = 200  # looks without sleep: most stops take microseconds
NAP_S = 100e-6
SIGTRAP, EVENT_STOP = 5, 128 << 8  # together: it stopped as it was asked to
Found = TypeVar("Found")


class Registers(ctypes.Structure):
    """The general registers, as the kernel orders them."""

    _fields_ = [
        (name, ctypes.c_ulong)
        for name in (
            *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
            *("orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
        )
    ]

    def copy(self) -> "Registers":
        """Return another one with the same values."""
        return Registers.from_buffer_copy(self)

    def signed(self, name: str) -> int:
        """Return a register as a signed number."""
        return ctypes.c_long(getattr(self, name)).value


class _Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class GoneError(PksmError):
    """The thread has ended, or isn't stopped any more."""


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Tracee:
    """A thread that this thread of ours traces. When ours ends, by whatever cause, the kernel lets it go.

    Args:
        tid: its number.

    Raises:
        OSError: it may not be traced.
    """

    def __init__(self, tid: int) -> None:
        self.tid = tid
        if self._ptrace(SEIZE, 0, TRACE_SYSGOOD) < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))

    def interrupt(self) -> None:
        """Ask it to stop."""
        self._must(INTERRUPT)

    def wait(self, timeout_s: float) -> int | None:
        """Return how it stopped (signal | event << 8), None when it has not by then.

        The kernel keeps that: a signal at which it stopped comes to it even if we are killed now.

        Raises:
            GoneError: it has ended.
        """
        until = time.monotonic() + timeout_s
        looks = 0
        while True:
            try:
                found = os.waitid(os.P_PID, self.tid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT | ALL_CHILDREN)
            except ChildProcessError:
                raise GoneError(f"thread {self.tid} has ended") from None
            if found is not None and found.si_pid:
                return found.si_status
            looks += 1
            if looks > SPINS:
                if time.monotonic() > until:
                    return None
                time.sleep(NAP_S)
                self._check_alive()

    def _check_alive(self) -> None:
        try:
            state = tasks.read_stat(self.tid, self.tid).state
        except OSError:
            state = tasks.ENDED_STATES[0]
        if state in tasks.ENDED_STATES:
            raise GoneError(f"thread {self.tid} has ended")

    def registers(self) -> Registers:
        """Return its registers."""
        values = Registers()
        self._must(GETREGS, 0, ctypes.addressof(values))
        return values

    def set_registers(self, values: Registers) -> None:
        """Give it other registers."""
        self._must(SETREGS, 0, ctypes.addressof(values))

    def vector_state(self) -> bytes:
        """Return what XSAVE saves of it, in the standard format."""
        state = ctypes.create_string_buffer(MOST_XSTATE)
        vector = _Vector(ctypes.addressof(state), MOST_XSTATE)
        self._must(GETREGSET, XSTATE, ctypes.addressof(vector))
        return state.raw[: vector.length]

    def blocked(self) -> int:
        """Return its mask of blocked signals."""
        mask = ctypes.c_uint64()
        self._must(GETSIGMASK, 8, ctypes.addressof(mask))
        return mask.value

    def resume(self, signal: int = 0) -> None:
        """Let it run, with a signal or none."""
        self._must(CONT, 0, signal)

    def to_call(self) -> None:
        """Let it run up to the beginning or the end of a system call."""
        self._must(SYSCALL)

    def detach(self, signal: int = 0) -> None:
        """Let it go, with a signal or none; nothing if it has ended."""
        with contextlib.suppress(GoneError):
            self._must(DETACH, 0, signal)

    def _must(self, request: int, address: int = 0, data: int = 0) -> None:
        if self._ptrace(request, address, data) < 0:
            error = ctypes.get_errno()
            raise GoneError(f"thread {self.tid}: {os.strerror(error)}")

    def _ptrace(self, request: int, address: int, data: int) -> int:
        return int(_libc.ptrace(request, self.tid, address, data))


def in_thread(work: Callable[[], Found]) -> Found:
    """Call a function in a thread of its own, at whose end the kernel lets go what it traces; return or raise as it does."""
    found: list[Found] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="pksm-ptrace")
    try:
        thread.start()
    except RuntimeError as error:
        raise PksmError(f"no thread is to be had: {error}") from None
    thread.join()
    if errors:
        raise errors[0]
    return found[0]
