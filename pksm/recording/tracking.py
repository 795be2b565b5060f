"""How a recorder finds writes: by the contents of all pages, or by what the kernel reports of written ones."""

from functools import partial

import numpy as np

from pksm.arrays import BoolArray, I64Array, U64Array
from pksm.errors import PksmError, UnsupportedError
from pksm.linux.written import Written, inside
from pksm.recording.difference import Seen
from pksm.recording.hashing import among, places
from pksm.recording.members import Member
from pksm.sources.live.process import ProcessSource

HASHES, WRITES = "hashes", "writes"
TRACKS = (HASHES, WRITES)
BLIND_TO_WRITES = (
    "several writes of a page between two samples are one, with the last content",
    "areas that are mapped, processes that are forked and programs that begin are tracked from the first sample that sees "
    "them on: of their pages only what differs at the next sample is known",
    "memory that is shared, and areas with a userfaultfd of the process's own, are not tracked: contents are compared",
    "writes of the kernel by direct access (devices, RDMA) take no fault and are not reported",
)


class Tracking:
    """Knows what was written to the processes that are recorded. how: one of TRACKS.

    Attributes:
        refused: {pid: why} of processes whose writes are not reported.
    """

    def __init__(self, how: str) -> None:
        self.how = how
        self.refused: dict[int, str] = {}
        self._tracked = 0
        self._faults = 0
        self._longest_pause_s = 0.0

    def look(self, member: Member, before: Seen) -> U64Array:
        """Return the pages of a process that are known to be written, and let its source read these and new ones alone."""
        source = member.source
        if self.how == HASHES or not isinstance(source, ProcessSource):
            return np.empty(0, np.uint64)
        source.unwritten = None
        if member.tracked is None and member.pid not in self.refused:
            self._begin(member)
        if member.tracked is None:
            return np.empty(0, np.uint64)
        try:
            areas, written = member.tracked.look()
        except PksmError:  # it has ended, or begun another program
            self.end(member)
            return np.empty(0, np.uint64)
        source.unwritten = partial(_unwritten, areas, written, before.pages.pages)
        return written

    def _begin(self, member: Member) -> None:
        try:
            member.tracked = Written(member.pid)
        except PksmError as error:
            self.refused[member.pid] = str(error)
            return
        self._tracked += 1
        self._longest_pause_s = max(self._longest_pause_s, member.tracked.longest_pause_s)

    def end(self, member: Member) -> None:
        """Track a process no more."""
        if member.tracked is not None:
            self._faults += member.tracked.faults
            member.untrack()

    def check(self) -> None:
        """Raise UnsupportedError if no process could be tracked at all, though that was asked for."""
        if self.how == WRITES and not self._tracked:
            why = next(iter(self.refused.values()), "only the writes of processes can be tracked")
            raise UnsupportedError(f"{why}; track hashes")

    def costs(self) -> dict[str, object]:
        """Return what it has cost the processes."""
        if self.how == HASHES:
            return {}
        return {"faults": self._faults, "pause_s": round(self._longest_pause_s, 6), "untracked": len(self.refused)}


def _unwritten(areas: I64Array, written: U64Array, before: U64Array, pages: U64Array) -> BoolArray:
    """Return which pages are known to be as they were."""
    _, was_there = places(before, pages)
    return inside(pages.astype(np.int64), areas) & was_there & ~among(pages, written)
