"""What the areas of a process are called: by the kernel, or by what lies beside them."""

import mmap
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pksm.linux import text
from pksm.linux.proc.segments import MemoryEnd

# How the C library lays out a heap of a thread, and its stack behind a guard page.
ARENA_BYTES = 64 << 20
GUARD_BYTES = mmap.PAGESIZE
STACK_STEP = 64 << 10


class Area(NamedTuple):
    """An area as maps and smaps have it; `offset` of its first byte in the file, `name` as the kernel writes it."""

    start: int
    end: int
    access: bytes
    offset: int
    name: bytes


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
