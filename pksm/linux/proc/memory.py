"""Copy pages of another process by process_vm_readv where that is harmless, else through /proc/PID/mem.

process_vm_readv pins the pages it reads, and pinning an anonymous page that is mapped more than once makes the kernel
give the process a copy of its own (since Linux 5.19); a page of KSM's is copied even if it is mapped once. Frames shared
after a fork or merged by KSM would be torn apart by looking at them; /proc/PID/mem, slower, leaves them as they are.
"""

import ctypes
import errno
import os
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from pksm.arrays import U8Array, U64Array, distinct
from pksm.extents import cut_runs
from pksm.linux.proc import tasks
from pksm.linux.proc.batches import work_off

READ_BYTES = 8 << 20  # a batch: smaller ones wait more for each other, of larger ones the last is without company
WINDOW_BYTES = 2 << 20  # the same, of pages that are taken and forgotten
READERS = 2  # windows in use at a time
COMPARE_BYTES = 4 << 20  # the same, but what is read anew has to stay in the cache until it is compared
MAX_IOVECS = 1024  # the kernel takes no more at a time

# (first page, end page, bool array of its pages or None) of a batch that is done
Batch = tuple[int, int, np.ndarray | None]

IOVEC = np.dtype([("base", "u8"), ("length", "u8")])

_libc = ctypes.CDLL(None, use_errno=True)
_memcmp = _libc.memcmp
_memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
_vm_readv = _libc.process_vm_readv
_vm_readv.restype = ctypes.c_ssize_t
_vm_readv.argtypes = [
    ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong
]  # fmt: skip


class Taker(Protocol):
    """Takes pages as they are read, a window of them at a time; windows are taken by two threads, in any order."""

    def begin(self, pages: U64Array) -> None:
        """Get ready for pages with these numbers."""

    def window(self, n_pages: int) -> tuple[int, U8Array]:
        """Return a number, and memory for so many pages."""

    def take(self, head: int, end: int, number: int) -> None:
        """Take the pages head .. end - 1 from the memory of that number."""


