"""A real process that does what it is told with its memory: mmap, write, fork, munmap, one order at a time.

Only the memory that it is told to map is mergeable. It ends when its master does.
"""

import ctypes
import json
import mmap
import os
import signal
import socket
import subprocess
import sys

from pksm.errors import PksmError

PAGE_SIZE = 4096
_MERGEABLE, _UNMERGEABLE, _NOHUGEPAGE, _DONTNEED = 12, 13, 15, 4
ADVICE = {"MERGEABLE": _MERGEABLE, "UNMERGEABLE": _UNMERGEABLE, "DONTNEED": _DONTNEED}
_MAP_FIXED_NOREPLACE, _MREMAP_MAYMOVE, _MREMAP_FIXED = 0x100000, 1, 2


class LiveProcess:
    """The master's end. mm operations as those of a Machine's Mm, by address in bytes and n in pages."""

    def __init__(self, control=None, pid=None):
        self._program = None
        if control is None:
            control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with other:
                self._program = subprocess.Popen(
                    [sys.executable, "-m", "pksm.validation.kernel.puppet", str(other.fileno())],
                    pass_fds=[other.fileno()],
                )
            pid = self._program.pid
        self._control, self.pid = control, pid
        self._ask(do="nothing")

    def _ask(self, fds=(), **order):
        socket.send_fds(self._control, [json.dumps(order).encode()], list(fds))
        answer = self._control.recv(4096)
        if not answer:
            raise PksmError(f"process {self.pid} of the comparison ended before its time")
        answer = json.loads(answer)
        if "error" in answer:
            raise PksmError(f"process {self.pid} of the comparison could not {order['do']}: {answer['error']}")
        return answer["result"]

    def mmap(self, address, n):
        """Map n pages at an address, mergeable, without huge pages."""
        self._ask(do="mmap", address=address, size=n * PAGE_SIZE)

    def write(self, address, contents):
        """Write whole pages: uint8 (n, page size)."""
        data = memoryview(contents).cast("B")
        handle = os.memfd_create("pksm")
        try:
            os.truncate(handle, len(data))
            with mmap.mmap(handle, len(data)) as view:
                view[:] = data
            self._ask([handle], do="write", address=address, size=len(data))
        finally:
            os.close(handle)

    def munmap(self, address, n):
        """Unmap n pages."""
        self._ask(do="munmap", address=address, size=n * PAGE_SIZE)

    def mremap(self, address, n, new_address):
        """Move n pages."""
        self._ask(do="mremap", address=address, size=n * PAGE_SIZE, to=new_address)

    def madvise(self, address, n, advice):
        """Advise on n pages: of ADVICE."""
        self._ask(do="madvise", address=address, size=n * PAGE_SIZE, advice=ADVICE[advice])

    def mprotect(self, address, n, writable):
        """Make n pages writable, or read-only."""
        self._ask(do="mprotect", address=address, size=n * PAGE_SIZE, protection=3 if writable else 1)

    def read(self, address, n):
        """Return the bytes of n pages."""
        with open(f"/proc/{self.pid}/mem", "rb", 0) as memory:
            return os.pread(memory.fileno(), n * PAGE_SIZE, address)

    def fork(self):
        """Return a child of it."""
        control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            pid = self._ask([other.fileno()], do="fork")
        return LiveProcess(control, pid)

    def exit(self):
        """End it; returns when its memory is gone."""
        try:
            self._control.send(json.dumps({"do": "exit"}).encode())
            while self._control.recv(4096):
                pass
        except OSError:
            pass  # it had ended
        self._control.close()
        if self._program is not None:
            self._program.wait()


class _Servant:
    """The process's own side."""

    def __init__(self, control):
        self._control = control
        self._libc = ctypes.CDLL(None, use_errno=True)
        for name in ("mmap", "mremap"):
            getattr(self._libc, name).restype = ctypes.c_void_p

    def serve(self):
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
            if answer.get("result") != "served":
                self._control.send(json.dumps(answer).encode())

    def _call(self, name, *arguments):
        result = getattr(self._libc, name)(*map(ctypes.c_ulong, arguments))
        if result in (-1, ctypes.c_void_p(-1).value):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def _nothing(self):
        pass

    def _mmap(self, address, size):
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED_NOREPLACE
        self._call("mmap", address, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, (1 << 64) - 1, 0)
        self._call("madvise", address, size, _NOHUGEPAGE)
        self._call("madvise", address, size, _MERGEABLE)

    def _write(self, handle, address, size):
        with mmap.mmap(handle, size) as view:
            source = (ctypes.c_char * size).from_buffer(view)
            ctypes.memmove(address, source, size)
            del source

    def _munmap(self, address, size):
        self._call("munmap", address, size)

    def _mremap(self, address, size, to):
        self._call("mremap", address, size, size, _MREMAP_MAYMOVE | _MREMAP_FIXED, to)

    def _madvise(self, address, size, advice):
        self._call("madvise", address, size, advice)

    def _mprotect(self, address, size, protection):
        self._call("mprotect", address, size, protection)

    def _fork(self, handle):
        pid = os.fork()
        if pid:
            return pid
        self._control.close()
        self._control = socket.socket(fileno=os.dup(handle))
        return "served"


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the master says when
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _Servant(socket.socket(fileno=int(sys.argv[1]))).serve()
