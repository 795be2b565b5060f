"""Who is recorded: processes as they come, fork, begin other programs and go, and images."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from pksm.errors import PksmError
from pksm.linux.proc import processes, tasks
from pksm.linux.soft_dirty import SoftDirty
from pksm.linux.written import Written
from pksm.recording.difference import Layout, Seen
from pksm.recording.events import MOST_NAME
from pksm.sources import Source, open_pid
from pksm.sources.live.process import ProcessSource

Opener = Callable[[], Source]


@dataclass(frozen=True)
class Targets:
    """What to record.

    Attributes:
        pids: processes, and all that descend from them while it goes on.
        all: every process but this one.
        cgroups: directories of control groups.
        files: a function for each image, which opens it.
    """

    pids: Sequence[int] = ()
    all: bool = False
    cgroups: Sequence[str] = ()
    files: Sequence[Opener] = ()


@dataclass
class Member:
    """An address space that is recorded.

    Attributes:
        pid: of its process; 0 for an image.
        children: of that process, where its writes are tracked.
        same_frames: samples since it was time to look up the frames of all its pages.
        moved: what pksm.linux.proc.moves counted then.
    """

    space: int
    pid: int
    source: Source
    layout: tuple[int, int, int] | None = None
    seen: Seen = field(default_factory=Seen)
    has_begun: bool = False
    tracked: Written | SoftDirty | None = None
    children: frozenset[int] = frozenset()
    same_frames: int = 0
    moved: int | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return self.source.name[:MOST_NAME]

    def close(self) -> None:
        """Let go of it."""
        self.source.close()
        self.untrack()

    def untrack(self) -> None:
        """Track its writes no more."""
        if self.tracked is not None:
            self.tracked.close()
            self.tracked = None


class Roster:
    """The processes that are recorded, by pid.

    Attributes:
        refused: {pid: why} of processes that cannot be read, and of those named that are not there.
    """

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._family = set(targets.pids)
        there = {pid for pid, _ in _stats(targets.pids)}
        gone = [pid for pid in targets.pids if pid not in there]
        self.refused: dict[int, PksmError] = {pid: PksmError(f"there is no process {pid}") for pid in gone}

    def pids(self) -> list[int]:
        """Return those that there are now, parents before their children."""
        targets = self._targets
        found = set(processes.all_pids()) if targets.all else set()
        for cgroup in targets.cgroups:
            found |= set(processes.cgroup_pids(cgroup))
        if self._family and not targets.all:
            self._add_children()
            found |= self._family
        return self._by_age(found - {os.getpid()})

    def _add_children(self) -> None:
        """Add what descends from the family, and drop what has gone: asked of each of it, or found in all of /proc."""
        if not tasks.names_children():
            self._add_children_by_parents()
            return
        found, new = set[int](), self._family
        while new:
            found |= new
            new = {child for pid in new for child in tasks.children(pid)} - found
        self._family = {pid for pid, _ in _stats(sorted(found))}

    def _add_children_by_parents(self) -> None:
        parents = {pid: stat.parent for pid, stat in _stats(tasks.pids())}
        self._family &= parents.keys()
        while new := {pid for pid, parent in parents.items() if parent in self._family} - self._family:
            self._family |= new

    @staticmethod
    def _by_age(pids: set[int]) -> list[int]:
        started = {pid: stat.started for pid, stat in _stats(sorted(pids)) if stat.state not in tasks.ENDED_STATES}
        return sorted(started, key=lambda pid: (started[pid], pid))

    def opened(self, pid: int, space: int) -> Member | None:
        """Open a process; None if it can't be read, which is remembered."""
        try:
            source = open_pid(pid, "unchecked")
        except PksmError as error:
            self.refuse(pid, error)
            return None
        return Member(space, pid, source, tasks.layout(pid))

    def refuse(self, pid: int, error: PksmError) -> None:
        """Remember why a process can't be read, unless it has ended, as processes do."""
        if tasks.layout(pid) is not None:
            self.refused.setdefault(pid, error)


def _stats(pids: Sequence[int]) -> Iterator[tuple[int, tasks.Stat]]:
    for pid in pids:
        try:
            yield pid, tasks.read_stat(pid)
        except OSError:
            continue  # it has gone


def parent_of(pid: int) -> int | None:
    """Return the parent of a process; None when it has gone."""
    return next((stat.parent for _, stat in _stats([pid])), None)


def layout_of(source: Source, page_size: int) -> Layout:
    """Return the mappings of a source that was read. What belongs to devices is left out."""
    starts = np.array([mapping.start for mapping in source.mappings], np.int64) // page_size
    ends = -(-np.array([mapping.end for mapping in source.mappings], np.int64) // page_size)
    mergeable, ours = np.zeros(len(starts), bool), ends > starts
    if isinstance(source, ProcessSource) and source.space is not None:
        mergeable = np.array([mapping.opted_in is True for mapping in source.mappings])
        ours &= ~source.space.vmas["device"]
    order = np.flatnonzero(ours)
    order = order[np.argsort(starts[order], kind="stable")]
    starts, ends = starts[order], ends[order]
    ends[:-1] = np.minimum(ends[:-1], starts[1:])  # parts of images may overlap
    names = [source.mappings[at].name for at in order.tolist()]
    return Layout(starts, ends, mergeable[order], names)
