"""Reading a recording: what was written whole is found again, whatever became of the recorder."""

import fcntl
import json
import math
import os
import stat
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

from pksm.errors import PksmError, UsageError
from pksm.recording import container, format
from pksm.recording.container import Member
from pksm.recording.events import MOST_MS, Block
from pksm.recording.state import State
from pksm.recording.writer import END, HEADER, SCHEMA, SEGMENT

HEAD_BYTES = 64  # that show whether a file is a recording
SUFFIX = ".pksmrec"
MAGIC = b"PK\x03\x04"
MOST_HEAD = 4096  # bytes in which the first parts of a damaged one are looked for
_MOST_JSON = 1 << 20  # bytes
# What State may go through: a minute's work in any recording, and what a day of a quiet process of 10 GiB takes by its
# bytes. Others would be made to last for days.
FREE_STEPS, STEPS_A_BYTE = 30_000_000_000, 300_000
_MAGIC_BYTES = 30 + len(HEADER)

Opener = Callable[[str], BinaryIO]


class Segment(NamedTuple):
    """A segment: where it is, and the first and last sample (ms) of which it holds something."""

    member: Member
    first_ms: int
    last_ms: int


def is_recording(head: bytes) -> bool:
    """Return whether a file that begins with these bytes (HEAD_BYTES) is a recording."""
    return head.startswith(MAGIC) and head[30:_MAGIC_BYTES] == HEADER.encode()


