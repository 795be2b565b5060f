"""What a run of pksm has stopped, on record: if it and its guard are killed at once, the next run lets it go on.

Each run has a record of its own. Whoever holds its lock, pksm or its guard, still lives: the record is theirs.
"""

import contextlib
import fcntl
import os
import re
import signal
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from pksm.errors import PksmError, UnsupportedError
from pksm.linux import run_files
from pksm.linux.proc import access, processes, tasks

NAME = re.compile(r"frozen-\d+-\d+\.json")
THAW_SECONDS = 1.0  # for the processes of a control group to go on


class Record:
    """The record of what is about to be stopped: a context manager.

    Args:
        groups: directories of control groups that are frozen as a whole.
        pids: processes that are stopped.

    Attributes:
        path: where it is; empty where there is no place for it.
        fds: the descriptor that holds its lock, for the guard to inherit.
        warnings: a line about there being no place.
    """

    def __init__(self, groups: Sequence[str], pids: Sequence[int]):
        self._groups, self._pids = groups, pids
        self.path = ""
        self.fds: list[int] = []
        self.warnings: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._write()
        except (OSError, UnsupportedError) as error:
            self._drop()
            reason = error.strerror if isinstance(error, OSError) else error
            self.warnings = [f"what is frozen is not on record ({reason}): no next run can let it go on"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._drop()

    def _write(self) -> None:
        directory = run_files.open_directory()
        try:
            name = f"frozen-{os.getpid()}-{time.monotonic_ns()}.json"
            fd = _new_file(name, directory)
        finally:
            os.close(directory)
        self.fds = [fd]
        self.path = os.path.join(run_files.directory() or "", name)
        run_files.write_record(
            fd,
            {
                "namespace": access.pid_namespace(),
                "groups": [[group, os.stat(group).st_ino] for group in self._groups],
                "processes": [[pid, started] for pid in self._pids if (started := _started(pid)) is not None],
            },
        )

    def _drop(self) -> None:
        if self.path:
            with contextlib.suppress(OSError):
                os.unlink(self.path)  # before its lock goes
        for fd in self.fds:
            os.close(fd)
        self.path, self.fds = "", []


class Repaired:
    """A context manager that lets go on, at its start, what earlier runs have left stopped.

    Attributes:
        warnings: lines about it.
    """

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def __enter__(self) -> Self:
        self.warnings = repair()
        return self

    def __exit__(self, *_: object) -> None:
        pass


def repair() -> list[str]:
    """Let go on what runs of pksm that were killed with their guards have left stopped; return lines that say so."""
    path = run_files.directory()
    if path is None or not os.path.isdir(path):
        return []
    try:
        directory = run_files.open_directory()
    except UnsupportedError:
        return []  # whoever wants to leave something there finds out why
    try:
        names = [name for name in os.listdir(directory) if NAME.fullmatch(name)]
        went_on = [process for name in sorted(names) for process in _repair(directory, name)]
    finally:
        os.close(directory)
    if not went_on:
        return []
    return [f"still stopped by a run of pksm that was killed, and let go on now: {', '.join(went_on)}"]


def _new_file(name: str, directory: int) -> int:
    """Make a file and return its descriptor, with the lock. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        fd = os.open(name, flags, 0o600, dir_fd=directory)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd
        os.close(fd)  # another run found it before it was locked, and removed it


def _repair(directory: int, name: str) -> list[str]:
    """Let go on what one record names, if nobody holds it, and return the names of what went on."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return []  # removed meanwhile
    with open(fd, "rb") as file:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            record = run_files.parse_record(file.read())
        except OSError:
            return []  # its run, or the guard, still lives
        if record is not None and record.get("namespace") != access.pid_namespace():
            return []  # its numbers name other processes here
        went_on = list(_thawed(record)) if record is not None else []
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=directory)
    return went_on


def _thawed(record: dict[str, Any]) -> Iterable[str]:
    """Let go on what a record names, and yield names; nothing of what it does not hold in the form we write."""
    for group, inode in _pairs(record.get("groups"), str):
        if _thaw_group(group, inode):
            yield group
    for pid, started in _pairs(record.get("processes"), int):
        if _continue(pid, started):
            yield f"pid {pid}"


def _pairs(rows: object, kind: type) -> list[Any]:
    if not isinstance(rows, list):
        return []
    pairs = [row for row in rows if isinstance(row, list) and len(row) == 2]
    return [(first, second) for first, second in pairs if isinstance(first, kind) and isinstance(second, int)]


def _thaw_group(group: str, inode: int) -> bool:
    """Thaw a control group if it is the same one still and frozen; return whether it was."""
    try:
        if os.stat(group).st_ino != inode or not processes.is_frozen(group):
            return False
        with open(os.path.join(group, "cgroup.freeze"), "r+b", buffering=0) as file:
            file.write(b"0")
    except (OSError, ValueError):
        return False
    end = time.monotonic() + THAW_SECONDS
    while processes.is_frozen(group) and time.monotonic() < end:
        time.sleep(0.005)
    return True


def _continue(pid: int, started: int) -> bool:
    """Let a process go on if it is the same one still and stopped; return whether it was."""
    try:
        pidfd = os.pidfd_open(pid)
    except (OSError, OverflowError, ValueError):
        return False
    try:
        if _started(pid) != started or not tasks.stand_still(pid):
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        return True
    except OSError:
        return False
    finally:
        os.close(pidfd)


def _started(pid: int) -> int | None:
    """Return when a process was started; None when it is gone."""
    try:
        return tasks.read_stat(pid).started
    except (OSError, PksmError):
        return None
