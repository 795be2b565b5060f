"""Bytes that processes read and write: whole pages, words, and runs of bytes. Ranges are virtual page numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pksm.arrays import AnyArray, Contents, I64Array, IntArray, U8Array
from pksm.engine import native
from pksm.errors import UsageError
from pksm.hosts.machine import content, fault
from pksm.hosts.machine.page_tables import maps_frame, value_of

if TYPE_CHECKING:
    from pksm.hosts.machine.machine import Machine
    from pksm.hosts.machine.mm import Mm

# rows (page, word, value)
Patches: TypeAlias = IntArray | Sequence[Sequence[int]]


def read(machine: Machine, mm: Mm, first: int, end: int) -> U8Array:
    """Return the bytes of a range: uint8 (n, page_size)."""
    machine.vmas.covering(mm, first, end, machine.page_size)  # before so much is allocated
    out = np.zeros((end - first, machine.page_size), np.uint8)
    for start, ptes in fault.read_range(machine, mm, first, end):
        mapped = np.flatnonzero(maps_frame(ptes))
        for part in content.blocks(len(mapped), machine.page_size):
            out[mapped[part] + start] = machine.frames.memory[value_of(ptes[mapped[part]])]
    return out


def pages_given(contents: Contents, page_size: int) -> AnyArray:
    """Return pages as they may be given, bytes, an array or content ids, as an array of pages or of ids."""
    if isinstance(contents, (bytes, bytearray, memoryview)):
        data = np.frombuffer(contents, np.uint8)
        if data.size % page_size:
            raise UsageError(f"{data.size} bytes are not a whole number of pages of {page_size} bytes")
        return data.reshape(-1, page_size)
    given = np.asarray(contents)
    if given.ndim == 1:
        return content.checked_ids(given)
    if given.dtype != np.uint8 or given.shape[1:] != (page_size,):
        raise UsageError(f"pages are a uint8 array (n, {page_size}), or a list of content ids")
    return given


def write(machine: Machine, mm: Mm, first: int, end: int, contents: AnyArray) -> None:
    """Write pages_given to a range."""
    for start, into in fault.write_range(machine, mm, first, end, whole=True):
        new = contents[start : start + len(into)]
        if contents.ndim == 1:
            content.write_pages(machine.frames.memory, into, new)
        else:
            content.copy_pages(machine.frames.memory, into, new)


def fill(machine: Machine, mm: Mm, first: int, end: int, make: Callable[[U8Array], object]) -> None:
    """Let make(out) write every byte of the pages of a range: out is the machine's own memory if their frames are a row."""
    into = np.concatenate([frames for _, frames in fault.write_range(machine, mm, first, end, whole=True)])
    row, memory = native.span(into), machine.frames.memory
    if isinstance(row, slice):
        make(memory[row])
        return
    made = np.empty((len(into), machine.page_size), np.uint8)
    make(made)
    content.copy_pages(memory, into, made)


def write_at(machine: Machine, mm: Mm, pages: I64Array, contents: AnyArray) -> None:
    """Write pages_given to virtual pages in any order; the last of equals wins."""
    if len(contents) != len(pages):
        raise UsageError(f"{len(contents)} contents for {len(pages)} addresses: give one for each")
    if not len(pages):
        return
    pages, last = np.unique(pages[::-1], return_index=True)
    contents = contents[len(contents) - 1 - last]
    machine.vmas.spans(mm, pages, machine.page_size, writable=True)
    machine.frames.require(fault.frames_needed(machine, machine.tables.ptes[machine.tables.slots(mm.root, pages)]))
    into = fault.write_fault(machine, mm, pages, whole=True)
    (content.write_pages if contents.ndim == 1 else content.copy_pages)(machine.frames.memory, into, contents)


def touch_at(machine: Machine, mm: Mm, pages: I64Array) -> None:
    """Write virtual pages in any order, and leave their bytes as they are."""
    pages = np.unique(pages)
    if len(pages):
        machine.vmas.spans(mm, pages, machine.page_size, writable=True)
        machine.frames.require(fault.frames_needed(machine, machine.tables.ptes[machine.tables.slots(mm.root, pages)]))
        fault.write_fault(machine, mm, pages)


def checked_patches(patches: Patches, n: int, page_size: int) -> I64Array:
    """Return patches as an int64 array (k, 3). UsageError for one that is not within n pages."""
    words = np.asarray(patches, np.int64).reshape(-1, 3)
    limits = np.array([n, page_size // 4, 1 << 32])
    wrong = ((words < 0) | (words >= limits)).any(axis=1)
    if wrong.any():
        page, word, value = words[wrong][0].tolist()
        room = f"{n} pages of {limits[1]} 32-bit words"
        raise UsageError(f"patch (page {page}, word {word}, value {value}) does not fit: there are {room}")
    return words


def patch(machine: Machine, mm: Mm, first: int, patches: I64Array) -> None:
    """Write words: patches as checked, their pages counted from first."""
    if not len(patches):
        return
    pages, which = np.unique(patches[:, 0], return_inverse=True)
    slots = machine.tables.slots(mm.root, pages + first)
    machine.vmas.spans(mm, pages + first, machine.page_size, writable=True)
    machine.frames.require(fault.frames_needed(machine, machine.tables.ptes[slots]))
    into = fault.write_fault(machine, mm, pages + first)
    machine.frames.memory.view(np.uint32)[into[which], patches[:, 1]] = patches[:, 2]


def write_bytes(machine: Machine, mm: Mm, first: int, end: int, offset: int, data: U8Array) -> None:
    """Write data (uint8) to a range that it covers but for offset bytes of its first page and the end of its last."""
    into = np.concatenate([frames for _, frames in fault.write_range(machine, mm, first, end)])
    memory, page_size, at = machine.frames.memory, machine.page_size, 0
    head = min(len(data), -offset % page_size)  # bytes before the first whole page
    if head:
        memory[into[0], offset : offset + head] = data[:head]
        into, at = into[1:], head
    whole = (len(data) - at) // page_size
    content.copy_pages(memory, into[:whole], data[at : at + whole * page_size].reshape(whole, page_size))
    tail = data[at + whole * page_size :]
    if len(tail):
        memory[into[whole], : len(tail)] = tail
