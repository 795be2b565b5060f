"""How a recorder finds writes: by the contents of all pages, or by what the kernel reports of written ones."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from pksm.arrays import BoolArray, I64Array, U64Array
from pksm.errors import PksmError, UnsupportedError
from pksm.linux import soft_dirty, written
from pksm.linux.proc import moves, tasks
from pksm.linux.soft_dirty import SoftDirty
from pksm.linux.written import Written, common, inside
from pksm.recording.difference import Seen
from pksm.recording.hashing import NOTHING, Known, Snapshot
from pksm.recording.members import Member
from pksm.recording.places import Ranges, among
from pksm.sources.live.process import ProcessSource

HASHES, WRITES, SOFT_DIRTY = "hashes", "writes", "soft-dirty"
TRACKS = (HASHES, WRITES, SOFT_DIRTY)
USERFAULTFD = "userfaultfd"
WAYS: dict[str, tuple[str, ...]] = {  # of which each process is tracked by the first that works
    HASHES: (),
    WRITES: (USERFAULTFD, SOFT_DIRTY),
    SOFT_DIRTY: (SOFT_DIRTY,),
}
MOST_NAMED = 10  # processes that cannot be tracked
FRAMES_EVERY = 10  # samples: to look up the frames of all pages takes half as long as to read those written in a second
ONLY_PROCESSES = "only the writes of processes can be tracked"
BLIND_TO_WRITES = (
    "several writes of a page between two samples are one, with the last content",
    "areas that are mapped, processes that are forked and programs that begin are tracked from the first sample that sees "
    "them on: of their pages only what differs at the next sample is known",
    "memory that is shared, and areas with a userfaultfd of the process's own, are not tracked: contents are compared",
    "frames of pages that are mapped once are looked up in each tenth sample if the kernel has moved pages since, and in "
    "those behind a fork; in all samples where KSM may merge",
    "writes of the kernel by direct access (devices, RDMA) take no fault and are not reported",
)
BLIND_TO_SOFT_DIRTY = (
    "by soft-dirty bits, what is mapped anew counts as written, as a whole, and so does a huge page of which a byte is "
    "written: of 'written, same content' there are at most as many as recorded",
    "processes that share memory with one tracked by soft-dirty bits (vfork, CLONE_VM) do not stand still with it: what "
    "they write just then may be missed",
)


class Tracking:
    """Knows what was written to the processes that are recorded. how: one of TRACKS.

    Attributes:
        by: how many processes were tracked in each of the ways.
        refused: {pid: why} of processes whose writes are not reported.
    """

    def __init__(self, how: str) -> None:
        self.how = how
        self.refused: dict[int, str] = {}
        self.by = dict.fromkeys(WAYS[how], 0)
        self._faults = 0
        self._longest_pause_s = 0.0

    def look(self, member: Member, before: Seen) -> Known:
        """Return what is known of a process, and let its source read what is written and new alone."""
        source = member.source
        if self.how == HASHES or not isinstance(source, ProcessSource):
            return NOTHING
        source.unwritten = source.unmoved = None
        if member.tracked is None and member.pid not in self.refused:
            self._begin(member, WAYS[self.how])
        if member.tracked is None:
            return NOTHING
        try:
            tracked, pages = member.tracked.look()
        except PksmError:  # it has ended, or begun another program
            self.end(member)
            return NOTHING
        if isinstance(member.tracked, Written) and not member.tracked.registers and not soft_dirty.why_not():
            self.end(member)  # it has userfaultfds of its own
            self._begin(member, [SOFT_DIRTY])
            return NOTHING
        known = common(before.pages.ranges.ranges, tracked)
        source.unwritten = partial(_unwritten, known, pages)
        if not self._looks_at_frames(member, source):
            own = known if before.pages.exclusive.all() else _own(before.pages, tracked)
            source.unmoved = partial(_inside, own)
            if member.has_begun and len(Ranges(own)) == len(Ranges(known)):  # else frames change without a write
                return Known(pages, common(tracked, member.tracked.anonymous))
        return Known(pages)

    def _looks_at_frames(self, member: Member, source: ProcessSource) -> bool:
        """Return whether it is time to look in which frames all pages are: others than we may have moved or shared them."""
        children, member.children = member.children, frozenset(tasks.children(member.pid))
        member.same_frames += 1
        quiet = tasks.names_children() and member.children <= children
        quiet &= source.space is not None and not source.space.vmas["merged"].any()
        if quiet and member.same_frames < FRAMES_EVERY:
            return False
        moved, member.same_frames = moves.count(), 0
        has_moved = moved is None or moved != member.moved
        member.moved = moved  # counted before they are looked up
        return has_moved or not quiet

    def _begin(self, member: Member, ways: Sequence[str]) -> None:
        """Track a process in the first of some ways that works."""
        reasons: list[str] = []
        for way in ways:
            try:
                check(way, member.pid)
                member.tracked = Written(member.pid) if way == USERFAULTFD else SoftDirty(member.pid)
            except PksmError as error:
                reasons.append(str(error))
                continue
            self.by[way] += 1
            return
        if tasks.layout(member.pid) is not None:  # else it has ended, as processes do
            self.refused[member.pid] = one_line(reasons)

    def end(self, member: Member) -> None:
        """Track a process no more."""
        if member.tracked is not None:
            self._faults += member.tracked.faults
            self._longest_pause_s = max(self._longest_pause_s, member.tracked.longest_pause_s)
            member.untrack()

    def check(self) -> None:
        """Raise UnsupportedError if no process could be tracked at all, though that was asked for."""
        if self.how != HASHES and not any(self.by.values()):
            why = next(iter(self.refused.values()), ONLY_PROCESSES)
            raise UnsupportedError(f"{why}; track hashes")

    def costs(self) -> dict[str, object]:
        """Return what it has cost the processes."""
        if self.how == HASHES:
            return {}
        return {
            "faults": self._faults,
            "pause_s": round(self._longest_pause_s, 6),
            "soft_dirty": self.by[SOFT_DIRTY],
            "untracked": len(self.refused),
            "why_untracked": list(self.refused.values())[:MOST_NAMED],
        }


def check(way: str, pid: int) -> None:
    """Raise PksmError if writes are not reported in this way by this kernel."""
    why = written.lacking() if way == USERFAULTFD else soft_dirty.why_not()
    if why:
        about = "its writes cannot be tracked" if way == USERFAULTFD else "its soft-dirty bits cannot be used"
        raise PksmError(f"pid {pid}: {about}: {why}")


def one_line(reasons: Sequence[str]) -> str:
    """Return why a process can be tracked in none of the ways: reasons with its name in front, which is had once."""
    first, *others = reasons
    clauses = [reason.partition(": ")[2] for reason in others]
    return "; ".join([first, *(clause for clause in clauses if clause not in first)])


def blind_to_writes(how: str) -> tuple[str, ...]:
    """Return what is not seen where the kernel reports writes, a clause each."""
    may_use_bits = SOFT_DIRTY in WAYS[how] and not soft_dirty.why_not()
    return BLIND_TO_WRITES + (BLIND_TO_SOFT_DIRTY if may_use_bits else ())


def _unwritten(known: I64Array, written: U64Array, pages: U64Array) -> BoolArray:
    """Return which pages are known to be as they were. known: ranges of those that were there and are tracked."""
    return _inside(known, pages) & ~among(pages, written)


def _inside(ranges: I64Array, pages: U64Array) -> BoolArray:
    return inside(pages.astype(np.int64), ranges)


def _own(pages: Snapshot, tracked: I64Array) -> I64Array:
    """Return the ranges of the tracked pages that are mapped once."""
    return Ranges.of(pages.pages[_inside(tracked, pages.pages) & pages.exclusive]).ranges
