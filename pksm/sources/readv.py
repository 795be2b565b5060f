"""process_vm_readv: copy pages of another process, with /proc/PID/mem for what it will not give."""

import ctypes
import errno
import os

import numpy as np

from pksm.sources.base import cut_runs

BATCH_BYTES = 1 << 20
MAX_IOVECS = 1024

IOVEC = np.dtype([("base", "u8"), ("length", "u8")])

_vm_readv = ctypes.CDLL(None, use_errno=True).process_vm_readv
_vm_readv.restype = ctypes.c_ssize_t
_vm_readv.argtypes = [ctypes.c_int, *[ctypes.c_void_p, ctypes.c_ulong] * 2, ctypes.c_ulong]


class ProcessMemory:
    """The bytes of a process; /proc/PID/mem is bound to the memory it had when this was opened."""

    def __init__(self, pid: int):
        self._pid = pid
        self._fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        self._use_readv = True

    def close(self) -> None:
        """Close the memory."""
        os.close(self._fd)

    def read_runs(self, data: np.ndarray, buffer: np.ndarray):
        """Copy the pages of DATA runs into `buffer` (n_pages, page_size), batch by batch.

        Yields after each batch (first page, end page, lost): `lost` is a bool array of the batch's pages, or None
        when all were read.
        """
        n_pages, page_size = buffer.shape
        batch = min(max(1, BATCH_BYTES // page_size), MAX_IOVECS)
        heads = np.arange(0, n_pages, batch)
        pieces = cut_runs(data, heads, page_size)
        remote = np.empty(len(pieces), IOVEC)
        remote["base"], remote["length"] = pieces["address"], pieces["pages"] * page_size
        bounds = np.append(np.searchsorted(pieces["first"].astype(np.int64), heads), len(pieces)).tolist()
        for head, low, high in zip(heads.tolist(), bounds, bounds[1:], strict=False):
            out = buffer[head : head + batch]
            read = self._readv(remote[low:high], out) or self._pread_all(remote[low:high], out)
            yield head, head + len(out), None if read else self._pread_pages(remote[low:high], out)

    def _readv(self, remote: np.ndarray, out: np.ndarray) -> bool:
        """Copy the remote pieces into `out` by one call; True when all of it came."""
        if not self._use_readv:
            return False
        local = np.array([(out.ctypes.data, out.size)], IOVEC)
        n_bytes = _vm_readv(self._pid, local.ctypes.data, 1, remote.ctypes.data, len(remote), 0)
        if n_bytes < 0 and ctypes.get_errno() in (errno.ENOSYS, errno.EPERM):  # a seccomp filter, mostly
            self._use_readv = False
        return n_bytes == out.size

    def _pread_all(self, remote: np.ndarray, out: np.ndarray) -> bool:
        """Copy the remote pieces one by one through /proc/PID/mem, which reads PROT_NONE areas as well."""
        flat, at = out.reshape(-1), 0
        for address, length in remote.tolist():
            if not self._pread(address, flat[at : at + length]):
                return False
            at += length
        return True

    def _pread_pages(self, remote: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Copy one batch page by page and return which pages were lost."""
        page_size = out.shape[1]
        addresses = [
            page for base, length in remote.tolist() for page in range(base, base + length, page_size)
        ]
        return np.array([not self._pread(address, row) for address, row in zip(addresses, out, strict=True)])

    def _pread(self, address: int, out: np.ndarray) -> bool:
        try:
            return os.preadv(self._fd, [out], address) == out.size
        except OSError:
            return False
