"""Copy pages of another process by process_vm_readv where that is harmless, else through /proc/PID/mem.

process_vm_readv pins the pages it reads, and pinning an anonymous page that is mapped more than once makes the kernel
give the process a copy of its own (since Linux 5.19). Frames shared after a fork or merged by KSM would be torn apart
by looking at them; /proc/PID/mem, slower, leaves them as they are.
"""

import collections
import concurrent.futures
import ctypes
import errno
import os

import numpy as np

from pksm.sources.base import cut_runs

BATCH_BYTES = 4 << 20  # with 1 MiB, a tenth more of the time goes to what a call costs
MAX_IOVECS = 1024
MOST_WORKERS = 2  # threads that copy: more of them wait for the same memory

IOVEC = np.dtype([("base", "u8"), ("length", "u8")])
# One copy: addresses here and there, bytes, offset in the batch, and whether its pages are mapped once.
COPY = np.dtype([("local", "u8"), ("remote", "u8"), ("length", "u8"), ("at", "i8"), ("exclusive", "?")])

_libc = ctypes.CDLL(None, use_errno=True)
_memcmp = _libc.memcmp
_memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
_vm_readv = _libc.process_vm_readv
_vm_readv.restype = ctypes.c_ssize_t
_vm_readv.argtypes = [ctypes.c_int, *[ctypes.c_void_p, ctypes.c_ulong] * 2, ctypes.c_ulong]


class ProcessMemory:
    """The bytes of a process; /proc/PID/mem is bound to the memory it had when this was opened."""

    def __init__(self, pid: int):
        self._pid = pid
        self._fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        self._use_readv = True
        self._workers = None

    def close(self) -> None:
        """Close the memory."""
        if self._workers:
            self._workers.shutdown()
        os.close(self._fd)

    def read_runs(self, data: np.ndarray, exclusive: np.ndarray, buffer: np.ndarray):
        """Copy the pages of DATA runs into `buffer` (n_pages, page_size), batch by batch.

        `exclusive` (bool, one a page) tells which are mapped once. Yields after each batch (first page, end page,
        lost): `lost` is a bool array of the batch's pages, or None when all were read.
        """

        def read(head, end, copies):
            return head, end, self._read(copies, buffer[head:end])

        return self._in_turn(read, _batches(data, exclusive, buffer))

    def compare_runs(self, data: np.ndarray, exclusive: np.ndarray, buffer: np.ndarray):
        """Look again at what read_runs copied and yield (first page, end page, changed) after each batch.

        `changed` is a bool array of the batch's pages, or None when all are as they were; pages that are gone have
        changed.
        """
        room = min(BATCH_BYTES, buffer.nbytes) // buffer.shape[1] or 1
        spare = []  # memory of batches that are done

        def compare(head, end, copies):
            scratch = spare.pop() if spare else np.empty((room, buffer.shape[1]), np.uint8)
            now, then = scratch[: end - head], buffer[head:end]
            lost, changed = self._read(copies, now), None
            if lost is not None or _memcmp(_address(now), _address(then), then.size):
                changed = (now.view(np.uint64) != then.view(np.uint64)).any(axis=1)
                changed = changed if lost is None else changed | lost
            spare.append(scratch)
            return head, end, changed

        return self._in_turn(compare, _batches(data, exclusive, buffer))

    def _in_turn(self, work, batches):
        """Yield work(*batch) of all batches in their order; where there are more CPUs than one, two go on at a time."""
        workers = min(MOST_WORKERS, len(os.sched_getaffinity(0)))
        if workers < 2 or len(batches) < 2:
            yield from (work(*batch) for batch in batches)
            return
        if self._workers is None:
            self._workers = concurrent.futures.ThreadPoolExecutor(workers)
        going_on = collections.deque()
        try:
            for batch in batches:
                going_on.append(self._workers.submit(work, *batch))
                if len(going_on) > workers:
                    yield going_on.popleft().result()
            while going_on:
                yield going_on.popleft().result()
        finally:
            concurrent.futures.wait(going_on)  # they write to memory that is another's after this

    def _read(self, copies: np.ndarray, out: np.ndarray):
        """Copy one batch; return None when all of it came, else which pages were lost."""
        copies["local"] = _address(out) + copies["at"]
        return None if self._copy(copies, out) else self._copy_pages(copies, out)

    def _copy(self, copies: np.ndarray, buffer: np.ndarray) -> bool:
        """Copy one batch; True when all of it came."""
        alone = copies["exclusive"]
        if self._use_readv and self._readv(copies[alone]):
            copies = copies[~alone]
        if len(copies) == 0:
            return True
        flat = buffer.reshape(-1)
        return all(
            self._pread(address, flat[at : at + length])
            for address, length, at in copies[["remote", "length", "at"]].tolist()
        )

    def _readv(self, copies: np.ndarray) -> bool:
        """Copy by one call; True when all of it came."""
        if len(copies) == 0:
            return True
        local, remote = np.empty(len(copies), IOVEC), np.empty(len(copies), IOVEC)
        local["base"], remote["base"] = copies["local"], copies["remote"]
        local["length"] = remote["length"] = copies["length"]
        n_bytes = _vm_readv(self._pid, _address(local), len(local), _address(remote), len(remote), 0)
        if n_bytes < 0 and ctypes.get_errno() in (errno.ENOSYS, errno.EPERM):  # a seccomp filter, mostly
            self._use_readv = False
        return n_bytes == int(copies["length"].sum())

    def _copy_pages(self, copies: np.ndarray, buffer: np.ndarray) -> np.ndarray:
        """Copy one batch page by page and return which pages were lost."""
        page_size = buffer.shape[1]
        return np.array(
            [
                not self._pread(address + page * page_size, buffer[at // page_size + page])
                for address, length, at in copies[["remote", "length", "at"]].tolist()
                for page in range(length // page_size)
            ]
        )

    def _pread(self, address: int, out: np.ndarray) -> bool:
        """Copy one piece through /proc/PID/mem, which reads areas without access rights as well."""
        try:
            return os.preadv(self._fd, [out], address) == out.size
        except OSError:
            return False


def _batches(data: np.ndarray, exclusive: np.ndarray, buffer: np.ndarray):
    """Return [(first page, end page, COPY array without local addresses)], one for each batch of a buffer's pages."""
    n_pages, page_size = buffer.shape
    batch = min(max(1, BATCH_BYTES // page_size), MAX_IOVECS)
    heads = np.arange(0, n_pages, batch)
    pieces = cut_runs(data, np.union1d(heads, np.flatnonzero(np.diff(exclusive)) + 1), page_size)
    first = pieces["first"].astype(np.int64)
    copies = np.empty(len(pieces), COPY)
    copies["remote"], copies["length"] = pieces["address"], pieces["pages"] * page_size
    copies["at"], copies["exclusive"] = first % batch * page_size, exclusive[first]
    bounds = np.append(np.searchsorted(first, heads), len(pieces)).tolist()
    return [
        (head, min(head + batch, n_pages), copies[low:high])
        for head, low, high in zip(heads.tolist(), bounds, bounds[1:], strict=False)
    ]


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]
