"""The areas of a process, and what they are called: by the kernel, or by what lies beside them."""

import mmap
import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pksm.linux import text
from pksm.linux.proc.segments import MemoryEnd

# How the C library lays out a heap of a thread, and its stack behind a guard page.
ARENA_BYTES = 64 << 20
GUARD_BYTES = mmap.PAGESIZE
STACK_STEP = 64 << 10


USER_SPACE_END = 1 << 63

_LINE = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) (\S+ \d+) *(.*)", re.DOTALL)
_NO_FILE = b"00:00 0"


class Area(NamedTuple):
    """An area as maps and smaps have it.

    Attributes:
        start, end: addresses.
        access: four letters.
        offset: of its first byte in the file.
        name: as the kernel writes it.
        file: device and inode, as the kernel writes them.
    """

    start: int
    end: int
    access: bytes
    offset: int
    name: bytes
    file: bytes = _NO_FILE

    @property
    def has_file(self) -> bool:
        """Whether it is of a file, if only of one without a name."""
        return self.file != _NO_FILE


def read_areas(pid: int) -> list[Area]:
    """Return the areas of a process by address; those of the kernel's half are left out. Raises OSError, MalformedError."""
    return parse_areas(text.read(f"/proc/{pid}/maps"))


def most_areas() -> int | None:
    """Return how many areas a process may have; None where the kernel does not say."""
    return text.number_in("/proc/sys/vm/max_map_count")


def parse_areas(data: bytes) -> list[Area]:
    """Parse the text of a maps file; areas of the kernel's half of the address space are left out.

    Raises:
        MalformedError: areas are empty, overlap, or are out of order.
    """
    areas, reached = [], 0
    for line in text.lines(data):
        area, reached = parse_area(line, reached)
        if area is not None:
            areas.append(area)
    return areas


def parse_area(line: bytes, reached: int) -> tuple[Area | None, int]:
    """Parse the line of an area; return (the area, None for one of the kernel's; where it ends).

    Args:
        line: as in maps and smaps.
        reached: where the area before it ends.

    Raises:
        MalformedError: it is not as the kernel writes it, empty, or not behind the one before it.
    """
    found = _LINE.fullmatch(line)
    if found is None:
        raise text.MalformedError("/proc/PID/smaps: a line of an area that is not as the kernel writes it")
    start, end = int(found[1], 16), int(found[2], 16)
    if start >= USER_SPACE_END and start < end:
        return None, USER_SPACE_END  # nothing of the process's own comes behind it
    if not reached <= start < end <= USER_SPACE_END or (start | end) % mmap.PAGESIZE:
        raise text.MalformedError(f"/proc/PID/smaps: an area {start:x}-{end:x} behind {reached:x}")
    return Area(start, end, found[3], int(found[4], 16), found[6], found[5]), end


def names_of(areas: Sequence[Area], memory_end: MemoryEnd) -> Iterator[str]:
    """Yield what each area is called: "anon" for no name, the last part of a path, anything in brackets as it is."""
    for before, area, after in zip([None, *areas], areas, [*areas[1:], None], strict=False):
        if area.name:
            yield _short_name(area.name)
        else:
            yield _guess(before, area, after, memory_end) or "anon"


def _short_name(name: bytes) -> str:
    return text.decoded(name.rpartition(b"/")[2] if name.startswith(b"/") else name)


def _guess(before: Area | None, area: Area, after: Area | None, memory_end: MemoryEnd) -> str:
    """Return what an unnamed area is where its neighbours and its place show it, else ""."""
    if area.access != b"rw-p":
        return ""
    if before and before.end == area.start:
        if before.name.startswith(b"/") and before.access == b"rw-p":
            end = memory_end(os.fsdecode(before.name))
            bss = end is not None and area.end <= before.start - before.offset + end
            return f"{_short_name(before.name)} (bss)" if bss else ""
        is_guard = not before.name and before.access == b"---p" and before.end - before.start == GUARD_BYTES
        if is_guard and 0 in ((area.end - area.start) % STACK_STEP, (area.end - before.start) % STACK_STEP):
            return "[thread stack]"
    if area.start % ARENA_BYTES == 0 and after and (after.start, after.end) == (area.end, area.start + ARENA_BYTES):
        return "[arena]" if (after.access, after.name) == (b"---p", b"") else ""
    return ""
