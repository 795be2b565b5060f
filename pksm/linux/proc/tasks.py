"""Processes and their threads: which there are, and what /proc/PID/stat and its neighbours say of them."""

import os
from dataclasses import dataclass

from pksm.linux import text

PF_KTHREAD = 0x00200000
ENDED_STATES = "ZX"
ASLEEP_STATES = "SITZX"  # of a thread that does not run; one in state D may wait for a device that writes to memory
STOPPED_STATES = "TtZX"
_FIELDS = 26  # behind the command, of which we need the last


@dataclass(frozen=True)
class Stat:
    """What stat says of a process or thread.

    Attributes:
        command: its name; whatever it likes, control characters included.
        state: one letter.
        parent: the id of its parent process.
        is_kernel_thread: it has no memory of its own.
        layout: where the code of its program starts and ends, and its stack starts; zeros when its memory is gone.
        started: when it was started, in ticks since boot.
    """

    command: str
    state: str
    parent: int
    is_kernel_thread: bool
    layout: tuple[int, int, int]
    started: int


def parse_stat(data: bytes) -> Stat:
    """Parse the text of a stat file. Raises MalformedError."""
    head, bracket, tail = data.rpartition(b") ")  # the command may hold brackets, blanks and newlines, the rest not
    start, fields = head.find(b" ("), tail.split()
    if not bracket or start < 0 or len(fields) < _FIELDS or len(fields[0]) != 1:
        raise text.MalformedError("/proc/PID/stat: not as the kernel writes it")
    needed = [fields[at] for at in (1, 6, 19, 23, 24, 25)]
    if not b"".join(needed).isdigit() or max(map(len, needed)) > text.MOST_DIGITS:
        raise text.MalformedError("/proc/PID/stat: no number where one should be")
    parent, flags, started, code, end, stack = map(int, needed)
    command, state = text.decoded(head[start + 2 :]), text.decoded(fields[0])
    return Stat(command, state, parent, bool(flags & PF_KTHREAD), (code, end, stack), started)


def read_stat(pid: int, thread: int | None = None) -> Stat:
    """Return the stat of a process, or of one of its threads. Raises OSError."""
    return parse_stat(text.read(f"/proc/{pid}/stat" if thread is None else f"/proc/{pid}/task/{thread}/stat"))


def pids() -> list[int]:
    """Return the ids of all processes that /proc shows, in order."""
    return text.numbered("/proc")


def names_children() -> bool:
    """Return whether the kernel says which processes a process has started (CONFIG_PROC_CHILDREN)."""
    return os.path.exists("/proc/thread-self/children")


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that are there; none where the kernel does not say."""
    try:
        said = [text.read_if_any(f"/proc/{pid}/task/{thread}/children") or b"" for thread in threads(pid)]
    except OSError:
        return []  # it has gone
    return [child for child in map(text.number, b" ".join(said).split()) if child is not None]


def threads(pid: int) -> list[int]:
    """Return the ids of the threads of a process, in order. Raises OSError."""
    return text.numbered(f"/proc/{pid}/task")


def living_thread(pid: int) -> int | None:
    """Return the first thread of a process that has not ended; None when all have. Raises OSError.

    That is the process's own id, unless its first thread has ended before the others.
    """
    if read_stat(pid, pid).state not in ENDED_STATES:
        return pid
    for thread in threads(pid):
        try:
            if read_stat(pid, thread).state not in ENDED_STATES:
                return thread
        except (FileNotFoundError, ProcessLookupError):
            continue
    return None


def directory(pid: int, thread: int | None = None) -> str:
    """Return the directory of /proc through which a process's memory is reached: of a thread that still has it.

    Args:
        pid: the process.
        thread: one that has it, if that is known already.

    Raises:
        OSError: ProcessLookupError when no thread has.
    """
    thread = living_thread(pid) if thread is None else thread
    if thread is None:
        raise ProcessLookupError(pid)
    return f"/proc/{pid}" if thread == pid else f"/proc/{pid}/task/{thread}"


def layout(pid: int) -> tuple[int, int, int] | None:
    """Return where the code and the stack of a process's program start; None when the process is gone.

    Another program has another stack, but where addresses are not random.
    """
    try:
        first = read_stat(pid, pid).layout
        if any(first):
            return first
        thread = living_thread(pid)
        return None if thread is None else read_stat(pid, thread).layout
    except OSError:
        return None


def uid_of(pid: int) -> int:
    """Return the real user's id of a process. Raises OSError, MalformedError."""
    numbers = (text.field(text.read(f"/proc/{pid}/status"), "Uid") or b"").split()
    uid = text.number(numbers[0]) if numbers else None
    if uid is None:
        raise text.MalformedError(f"/proc/{pid}/status: no line of the user's id")
    return uid


def stand_still(pid: int) -> bool:
    """Return whether all threads of a process are stopped, or it has ended."""
    try:
        return all(read_stat(pid, thread).state in STOPPED_STATES for thread in threads(pid))
    except OSError:
        return True


def times(pid: int, thread: int) -> tuple[int, ...]:
    """Return (ns on a CPU, ns waiting for one, times put on one) of a thread; all 0 where the kernel does not count.

    Raises OSError.
    """
    numbers = text.read(f"/proc/{pid}/task/{thread}/schedstat").split()
    return tuple(text.number(number) or 0 for number in [*numbers, b"", b"", b""][:3])


def cpu_seconds(pid: int) -> float:
    """Return the seconds of CPU that a process's first thread has used, to the nanosecond where the kernel counts."""
    return times(pid, pid)[0] / 1e9
