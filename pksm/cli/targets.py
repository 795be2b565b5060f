"""What a command line names to be scanned: files, processes, control groups, a command."""

import os
import resource
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pksm.errors import UsageError

if TYPE_CHECKING:
    from pksm.sources import Sandbox

NOTHING = "nothing to scan: name a file, a process or a command, for example: pksm scan --pid $$"
SPARE_DESCRIPTORS = 256
DAY_S = 86400
RACY = ("keep", "drop", "unchecked")
FILE_DESCRIPTORS = 2  # of a file that is mapped: its own and that of the mapping


@dataclass(frozen=True)
class TargetNames:
    """What is to be scanned, by name.

    Args:
        files: paths of images and fingerprints.
        pids: process ids.
        all: every live process but this one.
        cgroups: control groups, as paths.
        command: words of a command to start, or None.
        after: seconds to give the command, or None.
        racy: what becomes of pages written since they were read: one of RACY.
    """

    files: Sequence[str] = ()
    pids: Sequence[int] = ()
    all: bool = False
    cgroups: Sequence[str] = ()
    command: Sequence[str] | None = None
    after: float | None = None
    racy: str = "keep"

    def __post_init__(self) -> None:
        is_live = self.pids or self.all or self.cgroups or self.command is not None
        if self.after is not None:
            if self.command is None:
                raise UsageError("there is no command to wait for; write it last, behind --", "after")
            if not 0 <= self.after < DAY_S:
                raise UsageError(f"{self.after:g} s: give the time to wait, from 0, less than a day", "after")
        if self.racy != "keep" and not is_live:
            raise UsageError(f"{self.racy}: there is no live process that could write to its pages", "racy")


class Targets:
    """openers: a function for each source, which opens it. cgroups: directories.

    Files are opened in the sandbox, if there is one. UsageError when there is nothing, which `nothing` says, or a thing
    is named twice.
    """

    def __init__(self, names: TargetNames, sandbox: "Sandbox | None", nothing: str = NOTHING) -> None:
        self.openers: list[Callable[[], Any]] = []
        _refuse_twice([(_identity(path), path) for path in names.files])
        _refuse_twice([(pid, f"pid {pid}") for pid in names.pids])
        _make_room_for(FILE_DESCRIPTORS * len(names.files))
        self._add_files(names.files, sandbox)
        self.cgroups = self._add_processes(names)
        if names.command is not None:
            self._add_command(names.command, names)
        if not self.openers and (names.all or names.cgroups):
            where = "" if names.all else f"{', '.join(names.cgroups)}: "
            raise UsageError(f"{where}there are no processes but this one")
        if not self.openers:
            raise UsageError(nothing)

    def _add_files(self, paths: Sequence[str], sandbox: "Sandbox | None") -> None:
        from pksm import sources

        self.openers += [partial(sources.open_target, path, sandbox) for path in paths]

    def _add_processes(self, names: TargetNames) -> list[str]:
        from pksm import sources
        from pksm.linux.proc import processes

        pids, cgroups = dict.fromkeys(names.pids), [processes.find_cgroup(path) for path in names.cgroups]
        for cgroup in cgroups:
            pids |= dict.fromkeys(processes.cgroup_pids(cgroup))
        if names.all:
            pids |= dict.fromkeys(processes.all_pids())
        _make_room_for(FILE_DESCRIPTORS * len(names.files) + len(pids))
        self.openers += [partial(sources.open_pid, pid, names.racy) for pid in pids]
        return cgroups

    def _add_command(self, command: Sequence[str], names: TargetNames) -> None:
        from pksm import sources

        after = 1.0 if names.after is None else names.after
        self.openers.append(partial(sources.run_command, command, after, names.racy))


def _make_room_for(descriptors: int) -> None:
    """Take more descriptors if there are too few: what is scanned is open all the time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = descriptors + SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _identity(path: str) -> Hashable:
    """Return what makes a file the same file under another name."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        if path.isdecimal():
            raise UsageError(f"{path}: no such file; for the process of this number write --pid {path}") from None
        return path
    return status.st_dev, status.st_ino


def _refuse_twice(named: Iterable[tuple[Hashable, str]]) -> None:
    seen: dict[Hashable, str] = {}
    for identity, name in named:
        if identity in seen:
            other = seen[identity]
            raise UsageError(f"{name}: named twice" if other == name else f"{name}: the same file as {other}")
        seen[identity] = name
