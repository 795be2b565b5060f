"""How far the memory of a program file goes: behind its last bytes comes what it has only zeros for, its bss."""

import mmap
import os
import stat
import struct
from collections.abc import Callable

# path -> where the memory of the file's last segment ends, in bytes, counted as offsets in the file are; or None.
MemoryEnd = Callable[[str], int | None]

PT_LOAD = 1
HEAD_BYTES = 64
MOST_HEADERS_BYTES = 1 << 16
REMEMBERED = 4096  # files

_known: dict[tuple[int, ...], int | None] = {}


def memory_end_in(pid: int) -> MemoryEnd:
    """Return a function that looks files up as process `pid` sees them; one that cannot be read has no end."""

    def memory_end(path: str) -> int | None:
        try:
            # O_PATH first: what is not a regular file is not opened, for that alone may do something
            handle = os.open(f"/proc/{pid}/root{path}", os.O_PATH | os.O_CLOEXEC)
        except (OSError, ValueError):
            return None
        try:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode):
                return None
            return _of_file(handle, facts.st_dev, facts.st_ino, facts.st_mtime_ns)
        finally:
            os.close(handle)

    return memory_end


def _of_file(handle: int, *identity: int) -> int | None:
    if identity not in _known:
        if len(_known) >= REMEMBERED:
            _known.clear()
        try:
            with open(f"/proc/self/fd/{handle}", "rb", buffering=0) as file:
                _known[identity] = parse(lambda offset, size: os.pread(file.fileno(), size, offset))
        except OSError:
            _known[identity] = None
    return _known[identity]


def parse(read_at: Callable[[int, int], bytes]) -> int | None:
    """Return where the memory of the last segment of an ELF file ends, in whole pages; None for any other file.

    Args:
        read_at: (offset, size) -> bytes of the file, fewer at its end.
    """
    head = read_at(0, HEAD_BYTES)
    if len(head) < HEAD_BYTES or head[:4] != b"\x7fELF" or head[4] not in (1, 2) or head[5] not in (1, 2):
        return None
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    headers_at, entry_bytes, n_headers = (
        *struct.unpack_from(f"{order}Q" if wide else f"{order}I", head, 32 if wide else 28),
        *struct.unpack_from(f"{order}HH", head, 54 if wide else 42),
    )
    # type, offset, address, bytes in the file, bytes in memory
    layout, fields = (f"{order}I4xQQ8xQQ", 56) if wide else (f"{order}III4xII", 32)
    if entry_bytes != fields or not 0 < n_headers * fields <= MOST_HEADERS_BYTES or headers_at >= 1 << 63:
        return None
    table = read_at(headers_at, n_headers * fields)
    if len(table) < n_headers * fields:
        return None
    headers = [struct.unpack_from(layout, table, at) for at in range(0, len(table), fields)]
    loads = [(address, offset + in_memory) for kind, offset, address, _, in_memory in headers if kind == PT_LOAD]
    return -(-max(loads)[1] // mmap.PAGESIZE) * mmap.PAGESIZE if loads else None
