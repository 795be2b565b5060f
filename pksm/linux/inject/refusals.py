"""Processes that are not made to stand still, or into which no call is injected, and why."""

import mmap
import os
import platform
from collections.abc import Callable

from pksm.errors import PksmError, UnsupportedError
from pksm.linux import text
from pksm.linux.proc import access, tasks

_CODE_64 = 0x33  # selector of 64-bit code
_ELF_64 = 2


def check_machine() -> None:
    """Refuse machines on which this is not possible.

    Raises:
        UnsupportedError: it is another than x86-64.
    """
    if platform.machine() != "x86_64" or mmap.PAGESIZE != 4096:
        raise UnsupportedError(f"calls are injected on x86-64 alone, and this is {platform.machine()}")


def check(pid: int) -> str:
    """Return what a process is called in messages.

    Raises:
        PksmError: no call can be injected into it; the message says why.
    """
    return _checked(pid, lambda status: _no_stop(pid, status) or _no_call(pid, status))


def check_stop(pid: int) -> str:
    """Return what a process is called in messages.

    Raises:
        PksmError: it cannot be made to stand still by ptrace; the message says why.
    """
    return _checked(pid, lambda status: _no_stop(pid, status))


def _checked(pid: int, reason: Callable[[bytes], str]) -> str:
    command = access.check_kind(pid)
    name = access.called(pid, command)
    why = reason(access.guarded(pid, command, lambda number: text.read(f"/proc/{number}/status")))
    if why:
        raise PksmError(f"{name}: {why}")
    return name


def _no_stop(pid: int, status: bytes) -> str:
    def value(field: str) -> bytes:
        return text.field(status, field) or b""

    state = value("State")[:1].decode("ascii", "replace")
    if pid == os.getpid():
        return "is pksm itself"
    if state in tasks.ENDED_STATES:
        return "its first thread has ended"
    if text.number(value("TracerPid")):
        return f"is traced by pid {text.number(value('TracerPid'))}"
    if state in tasks.STOPPED_STATES:
        return "is stopped; let it run first (SIGCONT)"
    return ""


def _no_call(pid: int, status: bytes) -> str:
    if text.number(text.field(status, "Seccomp") or b""):
        return "a seccomp filter watches its system calls, and might kill it"
    if b"shstk" in (text.field(status, "x86_Thread_features") or b""):
        return "has a shadow stack, which a borrowed return would break"
    try:
        with open(f"/proc/{pid}/exe", "rb") as program:
            head = program.read(5)
    except OSError as error:
        return f"its program cannot be read: {error.strerror}"
    if head[:4] == b"\x7fELF" and head[4] != _ELF_64:
        return "is a 32-bit program"
    return ""


def is_64_bit(selector: int) -> bool:
    """Return whether a thread with this code selector runs 64-bit code."""
    return selector == _CODE_64
