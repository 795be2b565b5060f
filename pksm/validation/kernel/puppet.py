"""The program of a process that does with its memory what it is ordered to: mmap, write, fork, munmap, one order at a time.

Only the memory that it is ordered to map is mergeable. It ends when its master does. It is run by path in an isolated
interpreter, so it imports the standard library only; its argument is the descriptor that orders come by.
"""

import ctypes
import json
import mmap
import os
import signal
import socket
import sys
from typing import Any

MERGEABLE, UNMERGEABLE, NOHUGEPAGE, DONTNEED = 12, 13, 15, 4
_PAGE_SIZE, _LRU_BATCH = 4096, 31
_MAP_FIXED_NOREPLACE, _MREMAP_MAYMOVE, _MREMAP_FIXED = 0x100000, 1, 2


class _Servant:
    """The process's own side."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._libc = ctypes.CDLL(None, use_errno=True)
        for name in ("mmap", "mremap"):
            getattr(self._libc, name).restype = ctypes.c_void_p

    def serve(self) -> None:
        while True:
            message, fds, _, _ = socket.recv_fds(self._control, 4096, 1)
            order = json.loads(message) if message else {"do": "exit"}
            if order["do"] == "exit":
                os._exit(0)
            try:
                answer = {"result": getattr(self, f"_{order.pop('do')}")(*fds, **order)}
            except OSError as error:
                answer = {"error": error.strerror}
            for fd in fds:
                if fd != self._control.fileno():
                    os.close(fd)
            _flush_lru_batch()
            if answer.get("result") != "served":
                self._control.send(json.dumps(answer).encode())

    def _call(self, name: str, *arguments: Any) -> Any:
        result = getattr(self._libc, name)(*map(ctypes.c_ulong, arguments))
        if result in (-1, ctypes.c_void_p(-1).value):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def _nothing(self) -> None:
        pass

    def _mmap(self, address: int, size: int) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED_NOREPLACE
        self._call("mmap", address, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, (1 << 64) - 1, 0)
        self._call("madvise", address, size, NOHUGEPAGE)
        self._call("madvise", address, size, MERGEABLE)

    def _write(self, handle: int, address: int, size: int) -> None:
        with mmap.mmap(handle, size) as view:
            source = (ctypes.c_char * size).from_buffer(view)
            ctypes.memmove(address, source, size)
            del source

    def _munmap(self, address: int, size: int) -> None:
        self._call("munmap", address, size)

    def _mremap(self, address: int, size: int, to: int) -> None:
        self._call("mremap", address, size, size, _MREMAP_MAYMOVE | _MREMAP_FIXED, to)

    def _madvise(self, address: int, size: int, advice: int) -> None:
        self._call("madvise", address, size, advice)

    def _mprotect(self, address: int, size: int, protection: int) -> None:
        self._call("mprotect", address, size, protection)

    def _fork(self, handle: int) -> Any:
        pid = os.fork()
        if pid:
            return pid
        self._control.close()
        self._control = socket.socket(fileno=os.dup(handle))
        return "served"


def _flush_lru_batch() -> None:
    """Push the pages just faulted in on to the LRU lists, by others behind them.

    Up to 31 wait in a batch of the processor's, each with a reference more, and ksmd, which empties the batches only
    when a full scan begins, would find them busy.
    """
    size = 2 * _LRU_BATCH * _PAGE_SIZE
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as others:
        others.madvise(NOHUGEPAGE)
        others[::_PAGE_SIZE] = bytes(size // _PAGE_SIZE)


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one batch, for it and all its children
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the master says when
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _Servant(socket.socket(fileno=int(sys.argv[1]))).serve()
