"""May this process be read: what is refused, why, and what to do about it."""

import errno
import os
import pwd

from pksm.errors import PksmError, UnsupportedError, UsageError

PF_KTHREAD = 0x00200000
KERNEL_THREAD, FORBIDDEN, ENDED = "kernel thread", "forbidden", "ended"
ONE_BY_ONE = 3  # errors of one cause that get a line each
NAMED = 40  # processes that one line names


class UnreadError(PksmError):
    """A process that could not be read. cause: KERNEL_THREAD, FORBIDDEN, ENDED, or words of the system's."""

    def __init__(self, pid: int, command: str, cause: str, message: str):
        super().__init__(message)
        self.pid, self.command, self.cause = pid, command, cause


def open_pidfd(pid: int) -> int:
    """Open a pidfd. Raises UsageError for what is no process id, PksmError when there is no such process."""
    if not isinstance(pid, int) or pid <= 0:
        raise UsageError(f"{pid}: not a process id; give a number above 0")
    try:
        return os.pidfd_open(pid)
    except (ProcessLookupError, OverflowError):
        raise UnreadError(pid, "", ENDED, f"pid {pid}: no such process") from None
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):  # the answer for a thread's id, by kernel version
            raise PksmError(f"pid {pid}: is a thread; give the id of its process") from None
        if error.errno == errno.ENOSYS:
            raise UnsupportedError("reading live processes needs Linux 5.3 or newer") from None
        raise PksmError(f"pid {pid}: cannot be opened: {error.strerror}") from None


def ended_unread(pid: int, command: str, name: str) -> UnreadError:
    """Make the error for a process that left nothing."""
    return UnreadError(pid, command, ENDED, f"{name}: ended before any of its memory was read")


def called(pid: int, command: str) -> str:
    """Return what a process is called in messages and results."""
    return f"pid {pid} ({command})" if command else f"pid {pid}"


def check_kind(pid: int) -> str:
    """Return the name of the command of `pid`; refuse what has no memory of its own."""
    stat = guarded(pid, "", read_stat)
    command, fields = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
    name = called(pid, command)
    if int(fields[6]) & PF_KTHREAD:
        reason = f"{name}: is a kernel thread; it has no memory of its own to read"
        raise UnreadError(pid, command, KERNEL_THREAD, reason)
    if fields[0] in "ZX":
        raise UnreadError(pid, command, ENDED, f"{name}: has ended already (zombie)")
    return command


def user_of(pid: int) -> str:
    """Return the name of the real user of `pid`, or the number of one without a name."""
    status = guarded(pid, "", _read_status)
    uid = int(status.partition("\nUid:")[2].split(maxsplit=1)[0])
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def read_stat(pid: int) -> str:
    """Return /proc/PID/stat."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        return stat.read()


def layout(pid: int) -> list[str]:
    """Return where the code and the stack of a process's program start; [] when the process is gone.

    Another program has another stack, but where addresses are not random.
    """
    try:
        return read_stat(f"{pid}/task/{pid}").rpartition(")")[2].split()[23:26]
    except OSError:
        return []


def _read_status(pid: int) -> str:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
        return status.read()


def guarded(pid: int, command: str, opener):
    """Call `opener(pid)`, which opens files of /proc/PID, and say why when they do not open."""
    name = f"pid {pid}"
    try:
        return opener(pid)
    except PermissionError:
        raise UnreadError(pid, command, FORBIDDEN, f"{name}: its memory may not be read: {rule()}") from None
    except (FileNotFoundError, ProcessLookupError):
        raise UnreadError(pid, command, ENDED, f"{name}: ended, or /proc does not show it to this user") from None
    except OSError as error:
        reason = f"{name}: its memory cannot be opened: {error.strerror}"
        raise UnreadError(pid, command, error.strerror, reason) from None


def rule() -> str:
    """Name the rule that forbids reading a process and the remedy."""
    needed = f"that takes the same user and ptrace allowed{_ptrace_scope()}"
    if os.geteuid() == 0:
        return f"{needed}, or CAP_SYS_PTRACE over it, which this root user lacks; run pksm outside the container"
    return f"{needed}; run pksm as root, or start the process as: pksm scan -- COMMAND"


def _ptrace_scope() -> str:
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope", encoding="ascii") as scope:
            return f" (kernel.yama.ptrace_scope = {scope.read().strip()})"
    except OSError:
        return " (kernel.yama.ptrace_scope)"


def tell_unread(errors) -> list[str]:
    """Return lines about what could not be read: processes of one cause share a line when there are many."""
    alike = {}
    for error in errors:
        alike.setdefault(getattr(error, "cause", None), []).append(error)
    lines = []
    for cause, found in alike.items():
        if cause is None or len(found) <= ONE_BY_ONE:
            lines += map(str, found)
        else:
            about = {
                KERNEL_THREAD: "kernel threads have no memory of their own to read",
                FORBIDDEN: f"processes may not be read ({rule()})",
                ENDED: "processes ended before they were read",
            }.get(cause, f"processes cannot be read ({cause})")
            named = ", ".join(f"{error.command or 'pid'} {error.pid}" for error in found[:NAMED])
            more = f" and {len(found) - NAMED} more (--json names all)" if len(found) > NAMED else ""
            lines.append(f"{len(found)} {about}: {named}{more}")
    return lines
