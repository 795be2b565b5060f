"""The recorder: looks at memory again and again, and writes down what has changed in between."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass

import numpy as np

from pksm.arrays import BoolArray
from pksm.errors import PksmError, UsageError
from pksm.linux.proc import access
from pksm.linux.proc.kpageflags import FrameFlags
from pksm.recording import difference
from pksm.recording.difference import Seen
from pksm.recording.events import Block, Kind, Operation
from pksm.recording.hashing import Hasher, Snapshot
from pksm.recording.members import Member, Roster, Targets, layout_of, parent_of
from pksm.recording.tracking import HASHES, TRACKS, Tracking, blind_to_writes
from pksm.recording.writer import Writer
from pksm.sources.live.process import ProcessSource
from pksm.sources.opening import naming_files_at_fault

PAGE_SIZE = 4096
FLUSH_S = 5.0  # so much is lost at most when we are killed
MOST_UNREAD = 40  # lines about what could not be read
BLIND_SPOTS = (
    "a page that was changed and changed back between two samples has not changed",
    "a page that was written with what it held has not been written, but where frame numbers show a copy",
    "the contents of a page are those at one moment of its sample; a sample is not taken at one moment",
)
NO_FRAMES = "frame numbers are hidden from this user: pages that a fork shares count as copies once they are seen alone"
NO_FLAGS = "kpageflags is for root: merges by the kernel's own KSM are not seen"


@dataclass
class Tally:
    """What a recording has taken so far. Times in seconds; longest: of a sample."""

    samples: int = 0
    events: int = 0
    pages_read: int = 0
    bytes_written: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    longest_s: float = 0.0
    merged_pages: int = 0  # that the kernel's KSM had merged at the last sample, and on how many frames
    merged_frames: int = 0
    late: int = 0  # samples that began after their time


class Recorder:
    """Samples of what is recorded, one after the other.

    Args:
        writer: takes the blocks.
        targets: what to record.
        page_size: bytes.
        hold: makes context managers that hold interrupts back while an address space is read and written down.
        track: how writes are found, one of TRACKS.

    Attributes:
        lost: why images could not be opened any more.
        cut: lines about memory that images lack, such as those that are cut off.
    """

    def __init__(
        self,
        writer: Writer,
        targets: Targets,
        page_size: int = PAGE_SIZE,
        hold: Callable[[], AbstractContextManager[object]] = nullcontext,
        track: str = HASHES,
    ) -> None:
        self.tracking = Tracking(track)
        self.roster = Roster(targets)
        self.counts = np.zeros(len(Kind), np.int64)
        self.events = 0
        self.most_pages = 0
        self._writer, self._targets, self._hold = writer, targets, hold
        self._hasher = Hasher(page_size)
        self._flags = FrameFlags()
        self._live: dict[int, Member] = {}
        self._files = dict(enumerate(targets.files))
        self._images: dict[int, Member] = {}  # by place in targets.files
        self.lost: list[PksmError] = []
        self.cut: dict[str, None] = {}  # each line once
        self._next_space = 0

    @property
    def pages_read(self) -> int:
        """Pages read so far, once per sample."""
        return self._hasher.pages_read

    @property
    def pages(self) -> int:
        """How many pages there were at the last sample."""
        return sum(len(member.seen.pages.pages) for member in [*self._live.values(), *self._images.values()])

    @property
    def merged_pages(self) -> tuple[int, int]:
        """Pages that the kernel's KSM had merged at the last sample, and the frames that they were on."""
        frames = [member.seen.pages.frames[member.seen.merged] for member in self._live.values()]
        every = np.concatenate([np.empty(0, np.uint64), *frames])
        return len(every), len(np.unique(every))

    def close(self) -> None:
        """Let go of all processes."""
        self._flags.close()
        for member in self._live.values():
            self.tracking.end(member)
            member.close()

    def mark(self, ms: int) -> None:
        """Write down that there was this sample: whatever was seen in it, the recording has lasted until then."""
        for member in [*self._live.values(), *self._images.values()][:1]:
            self._write([Block(ms, member.space)])

    def why_nothing(self) -> str:
        """Return why there were no pages, as a clause."""
        refused = next(map(str, self.roster.refused.values()), None)
        gone = next((pid for pid in self._targets.pids if parent_of(pid) is None), None)
        return refused or ("there is no process with memory" if gone is None else f"there is no process {gone}")

    def sample(self, ms: int) -> None:
        """Look at everything once, and write down what has changed."""
        pids = self.roster.pids()
        for pid in pids:
            with self._hold():
                self._look_at(pid, ms)
        for pid in self._live.keys() - set(pids):
            with self._hold():
                self._gone(self._live.pop(pid), ms)
        for place in list(self._files):
            with self._hold():
                self._look_at_image(place, ms)
        self.most_pages = max(self.most_pages, self.pages)
        if self._hasher.contents.is_full(self.pages):
            seen = [member.seen.pages.contents for member in [*self._live.values(), *self._images.values()]]
            self._hasher.contents.forget_but(np.concatenate([np.empty(0, np.uint32), *seen]))

    def _look_at(self, pid: int, ms: int) -> None:
        member = self._live.get(pid)
        if member is not None and isinstance(member.source, ProcessSource) and member.source.exited():
            self._gone(self._live.pop(pid), ms)
            member = None
        if member is None:
            member = self.roster.opened(pid, -1)
            if member is None:
                return
        try:
            self._take(member, ms, self._parent(member))
        except PksmError as error:
            if not member.has_begun:
                member.close()
                self.roster.refuse(pid, error)
            return  # it ends, or cannot be read just now
        self._live[pid] = member

    def _look_at_image(self, place: int, ms: int) -> None:
        try:
            source = self._files[place]()
        except PksmError as error:
            if place not in self._images:
                raise
            self.lost.append(error)
            self._gone(self._images.pop(place), ms)
            del self._files[place]
            return
        try:
            member = self._images.setdefault(place, Member(-1, 0, source))
            member.source = source
            with naming_files_at_fault([source]):
                self._take(member, ms, None)
            if source.lost or source.partial:
                self.cut |= dict.fromkeys(source.warnings)
        finally:
            source.close()

    def _parent(self, member: Member) -> Member | None:
        """Return the process that a new one was forked from, if it still runs the same program."""
        if member.has_begun:
            return None
        parent = self._live.get(parent_of(member.pid) or 0)
        return parent if parent is not None and parent.layout == member.layout else None

    def _take(self, member: Member, ms: int, parent: Member | None) -> None:
        """Read an address space, and write down what has happened to it."""
        before = member.seen if parent is None else parent.seen
        known = self.tracking.look(member, before)
        pages = self._hasher.read(member.source, before.pages, known)
        layout = member.source.layout if isinstance(member.source, ProcessSource) else None
        begun: list[Operation] = []
        if layout != member.layout and member.has_begun:  # it has begun another program
            self._write([Block(ms, member.space, (("exit",),))])
            member.has_begun, before = False, Seen()
        member.layout = layout
        seen = self._seen(member, pages)
        seen.written = known.written
        if not member.has_begun:
            member.space, self._next_space, member.has_begun = self._next_space, self._next_space + 1, True
            origin: Operation = ("start", member.pid, member.name)
            if parent is not None:
                origin = ("fork", parent.space, member.pid, member.name)
            begun = [origin]
        self._write(difference.blocks(ms, member.space, begun, before, seen))
        member.seen = seen

    def _seen(self, member: Member, pages: Snapshot) -> Seen:
        layout = layout_of(member.source, self._hasher.page_size)
        before = member.seen
        if pages.pages is not before.pages.pages or not layout.maps_as(before.layout):
            inside = layout.holds(pages.pages.astype(np.int64))
            pages = pages if inside.all() else pages.of(inside)
        return Seen(layout, pages, self._merged(member, pages))

    def _merged(self, member: Member, pages: Snapshot) -> BoolArray:
        """Return which pages the kernel's KSM has merged."""
        merged = np.zeros(len(pages.pages), bool)
        space = member.source.space if isinstance(member.source, ProcessSource) else None
        if space is None or not self._flags.are_visible or not space.vmas["merged"].any():
            return merged
        vmas = space.vmas[space.vmas["merged"]]
        page_size = self._hasher.page_size
        at = np.searchsorted(vmas["start"] // page_size, pages.pages.astype(np.int64), "right") - 1
        suspects = np.flatnonzero((at >= 0) & (pages.pages.astype(np.int64) < vmas["end"][at] // page_size))
        merged[suspects] = self._flags.are_ksm(pages.frames[suspects]) & (pages.frames[suspects] != 0)
        return merged

    def _gone(self, member: Member, ms: int) -> None:
        self._write([Block(ms, member.space, (("exit",),))])
        self.tracking.end(member)
        member.close()

    def _write(self, blocks: list[Block]) -> None:
        for block in blocks:
            self._writer.add(block)
            self.counts += np.bincount(block.kinds, minlength=len(Kind))
            self.events += len(block.pages)


def blind_spots(track: str, frames: bool) -> list[str]:
    """Return what a recorder does not see, a clause each. frames: whether frame numbers are visible."""
    return [*(BLIND_SPOTS if track == HASHES else blind_to_writes(track)), *([] if frames else [NO_FRAMES, NO_FLAGS])]


def header(targets: Targets, every_ms: int, page_size: int, frames: bool, track: str = HASHES) -> dict[str, object]:
    """Return what a recording says of itself. frames: whether frame numbers are visible."""
    return {
        "page_size": page_size,
        "began": time.time(),
        "every_ms": every_ms,
        "track": track,
        "pids": list(targets.pids),
        "all": targets.all,
        "cgroups": list(targets.cgroups),
        "images": len(targets.files),
        "blind": blind_spots(track, frames),
    }


def record(
    path: str,
    targets: Targets,
    every_ms: int = 1000,
    duration_ms: int | None = None,
    page_size: int = PAGE_SIZE,
    frames: bool = True,
    progress: Callable[[Tally], object] | None = None,
    hold: Callable[[], AbstractContextManager[object]] = nullcontext,
    track: str = HASHES,
    compression: str = "zlib",
) -> tuple[Tally, bool]:
    """Record until the time is over, everything has gone, or a KeyboardInterrupt, and leave a whole file.

    A KeyboardInterrupt or an error before the end of the first sample is raised, and leaves no file.

    Args:
        path: of the new file.
        targets: what to record.
        every_ms: between two samples.
        duration_ms: of all of it; None: until an interrupt.
        page_size: bytes.
        frames: whether frame numbers are visible here.
        progress: called after each sample.
        hold: as of Recorder.
        track: how writes are found: `hashes` of all pages, `writes` that the kernel reports (Linux 6.7 on x86-64, or where
            soft-dirty bits work), or `soft-dirty` for these bits alone.
        compression: of the file, as of Writer.

    Returns:
        What it took, and whether an interrupt ended it.

    Raises:
        UsageError: times that cannot be, or nothing that can be recorded.
        UnsupportedError: the library for the compression is missing.
        PksmError: the file can't be written.
    """
    if every_ms < 1:
        raise UsageError("give a time of 1 ms at least", "every")
    if track not in TRACKS:
        raise UsageError(f"choose from {', '.join(TRACKS)}", "track")
    tally, interrupted = Tally(), False
    with ExitStack() as held:
        held.enter_context(hold())  # until there is somebody who removes the file
        writer = Writer(path, header(targets, every_ms, page_size, frames, track), compression)
        recorder = Recorder(writer, targets, page_size, hold, track)
        try:
            held.close()
            _samples(recorder, writer, tally, every_ms, duration_ms, progress, hold)
        except BaseException as error:
            if tally.samples == 0:
                recorder.close()
                writer.discard()
                raise
            if not isinstance(error, KeyboardInterrupt):
                recorder.close()
                writer.close()
                raise
            interrupted = True
    with hold():
        recorder.close()
        writer.close(_end(recorder, tally))
        tally.bytes_written = writer.n_bytes
    return tally, interrupted


def _samples(
    recorder: Recorder,
    writer: Writer,
    tally: Tally,
    every_ms: int,
    duration_ms: int | None,
    progress: Callable[[Tally], object] | None,
    hold: Callable[[], AbstractContextManager[object]],
) -> None:
    began, cpu = time.monotonic(), time.process_time()
    due, flushed = 0.0, -FLUSH_S
    while True:
        start = time.monotonic() - began
        ms = round(start * 1000)
        recorder.sample(ms)
        if recorder.pages == 0 and tally.samples == 0:
            raise PksmError(f"nothing to record: {recorder.why_nothing()}")
        if tally.samples == 0:
            recorder.tracking.check()
        now = time.monotonic() - began
        tally.samples += 1
        tally.merged_pages, tally.merged_frames = recorder.merged_pages
        tally.events, tally.pages_read = recorder.events, recorder.pages_read
        tally.seconds, tally.cpu_s = now, time.process_time() - cpu
        tally.longest_s = max(tally.longest_s, now - start)
        if now - flushed >= FLUSH_S:
            with hold():  # half a segment, and all of it again behind it, could not be read
                recorder.mark(ms)
                writer.flush()
            flushed = now
        tally.bytes_written = writer.n_bytes
        if progress is not None:
            progress(tally)
        due += every_ms / 1000
        if now > due:
            tally.late += 1
            due = now
        if (duration_ms is not None and due * 1000 > duration_ms) or recorder.pages == 0:
            return
        time.sleep(max(0.0, due - now))


def _end(recorder: Recorder, tally: Tally) -> dict[str, object]:
    return {
        "ms": round(tally.seconds * 1000),
        "samples": tally.samples,
        "late": tally.late,
        "most_pages": recorder.most_pages,
        "events": {kind.name.lower(): int(count) for kind, count in zip(Kind, recorder.counts, strict=True)},
        "pages_read": tally.pages_read,
        "cpu_s": round(tally.cpu_s, 3),
        "longest_s": round(tally.longest_s, 3),
        "refused": len(recorder.roster.refused),
        "unread": [*recorder.cut, *access.tell_unread([*recorder.roster.refused.values(), *recorder.lost])][
            :MOST_UNREAD
        ],
        **recorder.tracking.costs(),
    }