def _open_regular(path: str) -> BinaryIO:
    """Open a regular file. PksmError for any other: a FIFO would wait for a writer, for ever."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise PksmError(f"cannot read {path}: it is not a regular file")
    return open(fd, "rb")


def is_damaged(path: str, head: bytes) -> bool:
    """Return whether a file that is not a recording was one, by its name or the parts in its first bytes."""
    return path.endswith(SUFFIX) or (head.startswith(MAGIC) and f"{SEGMENT}000000-".encode() in head)


class Recording:
    """A recording to be read: nothing in it is trusted, and only one segment at a time is in memory.

    Args:
        path: of the file.
        opener: opens it.

    Attributes:
        header: what holds for all of it; page_size (bytes) among it.
        end: what was known in the end; None if the recorder was killed, or is still at it.
        segments: list of Segment, by time.
        is_whole: the file ends as it should.
    """

    def __init__(self, path: str | os.PathLike[str], opener: Opener | None = None) -> None:
        self.path = os.fspath(path)
        try:
            self._file = _open_regular(self.path) if opener is None else opener(self.path)
        except OSError as error:
            raise PksmError(f"cannot read {self.path}: {error.strerror}") from None
        try:
            self._open()
        except OSError as error:
            self.close()
            # io.UnsupportedOperation has no strerror
            raise PksmError(f"cannot read {self.path}: {error.strerror or 'it is a pipe: save it to a file'}") from None
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self._file.seek(0)
        head = self._file.read(MOST_HEAD)
        if not is_recording(head):
            if is_damaged(self.path, head):
                raise UsageError(f"{self.path}: is a damaged recording: it does not begin as one")
            raise UsageError(f"{self.path}: not a recording of pksm")
        members, self.is_whole = container.walk(self._file)
        if not members:
            raise UsageError(f"{self.path}: the recording is cut short before anything was written")
        self.members = members
        self.header = self._json(members[0])
        if self.header.get("schema") != SCHEMA:
            raise UsageError(f"{self.path}: a recording that this pksm does not read ({SCHEMA} is what it reads)")
        page_size = self.header.get("page_size")
        if type(page_size) is not int or not 8 <= page_size <= 1 << 30 or page_size & (page_size - 1):
            raise UsageError(f"{self.path}: its page size is not one")
        last = members[-1]
        self.end = self._json(last) if last.name == END and len(members) > 1 else None
        between = members[1:-1] if self.end is not None else members[1:]
        self.segments = [self._segment(member) for member in between]
        before = 0
        for segment in self.segments:
            if not before <= segment.first_ms <= segment.last_ms < MOST_MS:
                raise UsageError(f"{self.path}: {segment.member.name}: segments are out of order")
            before = segment.last_ms

    def _json(self, member: Member) -> dict[str, Any]:
        if member.size > _MOST_JSON:
            raise UsageError(f"{self.path}: {member.name} is too long")
        try:
            values = json.loads(container.unpacked(self._file, member, self.path).decode("utf-8"))
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise UsageError(f"{self.path}: {member.name} is not what it should be")
        return values

    def _segment(self, member: Member) -> Segment:
        times = member.name.removeprefix(SEGMENT).split("-")
        if not member.name.startswith(SEGMENT) or len(times) != 3 or not all(_is_number(part) for part in times):
            raise UsageError(f"{self.path}: {member.name}: there is no such part of a recording")
        return Segment(member, int(times[1]), int(times[2]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def page_size(self) -> int:
        """Bytes of a page."""
        return int(self.header["page_size"])

    @property
    def began(self) -> float | None:
        """When it began, in seconds since 1970; None where it does not say."""
        return amount(self.header, "began")

    @property
    def last_ms(self) -> int:
        """When the last sample was taken of which there is anything."""
        last = self.segments[-1].last_ms if self.segments else 0
        end = self.end.get("ms") if self.end else None
        return max(last, end) if type(end) is int and end < MOST_MS else last

    def blocks(self, from_ms: int = 0, until_ms: int | None = None) -> Iterator[Block]:
        """Yield the blocks of samples from from_ms until until_ms; other segments are not read.

        Raises PksmError for a segment that is damaged.
        """
        for segment in self.segments:
            if segment.last_ms < from_ms:
                continue
            if until_ms is not None and segment.first_ms > until_ms:
                break
            where = f"{self.path}: {segment.member.name}"
            for block in format.read(container.unpacked(self._file, segment.member, self.path), where):
                if not segment.first_ms <= block.ms <= segment.last_ms:
                    raise PksmError(f"{where}: holds what its name does not say")
                if block.ms >= from_ms and (until_ms is None or block.ms <= until_ms):
                    yield block

    def check(self, most_pages: int | None = None) -> State:
        """Read all of it and return the State at the end. PksmError for whatever can't have happened.

        most_pages: more than that at a time are refused; None: as many as there is memory for.
        """
        return self.state_at(self.last_ms, most_pages)

    def state_at(
        self,
        ms: int,
        most_pages: int | None = None,
        seen: Callable[[State], object] = lambda state: None,
        from_ms: int | None = None,
    ) -> State:
        """Return what there was at a millisecond of the recording; see check.

        Args:
            ms: the time.
            most_pages: as of check.
            seen: called after each block that counts, and when counting begins.
            from_ms: events and times count from then on; None: all do.
        """
        most_steps = FREE_STEPS + STEPS_A_BYTE * self.members[-1].end
        state, counts_from = State(most_pages, most_steps), from_ms
        for block in self.blocks(until_ms=ms):
            if counts_from is not None and block.ms > counts_from:
                state.count_from(counts_from)
                seen(state)
                counts_from = None
            try:
                state.apply(block)
            except PksmError as error:
                raise type(error)(f"{self.path}: {error}") from None
            if counts_from is None:
                seen(state)
        if counts_from is not None:
            state.count_from(counts_from)
            seen(state)
        return state


def amount(said: dict[str, Any], name: str) -> float | None:
    """Return a number that a recording says of itself; None if it says none, or what is none."""
    value = said.get(name)
    try:
        found = float(value) if isinstance(value, int | float) and value is not True else math.nan
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def repair(path: str | os.PathLike[str]) -> bool:
    """End a recording as it should that was not, because its recorder was killed; return whether it was needed.

    What lies behind the last whole segment is cut off. A recording that is being written is left alone.

    Raises:
        UsageError: it is not a recording.
        PksmError: it can't be read, or not be written.
    """
    with Recording(path) as recording:
        is_whole, path = recording.is_whole, recording.path
    if is_whole:
        return False
    try:
        with open(path, "r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            members, is_whole = container.walk(file)  # again: a recorder may have gone on until now
            if is_whole or not members:
                return False
            file.truncate(members[-1].end)
            file.seek(members[-1].end)
            file.write(container.directory(members, members[-1].end))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise PksmError(f"{path}: cannot be repaired: {error.strerror}") from None
    return True


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 16
