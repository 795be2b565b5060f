"""Bytes that processes read and write: whole pages, words, and runs of bytes. Ranges are virtual page numbers."""

import numpy as np

from pksm.errors import UsageError
from pksm.hosts.machine import content, fault
from pksm.hosts.machine.page_tables import maps_frame, value_of


def read(machine, mm, first, end):
    """Return the bytes of a range: uint8 (n, page_size)."""
    machine.vmas.covering(mm, first, end, machine.page_size)  # before so much is allocated
    out = np.zeros((end - first, machine.page_size), np.uint8)
    for start, ptes in fault.read_range(machine, mm, first, end):
        mapped = np.flatnonzero(maps_frame(ptes))
        for part in content.blocks(len(mapped), machine.page_size):
            out[mapped[part] + start] = machine.frames.memory[value_of(ptes[mapped[part]])]
    return out


def pages_given(contents, page_size):
    """Return pages as they may be given, bytes, an array or content ids, as an array of pages or of ids."""
    if isinstance(contents, (bytes, bytearray, memoryview)):
        contents = np.frombuffer(contents, np.uint8)
        if contents.size % page_size:
            raise UsageError(f"{contents.size} bytes are no whole number of pages of {page_size} bytes")
        contents = contents.reshape(-1, page_size)
    contents = np.asarray(contents)
    if contents.ndim == 1:
        return content.checked_ids(contents)
    if contents.dtype != np.uint8 or contents.shape[1:] != (page_size,):
        raise UsageError(f"pages are a uint8 array (n, {page_size}), or a list of content ids")
    return contents


def write(machine, mm, first, end, contents):
    """Write pages_given to a range."""
    for start, into in fault.write_range(machine, mm, first, end, whole=True):
        new = contents[start : start + len(into)]
        if contents.ndim == 1:
            content.write_pages(machine.frames.memory, into, new)
        else:
            content.copy_pages(machine.frames.memory, into, new)


def checked_patches(patches, n, page_size):
    """Return patches as an int64 array (k, 3). UsageError for one that is not within n pages."""
    patches = np.asarray(patches, np.int64).reshape(-1, 3)
    limits = np.array([n, page_size // 4, 1 << 32])
    wrong = ((patches < 0) | (patches >= limits)).any(axis=1)
    if wrong.any():
        page, word, value = patches[wrong][0].tolist()
        room = f"{n} pages of {limits[1]} 32-bit words"
        raise UsageError(f"patch (page {page}, word {word}, value {value}) does not fit: there are {room}")
    return patches


def patch(machine, mm, first, patches):
    """Write words: patches as checked, their pages counted from first."""
    if not len(patches):
        return
    pages, which = np.unique(patches[:, 0], return_inverse=True)
    slots = machine.tables.slots(mm.root, pages + first)
    machine.vmas.spans(mm, pages + first, machine.page_size, writable=True)
    machine.frames.require(fault.frames_needed(machine, machine.tables.ptes[slots]))
    into = fault.write_fault(machine, mm, pages + first)
    machine.frames.memory.view(np.uint32)[into[which], patches[:, 1]] = patches[:, 2]


def write_bytes(machine, mm, first, end, offset, data):
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