class ProcessMemory:
    """The bytes of a process; /proc/PID/mem is bound to the memory it had when this was opened.

    `thread` is one that lives, if that is known.
    """

    def __init__(self, pid: int, thread: int | None = None):
        thread = tasks.living_thread(pid) if thread is None else thread
        self._pid = pid if thread is None else thread
        self._fd = os.open(f"{tasks.directory(pid, thread)}/mem", os.O_RDONLY | os.O_CLOEXEC)
        self._use_readv = True

    def close(self) -> None:
        """Close the memory."""
        os.close(self._fd)

    def read_runs(self, data: np.ndarray, exclusive: np.ndarray, buffer: np.ndarray) -> Iterator[Batch]:
        """Copy the pages of DATA runs into `buffer` (n_pages, page_size), batch by batch, in any order.

        `exclusive` (bool, one per page) says which are mapped once and are not KSM's. Yields after each batch (first page, end page,
        lost): `lost` is a bool array of the batch's pages, or None when all were read.
        """
        copies = _Copies(data, exclusive, buffer.shape[1], READ_BYTES)

        def read(head: int, end: int, *part: int) -> Batch:
            return head, end, self._read(copies, part, buffer[head:end])

        return work_off(read, copies.batches)

    def hand_runs(
        self, data: np.ndarray, exclusive: np.ndarray, page_size: int, taker: Taker, helped: bool = True
    ) -> Iterator[Batch]:
        """Do as read_runs, but hand the pages to a taker instead of keeping them, while they are in the cache.

        helped: by a second thread, which is of no use where each page lies apart: both wait for each other in the kernel.
        """
        copies = _Copies(data, exclusive, page_size, WINDOW_BYTES)

        def hand(head: int, end: int, *part: int) -> Batch:
            number, window = taker.window(end - head)
            lost = self._read(copies, part, window)
            taker.take(head, end, number)
            return head, end, lost

        return work_off(hand, copies.batches) if helped else (hand(*batch) for batch in copies.batches)

    def compare_runs(
        self, data: np.ndarray, exclusive: np.ndarray, away: np.ndarray, buffer: np.ndarray
    ) -> Iterator[Batch]:
        """Look again at what read_runs copied and yield (first page, end page, changed) after each batch.

        `changed` is a bool array of the batch's pages, or None when all are as they were. Pages that are `away` (bool,
        one per page) are not touched, nor reported as changed; what can't be read has changed.
        """
        copies = _Copies(data, exclusive, buffer.shape[1], COMPARE_BYTES, away)
        spare: list[np.ndarray] = []  # memory of batches that are done

        def compare(head: int, end: int, *part: int) -> Batch:
            try:
                scratch = spare.pop()
            except IndexError:
                scratch = np.empty((copies.most_pages, buffer.shape[1]), np.uint8)
            now, then, skip = scratch[: end - head], buffer[head:end], away[head:end]
            lost, changed = self._read(copies, part, now), None
            if lost is not None or skip.any() or _memcmp(_address(now), _address(then), then.size):
                changed = (now.view(np.uint64) != then.view(np.uint64)).any(axis=1) & ~skip
                changed = changed if lost is None else changed | lost
            spare.append(scratch)
            return head, end, changed

        return work_off(compare, copies.batches)

    def _read(self, copies: "_Copies", part: tuple[int, ...], out: np.ndarray) -> np.ndarray | None:
        """Copy one batch to `out`; return None when all of it came, else which pages were lost."""
        low, middle, high, n_bytes = part
        if low < middle and self._use_readv and self._readv(copies, low, middle, out) == n_bytes:
            low = middle
        page_size, lost = out.shape[1], None
        for address, length, at in copies.pieces(low, high):
            rows = slice(at // page_size, (at + length) // page_size)
            if not self._pread(address, out[rows]):
                lost = np.zeros(len(out), bool) if lost is None else lost
                lost[rows] = [not self._pread(address + n * page_size, row) for n, row in enumerate(out[rows])]
        return lost

    def _readv(self, copies: "_Copies", low: int, high: int, out: np.ndarray) -> int:
        """Copy pieces by as few calls as the kernel allows; return the bytes that came."""
        local = copies.offset[low:high].copy()
        local["base"] += np.uint64(_address(out))
        remote, came = copies.remote[low:high], 0
        for at in range(0, high - low, MAX_IOVECS):
            here, there = local[at : at + MAX_IOVECS], remote[at : at + MAX_IOVECS]
            n_bytes = _vm_readv(self._pid, _address(here), len(here), _address(there), len(there), 0)
            if n_bytes < 0:
                if ctypes.get_errno() in (errno.ENOSYS, errno.EPERM):  # a seccomp filter, mostly
                    self._use_readv = False
                return n_bytes
            came += n_bytes
        return came

    def _pread(self, address: int, out: np.ndarray) -> bool:
        """Copy one piece through /proc/PID/mem, which reads areas without access rights as well."""
        try:
            return os.preadv(self._fd, [out.data], address) == out.size
        except OSError:
            return False


class _Copies:
    """What to copy: `remote` and `offset` (IOVEC; the latter's base counts from the batch's first page on).

    batches: [(first page, end page, low, middle, high, bytes)]: pieces [low, middle) are mapped once and have so many
    bytes, [middle, high) are shared. No batch has pages that are `away`.
    """

    EXCLUSIVE, SHARED, AWAY = range(3)

    def __init__(
        self,
        data: np.ndarray,
        exclusive: np.ndarray,
        page_size: int,
        batch_bytes: int,
        away: np.ndarray | None = None,
    ) -> None:
        n_pages = len(exclusive)
        batch = self.most_pages = max(1, batch_bytes // page_size)
        heads = np.arange(0, n_pages, batch)
        kind = np.where(exclusive, np.uint8(self.EXCLUSIVE), np.uint8(self.SHARED))
        if away is not None:
            kind[away] = self.AWAY
        pieces = cut_runs(data, distinct(np.append(heads, np.flatnonzero(np.diff(kind)) + 1)), page_size)
        first = pieces["first"].astype(np.int64)
        place = first // batch * 3 + kind[first]
        if (place[1:] < place[:-1]).any():
            order = np.argsort(place, kind="stable")
            pieces, first, place = pieces[order], first[order], place[order]
        self.remote, self.offset = np.empty(len(pieces), IOVEC), np.empty(len(pieces), IOVEC)
        self.remote["base"], self.offset["base"] = pieces["address"], first % batch * page_size
        self.remote["length"] = self.offset["length"] = pieces["pages"] * page_size
        bounds = np.searchsorted(place, np.arange(len(heads))[:, None] * 3 + np.arange(3))
        done = np.append(0, np.cumsum(self.remote["length"], dtype=np.int64))
        n_bytes = done[bounds[:, 1]] - done[bounds[:, 0]]
        ends = np.minimum(heads + batch, n_pages)
        self.batches = list(zip(heads.tolist(), ends.tolist(), *bounds.T.tolist(), n_bytes.tolist(), strict=True))

    def pieces(self, low: int, high: int) -> Iterator[tuple[int, int, int]]:
        """Give (remote address, bytes, offset in the batch) of the pieces [low, high)."""
        columns = self.remote["base"], self.remote["length"], self.offset["base"]
        return zip(*(column[low:high].tolist() for column in columns), strict=True)


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]
