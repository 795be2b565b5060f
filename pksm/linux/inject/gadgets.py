"""Instructions that are in a process already: a system call that returns, and the return from a signal handler."""

import os
from dataclasses import dataclass

from pksm.errors import PksmError
from pksm.linux.proc.areas import read_areas

CALL = b"\x0f\x05\xc3"  # syscall; ret
RESTORER = b"\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05"  # mov $15, %rax; syscall
MOST_BYTES = 64 << 20  # of code, searched in one process


@dataclass(frozen=True)
class Gadgets:
    """Addresses of CALL and RESTORER."""

    call: int
    restorer: int

    def are_in(self, memory: int) -> bool:
        """Return whether they are in this memory, a descriptor of /proc/PID/mem."""
        return all(
            os.pread(memory, len(code), address) == code
            for code, address in ((CALL, self.call), (RESTORER, self.restorer))
        )


def find(pid: int, memory: int) -> Gadgets:
    """Search the code of a process: the vdso, then libraries and its program. memory: its /proc/PID/mem.

    Raises:
        PksmError: it has no such instructions.
    """
    code = [area for area in read_areas(pid) if b"x" in area.access and area.name and area.name != b"[vsyscall]"]
    code.sort(key=lambda area: (b"libc" not in area.name, area.name != b"[vdso]", area.end - area.start))
    call = restorer = 0
    left = MOST_BYTES
    for area in code:
        size = min(area.end - area.start, left)
        if size <= 0 or (call and restorer):
            break
        left -= size
        try:
            data = os.pread(memory, size, area.start)
        except OSError:
            continue
        call = call or _at(data, CALL, area.start)
        restorer = restorer or _at(data, RESTORER, area.start)
    if not (call and restorer):
        raise PksmError("its code has no system call to borrow")
    return Gadgets(call, restorer)


def _at(data: bytes, code: bytes, start: int) -> int:
    place = data.find(code)
    return start + place if place >= 0 else 0
