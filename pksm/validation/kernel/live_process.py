"""A real process that does with its memory what it is ordered to: the master's end; puppet.py is the other."""

import json
import mmap
import os
import socket
import subprocess
from collections.abc import Sequence
from typing import Any

from pksm.arrays import U8Array
from pksm.errors import PksmError
from pksm.linux import isolated
from pksm.linux.proc.mergeable import read_pages
from pksm.validation.kernel import puppet

PAGE_SIZE = 4096
ADVICE = {"MERGEABLE": puppet.MERGEABLE, "UNMERGEABLE": puppet.UNMERGEABLE, "DONTNEED": puppet.DONTNEED}


class LiveProcess:
    """The master's end. mm operations as those of a Machine's Mm, by address in bytes and n in pages."""

    def __init__(self, control: socket.socket | None = None, pid: int = 0) -> None:
        self._program: subprocess.Popen[bytes] | None = None
        if control is None:
            control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with other:
                command = isolated.command(puppet.__file__, str(other.fileno()))
                self._program = subprocess.Popen(command, pass_fds=[other.fileno()])
            pid = self._program.pid
        self._control, self.pid = control, pid
        self._ask(do="nothing")

    def _ask(self, fds: Sequence[int] = (), **order: Any) -> Any:
        socket.send_fds(self._control, [json.dumps(order).encode()], list(fds))
        answer = self._control.recv(4096)
        if not answer:
            raise PksmError(f"process {self.pid} of the comparison ended before its time")
        answer = json.loads(answer)
        if "error" in answer:
            raise PksmError(f"process {self.pid} of the comparison could not {order['do']}: {answer['error']}")
        return answer["result"]

    def mmap(self, address: int, n: int) -> None:
        """Map n pages at an address, mergeable, without huge pages."""
        self._ask(do="mmap", address=address, size=n * PAGE_SIZE)

    def write(self, address: int, contents: U8Array) -> None:
        """Write whole pages: uint8 (n, page size)."""
        data = memoryview(contents.data).cast("B")
        handle = os.memfd_create("pksm")
        try:
            os.truncate(handle, len(data))
            with mmap.mmap(handle, len(data)) as view:
                view[:] = data
            self._ask([handle], do="write", address=address, size=len(data))
        finally:
            os.close(handle)

    def munmap(self, address: int, n: int) -> None:
        """Unmap n pages."""
        self._ask(do="munmap", address=address, size=n * PAGE_SIZE)

    def mremap(self, address: int, n: int, new_address: int) -> None:
        """Move n pages."""
        self._ask(do="mremap", address=address, size=n * PAGE_SIZE, to=new_address)

    def madvise(self, address: int, n: int, advice: str) -> None:
        """Advise on n pages: of ADVICE."""
        self._ask(do="madvise", address=address, size=n * PAGE_SIZE, advice=ADVICE[advice])

    def mprotect(self, address: int, n: int, writable: bool) -> None:
        """Make n pages writable, or read-only."""
        self._ask(do="mprotect", address=address, size=n * PAGE_SIZE, protection=3 if writable else 1)

    def read(self, address: int, n: int) -> bytes:
        """Return the bytes of n pages."""
        return read_pages(self.pid, address, n)

    def fork(self) -> "LiveProcess":
        """Return a child of it."""
        control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            pid = self._ask([other.fileno()], do="fork")
        return LiveProcess(control, pid)

    def exit(self) -> None:
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
