"""What a recording is made of: blocks, each of what happened to one address space up to one sample.

Page numbers count pages of the space's own addresses. Contents are ids: equal ids are equal bytes, 0 is the zero page;
the bytes themselves are never kept.
"""

import enum
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from pksm.arrays import BoolArray, U8Array, U32Array, U64Array

MOST_MS = 1 << 53
MOST_SPACES = 1 << 32
PAGE_LIMIT = 1 << 52  # page numbers end here
MOST_NAME = 512  # characters
NEVER_ID = 0xFFFFFFFF  # of no content


class Kind(enum.IntEnum):
    """What happened to a page since the sample before."""

    BIRTH = 0  # it came to be resident, with a content
    WRITE = 1  # it has another content
    SAME = 2  # it was written, and has the content it had
    DEATH = 3  # it is not resident any more
    MOVED = 4  # it lies in another frame, and has the content it had
    MERGED = 5  # the kernel's KSM has merged it
    UNMERGED = 6  # it is not merged by KSM any more
    ACCESSED = 7  # it was read or written


WITH_CONTENT = np.array([kind in (Kind.BIRTH, Kind.WRITE) for kind in Kind])

# ("start", pid, name): a process that was there, or has begun another program; or an image
# ("fork", space, pid, name): a process with all that the space has at this point of the recording
# ("exit",): it has gone, with all of its pages
# ("map", page, n, name, mergeable), ("unmap", page, n), ("advise", page, n, mergeable): mappings come, go, opt in and out
Operation: TypeAlias = tuple[Any, ...]
SHAPES: dict[str, tuple[type, ...]] = {
    "start": (int, str),
    "fork": (int, int, str),
    "exit": (),
    "map": (int, int, str, bool),
    "unmap": (int, int),
    "advise": (int, int, bool),
}


def _no_pages() -> U64Array:
    return np.empty(0, np.uint64)


def _no_kinds() -> U8Array:
    return np.empty(0, np.uint8)


def _no_contents() -> U32Array:
    return np.empty(0, np.uint32)


@dataclass(frozen=True)
class Block:
    """What happened to an address space up to a sample: first the operations, in order, then the pages.

    Attributes:
        ms: when the sample was taken, from the beginning of the recording.
        space: number of the address space; numbers are not used again.
        operations: tuples, as SHAPES has them.
        pages: page numbers, uint64 (n,), sorted; a page may have several events, by kind.
        kinds: of each of them, uint8 (n,), of Kind.
        contents: ids of those with a content, uint32, in order: BIRTH and WRITE.
    """

    ms: int
    space: int
    operations: tuple[Operation, ...] = ()
    pages: U64Array = field(default_factory=_no_pages)
    kinds: U8Array = field(default_factory=_no_kinds)
    contents: U32Array = field(default_factory=_no_contents)

    def of(self, *kinds: Kind) -> BoolArray:
        """Return which of the pages have an event of these kinds."""
        wanted = np.zeros(len(Kind), bool)
        wanted[list(kinds)] = True
        return wanted[self.kinds]

    def content_of(self, picked: BoolArray) -> U32Array:
        """Return the contents of the events picked, all of which have one."""
        return self.contents[picked[WITH_CONTENT[self.kinds]]]


def fault_of(operation: object) -> str:
    """Return what is wrong with an operation, "" if nothing is."""
    if not isinstance(operation, tuple) or not operation or operation[0] not in SHAPES:
        return "there is no such operation"
    name, *fields = operation
    if tuple(map(type, fields)) != SHAPES[name]:
        return f"{name} has other fields"
    if any(isinstance(value, str) and len(value) > MOST_NAME for value in fields):
        return f"{name}: a name of more than {MOST_NAME} characters"
    if any(type(value) is int and value < 0 for value in fields):
        return f"{name}: a number below 0"
    if name in ("map", "unmap", "advise"):
        first, n = fields[:2]
        if n < 1 or first + n > PAGE_LIMIT:
            return f"{name}: pages that there cannot be"
    return ""
