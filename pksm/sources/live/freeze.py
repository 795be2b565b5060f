"""Processes that stand still while they are read, and go on whatever becomes of us.

A guard lets them go on: when we say so, when we are gone (even by SIGKILL: its input ends with us), or when the time is
up. It is there before the first process is stopped; one that dies is replaced. What is stopped stands in a record, too,
for the next run should both be killed at once.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import IO, Self

from pksm.errors import PksmError, UsageError
from pksm.linux.guarded import Guarded
from pksm.linux.proc import processes, tasks
from pksm.sources.base import Source
from pksm.sources.live import frozen, thaw
from pksm.sources.live.command import CommandSource
from pksm.sources.live.process import ProcessSource

STEP_SECONDS = 0.005
LAST_SECONDS = 5.0  # for the guard to end


class Freezer:
    """Holds processes still while its block runs, `timeout_seconds` at most.

    sources: open ones, of which the processes are meant; cgroups: directories of control groups that are meant as a whole. Never stops
    ourselves, our ancestors, or what stands still already. `warnings` say what went on.
    """

    def __init__(self, sources: Iterable[Source], cgroups: Iterable[str] = (), timeout_seconds: float = 10.0) -> None:
        if not 0 < timeout_seconds < 86400:
            raise UsageError(f"{timeout_seconds}: give seconds above 0, up to a day", "timeout_seconds")
        self.warnings: list[str] = []
        self._sources = [source for source in sources if isinstance(source, ProcessSource)]
        self._cgroups, self._timeout = cgroups, timeout_seconds
        self._stack = contextlib.ExitStack()

    @property
    def has_processes(self) -> bool:
        """Tell whether there is anything to freeze."""
        return bool(self._sources)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._freeze(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        late = [source for source in self._sources if 0 < source.frozen_until < time.monotonic()]
        if late:
            self.warnings.append(
                f"{len(late)} processes went on after {self._timeout:g} s, before all was read: give them a longer "
                "time-out, or scan fewer at a time"
            )
        self._stack.close()
        for source in self._sources:
            source.frozen_until = 0.0

    def _freeze(self, stack: contextlib.ExitStack) -> None:
        for source in self._sources:
            if isinstance(source, CommandSource):
                source.wait_ready()
        self.warnings += frozen.repair()
        deadline = time.monotonic() + self._timeout
        ours = processes.own_line()
        groups, in_groups = self._whole_groups(ours)
        spared = [source for source in self._sources if source.pid in ours]
        if spared:
            names = ", ".join(source.name for source in spared)
            self.warnings.append(f"not stopped, for pksm runs under them: {names}")
        single = [
            source
            for source in self._sources
            if source.pid not in ours | in_groups and not tasks.stand_still(source.pid)
        ]
        files = [stack.enter_context(_freeze_file(group)) for group in groups]
        fds = [file.fileno() for file in files], [source.pidfd for source in single]
        record = stack.enter_context(frozen.Record(groups, [source.pid for source in single]))
        self.warnings += record.warnings
        arguments = [record.path, *map(str, fds[0]), thaw.DASH, *map(str, fds[1])]
        kept = [*fds[0], *fds[1], *record.fds]
        stack.enter_context(Guarded(thaw.__file__, thaw.prepare, arguments, kept, deadline, LAST_SECONDS))
        for file in files:
            file.write(b"1")
        stopped = [source for source in single if _stop(source.pidfd)]
        # all of them get their time, the late ones too
        in_time = all([_until(deadline, partial(processes.is_frozen, group)) for group in groups])  # noqa: C419
        still = {source.pid for source in stopped if _until(deadline, partial(tasks.stand_still, source.pid))}
        if not in_time or len(still) < len(single):
            self.warnings.append(f"not all processes stood still within {self._timeout:g} s: those were read running")
        for source in self._sources:
            if source.pid in still or (in_time and source.pid in in_groups):
                source.frozen_until = deadline

    def _whole_groups(self, ours: set[int]) -> tuple[list[str], set[int]]:
        """Return (directories to freeze as a whole, processes in them)."""
        groups, pids = [], set()
        for group in self._cgroups:
            members = set(processes.cgroup_pids(group))
            freezable = os.path.isfile(os.path.join(group, "cgroup.freeze"))
            if processes.is_frozen(group):
                pids |= members
            elif freezable and not ours & members and not processes.is_in_cgroup(group):
                groups.append(group)
                pids |= members
        return groups, pids


def _freeze_file(group: str) -> IO[bytes]:
    try:
        return open(os.path.join(group, "cgroup.freeze"), "r+b", buffering=0)
    except OSError as error:
        raise PksmError(f"{group}: cannot be frozen: {error.strerror}; run pksm as root") from None


def _stop(pidfd: int) -> bool:
    with contextlib.suppress(OSError):
        signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
        return True
    return False


def _until(deadline: float, condition: Callable[[], bool]) -> bool:
    """Wait for the condition and return whether it came."""
    while not condition():
        if time.monotonic() >= deadline:
            return False
        select.select([], [], [], STEP_SECONDS)
    return True
