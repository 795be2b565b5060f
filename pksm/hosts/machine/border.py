"""What a Machine is given by others, before anything is done with it: its own mms, ranges, frames, anon_vmas."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import I64Array, IdsLike, Pages, U32Array
from pksm.engine.native import ids_array
from pksm.errors import PageError, UsageError
from pksm.hosts.machine.frames import ANON
from pksm.hosts.machine.mm import Mm
from pksm.hosts.machine.page_tables import LIMIT

if TYPE_CHECKING:
    from pksm.hosts.machine.machine import Machine


def check_mm(machine: Machine, mm: Mm) -> None:
    """Raise UsageError unless mm is one of the machine's own, and alive."""
    if not isinstance(mm, Mm):
        raise UsageError(f"{mm!r} is not an Mm: take what spawn or fork returned")
    if machine.mms.get(mm.id) is mm:
        return
    if not mm.alive:
        raise UsageError(f"mm {mm.id} has exited")
    raise UsageError(f"mm {mm.id} belongs to another machine; a copy's own are in its mms, by id")


def page_range(machine: Machine, mm: Mm, address: int, n: int) -> tuple[int, int]:
    """Return (first, end) in virtual page numbers. UsageError unless that is a range of pages of a living mm."""
    check_mm(machine, mm)
    address, n = _whole(address, "an address"), _whole(n, "a number of pages")
    if address % machine.page_size or address < 0:
        raise UsageError(f"address {address:#x} is not a multiple of the page size, {machine.page_size} bytes")
    first = address // machine.page_size
    if n < 1 or first + n > LIMIT:
        top = LIMIT * machine.page_size
        raise UsageError(f"{n} pages at {address:#x}: a range has at least one page and ends below {top:#x}")
    return first, first + n


def pages_at(machine: Machine, mm: Mm, addresses: IdsLike) -> I64Array:
    """Return addresses in bytes as virtual page numbers: int64. UsageError unless they are those of pages."""
    check_mm(machine, mm)
    array = np.asarray(addresses)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise UsageError("addresses are a list of whole numbers, one per page")
    outside = (array < 0) | (array % machine.page_size != 0) | (array // machine.page_size >= LIMIT)
    if outside.any():
        page_range(machine, mm, int(array[outside][0]), 1)
    return array.astype(np.int64) // machine.page_size


def _whole(value: int, what: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise UsageError(f"{value!r} is not {what}: give a whole number") from None


def known_frames(machine: Machine, frames: IdsLike) -> Pages:
    """Return frame numbers as uint32. PageError unless the machine has them all."""
    frames = ids_array(frames)
    if len(frames) and int(frames.max()) >= machine.frames.n:
        raise PageError(f"frame {frames.max()}: the machine has {machine.frames.n}, numbered from 0")
    return frames


def live_frames(machine: Machine, frames: IdsLike) -> Pages:
    """Return frame numbers as uint32. PageError unless all are in use."""
    frames = known_frames(machine, frames)
    alive = machine.frames.has(frames, ANON)
    if not alive.all():
        raise PageError(f"frame {frames[~alive][0]} is free: nothing maps it")
    return frames


def frames_to_merge(machine: Machine, pages: IdsLike, kpages: IdsLike = ()) -> tuple[Pages, Pages]:
    """Return frames to merge and to keep as uint32. PageError unless all are in use, and those to merge named once."""
    pages, kpages = live_frames(machine, pages), live_frames(machine, kpages)
    marks = machine.frames.marks
    marks[pages] = np.arange(1, len(pages) + 1, dtype=np.uint32)
    twice = marks[pages] != np.arange(1, len(pages) + 1)
    kept = marks[kpages] != 0
    marks[pages] = 0
    if twice.any():
        raise PageError(f"frame {pages[twice][0]} is to be merged twice at once")
    if kept.any():
        raise PageError(f"frame {kpages[kept][0]} is to be merged away and to be kept")
    return pages, kpages


def live_anon_vmas(machine: Machine, anon_vmas: IdsLike) -> U32Array:
    """Return anon_vmas as uint32. UsageError unless all are alive."""
    anon_vmas = ids_array(anon_vmas)
    known = len(anon_vmas) == 0 or int(anon_vmas.max()) < len(machine.rmap.root)
    alive = machine.rmap.is_alive(anon_vmas) if known else np.zeros(1, bool)
    if not alive.all():
        raise UsageError("an anon_vma that is not alive: take what anon_vma returned")
    return anon_vmas


def referenced_anon_vmas(machine: Machine, anon_vmas: IdsLike) -> U32Array:
    """Return anon_vmas as uint32. UsageError unless each is referenced as often as it is named."""
    anon_vmas = live_anon_vmas(machine, anon_vmas)
    times = np.bincount(anon_vmas, minlength=len(machine.rmap.root))
    if (times > machine.rmap.references).any():
        raise UsageError("a reference on an anon_vma is put that was never taken")
    return anon_vmas
