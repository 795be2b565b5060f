"""May this process be read: what is refused, why, and what to do about it."""

import errno
import functools
import os
import pwd
from collections.abc import Callable, Iterable
from typing import TypeVar

from pksm.errors import PksmError, UnsupportedError, UsageError
from pksm.linux import text
from pksm.linux.proc import tasks

KERNEL_THREAD, FORBIDDEN, ENDED = "kernel thread", "forbidden", "ended"
Opened = TypeVar("Opened")
ONE_BY_ONE = 3  # errors of one cause that get a line each
USERS = 1024  # whose names are remembered
_NOBODY_TRACES = 3  # kernel.yama.ptrace_scope
NAMED = 40  # processes that one line names


class UnreadError(PksmError):
    """A process that could not be read. cause: KERNEL_THREAD, FORBIDDEN, ENDED, or words of the system's."""

    def __init__(self, pid: int, command: str, cause: str, message: str):
        super().__init__(message)
        self.pid, self.command, self.cause = pid, command, cause


def check_namespace() -> None:
    """Refuse a /proc of another pid namespace: a number would name one process there and another to the kernel.

    Raises:
        UnsupportedError: it is one, or there is no /proc.
    """
    try:
        own = os.readlink("/proc/self")
        numbers = _own_numbers(own, os.stat("/proc").st_dev)
    except FileNotFoundError:
        own, numbers = "", []
    if own != str(os.getpid()) or len(numbers) > 1:
        raise UnsupportedError(
            "/proc is missing or of another pid namespace, where numbers name other processes: "
            "mount the /proc of this one, or run pksm outside of it"
        )


@functools.lru_cache(1)
def _own_numbers(own: str, proc: int) -> list[bytes]:
    """Return our process ids, one a namespace from that of /proc down to ours; asked once for each of us and each /proc."""
    return (text.field(text.read("/proc/self/status"), "NSpid") or b"").split()


def pid_namespace() -> int:
    """Return the number of the namespace that our process ids are of; 0 where there is no /proc."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def open_pidfd(pid: int) -> int:
    """Open a pidfd.

    Raises:
        UsageError: that is not a process id.
        PksmError: there is no such process, or /proc would show another one.
    """
    if not isinstance(pid, int) or pid <= 0:
        raise UsageError(f"{pid}: not a process id; give a number above 0")
    check_namespace()
    try:
        return os.pidfd_open(pid)
    except (ProcessLookupError, OverflowError):
        raise UnreadError(pid, "", ENDED, f"pid {pid}: no such process") from None
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):  # the answer for a thread's id, by kernel version
            raise PksmError(f"pid {pid}: is a thread; give the id of its process") from None
        if error.errno == errno.ENOSYS:
            raise UnsupportedError("reading live processes needs Linux 5.3 or newer") from None
        cause = error.strerror or "unknown error"
        raise UnreadError(pid, "", cause, f"pid {pid}: cannot be opened: {cause}") from None


def ended_unread(pid: int, command: str, name: str) -> UnreadError:
    """Make the error for a process that left nothing."""
    return UnreadError(pid, command, ENDED, f"{name}: ended before any of its memory was read")


def called(pid: int, command: str) -> str:
    """Return what a process is called in messages and results."""
    return f"pid {pid} ({command})" if command else f"pid {pid}"


def check_kind(pid: int) -> str:
    """Return the name of the command of `pid`; refuse what has no memory of its own."""
    stat = guarded(pid, "", tasks.read_stat)
    name = called(pid, stat.command)
    if stat.is_kernel_thread:
        reason = f"{name}: is a kernel thread; it has no memory of its own to read"
        raise UnreadError(pid, stat.command, KERNEL_THREAD, reason)
    if stat.state in tasks.ENDED_STATES and guarded(pid, stat.command, tasks.living_thread) is None:
        raise UnreadError(pid, stat.command, ENDED, f"{name}: has ended already (zombie)")
    return stat.command


def user_of(pid: int) -> str:
    """Return the name of the real user of `pid`, or the number of one without a name."""
    return _name_of(guarded(pid, "", tasks.uid_of))


@functools.lru_cache(USERS)
def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def guarded(pid: int, command: str, opener: Callable[[int], Opened]) -> Opened:
    """Call `opener(pid)`, which opens files of /proc/PID, and say why when they do not open."""
    name = f"pid {pid}"
    try:
        return opener(pid)
    except PermissionError:
        raise UnreadError(pid, command, FORBIDDEN, f"{name}: its memory may not be read: {rule()}") from None
    except (FileNotFoundError, ProcessLookupError):
        raise UnreadError(pid, command, ENDED, f"{name}: ended, or /proc does not show it to this user") from None
    except OSError as error:
        cause = error.strerror or "unknown error"
        raise UnreadError(pid, command, cause, f"{name}: its memory cannot be opened: {cause}") from None
    except text.MalformedError as error:
        raise UnreadError(pid, command, "malformed", f"{name}: {error}") from None


def rule() -> str:
    """Name the rule that forbids reading or tracing a process, and the remedy."""
    scope = ptrace_scope()
    chosen = "" if scope is None else f" = {scope}"
    needed = f"that takes the same user and ptrace allowed (kernel.yama.ptrace_scope{chosen})"
    if scope == _NOBODY_TRACES:
        return f"{needed}, and 3 forbids it to everybody until the machine starts anew"
    if os.geteuid() == 0:
        return f"{needed}, or CAP_SYS_PTRACE over it, which this root user lacks; run pksm outside the container"
    own = ", or, for processes of your own, let root set that to 0" if scope else ""
    return f"{needed}, or CAP_SYS_PTRACE; run pksm as root (sudo){own}"


def ptrace_scope() -> int | None:
    """Return kernel.yama.ptrace_scope, None where the kernel has no such rule."""
    return text.number_in("/proc/sys/kernel/yama/ptrace_scope")


def tell_unread(errors: Iterable[Exception]) -> list[str]:
    """Return lines about what could not be read: processes of one cause share a line when there are many."""
    lines: list[str] = []
    alike: dict[str, list[UnreadError]] = {}
    for error in errors:
        if isinstance(error, UnreadError):
            alike.setdefault(error.cause, []).append(error)
        else:
            lines.append(str(error))
    for cause, found in alike.items():
        if len(found) <= ONE_BY_ONE:
            lines += map(str, found)
            continue
        about = {
            KERNEL_THREAD: "kernel threads have no memory of their own to read",
            FORBIDDEN: f"processes may not be read ({rule()})",
            ENDED: "processes ended before they were read",
        }.get(cause, f"processes cannot be read ({cause})")
        named = ", ".join(f"{error.command or 'pid'} {error.pid}" for error in found[:NAMED])
        more = f" and {len(found) - NAMED} more (the JSON document names all)" if len(found) > NAMED else ""
        lines.append(f"{len(found)} {about}: {named}{more}")
    return lines


def resident_bytes(pid: int, name: str) -> int:
    """Return how much memory of a process is resident. PksmError that names it where the system does not say."""
    status = guarded(pid, name, lambda number: text.read(f"/proc/{number}/status"))
    return text.kib(text.field(status, "VmRSS")) or 0
